"""The runs below a directory, and what a report needs of each run."""

import functools
import json
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from scorelab.errors import ScorelabError, one_line
from scorelab.files import read_json
from scorelab.lab.runs import Run, asked, below, in_order_of
from scorelab.reproduction.published import SETTINGS, published
from scorelab.studies.base import lookup


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


@dataclass
class Entry:
    """One run. `metrics` is None unless the run is done."""

    name: str
    path: Path
    state: str
    error: str | None = None
    overrides: list[str] = field(default_factory=list)
    config: dict = field(default_factory=dict)
    metrics: dict | None = None

    def number(self, key: str):
        """A number of metrics.json by its dotted name; None where there is none."""
        return lookup(self.metrics, key)

    @property
    def preset(self) -> str | None:
        """The preset of conf/experiment that was asked for."""
        return self._asked("experiment")

    @property
    def setting(self):
        """The setting of the paper, 1 to 4; None without one."""
        return self._configured("setting", int)

    @property
    def protocol(self) -> str | None:
        """`paper`, `author` or another; None where nothing was trained."""
        return self._configured("training.protocol", str) if self.trained else None

    @property
    def seed(self):
        return self._configured("seed", int)

    @property
    def trained(self) -> bool:
        """Whether there was anything to train."""
        return self.metrics is None or bool(self.number("training.steps"))

    @property
    def N(self):
        """Number of samples, validation samples included; None where nothing was trained."""
        return self._configured("training.N", int) if self.trained else None

    @property
    def epochs(self):
        """Passes over the samples; None where nothing was trained."""
        return self._configured("training.epochs", int) if self.trained else None

    @property
    def share(self) -> float | None:
        """N x epochs over the published N x epochs of the setting and protocol; None without a published value."""
        if self.setting not in SETTINGS or not (self.N and self.epochs):
            return None
        whole = published("N", self.setting, self.protocol) * published("epochs", self.setting, self.protocol)
        return self.N * self.epochs / whole

    @property
    def network(self) -> str | None:
        """L and m of the network, or of each network; None where nothing was trained."""
        parts = (lookup(self.config, key) for key in ("denoiser.network", "denoiser"))
        for part in parts if self.trained else ():
            if isinstance(part, dict):
                return f"L={part['L']}, m={part['m']}" if {"L", "m"} <= part.keys() else None
        return None

    def picture(self, name: str) -> Path | None:
        """The file of a picture of the run; None if it was not drawn."""
        path = self.path / "figures" / f"{name}.png"
        return path if path.is_file() else None

    def _asked(self, key: str):
        return asked(self.overrides).get(key)

    def _configured(self, key: str, kind: type):
        """The value of a key, or else the value that was asked for; None where it is of another kind."""
        value = lookup(self.config, key)
        if value is None and self._asked(key) is not None:
            try:
                value = kind(self._asked(key))
            except ValueError:
                return None
        return value if isinstance(value, kind) else None


def collect(directory: Path | str) -> list[Entry]:
    """Every run below a directory, and every job of its sweep that has no run yet, in the order of their names.

    Raises ScorelabError if there is neither a run nor a job.
    """
    directory = Path(directory)
    found = {run.path.name: _entry(run) for run in below(directory)}
    for number, overrides in enumerate(_jobs(directory)):
        found.setdefault(str(number), Entry(str(number), directory / str(number), "pending", None, overrides))
    if not found:
        raise ScorelabError(f"{directory}: no run directory below it")
    return sorted(found.values(), key=lambda entry: in_order_of(entry.name))


@functools.cache
def published_numbers() -> dict:
    """The numbers that the published notebooks print, with their source."""
    return json.loads((resources.files("scorelab.reproduction") / "published.json").read_text())


def _jobs(directory: Path) -> list[list[str]]:
    path = directory / "sweep.json"
    jobs = lookup(read_json(path), "jobs") if path.is_file() else None
    return [[str(one) for one in job] for job in jobs if isinstance(job, list)] if isinstance(jobs, list) else []


def _entry(run: Run) -> Entry:
    entry = Entry(run.path.name, run.path, "unreadable")
    try:
        entry.config = run.saved
        entry.overrides, status = run.overrides, run.status
        if status["state"] == "done":
            entry.metrics = run.metrics
        entry.state, entry.error = status["state"], status.get("error")
    except ScorelabError as error:
        entry.error = one_line(error)
    return entry
