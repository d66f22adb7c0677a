"""The runs below a directory, and what a report needs of each run."""

from dataclasses import dataclass, field
from pathlib import Path

from scorelab.errors import ScorelabError, one_line
from scorelab.files import read_json
from scorelab.lab.rows import UNREADABLE
from scorelab.lab.runs import Run, asked, below, in_order_of
from scorelab.studies.base import lookup


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

    def off(self, key: str) -> float | None:
        """The distance of a number from its exact value, in standard errors; None where one of the three is missing."""
        value, error, exact = (self.number(f"{key}{part}") for part in ("", "_standard_error", "_exact"))
        return abs(value - exact) / error if None not in (value, exact) and error else None

    def value(self, key: str):
        """A value of the configuration by its dotted name; None where there is none."""
        return lookup(self.config, key)

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


def _jobs(directory: Path) -> list[list[str]]:
    path = directory / "sweep.json"
    jobs = lookup(read_json(path), "jobs") if path.is_file() else None
    return [[str(one) for one in job] for job in jobs if isinstance(job, list)] if isinstance(jobs, list) else []


def _entry(run: Run) -> Entry:
    entry = Entry(run.path.name, run.path, UNREADABLE)
    try:
        entry.config = run.saved
        entry.overrides, status = run.overrides, run.status
        if status["state"] == "done":
            entry.metrics = run.metrics
        entry.state, entry.error = status["state"], status.get("error")
    except ScorelabError as error:
        entry.error = one_line(error)
    return entry
