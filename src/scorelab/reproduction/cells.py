"""Numbers of runs as cells of a table."""

import statistics

from scorelab.blocks import Cell, Table
from scorelab.laws.estimate import shown
from scorelab.reproduction.collect import Entry

#: what stands where there is no value
NONE = "—"


def text(value) -> Cell:
    """A word, or a number that is not sorted by."""
    return Cell(NONE if value is None else str(value))


def plain(value, digits: int = 4) -> Cell:
    """A number without an error."""
    if value is None:
        return Cell(NONE)
    return Cell(str(value) if isinstance(value, int) else f"{value:.{digits}g}", value)


def percent(share: float | None) -> Cell:
    """A share, in per cent."""
    return Cell(NONE) if share is None else Cell(f"{100 * share:.3g} %", share)


def measured(entry: Entry, key: str, error: str | None = None) -> Cell:
    """A number of metrics.json with its standard error, by their dotted names. error: KEY_standard_error by default."""
    return with_error(entry.number(key), entry.number(error or f"{key}_standard_error"))


def with_error(value, error, scale: float = 1) -> Cell:
    """A number with its standard error, both multiplied by `scale`."""
    if value is None:
        return Cell(NONE)
    return Cell(shown(scale * value, error and scale * error), value)


def mean(entries: list[Entry], key: str) -> Cell:
    """The mean of a number over the runs that have it."""
    return plain(average(entry.number(key) for entry in entries), 3)


def average(values) -> float | None:
    """The mean of the values that are not None; None if there is none."""
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def not_done(entries: list[Entry]) -> Table:
    """The table of the runs that have no numbers."""
    rows = [
        [Cell(entry.name), Cell(entry.state), text(entry.error), Cell(" ".join(entry.overrides) or NONE)]
        for entry in entries
    ]
    return Table(["run", "state", "error", "asked for"], rows)
