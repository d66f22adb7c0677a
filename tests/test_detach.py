"""Sweeps in the background: they begin in the foreground, outlive it, and can be looked at, stopped and resumed."""

import os
import signal
import time

import pytest
from conftest import SMALL
from helpers import answer_here, refused
from hydra._internal.core_plugins.basic_launcher import BasicLauncher

import scorelab
from scorelab.errors import ScorelabError
from scorelab.lab import locks
from scorelab.lab.detach import LOG
from scorelab.lab.runs import Run
from scorelab.lab.status import status
from scorelab.lab.stop import stop

WAITING = """
import os, time
from pathlib import Path
from scorelab.studies import Generate

class Waiting(Generate):
    def run_stage(self, stage, context):
        while not Path(os.environ["GO"]).exists():
            time.sleep(0.05)
        super().run_stage(stage, context)
"""


@pytest.fixture
def waiting(tmp_path, monkeypatch):
    """The overrides of two jobs that wait until there is a file `go`."""
    (tmp_path / "waiting.py").write_text(WAITING)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("GO", str(tmp_path / "go"))
    given = [*SMALL, "extensions=[waiting]", "study._target_=waiting.Waiting", "stage=train", "seed=0,1"]
    return ["-m", *given, "hydra.sweep.dir=here", "sweep.detach=true"]


def _soon(true) -> bool:
    """Whether something becomes true within a minute, which is long enough on a busy machine."""
    until = time.monotonic() + 60
    while not true() and time.monotonic() < until:
        time.sleep(0.1)
    return true()


def test_a_detached_sweep_outlives_its_command_and_is_stopped_and_resumed(waiting, tmp_path):
    sweep = tmp_path / "here"
    began = answer_here(*waiting, cwd=tmp_path)
    process = locks.process_of(locks.owner(sweep))  # the lock is held when the command returns
    try:
        assert (began["status"], began["out"].partition(": ")[0]) == (0, "here"), began
        assert "scorelab status here" in began["out"]
        assert os.getsid(process) == process  # no terminal's end reaches it
        second = answer_here("-m", "sweep.resume=here", "extensions=[waiting]", "sweep.detach=true", cwd=tmp_path)
        assert second["status"] == 1
        assert _soon(lambda: status(sweep).totals == {"running": 1, "pending": 1})
        stopped, left = stop(sweep)
        assert (len(stopped), left) == (1, [])
        assert _soon(lambda: locks.owner(sweep) is None)
    finally:
        _end(process)
    assert [Run(sweep / name).state for name in "01"] == ["interrupted", "pending"]
    assert "job 0 (seed=0) interrupted" in (sweep / LOG).read_text()
    (tmp_path / "go").touch()
    assert answer_here("-m", "sweep.resume=here", "extensions=[waiting]", cwd=tmp_path)["status"] == 0
    assert status(sweep).totals == {"done": 2}


def _end(process):
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return


def test_sigterm_is_an_interrupt_and_python_detaches_as_well(waiting, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    began = scorelab.sweep(waiting[1:])
    process = locks.process_of(locks.owner("here"))
    try:
        assert began.table["job"].tolist() == ["0", "1"]
        assert _soon(lambda: Run("here/0").state == "running")
        os.kill(process, signal.SIGTERM)
        assert _soon(lambda: locks.owner("here") is None)
    finally:
        _end(process)
    assert [Run(f"here/{name}").state for name in "01"] == ["interrupted", "pending"]
    why = refused(ScorelabError, scorelab.sweep, ["sweep.resume=here", *waiting[-2:]])
    assert why == "hydra.sweep.dir: goes with a new sweep; this one goes on in here"


def test_a_mistake_ends_the_foreground_with_its_line(tmp_path, capfd):
    answer = answer_here("-m", "sweep.detach=true", "training.N=0", "hydra.sweep.dir=here", cwd=tmp_path)
    assert answer["status"] == 2
    assert "training.N = 0: allowed is an integer >= 1" in capfd.readouterr().err
    assert not (tmp_path / "here").exists()
    for words, line in (
        (["-m", "sweep.detach=maybe"], "sweep.detach = maybe"),
        (["sweep.detach=true"], "need a sweep"),
    ):
        answer = answer_here(*words, cwd=tmp_path)
        assert (answer["status"], line in answer["err"]) == (2, True)


def test_a_launcher_that_submits_needs_no_background(tmp_path, monkeypatch):
    submitted = []
    monkeypatch.setattr(BasicLauncher, "submit", lambda _, jobs, initial_job_idx: submitted.extend(jobs), raising=False)
    answer = answer_here("-m", *SMALL, "seed=0,1", "sweep.detach=true", "hydra.sweep.dir=here", cwd=tmp_path)
    assert (answer["status"], [job[-1] for job in submitted]) == (
        0,
        ["hydra.sweep.subdir='0'", "hydra.sweep.subdir='1'"],
    )
    assert "scorelab status here" in answer["out"]
    assert status(tmp_path / "here").totals == {"pending": 2}
