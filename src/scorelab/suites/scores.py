"""A sampler on the targets of a suite: a verdict for each."""

from dataclasses import dataclass

import numpy

from scorelab.errors import ScorelabError, one_line, require_number
from scorelab.randomness import stream


@dataclass(frozen=True)
class Scores:
    """What a sampler did on the targets of a suite; it prints as a table, and shows itself in a notebook.

    evaluations: name of a target -> the `Evaluation` of its samples, or None for a target to which the sampler does not
    apply.
    """

    evaluations: dict

    @property
    def passed(self) -> bool:
        """Whether no number of any target differs from exact samples; false where nothing was measured."""
        found = [each for each in self.evaluations.values() if each is not None]
        return bool(found) and all(each.passed for each in found)

    @property
    def failures(self) -> tuple[str, ...]:
        """The names of the targets whose samples differ from exact ones."""
        return tuple(name for name, each in self.evaluations.items() if each is not None and not each.passed)

    @property
    def table(self):
        """A pandas DataFrame with a row for each target: name, verdict, how many numbers were measured and how many
        differ, the number that is farthest off, and by how many deviations of exact samples."""
        import pandas

        rows = [_row(name, each) for name, each in self.evaluations.items()]
        return pandas.DataFrame(rows, columns=["name", "verdict", "measured", "differ", "farthest", "deviations"])

    def __str__(self):
        known = [name for name, each in self.evaluations.items() if each is not None]
        passed = f"{len(known) - len(self.failures)} of {len(known)} targets pass"
        return f"{self.table.to_string(index=False, na_rep='', float_format='%.1f', justify='left')}\n{passed}"

    def _repr_html_(self):
        return self.table.to_html(index=False, na_rep="", float_format="%.1f")


def _row(name, evaluation):
    if evaluation is None:
        return name, "not measured: the sampler does not apply", 0, 0, "", None
    known = [finding for finding in evaluation.findings if finding.deviations is not None]
    worst = max(known, key=lambda finding: abs(finding.deviations))
    differ = sum(finding.differs for finding in known)
    verdict = "passes" if evaluation.passed else "differs"
    return name, verdict, len(known), differ, worst.title, abs(worst.deviations)


def score(entries, draw, count: int, seed: int, repeats: int) -> Scores:
    """`Suite.evaluate`: the scores of a sampler on entries of a suite."""
    require_number("count", count, 2, whole=True)
    found = {}
    for entry in entries:
        try:
            samples = draw(entry, count, stream(seed, "suite score", entry.name))
        except Exception as error:  # whatever somebody else's code raises
            raise ScorelabError(f"{entry.version}/{entry.name}: the draw raises {one_line(error)}") from error
        try:
            if samples is not None and (shape := tuple(numpy.shape(samples))) and shape[0] != count:
                raise ScorelabError(f"samples: has the shape {shape}; {count} samples are needed")
            found[entry.name] = None if samples is None else entry.evaluate(samples, seed=seed, repeats=repeats)
        except ScorelabError as error:
            raise ScorelabError(f"{entry.version}/{entry.name}: {error}") from None
    return Scores(found)
