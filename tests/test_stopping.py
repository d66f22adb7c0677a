"""A signal that asks to stop: a training ends with a checkpoint, anything else at once, and both can go on."""

import json
import os
import signal
import subprocess
import sys
import time

import pandas
import pytest
from conftest import SMALL
from helpers import ROOT, answer_here, without_times

import scorelab
from scorelab import stopping
from scorelab.lab.runs import PROGRESS, Run
from scorelab.stopping import Stopped, deferred, heeded
from scorelab.tensorfile import read_tensors
from scorelab.training.trainer import Trainer

#: a training that is recorded every second epoch, and writes no checkpoint of itself
LONG = [*SMALL, "training.records=2", "training.checkpoint_every=0"]


@pytest.fixture(autouse=True)
def long_ago(monkeypatch):
    monkeypatch.setattr(stopping._State, "since", -100.0)


@pytest.mark.parametrize("epoch", [1, 2, 4])
def test_a_training_that_is_told_to_stop_writes_a_checkpoint_and_goes_on_to_the_same_bits(
    epoch, run_once, tmp_path, monkeypatch
):
    end = Trainer.end_epochs

    def signalled(trainer, *given, **measured):
        end(trainer, *given, **measured)
        if trainer.epoch == epoch:
            os.kill(os.getpid(), signal.SIGUSR1)

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "end_epochs", signalled)
        with pytest.raises(Stopped, match="SIGUSR1"), heeded():
            scorelab.run(LONG, tmp_path / "run")
    assert Run(tmp_path / "run").state == "interrupted"
    _, metadata = read_tensors(tmp_path / "run" / "checkpoint.safetensors")
    assert json.loads(metadata["training"])["epoch"] == epoch
    done, alone = scorelab.run([f"training.resume={tmp_path / 'run'}"]), run_once(*LONG)
    assert without_times(done.metrics)["training"] == without_times(alone.metrics)["training"]
    for name in ("denoiser.safetensors", "samples.npy"):
        assert (done.directory / name).read_bytes() == (alone.directory / name).read_bytes()
    tables = [pandas.read_csv(result.directory / "training.csv").drop(columns="seconds") for result in (done, alone)]
    pandas.testing.assert_frame_equal(*tables, check_exact=True)


def test_a_stage_that_is_no_training_stops_at_once_and_the_stages_before_it_stay(tmp_path, monkeypatch):
    from scorelab.studies import Generate

    stage_of = Generate.run_stage

    def signalled(study, stage, context):
        if stage == "sample":
            os.kill(os.getpid(), signal.SIGTERM)
        stage_of(study, stage, context)

    monkeypatch.setattr(Generate, "run_stage", signalled)
    assert answer_here(*SMALL, "hydra.run.dir=here", cwd=tmp_path)["status"] == 128 + signal.SIGTERM
    run = Run(tmp_path / "here")
    assert (run.state, run.status["stages"]) == ("interrupted", ["train"])
    monkeypatch.undo()
    assert answer_here("training.resume=here", cwd=tmp_path)["status"] == 0


def test_the_same_signal_again_waits_and_a_later_one_does_not(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(stopping.time, "monotonic", lambda: now[0])
    with heeded(), deferred():
        os.kill(os.getpid(), signal.SIGUSR1)
        now[0] = stopping.SAME / 2
        os.kill(os.getpid(), signal.SIGTERM)
        now[0] = 2 * stopping.SAME
        with pytest.raises(Stopped, match="SIGTERM"):
            os.kill(os.getpid(), signal.SIGTERM)
        stopping._State.asked = None
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL


def _trains(run):
    """Whether a run has trained for some epochs."""
    path = run / PROGRESS
    return path.is_file() and bool(json.loads(path.read_text()).get("done"))


def test_a_sweep_passes_a_signal_on_to_its_workers_which_write_checkpoints(tmp_path):
    asked = ["-m", *LONG, "training.epochs=1000000", "seed=0,1,2", "hydra.sweep.dir=here"]
    launcher = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    runs = [Run(tmp_path / "here" / name) for name in "012"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([sys.executable, str(ROOT / "run.py"), *asked, *launcher], cwd=tmp_path, **quiet) as sweep:
        until = time.monotonic() + 120
        while time.monotonic() < until and not all(map(_trains, runs[:2])):
            time.sleep(0.1)
        sweep.send_signal(signal.SIGUSR1)
        assert sweep.wait(120) == 128 + signal.SIGUSR1
    assert [run.state for run in runs] == ["interrupted", "interrupted", "pending"]
    assert all((run / "checkpoint.safetensors").is_file() for run in runs[:2])
