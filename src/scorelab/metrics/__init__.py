"""Numbers that compare what was learned with the exact answer, each with its floor and its standard error."""
