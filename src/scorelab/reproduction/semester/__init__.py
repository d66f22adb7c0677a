"""The report of the semester paper: its figures, its settings, and what its published code printed."""
