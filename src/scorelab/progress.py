"""Progress: on a terminal a bar with rate and remaining time, elsewhere a line in the log now and then; a cell of a
notebook has one line as well, which changes. A run also says in a small file how far it is, for those who look at its
directory: `reported`."""

import contextlib
import json
import logging
import math
import os
import sys
import time
from contextvars import ContextVar
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

log = logging.getLogger("scorelab")
#: seconds between two changes of the line of a notebook, and of the file of a run
_PAUSE, _REPORT_PAUSE = 0.3, 2.0
#: seconds after which it is looked how long a computation will take, and from which on it is said
_LOOK, _LONG = 1.0, 5.0
#: the report of the run that this thread works at; None where there is none
_report: ContextVar["_Report | None"] = ContextVar("report", default=None)


class _Report:
    """How far a run is, in a file that is replaced every `_REPORT_PAUSE` seconds at most. What cannot be written, as on
    a full disk, is left out: it stops no run."""

    def __init__(self, paths):
        self.paths, self.began, self.changed, self.said = paths, time.monotonic(), -math.inf, {}

    def say(self, at_once: bool, **said):
        self.said |= said
        now = time.monotonic()
        if at_once or now - self.changed >= _REPORT_PAUSE:
            self.changed = now
            text = json.dumps(self.said | {"seconds": round(now - self.began, 3)})
            for path in self.paths:
                beside = path.with_name(f".{path.name}.{os.getpid()}.part")  # `remove_parts` knows this name
                with contextlib.suppress(OSError):
                    beside.unlink(missing_ok=True)
                    with open(beside, "x") as file:  # without fsync: only who looks now needs it
                        file.write(text)
                    os.replace(beside, path)


@contextlib.contextmanager
def reported(*paths: Path, **said):
    """Say in these files, one of each run that is worked at, how far the enclosed block is; they are gone afterwards.
    said: what is said from the beginning, as its stage.

    A file is JSON: the stage, what is done, done and total with their unit, the rate per second, and the seconds since
    the block began. Only a process that is killed leaves its file.
    """
    report = _Report(paths)
    token = _report.set(report)
    try:
        report.say(at_once=True, **said)
        yield
    finally:
        _report.reset(token)
        for path in paths:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


def tell(**said):
    """Say at once, in the file of the run, what begins: a stage, or one of several parts. It takes the place of what
    was said before."""
    if (report := _report.get()) is not None:
        report.said = {}
        report.say(at_once=True, **said)


class _Line:
    """The line below a cell of a notebook; all that the cell does has this one line.

    It is plain text, for which a notebook needs no widgets.
    """

    of = ""  # what `labelled` says
    _cell, _handle = None, None

    def __init__(self, shell):
        self.shell, self.changed = shell, 0.0

    def show(self, text: str, last: bool):
        """Show a text; nothing if another one has just been shown, unless this is the last one."""
        if not last and time.monotonic() - self.changed < _PAUSE:
            return
        self.changed = time.monotonic()
        content = {"text/plain": _Line.of + text}
        if _Line._cell == (id(self.shell), self.shell.execution_count):
            _Line._handle.update(content, raw=True)
        else:
            from IPython.display import display

            _Line._handle = display(content, raw=True, display_id=True)
            _Line._cell = (id(self.shell), self.shell.execution_count)


def _notebook():
    """The shell of the notebook that this process works for; None elsewhere, also in IPython on a terminal."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return shell if hasattr(shell, "kernel") else None


@contextlib.contextmanager
def labelled(text: str):
    """Put a text before the progress of a notebook."""
    _Line.of = text
    try:
        yield
    finally:
        _Line.of = ""


def foretold(what: str, items: list, unit: str):
    """Yield the items; one line of the log, after the first second, says how long they will take if that is long."""
    started, said = time.monotonic(), False
    for done, item in enumerate(items):
        seconds = time.monotonic() - started
        if not said and done and seconds >= _LOOK:
            said, left = True, seconds / done * (len(items) - done)
            if left >= _LONG:
                log.info("%s: %d %s, about %.0f s", what, len(items), unit, seconds + left)
        yield item


class Progress:
    """`with Progress("training", 500, "epochs") as progress: ... progress.update(done, "loss 0.5")`.

    total: number of units. start: units that were done before. lines: about how many lines the log gets.
    """

    def __init__(self, what: str, total: int, unit: str, start: int = 0, lines: int = 10):
        self.what, self.total, self.unit, self.start = what, total, unit, start
        self.every, self.reported = -(-total // lines), start // -(-total // lines)
        self.bar, shell = None, _notebook()
        self.line = None if shell is None else _Line(shell)
        if shell is None and sys.stderr.isatty():
            columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(unit)]
            columns += [TextColumn("{task.fields[rate]}"), TimeRemainingColumn(), TextColumn("{task.fields[note]}")]
            self.bar = Bar(*columns, console=Console(stderr=True))

    def __enter__(self):
        self.started = time.perf_counter()
        if self.bar is not None:
            self.bar.start()
            self.task = self.bar.add_task(self.what, total=self.total, completed=self.start, rate="", note="")
        self._report(self.start, None, at_once=True)
        return self

    def _report(self, done: int, rate: float | None, at_once: bool = False):
        if (report := _report.get()) is not None:
            report.say(at_once, what=self.what, done=done, total=self.total, unit=self.unit, rate=rate)

    def __exit__(self, *_):
        if self.bar is not None:
            self.bar.stop()

    def update(self, done: int, note: str = ""):
        """Report that `done` units of the total are done."""
        rate = (done - self.start) / max(time.perf_counter() - self.started, 1e-9)
        self._report(done, rate)
        if self.bar is not None:
            self.bar.update(self.task, completed=done, rate=f"{rate:.3g}/s", note=note)
            return
        remaining = (self.total - done) / max(rate, 1e-9)
        text = f"{self.what} {done}/{self.total} {self.unit}, {rate:.3g}/s, {remaining:.0f} s left  {note}"
        if self.line is not None:
            self.line.show(text, last=done == self.total)
        if done // self.every > self.reported or done == self.total:
            self.reported = done // self.every
            log.info("%s", text)
