"""Trackers: what they are told, and that nothing they do concerns the run."""

import importlib.util
import json
import os
import subprocess
import sys
import threading

import pandas
import pytest
from conftest import SMALL
from helpers import answer_here, copied, refused, without_times, write_guide

import scorelab
from scorelab import tracking
from scorelab.errors import ConfigError
from scorelab.lab.runs import Run

LINES = ["tracking=my_lab.tracker.Lines", "extensions=[my_lab]"]
FAULTY = """
import sys, time
from scorelab.tracking import Tracker

class Making(Tracker):
    def __init__(self):
        raise RuntimeError("no server")

class Starting(Tracker):
    def start(self, run, config):
        raise ValueError("no name")

class Recording(Tracker):
    def record(self, step, values):
        sys.exit(3)

class Ending(Tracker):
    def end(self, state, metrics, figures):
        raise KeyboardInterrupt

class Hanging(Tracker):
    def start(self, run, config):
        time.sleep(10_000)
"""


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """The folder my_lab of the guide, where Python finds it, and the module `faulty`."""
    write_guide(tmp_path / "lab")
    (tmp_path / "lab" / "my_lab" / "__init__.py").write_text("")
    (tmp_path / "lab" / "faulty.py").write_text(FAULTY)
    monkeypatch.syspath_prepend(tmp_path / "lab")
    monkeypatch.setattr(tracking, "_hung", set())
    forget()
    yield
    forget()


def forget():
    """Other tests have packages of the same names."""
    for name in [name for name in sys.modules if name.partition(".")[0] in ("my_lab", "faulty")]:
        del sys.modules[name]


def lines(directory):
    return [json.loads(line) for line in (directory / "tracked.jsonl").read_text().splitlines()]


def test_a_tracker_is_told_every_row_every_stage_and_every_number(lab, run_once, tmp_path, undrawn):
    plain = run_once(*SMALL)
    result = scorelab.run([*SMALL, *LINES], tmp_path / "run")
    first, *records, last = lines(result.directory)
    assert first == {"start": "run", "group": None, "seed": 0}
    table = pandas.read_csv(result.directory / "training.csv")
    rows = [record for record in records if "training/loss" in record]
    assert [row["step"] for row in rows] == table["epoch"].tolist()
    assert [row["training/loss"] for row in rows] == table["loss"].tolist()
    stages = [(key, record["step"]) for record in records for key in record if key.startswith("seconds/")]
    assert stages == [(f"seconds/{stage}", place) for place, stage in enumerate(result.config.study.stages)]
    assert (last["end"], last["projection.w1"]) == ("done", result.metrics["projection"]["w1"])
    assert "tracking" not in (result.directory / "config.yaml").read_text()
    assert without_times(result.metrics) | {"run": None} == without_times(plain.metrics) | {"run": None}
    assert not {"mlflow", "scorelab.tracking.mlflow", "scorelab.tracking.tensorboard"} & {*sys.modules}
    assert scorelab.run(["stage=plot", f"run={result.directory}", "extensions=[my_lab]"])
    assert len(lines(result.directory)) == len(records) + 2  # no run goes on to record of its own accord


def test_a_tracker_that_raises_or_hangs_is_off_and_the_run_is_what_it_is(lab, run_once, tmp_path, monkeypatch, undrawn):
    monkeypatch.setattr(tracking, "PATIENCE", 1.0)
    names = [f"faulty.{name}" for name in ("Making", "Starting", "Recording", "Ending", "Hanging")]
    asked = [*SMALL, f"tracking=[{','.join(names)},my_lab.tracker.Lines]", "extensions=[faulty,my_lab]"]
    result = scorelab.run(asked, tmp_path / "run")
    assert without_times(result.metrics) | {"run": None} == without_times(run_once(*SMALL).metrics) | {"run": None}
    assert lines(result.directory)[-1]["end"] == "done"
    log = (result.directory / "run.log").read_text()
    for name, why in zip(names, ("RuntimeError: no server", "ValueError: no name", "SystemExit: 3"), strict=False):
        assert f"tracking: {name} is off for this run, which goes on: {why}" in log
    assert log.count("is off for this run") == 5
    assert tracking._hung == {"faulty.Hanging"}
    before = threading.active_count()
    tracking.Trackers(["faulty.Hanging"], ["faulty"], None, {})
    assert threading.active_count() == before


def test_the_jobs_of_a_sweep_are_a_group_and_resumed_ones_record_where_they_are_told_to(lab, tmp_path):
    asked = [*SMALL, "stage=train", "training.lr=1e-3,1e14", "training.clip=null", "training.warmup=0"]
    answer = answer_here("-m", *asked, *LINES, "hydra.sweep.dir=here", cwd=tmp_path)
    assert answer["status"] == 1, answer
    for number in range(2):
        told = lines(tmp_path / "here" / str(number))
        assert told[0] == {"start": str(number), "group": f"{tmp_path.name}/here", "seed": 0}
        assert told[-1]["end"] == ("failed" if number else "done")
    resumed = ["-m", "sweep.resume=here", "extensions=[my_lab]"]
    answer_here(*resumed, cwd=tmp_path)
    assert [line["end"] for line in lines(tmp_path / "here" / "1") if "end" in line] == ["failed"]
    answer_here(*resumed, LINES[0], cwd=tmp_path)
    assert [line["end"] for line in lines(tmp_path / "here" / "1") if "end" in line] == ["failed", "failed"]
    assert [line["end"] for line in lines(tmp_path / "here" / "0") if "end" in line] == ["done"]


def test_a_saved_configuration_names_no_tracker(lab, run_once, tmp_path, undrawn):
    run = copied(run_once(*SMALL), tmp_path)
    with open(run / "config.yaml", "a") as file:
        file.write("tracking: [mlflow]\n")
    assert Run(run).config.general.tracking == []
    assert scorelab.run(["stage=plot", f"run={run}"]).config.general.tracking == []


def test_a_tracker_that_is_not_there_is_refused_in_one_line(lab, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tracking, "find_spec", lambda name: None)
    cases = {
        "tracking=wandb": "tracking = wandb: allowed are mlflow, tensorboard, and PACKAGE.CLASS of a package",
        "tracking=faulty.Making": "tracking = faulty.Making: allowed are mlflow",
        "tracking=mlflow": "tracking = mlflow: a package is missing; pip install 'scorelab[trackers]' installs it",
        "tracking=my_lab.tracker.Line": "tracking = my_lab.tracker.Line: cannot be imported",
        "tracking=my_lab.tracker.json": "a class derived from scorelab.tracking.Tracker is needed",
        "tracking={a:1}": "tracking = {'a': 1}",
    }
    for word, line in cases.items():
        assert line in refused(ConfigError, scorelab.run, [word, "extensions=[my_lab]"]), word
    assert not (tmp_path / "outputs").exists()


READ_BACK = """
import json, sys
from pathlib import Path
import pandas
from mlflow.tracking import MlflowClient
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

client = MlflowClient(tracking_uri=Path("outputs/mlruns").absolute().as_uri())
(experiment,) = [each for each in client.search_experiments() if each.name.endswith("/here")]
runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
assert sorted(runs) == ["0", "1", "2", "3"]
for name, run in runs.items():
    table = pandas.read_csv(f"here/{name}/training.csv")
    history = sorted(client.get_metric_history(run.info.run_id, "training/loss"), key=lambda one: one.step)
    assert [one.step for one in history] == table["epoch"].tolist()
    assert [one.value for one in history] == table["loss"].tolist()
    assert run.info.status == "FINISHED"
    assert run.data.params["training.N"] == "400"
    metrics = json.loads(Path(f"here/{name}/metrics.json").read_text())
    assert run.data.metrics["training.loss"] == metrics["training"]["loss"]
    events = EventAccumulator(f"here/{name}/tensorboard")
    events.Reload()
    scalars = events.Scalars("training/loss")
    assert [one.step for one in scalars] == table["epoch"].tolist()
    assert max(abs(one.value / loss - 1) for one, loss in zip(scalars, table["loss"])) < 1e-6
"""


@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("mlflow", "tensorboard")),
    reason="mlflow and tensorboard are not installed: pip install -e '.[trackers]', or make test-trackers",
)
def test_mlflow_and_tensorboard_have_what_the_runs_have(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    asked = ["seed=0,1", "denoiser=relu,tanh", "stage=train", "tracking=[mlflow,tensorboard]", "hydra.sweep.dir=here"]
    command = [sys.executable, "-m", "scorelab.cli", "run", "-m", *SMALL, *asked]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    environment = os.environ | {"MLFLOW_ALLOW_FILE_STORE": "true"}
    read = [sys.executable, "-c", READ_BACK]
    done = subprocess.run(read, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
