"""A sweep over a number: the arrays of the figure `curves`."""

import numpy
import pandas

from scorelab.figures.curves import MOST
from scorelab.lab.jobs import mean_of

#: so many values of the number make a curve
_LEAST = 3


def numeric(done: pandas.DataFrame, parameters: list[str]) -> str | None:
    """The swept parameter with the most different numbers, at least three of them, and nothing else among its values;
    None if there is none. done: the jobs that are done."""
    found = {}
    for name in parameters:
        values = done[name]
        numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
        if numbers and values.nunique() >= _LEAST and numpy.isfinite(values.to_numpy(float)).all():
            found[name] = values.nunique()
    return max(found, key=found.get, default=None)


def curves(done: pandas.DataFrame, parameters: list[str], numbers, shown) -> dict:
    """The arrays of the figure; empty where no parameter is `numeric`, or nothing was measured.

    parameters: the swept ones, without the seed. numbers: those to draw, `scorelab.studies.base.Number`. shown:
    function from the name and a value of a parameter to its text. Of more settings than can be told apart the first are
    drawn; `settings` says how many there are.
    """
    key = numeric(done, parameters)
    numbers = [number for number in numbers if number.key in done and done[number.key].notna().any()]
    if key is None or not numbers:
        return {}
    x = numpy.sort(done[key].unique().astype(float))
    others = [name for name in parameters if name != key]
    settings = list(done.groupby(others, dropna=False, sort=False)) if others else [((), done)]
    count, settings = len(settings), settings[:MOST]
    labels = [
        ", ".join(shown(name, value) for name, value in zip(others, values, strict=True) if not pandas.isna(value))
        for values, _ in settings
    ]
    points = [[rows[rows[key].astype(float) == value] for value in x] for _, rows in settings]
    counts = [len(rows) for row in points for rows in row if len(rows)]
    arrays = {"key": key, "x": x, "labels": labels, "settings": count, "seeds": [min(counts), max(counts)]}
    arrays |= {"names": [number.key for number in numbers], "titles": [number.name for number in numbers]}
    arrays["scales"] = [number.scale for number in numbers]
    for number in numbers:
        cells = [[_cell(rows, number) for rows in row] for row in points]
        for part, name in enumerate(("", "error.", "held.")):
            arrays[name + number.key] = [[cell[part] for cell in row] for row in cells]
    return arrays


def _cell(rows: pandas.DataFrame, number):
    """Mean, standard error and held value of the jobs of one point. The error is over the seeds or, for one seed, that
    of the run itself."""
    values = rows[number.key].dropna().to_numpy(float)
    held = rows[number.reference_key].dropna() if number.reference_key in rows else values[:0]
    reference = float(held.mean()) if len(held) else numpy.nan
    if len(values) > 1:
        found = mean_of(rows, number.key)
        return found.value, found.standard_error, reference
    error = rows[number.error_key].dropna().to_numpy(float) if number.error_key in rows else values[:0]
    return (values[0] if len(values) else numpy.nan), (error[0] if len(error) else numpy.nan), reference
