"""Sweeps on a real Slurm: `make test-slurm` starts one on this machine, and ends it."""

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time

import pytest
import slurm_cluster
from conftest import SMALL
from helpers import ROOT, without_times

from scorelab.lab.runs import Run
from scorelab.lab.slurm_queue import submitted
from scorelab.tensorfile import read_tensors

WHY = slurm_cluster.missing() if "TEST_SLURM" in os.environ else "make test-slurm runs them"
pytestmark = pytest.mark.skipif(WHY is not None, reason=f"needs a Slurm of its own: {WHY}")

SLURM = ["hydra/launcher=slurm", "hydra.launcher.mem_gb=0.5", "hydra.launcher.timeout_min=30"]
#: a training that waits after its second epoch until the file GO is there, or a signal comes
SLOW = """
import os, time
from pathlib import Path
from scorelab import stopping
from scorelab.studies import Generate
from scorelab.training.trainer import Trainer

end, go = Trainer.end_epochs, Path(os.environ["GO"])

def end_slowly(trainer, *given, **measured):
    end(trainer, *given, **measured)
    if trainer.epoch == 2 and not go.exists():
        go.with_name(f"waits-{trainer.seed}").touch()
        while not go.exists() and stopping._State.asked is None:
            time.sleep(0.1)

class Slow(Generate):
    def run_stage(self, stage, context):
        Trainer.end_epochs = end_slowly
        super().run_stage(stage, context)
"""
SLOWLY = ["extensions=[slow]", "study._target_=slow.Slow", "training.checkpoint_every=0"]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    with slurm_cluster.cluster(tmp_path_factory.mktemp("slurm")) as variables:
        yield variables


@pytest.fixture
def lab(slurm, tmp_path):
    lab = Lab(slurm, tmp_path)
    yield lab
    for process in lab.started:
        process.kill()
    lab.slurm("scancel", "--user=root")
    soon(lambda: not lab.queue())


class Lab:
    """A user in a folder on the cluster."""

    def __init__(self, variables, folder):
        self.folder, self.go, self.started = folder, folder / "go", []
        (folder / "slow.py").write_text(SLOW)
        path = os.pathsep.join([str(folder), *sys.path])
        self.environment = os.environ | variables | {"GO": str(self.go), "PYTHONPATH": path}

    def start(self, *words):
        command = [sys.executable, str(ROOT / "run.py"), *words]
        pipe = subprocess.PIPE
        started = subprocess.Popen(command, cwd=self.folder, env=self.environment, text=True, stdout=pipe, stderr=pipe)
        self.started.append(started)
        return started

    def do(self, *words):
        return self.ended(self.start(*words))

    @staticmethod
    def ended(process):
        out, err = process.communicate(timeout=600)
        return process.returncode, out + err

    def slurm(self, *command) -> str:
        done = subprocess.run(command, cwd=self.folder, env=self.environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def gather(self, place) -> str:
        return self.slurm(sys.executable, "-m", "scorelab.cli", "gather", place, "slow")

    def queue(self) -> str:
        return self.slurm("squeue", "--noheader")

    def alone(self, *words) -> Run:
        """The run of a job alone, on this machine."""
        self.go.touch()
        status, out = self.do(*SMALL, *words, "hydra.run.dir=alone")
        assert status == 0, out
        return Run(self.folder / "alone")

    def run(self, number) -> Run:
        return Run(self.folder / "here" / str(number))


def soon(true, seconds=240):
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.3)


def require_equal(one: Run, other: Run):
    """Raise AssertionError for runs that differ in a bit."""
    assert without_times(one.metrics)["training"] == without_times(other.metrics)["training"]
    for name in ("denoiser.safetensors", "samples.npy", "posterior_mean.csv"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


def test_a_sweep_of_more_jobs_than_cpus_ends_and_says_which_failed(lab):
    jobs = ["training.lr=1e-3,1e15", "seed=0,1,2", "sampler.count=300", "hydra.sweep.dir=here"]
    status, out = lab.do("-m", *SMALL, *jobs, *SLURM, "hydra.launcher.array_size=4")
    assert status == 1, out
    assert [lab.run(number).state for number in range(6)] == ["done"] * 3 + ["failed"] * 3, out
    assert out.count(" failed: training: the loss") == 3, out
    assert not [word for word in ("submitit", "sacct", "Traceback", "UserWarning") if word in out], out
    names = submitted(lab.folder / "here")
    assert len({name.partition("_")[0] for name in names.values()}) == 2  # arrays
    require_equal(lab.run(1), lab.alone("training.lr=1e-3", "seed=1"))
    assert not [path for path in (lab.folder / "here").rglob("*") if path.is_symlink()]


def test_a_job_that_is_told_to_stop_goes_on_after_a_requeue_and_a_killed_one_says_so(lab):
    given = [*SMALL, *SLOWLY, "sampler.count=310"]
    waits = "hydra.launcher.max_num_timeout=0"
    status, out = lab.do("-m", *given, "seed=0,1", *SLURM, waits, "hydra.sweep.dir=here", "sweep.detach=true")
    assert status == 0, out
    names = submitted(lab.folder / "here")
    soon(lambda: all((lab.folder / f"waits-{seed}").exists() for seed in (0, 1)))
    assert [lab.run(number).state for number in (0, 1)] == ["running", "running"]
    lab.slurm("scancel", "--signal=USR1", names[0])
    os.kill(json.loads((lab.run(1) / ".lock").read_text())["pid"], signal.SIGKILL)
    soon(lambda: not lab.queue())
    told = lab.gather("here")
    assert f"job 0 (seed=0) interrupted: job {names[0]} of Slurm: FAILED (SIGUSR1)" in told
    assert f"job 1 (seed=1) interrupted: job {names[1]} of Slurm: FAILED (SIGKILL)" in told
    _, metadata = read_tensors(lab.run(0) / "checkpoint.safetensors")
    assert json.loads(metadata["training"])["epoch"] == 2
    assert not (lab.run(1) / "checkpoint.safetensors").exists()
    lab.go.touch()
    lab.slurm("scontrol", "requeue", names[0])
    soon(lambda: lab.run(0).state == "done")
    assert "goes on after epoch 2" in (lab.run(0) / "run.log").read_text()
    require_equal(lab.run(0), lab.alone(*given[len(SMALL) :], "seed=0"))
    status, out = lab.do("-m", "sweep.resume=here", "extensions=[slow]", *SLURM)
    assert status == 0, out
    again = submitted(lab.folder / "here")
    assert (again[0], again[1] != names[1]) == (names[0], True)


def test_a_job_whose_time_is_over_is_put_into_the_queue_by_itself_as_often_as_it_may(lab):
    given = [*SMALL, *SLOWLY, "seed=5,6", *SLURM, "hydra.launcher.max_num_timeout=1", "hydra.sweep.dir=here"]
    assert lab.do("-m", *given, "sweep.detach=true")[0] == 0
    names = submitted(lab.folder / "here")
    soon(lambda: all((lab.folder / f"waits-{seed}").exists() for seed in (5, 6)))
    lab.slurm("scancel", "--signal=USR2", *names.values())
    soon(lambda: [lab.run(number).state for number in (0, 1)] == ["interrupted"] * 2)
    lab.go.touch()
    soon(lambda: [lab.run(number).state for number in (0, 1)] == ["done", "done"])
    assert submitted(lab.folder / "here") == names
    assert all("goes on after epoch 2" in (lab.run(number) / "run.log").read_text() for number in (0, 1))


def test_slurm_tells_a_job_that_its_time_is_over_and_its_row_says_so(lab):
    limits = ["hydra.launcher.timeout_min=1", "hydra.launcher.signal_delay_s=1", "hydra.launcher.max_num_timeout=0"]
    status, out = lab.do("-m", *SMALL, *SLOWLY, "seed=7", *SLURM, *limits, "hydra.sweep.dir=here")
    assert status == 1, out
    assert "job 0 () interrupted: job " in out
    assert " of Slurm: FAILED (SIGUSR2)" in out
    assert lab.run(0).status["error"].endswith(" of Slurm: FAILED (SIGUSR2)")
    assert (lab.run(0) / "checkpoint.safetensors").is_file()


def test_a_sweep_whose_submitter_was_killed_is_resumed_by_one_and_gets_only_what_is_missing(lab):
    given = [*SMALL, *SLOWLY, "seed=0,1,2,3", *SLURM, "hydra.sweep.dir=here"]
    submitter = lab.start("-m", *given)
    soon(lambda: len(submitted(lab.folder / "here")) == 4 and "Slurm: " in submitter.stdout.readline())
    submitter.send_signal(signal.SIGKILL)
    submitter.communicate()
    names = submitted(lab.folder / "here")
    assert "job 3 (seed=3) pending: job " in lab.gather("here")
    lab.slurm("scancel", names[3])
    assert f"job 3 (seed=3) pending: job {names[3]} of Slurm, which does not know it any more" in lab.gather("here")
    resume = ["-m", "sweep.resume=here", "extensions=[slow]", *SLURM]
    both = [lab.start(*resume) for _ in range(2)]
    soon(lambda: any(one.poll() is not None for one in both))
    soon(lambda: submitted(lab.folder / "here")[3] != names[3])
    lab.go.touch()
    ends = sorted(map(lab.ended, both))
    assert [status for status, _ in ends] == [0, 1], ends
    assert "here: is running, pid " in ends[1][1]
    assert [lab.run(number).state for number in range(4)] == ["done"] * 4
    again = submitted(lab.folder / "here")
    assert [number for number in names if again[number] != names[number]] == [3]


def test_several_jobs_share_a_job_of_slurm(lab):
    node = ["hydra/launcher=slurm_node", "hydra.launcher.tasks_per_node=2", "hydra.launcher.mem_gb=1"]
    status, out = lab.do("-m", *SMALL, "seed=0,1,2", *node, "hydra.sweep.dir=here")
    assert status == 0, out
    names = submitted(lab.folder / "here")
    assert names[0] == names[1] != names[2]


def test_the_script_for_a_single_run_goes_on_after_its_signal(lab):
    (script,) = re.findall(
        r"(?:^    .+\n)+", (ROOT / "docs" / "clusters.md").read_text().partition("## A single")[2], re.M
    )
    small = " ".join(word for word in [*SMALL, *SLOWLY] if "formats" not in word and "threads" not in word)
    for shown, here in (
        ("--cpus-per-task=4 --mem=8G", "--cpus-per-task=1 --mem=500M"),
        ("denoiser=tanh", f"denoiser=tanh {small}"),
        ('words="training.resume=outputs/mine"', 'words="training.resume=outputs/mine extensions=[slow]"'),
        ("python run.py", f"{sys.executable} {ROOT / 'run.py'}"),
    ):
        assert shown in script
        script = script.replace(shown, here)
    (lab.folder / "script.sh").write_text(textwrap.dedent(script))
    job = lab.slurm("sbatch", "--parsable", "script.sh").strip()
    run = Run(lab.folder / "outputs" / "mine")
    soon(lambda: (lab.folder / "waits-0").exists())
    lab.slurm("scancel", "--signal=USR1", job)
    soon(lambda: run.state == "interrupted")
    lab.go.touch()
    soon(lambda: run.state == "done")
    assert "goes on after epoch 2" in (run / "run.log").read_text()


def test_what_slurm_refuses_is_one_line(lab):
    status, out = lab.do(
        "-m", *SMALL, "seed=0,1", *SLURM, "hydra.launcher.partition=none", "hydra.sweep.dir=here", "sweep.detach=true"
    )
    assert status == 1
    assert "error: here: Slurm refused the jobs: " in out
    assert "invalid partition" in out
