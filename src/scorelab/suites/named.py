"""`scorelab.suite`: the targets of a version, with reference draws and reference numbers.

A version is the option files in `conf/target/VERSION`, in the order of `VERSIONS`, and the file VERSION.json beside
this one, which `python -m scorelab.suites` makes of them. A version never changes: another choice is another version.
"""

import hashlib
import html
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy
import torch

from scorelab.errors import ScorelabError, require_number
from scorelab.files import config_folder, first_comment, read_json, read_yaml
from scorelab.metrics.evaluation import evaluate
from scorelab.nodes import Component, component
from scorelab.options import nearest
from scorelab.randomness import BLOCK, stream
from scorelab.suites.numbers import Reference
from scorelab.suites.scores import Scores, score
from scorelab.targets import Target

#: version -> its targets, from easy to hard
VERSIONS = {
    "v1": (
        *("gaussian", "clusters", "grid", "widths", "ring", "checkerboard"),
        *("spins", "rare", "many_modes", "funnel", "high_dimension", "digits"),
    )
}
#: capability -> what a reader calls it, where the target itself gives it
_EXACT = {
    "posterior_mean": "posterior mean",
    "density": "density",
    "score": "score",
    "projection": "projection",
    "modes": "weights of modes",
    "bayes_risk": "Bayes risk",
    "states": "all states",
}
#: draws behind the digest of the reference draws, and the decimals that it counts
_DIGESTED, _DECIMALS = 256, 4


class _Numbers(dict):
    """Reference numbers by name."""

    def __missing__(self, name):
        raise ScorelabError(f"{name}: no such number; valid names: {', '.join(self)}")


@dataclass(frozen=True)
class Entry:
    """A target of a suite.

    version, name: of the suite and of the target; `target=VERSION/NAME` chooses it in a run. what: a sentence that says
    what it is. hard: a sentence that says what a sampler gets wrong there. node: its configuration.
    """

    version: str
    name: str
    what: str
    hard: str
    node: Component

    @cached_property
    def target(self) -> Target:
        """The target, with all exact answers that it knows."""
        return self.node.build(generator=stream(0, "target"))

    @property
    def n(self) -> int:
        """The number of entries of a sample."""
        return self.target.n

    @property
    def exact(self) -> tuple[str, ...]:
        """What the target knows exactly, in words."""
        return tuple(word for name, word in _EXACT.items() if self.target.gives(name) and self.target.can(name))

    @property
    def fingerprint(self) -> str:
        """Sixteen digits that tell the configuration of the target from any other."""
        return _digest(json.dumps(self.node.data, sort_keys=True).encode())

    def draws(self, count: int, seed: int = 0) -> torch.Tensor:
        """The first `count` reference draws of a seed, (count, n), float64.

        They are exact samples. Row i depends on the seed and on i alone: the first rows of a longer draw are the
        shorter one. Raises ScorelabError for a count < 1 and a seed < 0.
        """
        for what, number, least in (("count", count, 1), ("seed", seed, 0)):
            require_number(what, number, least, whole=True)
        blocks = range(-(-count // BLOCK))
        streams = (stream(seed, "suite", self.version, self.name, block) for block in blocks)
        return torch.cat([self.target.sample(BLOCK, each, torch.float64).flatten(1) for each in streams])[:count]

    @property
    def draws_digest(self) -> str:
        """Sixteen digits of the first 256 reference draws of the seed 0, to four decimals."""
        rounded = numpy.rint(self.draws(_DIGESTED).numpy() * 10**_DECIMALS).astype("<i8")
        return _digest(rounded.tobytes())

    @cached_property
    def numbers(self) -> dict[str, Reference]:
        """The reference numbers; see `scorelab.suites.numbers.measured`. ScorelabError says that there is no number of
        a name."""
        known = recorded(self.version)[self.name]["numbers"]
        return _Numbers({name: Reference.read(number) for name, number in known.items()})

    def evaluate(self, samples, *, seed: int = 0, repeats: int = 200):
        """Hold samples (count, n) against the target, as `scorelab.evaluate` does, which says what is returned."""
        return evaluate(samples, self.target, seed=seed, repeats=repeats)

    @property
    def cite(self) -> str:
        """The text by which a paper names the target."""
        return f"target={self.version}/{self.name} of suite {self.version} of scorelab ({self.fingerprint})"

    def __str__(self):
        numbers = "\n".join(f"  {name:24} {number}" for name, number in self.numbers.items())
        return f"{self.version}/{self.name}, n = {self.n}. {self.what} {self.hard}\n{numbers}"

    def _repr_html_(self):
        return f"<pre>{html.escape(str(self))}</pre>"


class Suite:
    """The targets of a version: `suite["ring"]` is an `Entry`, and a loop goes through all entries, from easy to hard.

    It prints as a table, and shows itself in a notebook.
    """

    def __init__(self, version: str):
        folder = config_folder() / "target" / version
        self.version, self._entries = version, {}
        for name in VERSIONS[version]:
            path = folder / f"{name}.yaml"
            what, hard = (line.strip() for line in first_comment(path))
            node = component("target", read_yaml(path), key=f"target={version}/{name}")
            self._entries[name] = Entry(version, name, what, hard, node)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name) -> bool:
        return name in self._entries

    def __getitem__(self, name: str) -> Entry:
        if name not in self._entries:
            raise ScorelabError(f"{name}: no target of suite {self.version}; {nearest(str(name), self._entries)}")
        return self._entries[name]

    @property
    def names(self) -> list[str]:
        """The names, from easy to hard."""
        return list(self._entries)

    @property
    def fingerprint(self) -> str:
        """Sixteen digits of the configurations of all targets."""
        return _digest(" ".join(entry.fingerprint for entry in self).encode())

    @property
    def cite(self) -> str:
        """The text by which a paper names the suite."""
        return f"suite {self.version} of scorelab, {len(self)} targets ({self.fingerprint})"

    @property
    def table(self):
        """A pandas DataFrame with a row for each target: name, n, what, hard, exact."""
        import pandas

        rows = [(each.name, each.n, each.what, each.hard, ", ".join(each.exact)) for each in self]
        return pandas.DataFrame(rows, columns=["name", "n", "what", "hard", "exact"])

    @property
    def numbers(self):
        """A pandas DataFrame with a row for each reference number: name, number, value, error, NaN for one that is
        exact."""
        import pandas

        rows = [
            (entry.name, name, number.value, number.error) for entry in self for name, number in entry.numbers.items()
        ]
        return pandas.DataFrame(rows, columns=["name", "number", "value", "error"]).astype({"error": float})

    def evaluate(self, draw, *, count: int = 1000, seed: int = 0, repeats: int = 200, names=None) -> Scores:
        """Hold a sampler against the targets: `Scores`, a row and a verdict for each.

        draw: function of (entry, count, generator) that returns samples (count, n), or None for a target to which it
        does not apply. count: samples of each target, >= 2. seed: of the generators, and of the exact samples. repeats:
        as in `scorelab.evaluate`. names: of the targets; all by default. Raises ScorelabError for samples that do not
        fit, and for errors of `draw`; it names the target.
        """
        return score([self[name] for name in (names or self.names)], draw, count, seed, repeats)

    def __str__(self):
        shown = self.table[["name", "n", "what"]]
        return f"{self.cite}\n{shown.to_string(index=False, justify='left')}"

    def _repr_html_(self):
        return f"<p>{html.escape(self.cite)}</p>{self.table.to_html(index=False)}"


def suite(version: str | None = None) -> Suite:
    """The `Suite` of a version, such as "v1". Raises ScorelabError for a version that there is not."""
    if version not in VERSIONS:
        said = "suite: a version is needed" if version is None else f"suite = {version}: no such version"
        raise ScorelabError(f"{said}; versions: {', '.join(VERSIONS)}")
    return Suite(version)


def record(version: str) -> Path:
    """The file with the reference numbers of a version."""
    return Path(__file__).with_name(f"{version}.json")


def recorded(version: str) -> dict:
    """Name of a target -> its fingerprint, the digest of its draws, and its reference numbers, as the file has them."""
    return read_json(record(version))["targets"]


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
