"""Trackers: where a run is recorded beside its directory, as in MLflow or TensorBoard.

A tracker never decides anything of a run. Each has a thread of its own, for which the run does not wait; one that
raises is off from then on, with a line in the log, and so is one that has not ended `PATIENCE` seconds after the run.
"""

import importlib
import logging
import math
import queue
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from numbers import Real
from pathlib import Path

from scorelab.errors import ConfigError, one_line
from scorelab.nodes import load
from scorelab.options import show

log = logging.getLogger("scorelab")

#: name -> module whose class `Tracking` it is, and the package that this module needs
NAMES = {
    "mlflow": ("scorelab.tracking.mlflow", "mlflow"),
    "tensorboard": ("scorelab.tracking.tensorboard", "tensorboard"),
}
#: seconds that the end of a run waits for its trackers, and the most records that one of them may be behind
PATIENCE, _BEHIND = 30.0, 100_000
#: trackers that did not come to an end in this process, and get no other run
_hung: set[str] = set()


@dataclass(frozen=True)
class Recorded:
    """A run as a tracker sees it. directory: of the run, absolute. name: of this directory. group: the sweep that the
    run is a job of, as PARENT/NAME of its directory; None for a run of its own."""

    directory: Path
    name: str
    group: str | None


class Tracker:
    """What a tracker does, one call after the other, in one thread. Every method may be left as it is.

    One object records one run, and is made without arguments.
    """

    def start(self, run: Recorded, config: Mapping):
        """A process begins to work at a run, or goes on. config: its configuration as plain data."""

    def record(self, step: int, values: Mapping[str, float]):
        """Numbers that were just measured. step: the epoch, for those of a training; the number of the stage, for the
        seconds of a stage."""

    def end(self, state: str, metrics: Mapping[str, float], figures: list[Path]):
        """The process ends its work. state: done, failed or interrupted. metrics: the numbers of metrics.json by their
        dotted names, none unless the run is done. figures: the files of its pictures."""


def require(names, extensions):
    """Raise ConfigError for a tracker that is not there. extensions: the packages that may have one."""
    for name in names:
        if name not in NAMES:
            _own(name, extensions)
        elif find_spec(NAMES[name][1]) is None:
            raise ConfigError(f"tracking = {name}: a package is missing; pip install 'scorelab[trackers]' installs it")


def _own(name: str, extensions) -> type[Tracker]:
    """The class of a tracker of the user's own."""
    if not any(name.startswith(f"{package}.") for package in extensions):
        allowed = f"{', '.join(NAMES)}, and PACKAGE.CLASS of a package that extensions=[PACKAGE] names"
        raise ConfigError(f"tracking = {show(name)}: allowed are {allowed}")
    module, _, own = name.rpartition(".")
    try:
        found = getattr(load(module), own)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"tracking = {name}: cannot be imported ({one_line(error)})") from None
    if not (isinstance(found, type) and issubclass(found, Tracker)):
        raise ConfigError(f"tracking = {name}: a class derived from scorelab.tracking.Tracker is needed")
    return found


class Trackers:
    """The trackers of one run, each behind its guard. names: as in the configuration. extensions: as for `require`."""

    def __init__(self, names, extensions, run: Recorded, config: Mapping):
        self._guarded = [_Guarded(name, extensions) for name in dict.fromkeys(names) if name not in _hung]
        self._say("start", run, config)

    def record(self, step: int, values: Mapping):
        """Hand over what is a finite number of `values`."""
        numbers = finite(values)
        if numbers:
            self._say("record", int(step), numbers)

    def end(self, state: str, metrics: Mapping, figures: list[Path]):
        """Hand over the end, and wait until all have it."""
        self._say("end", state, finite(metrics), figures)
        until = time.monotonic() + PATIENCE
        for each in self._guarded:
            each.wait(max(until - time.monotonic(), 0.0))
        self._guarded = []

    def _say(self, *call):
        for each in self._guarded:
            each.say(call)


class _Guarded:
    """A tracker in a thread of its own."""

    def __init__(self, name: str, extensions):
        self.name, self._extensions, self._off = name, extensions, False
        self._calls = queue.Queue(_BEHIND)
        self._thread = threading.Thread(target=self._work, name=f"tracking {name}", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:  # there is no room for one more
            self._give_up(one_line(error))

    def say(self, call):
        if not self._off:
            try:
                self._calls.put_nowait(call)
            except queue.Full:
                self._give_up(f"it is {_BEHIND} records behind")

    def wait(self, seconds: float):
        if self._thread.ident is not None:
            self._thread.join(seconds)
        if self._thread.is_alive() and not self._off:
            _hung.add(self.name)
            self._give_up("it does not come to an end")

    def _work(self):
        try:
            tracker = self._made()
            while not self._off:
                method, *arguments = self._calls.get()
                getattr(tracker, method)(*arguments)
                if method == "end":
                    return
        except BaseException as error:  # whatever it raises, SystemExit too, is none of the run's business
            self._give_up(one_line(error))

    def _made(self) -> Tracker:
        if self.name not in NAMES:
            return _own(self.name, self._extensions)()
        return importlib.import_module(NAMES[self.name][0]).Tracking()

    def _give_up(self, why: str):
        if not self._off:
            self._off = True
            log.warning("tracking: %s is off for this run, which goes on: %s", self.name, why)


def finite(values: Mapping) -> dict[str, float]:
    """The entries that are finite numbers, and no truth values."""
    numbers = {key: value for key, value in values.items() if isinstance(value, Real) and not isinstance(value, bool)}
    return {key: float(value) for key, value in numbers.items() if math.isfinite(value)}
