"""hydra/launcher=stacked: the jobs of a sweep are trained together, and each directory is that of its job alone."""

import pytest
from helpers import answer_here, with_values, without_times

import scorelab
from scorelab.lab.config import check
from scorelab.lab.runs import Run
from scorelab.lab.stacked import stack_key

SMALL = (
    "threads=1",
    "target.n=8",
    "denoiser.m=8",
    "training.N=200",
    "training.epochs=3",
    "training.batch_size=50",
    "training.warmup=2",
    "training.clip=null",
    "sampler.count=300",
    "sampler.steps=10",
    "study.path_kl_angles=4",
    "study.path_kl_draws=50",
    "study.posterior_mean_draws=50",
    "study.floor_repeats=5",
    "study.trajectories=0",
    "figures.formats=[]",
)


def test_jobs_of_a_stack_are_what_they_are_alone(tmp_path):
    where = ("-m", *SMALL, "hydra/launcher=stacked", f"hydra.sweep.dir={tmp_path / 'sweep'}")
    finished = answer_here(*where, "seed=0,1", "training.lr=1e-3,1e15", cwd=tmp_path)
    assert finished["status"] == 1, finished
    assert "stacked: jobs 0, 1, 2, 3 are trained together" in finished["out"]
    jobs = [Run(tmp_path / "sweep" / str(k)) for k in range(4)]
    assert [job.state for job in jobs] == ["done", "failed", "done", "failed"]
    log = (jobs[0] / "run.log").read_text()
    assert "least loss" in log
    assert "training: " not in log
    assert "training goes on" not in log
    assert "the loss is" in jobs[1].status["error"]
    assert not list((tmp_path / "sweep").glob("*/checkpoint*"))
    alone = scorelab.run([*SMALL, "seed=1", "training.lr=1e-3"], tmp_path / "alone")
    one, other = (without_times(run.metrics) for run in (jobs[2], Run(alone.directory)))
    assert one["training"]["steps"] == other["training"]["steps"] == 12
    for section in ("training", "projection", "path_kl"):
        numbers = {key: value for key, value in other[section].items() if isinstance(value, float)}
        assert {key: one[section][key] for key in numbers} == pytest.approx(numbers, rel=1e-3), section
    assert jobs[0].metrics["training"]["loss"] != one["training"]["loss"]


def test_what_the_jobs_of_a_stack_share_and_what_they_need_not():
    def key(*overrides):
        return stack_key(check(with_values(*overrides)))

    mine = ("lr=1", "weight_decay=1", "clip=3", "averaging=0", "angle_max=1", "weight=min_snr", "objective=noise")
    ours = ("epochs=3", "N=400", "batch_size=7", "optimizer=sgd", "loss=huber", "objective=explicit")
    for other in ("seed=3", "target.p=0.4", "sampler.count=7", *(f"training.{each}" for each in mine)):
        assert key(other) == key(), other
    for other in ("denoiser.m=7", "target.n=7", "device=cpu", "threads=1", *(f"training.{each}" for each in ours)):
        assert key(other) not in (key(), None), other
    assert key("training.enabled=false") is None


def test_a_stack_of_no_jobs_is_refused(tmp_path):
    where = ("-m", *SMALL, "hydra/launcher=stacked", "hydra.launcher.replicas=0", "hydra.sweep.dir=sweep", "seed=0,1")
    refused = answer_here(*where, cwd=tmp_path)
    assert refused["err"] == "error: hydra.launcher.replicas = 0: an integer >= 1 is needed\n"
    assert not (tmp_path / "sweep").exists()
