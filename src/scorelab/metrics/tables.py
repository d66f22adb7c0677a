"""Look-ups in the tables that studies write; a table is a dictionary, name of a column -> its values (rows,)."""

import numpy


def rows_of(table, **values) -> dict[str, numpy.ndarray]:
    """The rows of a table whose columns have these values."""
    held = numpy.logical_and.reduce([table[key] == value for key, value in values.items()])
    return {key: column[held] for key, column in table.items()}


def first_within(budgets, inside):
    """The least of `budgets` (count,) such that `inside` (count,) is true there and at all larger budgets.

    None if `inside` is false at the largest budget. The budgets may stand in any order.
    """
    order = numpy.argsort(budgets, kind="stable")
    outside = numpy.flatnonzero(~numpy.asarray(inside)[order])
    position = outside[-1] + 1 if len(outside) else 0
    return budgets[order][position] if position < len(budgets) else None
