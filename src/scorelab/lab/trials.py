"""What the trials of a sweep that optimises found, from its directory alone: the best, or the Pareto front."""

import math
import shlex
from dataclasses import dataclass
from numbers import Real
from pathlib import Path

import numpy

from scorelab.blocks import Cell, Code, Heading, Paragraph, Table
from scorelab.errors import ScorelabError, printable
from scorelab.lab.runs import Run
from scorelab.lab.searches import saved_search
from scorelab.lab.space import Search
from scorelab.laws.estimate import shown
from scorelab.options import show
from scorelab.studies.base import lookup

#: the figure of trials
FIGURE = "trials"


def objective_values(run: Run, objective: list[str]) -> list[float]:
    """The numbers of a run that is done. Raises ScorelabError for one that is missing or not finite."""
    metrics, values = run.metrics, []
    for key in objective:
        value = lookup(metrics, key)
        if value is None and key in metrics.get("not_measured", {}):
            raise ScorelabError(f"{key}: was not measured, as {metrics['not_measured'][key]}")
        if not isinstance(value, Real) or isinstance(value, bool) or not math.isfinite(value):
            raise ScorelabError(f"{key} = {show(value)}: a finite number is needed to optimise it")
        values.append(float(value))
    return values


@dataclass(frozen=True)
class Trials:
    """The trials of a sweep, in the order of their numbers.

    directory, search: of the sweep. numbers (trials,), values and errors (trials, objectives): nan where a trial has
    none. best: rows of the best trial, or of the Pareto front in
    the order of the first objective.
    """

    directory: Path
    search: Search
    numbers: numpy.ndarray
    values: numpy.ndarray
    errors: numpy.ndarray
    best: list[int]

    @classmethod
    def of(cls, directory: Path, table) -> "Trials | None":
        """The trials of a table of `scorelab.lab.jobs.tabulate`; None for a directory of anything else."""
        saved = saved_search(directory)
        if saved is None:
            return None
        search = saved[0]

        def columns(names):
            done = (table["state"] == "done").to_numpy()
            found = [table[name].to_numpy(float) if name in table else numpy.full(len(table), nan) for name in names]
            return numpy.where(done[:, None], numpy.stack(found, 1), nan)

        nan, keys = math.nan, search.objective
        from scorelab.lab.jobs import declared  # with pandas, for which --help need not wait

        named = {number.key: number.error_key for what in ("headline", "columns") for number in declared(table, what)}
        values, errors = columns(keys), columns([named.get(key, f"{key}_standard_error") for key in keys])
        best = best_of(values, search.directions)
        return cls(directory, search, table["job"].astype(int).to_numpy(), values, errors, best)

    def arrays(self) -> dict:
        """What the figure is drawn from; see `scorelab.figures.trials`."""
        arrays = {"names": list(self.search.objective), "directions": list(self.search.directions)}
        return arrays | {"trial": self.numbers, "values": self.values, "errors": self.errors, "best": self.best}

    def blocks(self, table) -> list:
        """The best trials for a page: what they asked for, what they found, and how to measure it again."""
        keys = self.search.objective
        how = " and ".join(f"{key} {each}d" for key, each in zip(keys, self.search.directions, strict=True))
        without = int(numpy.isnan(self.values).any(1).sum())
        several = len(keys) > 1
        said = f"{len(self.numbers)} trials of {self.search.n_trials}, {without} without a value; {how}."
        blocks = [Heading(2, "Pareto front" if several else "Best trial"), Paragraph(said)]
        if not self.best:
            return blocks
        names = [name for name in table.attrs["parameters"] if name in table]
        rows = []
        for row in self.best:
            given = [_text(table[name].iloc[row]) for name in names]
            found = [shown(*pair) for pair in zip(self.values[row], self.errors[row], strict=True)]
            rows.append([Cell(text) for text in (str(self.numbers[row]), *given, *found)])
        blocks.append(Table(["trial", *names, *keys], rows))
        if several:
            blocks.append(Paragraph("No other trial is better in one of these numbers without being worse in another."))
            return blocks
        blocks.append(
            Paragraph(
                "The best of many noisy values is better than what the same configuration gives again. Other seeds "
                "measure it without this bias:"
            )
        )
        asked = Run(self.directory / table["job"].iloc[self.best[0]]).overrides
        words = [word for word in asked if word.partition("=")[0] != "seed"]
        return [*blocks, Code(shlex.join(["python", "run.py", "-m", *words, "seed=range(1,5)"]))]

    def lines(self, table) -> list[str]:
        """The best trial, or the trials of the Pareto front, as lines of text."""
        labels = table.attrs["labels"]
        lines = []
        for row in self.best:
            pairs = zip(self.search.objective, self.values[row], self.errors[row], strict=True)
            found = ", ".join(f"{key} = {shown(value, error)}" for key, value, error in pairs)
            lines.append(f"trial {self.numbers[row]}: {found} ({printable(labels[table['job'].iloc[row]])})")
        if not lines:
            return ["no trial has a value"]
        return [f"best {lines[0]}"] if len(self.search.objective) == 1 else ["Pareto front:", *lines]


def best_of(values: numpy.ndarray, directions) -> list[int]:
    """Rows of the best trial, the first of several, or of the Pareto front, in the order of the first objective.

    values: (trials, objectives), nan for trials without a value.
    """
    signed = values * numpy.array([1 if each == "minimise" else -1 for each in directions])
    rows = numpy.flatnonzero(numpy.isfinite(signed).all(1))
    if signed.shape[1] == 1:
        return [int(rows[signed[rows, 0].argmin()])] if len(rows) else []
    known = signed[rows]
    as_good, better = (known[:, None] <= known[None]).all(2), (known[:, None] < known[None]).any(2)
    front = rows[~(as_good & better).any(0)]
    return [int(row) for row in front[numpy.lexsort(signed[front].T[::-1])]]


def _text(value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else show(value)
