"""What a sweep promises under every launcher: a job that fails or is killed takes no other with it, the sweep leaves no
process, what is left is resumed, and every number is that of the job alone."""

import json
import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import joblib
import pandas
import pytest
import threadpoolctl
import torch
from conftest import SMALL
from helpers import ROOT, answer_here, without_times

import scorelab
from scorelab import devices, workers
from scorelab.errors import ScorelabError
from scorelab.lab import execution, launching
from scorelab.lab.locks import Lock
from scorelab.lab.runs import Run
from scorelab.lab.stacked import StackedLauncher
from scorelab.studies import Study

#: launcher -> its options, and the package that it needs
LAUNCHERS = {
    "basic": ((), "hydra"),
    "stacked": ((), "hydra"),
    "joblib": (("hydra.launcher.n_jobs=2",), "hydra_plugins.hydra_joblib_launcher"),
    "ray": (("hydra.launcher.n_jobs=2",), "ray"),
    "submitit_local": ((), "hydra_plugins.hydra_submitit_launcher"),
}
#: those that run jobs in the process of the sweep, and those whose processes take a minute to start
ALONE, HEAVY = ("basic", "stacked"), ("ray", "submitit_local")
SEEDS = "0123"


class Sweep:
    """A sweep of four jobs under a launcher. Job 1 fails and job 2 is killed, each after its training; under joblib
    Ctrl-C comes then, while job 3 is at work. In the process of the sweep itself job 2 is the one that it comes to."""

    def __init__(self, launcher, where):
        self.launcher, self.where = launcher, where
        asked = ["-m", *SMALL, "study._target_=disturbed.Disturbed", f"seed={','.join(SEEDS)}", "hydra.sweep.dir=here"]
        asked += [f"hydra/launcher={launcher}", *LAUNCHERS[launcher][0], "extensions=[disturbed]"]
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(ROOT / "tests")
            patch.setenv("DISTURB", "1:raise 2:interrupt" if launcher in ALONE else "1:raise 2:kill 3:wait")
            if launcher == "joblib":
                (where / "waits").touch()
            patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
            patch.setenv("WAITS", str(where / "waits"))
            self.status = answer_here(*asked, cwd=where)["status"] if launcher in ALONE else self.ended(asked)
        self.states = [run.state for run in self.jobs]

    def ended(self, asked) -> int:
        """The status of a command line in a process of its own, which leaves no other process."""
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
        with subprocess.Popen([sys.executable, str(ROOT / "run.py"), *asked], cwd=self.where, **quiet) as process:
            if (self.where / "waits").exists():
                lost, last = self.jobs[2:]
                trained = last / "denoiser.safetensors"
                assert _soon(lambda: lost.state == "failed" and last.state == "running" and trained.exists()), self.jobs
                os.killpg(process.pid, signal.SIGINT)  # as a terminal does
            status = process.wait(300)
        assert _soon(lambda: not _of_session(process.pid)), _of_session(process.pid)
        return status

    @property
    def jobs(self):
        return [Run(self.where / "here" / seed) for seed in SEEDS]


@pytest.fixture(scope="module", params=LAUNCHERS)
def sweep(request, tmp_path_factory):
    missing = [part for part in ("hydra_plugins", LAUNCHERS[request.param][1]) if find_spec(part) is None]
    if missing or (request.param in HEAVY and os.environ.get("LAUNCHERS") != "all"):
        pytest.skip(f"{request.param} takes minutes, or is not installed; make test-launchers installs it and tests it")
    return Sweep(request.param, tmp_path_factory.mktemp(request.param))


def test_a_job_that_fails_or_is_killed_takes_no_other_with_it(sweep):
    status, rest = {
        "basic": (130, ["interrupted", "pending"]),
        "stacked": (130, ["interrupted", "interrupted"]),  # both were trained together
        "joblib": (130, ["failed", "interrupted"]),
    }.get(sweep.launcher, (1, ["failed", "done"]))
    assert (sweep.status, sweep.states) == (status, ["done", "failed", *rest])
    errors = list(pandas.read_csv(sweep.where / "here" / "sweep.csv")["error"])
    assert errors[1] == "ValueError: this job fails"
    if sweep.launcher not in ALONE:
        assert errors[2].startswith("its process ended in the middle of the job: ")


def test_what_is_left_is_resumed_and_every_number_is_that_of_the_job_alone(sweep, run_once, monkeypatch, undrawn):
    monkeypatch.syspath_prepend(ROOT / "tests")
    written = (sweep.jobs[0] / "metrics.json").stat().st_mtime_ns
    assert answer_here("-m", "sweep.resume=here", "extensions=[disturbed]", cwd=sweep.where)["status"] == 0
    times = [(run / "metrics.json").stat().st_mtime_ns for run in sweep.jobs]
    assert times[0] == written  # what was done is not done again
    if sweep.launcher == "basic":
        assert times[2] == max(times)  # a job that was interrupted is the last: it may end the process again
    for run in sweep.jobs:
        found = without_times(run.metrics)
        alone = without_times(run_once(*SMALL, f"seed={run.path.name}").metrics)
        assert not list(run.path.glob("checkpoint*"))
        if sweep.launcher == "stacked":  # which rounds in another order
            assert found["training"]["loss"] == pytest.approx(alone["training"]["loss"], rel=1e-3)
            continue
        del found["run"]["fingerprint"], alone["run"]["fingerprint"]  # the study is another one
        assert found == alone


def _soon(true) -> bool:
    """Whether something becomes true within two minutes, which is long enough on a busy machine."""
    until = time.monotonic() + 120
    while not true() and time.monotonic() < until:
        time.sleep(0.1)
    return true()


def _of_session(leader: int) -> list[str]:
    """The processes of a session that still run."""
    stats = [path.read_text() for path in Path("/proc").glob("[0-9]*/stat") if path.exists()]
    fields = [(text, text.rpartition(")")[2].split()) for text in stats]
    return [text[:40] for text, (state, _, _, session, *_) in fields if int(session) == leader and state != "Z"]


# Launchers that stop, without processes. ----------------------------------------------------------------------------


class Stopping:
    """A launcher of runs whose process ends at some of them; together: those that run with them are lost as well."""

    def __init__(self, ends, at_once):
        self.ends, self.at_once, self.launched = ends, at_once, []

    def __call__(self, runs):
        self.launched.append([run.path.name for run in runs])
        for first in range(0, len(runs), self.at_once):
            some = runs[first : first + self.at_once]
            ends = any(run.path.name in self.ends for run in some)
            for run in some:
                run.mark("running")
                if not ends:
                    run.mark("done")
            if ends:
                raise OSError("exit codes of the workers are {SIGKILL(-9)}\nmore")
        return runs


@pytest.fixture
def runs(tmp_path):
    made = [Run(tmp_path / name) for name in "012345"]
    for run in made:
        run.path.mkdir()
        run.mark("pending")
    return made


def test_of_jobs_that_were_lost_at_once_each_has_one_more_turn_alone(runs):
    launcher = Stopping({"1", "4"}, at_once=2)
    assert launching.each_once(launcher, runs, together=True)[1] is None
    assert launcher.launched == [["0", "1", "2", "3", "4", "5"], ["2", "3", "4", "5"], ["0"], ["1"], ["4"], ["5"]]
    assert [run.state for run in runs] == ["done", "failed", "done", "done", "failed", "done"]
    assert runs[4].status["error"] == "its process ended in the middle of the job: SIGKILL(-9)"


def test_of_jobs_that_were_lost_on_their_own_none_is_done_again(runs):
    launcher = Stopping({"1", "4"}, at_once=1)
    launching.each_once(launcher, runs, together=False)
    assert launcher.launched == [["0", "1", "2", "3", "4", "5"], ["2", "3", "4", "5"], ["5"]]
    assert [run.state for run in runs] == ["done", "failed", "done", "done", "failed", "done"]


def test_a_launcher_that_begins_no_job_is_asked_once(runs):
    asked = []

    def launch(some):
        asked.append(some)
        raise ScorelabError("no room")

    assert launching.each_once(launch, runs, together=True) == ([], "no room")
    assert len(asked) == 1


def test_a_job_of_a_launcher_that_stops_before_it_is_waited_for(runs):
    def launch(some):
        some[0].mark("running")
        lock = Lock(some[0].path)
        waited = iter(range(3))
        monkey.setattr(launching.time, "sleep", lambda _: next(waited, None) is None and end(lock))
        raise OSError("stops first")

    def end(lock):
        runs[0].mark("done")
        lock.release()

    with pytest.MonkeyPatch.context() as monkey:
        launching.each_once(launch, runs[:1], together=False)
    assert runs[0].state == "done"


# Threads. -----------------------------------------------------------------------------------------------------------


def test_the_cpus_are_shared_out_among_the_processes_of_a_launcher(monkeypatch):
    monkeypatch.setattr(workers, "cpus", lambda: 6)
    monkeypatch.setattr(launching, "cpus", lambda: 6)
    for name in workers.THREADS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MKL_NUM_THREADS", "5")  # of the user's own

    class Launcher:
        joblib = {"n_jobs": 2}

        def launch(self, words, initial_job_idx):
            asked = (joblib.delayed(os.environ.get)(name) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"))
            return joblib.Parallel(**self.joblib)(asked)

    assert launching.launch_shared(Launcher(), [[]]) == ["3", "5"]
    assert "OMP_NUM_THREADS" not in os.environ
    assert Launcher.joblib == {"n_jobs": 2}
    for n_jobs, processes in ((4, 4), (-1, 6), (-2, 5)):
        Launcher.joblib = {"n_jobs": n_jobs}
        assert launching.at_once(Launcher()) == processes
    assert launching.at_once(StackedLauncher(n_jobs=3)) == 3
    assert launching.at_once(StackedLauncher()) == 1


def test_jobs_side_by_side_take_turns_on_the_gpus_of_a_machine(monkeypatch):
    monkeypatch.delenv("SLURM_LOCALID", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)

    def device(job, name="cuda"):
        with workers.doing_job(job):
            return str(devices.resolve(name, workers.place()))

    assert device(5) == "cuda"  # one after the other
    with workers.sharing(8):
        assert [device(job, "auto") for job in range(6)] == ["cuda", "cuda:1", "cuda:2", "cuda:3", "cuda:0", "cuda:1"]
        assert device(5, "cuda:3") == "cuda:3"
        assert device(5, "cpu") == "cpu"
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)  # as where a cluster gives each job its own
        assert device(5) == "cuda:0"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setenv("SLURM_LOCALID", "6")  # one job in each of several tasks on a node
    assert device(0) == "cuda:2"


def test_a_job_knows_its_number_while_it_works(tmp_path, monkeypatch):
    seen, begin = [], execution.begin
    monkeypatch.setattr(execution, "begin", lambda *given: seen.append(workers.place()) or begin(*given))
    with workers.sharing(2):
        scorelab.sweep([*SMALL, "stage=train", "seed=0,1"], tmp_path / "sweep")
    assert seen == [0, 1]
    assert workers.place() == 0


def test_a_process_takes_no_more_cpus_than_it_may_use():
    """Where it is bound to one, and where Slurm gives it some of them."""
    code = "import os; from scorelab.workers import cpus; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]); "
    told = subprocess.run([sys.executable, "-c", code + "print(cpus())"], capture_output=True, text=True, check=True)
    assert told.stdout == "1\n"
    with pytest.MonkeyPatch.context() as patch:
        for of_slurm, expected in (("1", 1), ("4096", joblib.cpu_count()), ("x", joblib.cpu_count())):
            patch.setenv("SLURM_CPUS_PER_TASK", of_slurm)
            assert workers.cpus() == expected


def test_a_run_takes_no_more_threads_than_it_may_use(tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "cpus", lambda: 1)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        made = scorelab.run([*SMALL, "threads=null", "stage=train"], tmp_path / "run")
        assert made.metrics["run"]["device"].endswith(", 1 threads")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_the_threads_of_a_run_are_also_those_of_linear_algebra(tmp_path, monkeypatch):
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    seen, stage = [], Study.run_stage

    def libraries():
        found = threadpoolctl.ThreadpoolController().select(user_api="blas").lib_controllers
        return {each.num_threads for each in found} | {int(os.environ.get("OPENBLAS_NUM_THREADS", 2))}

    monkeypatch.setattr(Study, "run_stage", lambda *given: seen.append(libraries()) or stage(*given))
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        scorelab.run([*SMALL, "stage=train"], tmp_path / "run")  # threads=1
        assert (seen, libraries()) == ([{1}], {2})


def test_what_a_launcher_cannot_do_is_refused_before_anything_starts(tmp_path):
    asked = ["-m", "seed=0,1", "hydra.sweep.dir=here"]
    refused = {
        ("joblib", "n_jobs=0"): "hydra.launcher.n_jobs = 0: an integer >= 1 is needed, or -1 for one job a CPU",
        ("ray", "n_jobs=0"): "hydra.launcher.n_jobs = 0: an integer >= 1 is needed, or null",
        ("ray", "gpus=-1"): "hydra.launcher.gpus = -1: a number >= 0 is needed",
    }
    for (launcher, option), line in refused.items():
        answer = answer_here(*asked, f"hydra/launcher={launcher}", f"hydra.launcher.{option}", cwd=tmp_path)
        assert (answer["status"], answer["err"]) == (2, f"error: {line}\n")
    if find_spec("ray") is None:
        assert "needs the package ray" in answer_here(*asked, "hydra/launcher=ray", cwd=tmp_path)["err"]
    assert json.dumps([*map(str, tmp_path.iterdir())]) == "[]"
