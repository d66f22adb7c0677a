"""Progress: on a terminal a bar with rate and remaining time, elsewhere a line in the log now and then."""

import logging
import sys
import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

log = logging.getLogger("scorelab")


class Progress:
    """`with Progress("training", 500, "epochs") as progress: ... progress.update(done, "loss 0.5")`.

    total: number of units. start: units that were done before. lines: about how many lines the log gets.
    """

    def __init__(self, what: str, total: int, unit: str, start: int = 0, lines: int = 10):
        self.what, self.total, self.unit, self.start = what, total, unit, start
        self.every, self.reported = -(-total // lines), start // -(-total // lines)
        self.bar = None
        if sys.stderr.isatty():
            columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(unit)]
            columns += [TextColumn("{task.fields[rate]}"), TimeRemainingColumn(), TextColumn("{task.fields[note]}")]
            self.bar = Bar(*columns, console=Console(stderr=True))

    def __enter__(self):
        self.started = time.perf_counter()
        if self.bar is not None:
            self.bar.start()
            self.task = self.bar.add_task(self.what, total=self.total, completed=self.start, rate="", note="")
        return self

    def __exit__(self, *_):
        if self.bar is not None:
            self.bar.stop()

    def update(self, done: int, note: str = ""):
        """Report that `done` units of the total are done."""
        rate = (done - self.start) / max(time.perf_counter() - self.started, 1e-9)
        if self.bar is not None:
            self.bar.update(self.task, completed=done, rate=f"{rate:.3g}/s", note=note)
        elif done // self.every > self.reported or done == self.total:
            self.reported = done // self.every
            remaining = (self.total - done) / max(rate, 1e-9)
            log.info(
                "%s %d/%d %s, %.3g/s, %.0f s left  %s", self.what, done, self.total, self.unit, rate, remaining, note
            )
