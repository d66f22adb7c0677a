"""A run and its trackers, `scorelab.tracking`: what they are told, and when."""

import logging
from pathlib import Path

from scorelab.errors import ScorelabError, one_line
from scorelab.lab.config import Config
from scorelab.lab.runs import Run, flat, read_metrics
from scorelab.tracking import Recorded, Trackers

log = logging.getLogger("scorelab")

#: the table whose rows are recorded as they are measured
TABLE = "training.csv"
_PICTURES = (".png", ".pdf", ".svg")


class Tracked:
    """The trackers of a run, which begins with this object and ends with `end`. Where the configuration names none,
    nothing is made."""

    def __init__(self, run: Run, config: Config):
        self.run, self._rows, self._trackers = run, 0, None
        general = config.general
        if general.tracking:
            recorded = Recorded(run.path.absolute(), *_place(run.path.absolute()))
            self._trackers = Trackers(general.tracking, general.extensions, recorded, config.data)

    def rows(self, name: str, rows: list[dict]):
        """Record the rows of a table that are new. Only those of `TABLE` are: their step is the epoch."""
        if self._trackers is None or name != TABLE:
            return
        for row in rows[self._rows :]:
            prefix = "/".join(filter(None, ("training", row.get("part"))))
            values = {f"{prefix}/{key}": value for key, value in row.items() if key not in ("epoch", "part")}
            self._trackers.record(row.get("epoch", 0), values)
        self._rows = len(rows)

    def stage(self, number: int, name: str, seconds: float):
        """Record that a stage ended."""
        if self._trackers is not None:
            self._trackers.record(number, {f"seconds/{name}": seconds})

    def end(self):
        """Record the end of the work, whatever it is."""
        if self._trackers is None:
            return
        state, metrics, found = "failed", {}, []
        try:
            state = self.run.status["state"]
            if state == "done":
                metrics = dict(flat(read_metrics(self.run / "metrics.json")))
            found = sorted(path for path in (self.run / "figures").glob("[!.]*") if path.suffix in _PICTURES)
        except (ScorelabError, OSError) as error:
            log.warning("tracking: the end of the run is not recorded whole (%s)", one_line(error))
        self._trackers.end(state, metrics, [path.absolute() for path in found])


def _place(directory: Path) -> tuple[str, str | None]:
    """The name of a run, and its group: the sweep that it is a job of, or the run that it is a replica of."""
    above = directory.parent
    if above.name == "replicas":
        above = above.parent
    elif not (above / "sweep.json").is_file():
        return directory.name, None
    return directory.name, f"{above.parent.name}/{above.name}"
