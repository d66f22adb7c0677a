"""The laboratory: from a command line or a notebook to a finished run directory, and from many of those to a table."""
