"""Recording in MLflow: an experiment for each sweep, and a run there for each run.

Where it records is what `MLFLOW_TRACKING_URI` says, as everywhere in MLflow; without it, files in `outputs/mlruns`. No
configuration can name such a place, so that a directory of somebody else's sends nothing anywhere.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Mapping
from pathlib import Path

from scorelab.tracking import Tracker

#: where it records by default, and the experiment of runs that are no jobs
PLACE, ALONE = Path("outputs", "mlruns"), "scorelab"
#: the tag that has the directory of a run
_TAG = "scorelab.directory"
_STATES = {"done": "FINISHED", "failed": "FAILED"}
#: seconds between two messages with numbers, the most that MLflow takes in one, and the longest text of a parameter
_EVERY, _METRICS, _PARAMS, _LONGEST = 2.0, 1000, 100, 500


class Tracking(Tracker):
    """Parameters (the configuration by dotted names), metrics, and the pictures as artifacts."""

    def start(self, run, config):
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # of what is used, which MLflow sends to its makers
        place = os.environ.get("MLFLOW_TRACKING_URI")
        if place is None:
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # MLflow refuses files unless it is told
            PLACE.mkdir(parents=True, exist_ok=True)
            place = PLACE.absolute().as_uri()
        from mlflow.entities import Metric, Param
        from mlflow.tracking import MlflowClient

        self.metric, self.waiting, self.sent = Metric, [], time.monotonic()
        self.client = MlflowClient(tracking_uri=place)
        with _one_at_a_time(PLACE):
            self.run = self._run_of(run, self._experiment(run.group or ALONE))
        params = [Param(key, value[:_LONGEST]) for key, value in _flat(config)]
        for some in _parts(params, _PARAMS):
            self.client.log_batch(self.run, params=some)

    def _experiment(self, name: str) -> str:
        known = self.client.get_experiment_by_name(name)
        return known.experiment_id if known is not None else self.client.create_experiment(name)

    def _run_of(self, run, experiment: str) -> str:
        """The run of MLflow in which a directory is recorded: where it was before, or a new one."""
        directory = str(run.directory)
        found = []
        if "'" not in directory:  # which its filter cannot have
            found = self.client.search_runs([experiment], f"tags.`{_TAG}` = '{directory}'", max_results=1)
        if found:
            self.client.update_run(found[0].info.run_id, status="RUNNING")
            return found[0].info.run_id
        return self.client.create_run(experiment, run_name=run.name, tags={_TAG: directory}).info.run_id

    def record(self, step, values):
        now = round(1000 * time.time())
        self.waiting += [self.metric(key, value, now, step) for key, value in values.items()]
        if time.monotonic() - self.sent >= _EVERY:
            self._send()

    def _send(self):
        for some in _parts(self.waiting, _METRICS):
            self.client.log_batch(self.run, metrics=some)
        self.waiting, self.sent = [], time.monotonic()

    def end(self, state, metrics, figures):
        self.record(0, metrics)
        self._send()
        for path in figures:
            self.client.log_artifact(self.run, str(path), "figures")
        self.client.set_terminated(self.run, _STATES.get(state, "KILLED"))


@contextlib.contextmanager
def _one_at_a_time(folder: Path):
    """Jobs that begin at once make one experiment, and not two of the same name."""
    if not folder.is_dir():
        yield  # a server, which sees to it itself
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)


def _parts(listed: list, most: int):
    """The list in parts of so many entries at most."""
    return (listed[first : first + most] for first in range(0, len(listed), most))


def _flat(node: Mapping, prefix: str = ""):
    """Yield (dotted name, text) of a configuration; a list is one text."""
    for key, value in node.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value)
