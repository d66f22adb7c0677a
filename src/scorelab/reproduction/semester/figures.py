"""The figures of the semester paper, and what its published notebooks print."""

import functools
import json
from dataclasses import dataclass
from importlib import resources

from scorelab.reproduction.collect import Entry
from scorelab.reproduction.semester.published import SETTINGS, published


@dataclass(frozen=True)
class Figure:
    """A figure of sections 7 and 8.

    presets: presets whose runs belong to the figure. picture: the picture of a run that is shown. shares: the preset
    whose runs in setting 2 belong to the figure too. printed: key of its errors in published.json.
    """

    number: int
    title: str
    presets: tuple[str, ...]
    picture: str = "projection"
    shares: str | None = None
    printed: str | None = None

    def has(self, entry: "Entry") -> bool:
        """Whether a run belongs to the figure."""
        return entry.preset in self.presets or (entry.preset == self.shares and entry.setting == 2)


FIGURES = (
    Figure(1, "the exact posterior mean", ("fig01_exact",)),
    Figure(2, "samples of the relu network", ("fig02_relu",)),
    Figure(3, "posterior means, relu", ("fig03_relu",), "posterior_mean", "fig02_relu", "relu"),
    Figure(4, "samples of the tanh network", ("fig04_tanh",)),
    Figure(5, "posterior means, tanh", ("fig05_tanh",), "posterior_mean", "fig04_tanh", "tanh"),
    Figure(6, "one network a mode", ("fig06_mixture_relu", "fig06_mixture_tanh")),
    Figure(7, "one network a phase", ("fig07_phase_aware",)),
    Figure(
        8,
        "posterior means, one network a phase",
        ("fig08_phase_aware",),
        "posterior_mean",
        "fig07_phase_aware",
        "phase_aware_tanh",
    ),
    Figure(9, "recovery of mu* in two stages", ("fig09_two_stage",), "two_stage"),
)


@functools.cache
def published_numbers() -> dict:
    """The numbers that the published notebooks print, with their source."""
    return json.loads((resources.files("scorelab.reproduction.semester") / "published.json").read_text())


def share(entry: Entry) -> float | None:
    """N x epochs of a run over the published N x epochs of its setting and protocol; None without a published value."""
    if entry.setting not in SETTINGS or not (entry.N and entry.epochs):
        return None
    whole = published("N", entry.setting, entry.protocol) * published("epochs", entry.setting, entry.protocol)
    return entry.N * entry.epochs / whole
