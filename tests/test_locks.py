"""Two at once on one directory: one works there, the other ends with one line that names it."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import SMALL
from helpers import ROOT, answer_here, refused, run_py

import scorelab
from scorelab.errors import ScorelabError
from scorelab.lab import app, locks
from scorelab.lab.gather import gather
from scorelab.lab.locks import Lock
from scorelab.lab.runs import Run, claim

HOST = os.uname().nodename
HOLDING = (
    "import sys, time; from scorelab.lab.locks import Lock; lock = Lock(sys.argv[1]); print(flush=True); time.sleep(60)"
)


@contextlib.contextmanager
def holder(directory):
    """Another process that holds the lock of a directory; it is killed at the end, and has no time to clear up."""
    other = subprocess.Popen([sys.executable, "-c", HOLDING, directory], stdout=subprocess.PIPE)
    try:
        other.stdout.readline()
        yield other
    finally:
        other.send_signal(signal.SIGKILL)
        other.communicate()


@pytest.fixture
def run(run_once, tmp_path):
    return shutil.copytree(run_once(*SMALL).directory, tmp_path / "run")


@pytest.fixture
def sweep(run, tmp_path):
    """A sweep of two jobs, the second of which is to be done."""
    folder = tmp_path / "sweep"
    for name in "01":
        shutil.copytree(run, folder / name)
    (folder / "sweep.json").write_text(json.dumps({"jobs": [["seed=0"], ["seed=0"]]}))
    Run(folder / "1").mark("pending", stages=["train", "sample", "analyse"])
    return folder


def content(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != locks.NAME}


def test_a_directory_in_which_a_process_works_is_refused_to_every_other(run, sweep, tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "PATIENCE", 0.1)
    before = content(run) | content(sweep)
    calls = [([f"run={run}", f"stage={stage}"], run) for stage in ("sample", "analyse", "plot")]
    calls += [([f"run={run}", "stage=sample", "in_place=true"], run)]
    calls += [([f"training.resume={run}"], run), (["-m", f"sweep.resume={sweep}"], sweep)]
    calls += [([*SMALL, "hydra.run.dir=new"], tmp_path / "new"), (["-m", "hydra.sweep.dir=new"], tmp_path / "new")]
    (tmp_path / "new").mkdir()
    with holder(run) as one, holder(sweep) as two, holder(tmp_path / "new") as three:
        owners = {run: one.pid, sweep: two.pid, tmp_path / "new": three.pid}
        for call, directory in calls:
            answer = answer_here(*call, cwd=tmp_path)
            assert answer["status"] == 1, answer
            assert answer["err"].endswith(f"{directory.name}: is running, pid {owners[directory]} on {HOST}\n"), answer
        assert "is running, pid" in refused(ScorelabError, scorelab.run, [f"run={run}", "stage=plot"])
        assert "is running, pid" in refused(ScorelabError, scorelab.run, SMALL, tmp_path / "new")
    assert content(run) | content(sweep) == before
    assert [path.name for path in (tmp_path / "new").iterdir()] == [locks.NAME]


def test_a_killed_process_leaves_no_lock(run, undrawn):
    Run(run).mark("running")
    with holder(run):
        assert Run(run).state == "running"
    assert (run / locks.NAME).is_file()
    assert Run(run).state == "interrupted"
    assert locks.owner(run) is None
    Run(run).mark("done")
    assert scorelab.run([f"run={run}", "stage=plot"]).directory == run
    assert not (run / locks.NAME).exists()


def test_a_job_that_another_process_works_at_is_left_alone(sweep, tmp_path, undrawn):
    before = content(sweep / "1")
    with holder(sweep / "1") as other:
        answer = answer_here("-m", f"sweep.resume={sweep}", cwd=tmp_path)
        assert (answer["status"], f"1: is running, pid {other.pid}" in answer["out"]) == (1, True), answer
        log = sweep / "1" / "run.log"
        assert {**content(sweep / "1"), log: b""} == {**before, log: b""}
        gather(sweep)  # only reads the jobs
    assert answer_here("-m", f"sweep.resume={sweep}", cwd=tmp_path)["status"] == 0
    assert Run(sweep / "1").state == "done"


def test_a_job_whose_process_was_killed_right_after_it_was_done_is_put_in_order(sweep, tmp_path, undrawn):
    Run(sweep / "1").mark("done")
    (sweep / "0" / "report.html").unlink(missing_ok=True)
    (sweep / "0" / locks.NAME).write_text('{"pid": 1, "host": "gone"}')
    os.utime(sweep / "0" / locks.NAME, (0, 0))
    before = content(sweep / "0")
    assert answer_here("-m", f"sweep.resume={sweep}", cwd=tmp_path)["status"] == 0
    assert not (sweep / "0" / locks.NAME).exists()
    assert content(sweep / "0").keys() - before.keys() == {sweep / "0" / "report.html"}
    assert {path: each for path, each in content(sweep / "0").items() if path in before} == before


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


def test_the_workers_of_a_killed_sweep_end_and_their_jobs_can_be_resumed(tmp_path, monkeypatch):
    (tmp_path / "waiting.py").write_text(WAITING)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    monkeypatch.setenv("GO", str(tmp_path / "go"))
    given = [*SMALL, "extensions=[waiting]", "study._target_=waiting.Waiting", "stage=train", "seed=0,1"]
    parallel = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=3", "hydra.sweep.dir=here"]
    command = [sys.executable, str(ROOT / "run.py"), "-m", *given, *parallel]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as parent:
        jobs = [Run(tmp_path / "here" / name) for name in "01"]
        try:
            assert _soon(lambda: all(run.state == "running" for run in jobs))
        finally:
            parent.send_signal(signal.SIGKILL)
        assert _soon(lambda: all(run.state == "interrupted" for run in jobs))
        parent.communicate(timeout=60)  # ends when the last worker has closed its output
    (tmp_path / "go").touch()
    assert answer_here("-m", "sweep.resume=here", "extensions=[waiting]", cwd=tmp_path)["status"] == 0
    assert [run.state for run in jobs] == ["done", "done"]


def _soon(true) -> bool:
    """Whether something becomes true within a minute, which is long enough on a busy machine."""
    until = time.monotonic() + 60
    while not true() and time.monotonic() < until:
        time.sleep(0.1)
    return true()


def test_an_owner_on_another_machine_is_known_by_the_age_of_its_last_touch(tmp_path):
    lock = tmp_path / locks.NAME
    for age, alive in ((0, True), (locks.STALE - 30, True), (locks.STALE + 1, False)):
        lock.write_text(json.dumps({"pid": 7, "host": "elsewhere"}))
        os.utime(lock, (lock.stat().st_mtime - age,) * 2)
        if alive:
            message = refused(ScorelabError, Lock, tmp_path)
            assert f"{tmp_path}: is running, pid 7 on elsewhere, seen" in message
            assert locks.owner(tmp_path).startswith("pid 7 on elsewhere")
        else:
            assert locks.owner(tmp_path) is None
            Lock(tmp_path).release()


def test_a_job_that_slurm_has_requeued_takes_over_from_its_earlier_start_and_from_nobody_else(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "PATIENCE", 0.0)
    lock = tmp_path / locks.NAME
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "2")
    for start, over in (["7", 1], True), (["7", 2], False), (["8", 1], False), (None, False), (["7"], False):
        lock.write_text(json.dumps({"pid": 7, "host": "elsewhere", "slurm": start}))
        assert ("is running" in refused(ScorelabError, Lock, tmp_path)) is not over, start
    lock.unlink()
    with Lock(tmp_path):
        assert json.loads(lock.read_text())["slurm"] == ["7", 2]
        assert "is running, pid" in refused(ScorelabError, Lock, tmp_path)  # the lock of a file that is seen decides
    monkeypatch.delenv("SLURM_JOB_ID")
    with Lock(tmp_path):
        assert "slurm" not in json.loads(lock.read_text())


def test_an_owner_touches_its_lock(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "BEAT", 0.01)
    with Lock(tmp_path) as lock:
        os.utime(tmp_path / locks.NAME, (0, 0))
        for _ in range(1000):
            if (tmp_path / locks.NAME).stat().st_mtime > 0:
                break
            lock._over.wait(0.01)
        assert (tmp_path / locks.NAME).stat().st_mtime > 0


def test_a_damaged_lock_file_holds_nobody_off(tmp_path):
    damaged = [b"", b"[", b"[1]", b'{"pid": "x", "host": 3}', b'{"pid": -1, "host": "a b"}', b"\xff" * 9999]
    for content in [*damaged, b"[" * 4096, b'{"pid": 1e999, "host": "a"}']:
        (tmp_path / locks.NAME).write_bytes(content)
        assert locks.owner(tmp_path) is None
        Lock(tmp_path).release()
    assert "no such directory" in refused(ScorelabError, Lock, tmp_path / "none")
    (tmp_path / locks.NAME).mkdir()
    for opening in (locks.owner, Lock, claim):
        assert f"{locks.NAME}: " in refused(ScorelabError, opening, tmp_path), opening


def test_of_many_at_once_one_holds_the_lock_and_one_gets_the_directory(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "PATIENCE", 30)
    (tmp_path / "count").write_text("0")

    def increase(_):
        for _ in range(5):
            with Lock(tmp_path):
                (tmp_path / "count").write_text(str(int((tmp_path / "count").read_text()) + 1))

    def wins(_):
        return refused(ScorelabError, claim, tmp_path / "new") == "not refused"

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(increase, range(8)))
        assert sum(pool.map(wins, range(24))) == 1
    assert (tmp_path / "count").read_text() == "40"


def test_of_two_new_runs_in_one_directory_one_is_done_and_the_other_is_refused(tmp_path):
    asked = [*SMALL, "stage=train", "hydra.run.dir=here"]
    with ThreadPoolExecutor(2) as pool:
        both = [*pool.map(lambda seed: run_py(*asked, f"seed={seed}", cwd=tmp_path), (1, 2))]
    assert sorted(done.returncode for done in both) == [0, 1], both
    winner, loser = sorted(both, key=lambda done: done.returncode)
    assert len(loser.stderr.strip().splitlines()) == 1
    assert Run(tmp_path / "here").config.general.seed == both.index(winner) + 1
    assert Run(tmp_path / "here").metrics["run"]["seed"] == both.index(winner) + 1


def test_a_process_that_is_interrupted_before_its_run_begins_leaves_no_directory(tmp_path, monkeypatch):
    directory = tmp_path / "here"
    (directory / ".hydra").mkdir(parents=True)
    (directory / "run.log").touch()
    monkeypatch.setattr(app.ReserveDirectory, "lock", locks.Lock(directory))
    with pytest.raises(SystemExit), app.one_line_errors():
        raise KeyboardInterrupt
    assert not directory.exists()
