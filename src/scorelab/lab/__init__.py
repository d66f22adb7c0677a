"""The laboratory: from a command line or a notebook to a run directory, and from many run directories to a table."""
