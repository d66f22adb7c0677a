"""Train once, sample many: runs that are sampled from another run, each in a directory of its own."""

import hashlib
import json
import shutil

import numpy
import pandas
import pytest
from conftest import SMALL
from helpers import answer_here, copied, over, refused, without_times

import scorelab
from scorelab.errors import ConfigError, ScorelabError
from scorelab.lab import again
from scorelab.lab.locks import Lock
from scorelab.lab.runs import Run

SWEEP = ("-m", "stage=sample", "run=d", "sampler=ddim,heun", "sampler.steps=4,6", "sampler.count=40")


@pytest.fixture(scope="module")
def finished(run_once):
    return run_once(*SMALL, "figures.formats=[png]")


@pytest.fixture
def trained(finished, tmp_path):
    """A run that may be changed, in a directory with the name `d`."""
    return copied(finished, tmp_path).rename(tmp_path / "d")


def content(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_is_sampled_into_a_directory_of_its_own_and_only_read(trained, finished, tmp_path, undrawn):
    before = content(trained)
    result = scorelab.run(["stage=sample", f"run={trained}", "sampler.count=100"], tmp_path / "new")
    assert content(trained) == before
    assert result.directory == tmp_path / "new"
    assert result.samples.shape == (100, 8)
    assert result.metrics["training"] == finished.metrics["training"]
    assert numpy.array_equal(result.samples[:100], finished.samples[:100])
    shutil.rmtree(trained)  # the new run stands alone
    weights = hashlib.sha256((tmp_path / "new" / "denoiser.safetensors").read_bytes()).hexdigest()
    whence = scorelab.load(tmp_path / "new").metrics["run"]["sampled_from"]
    assert whence["run"] == str(trained)
    assert whence["fingerprint"] == finished.config.fingerprint
    assert whence["weights"] == {"denoiser": weights}
    assert "sampled by the network of" in (tmp_path / "new" / "report.html").read_text()
    again = scorelab.run([f"run={tmp_path / 'new'}", "stage=plot"])
    assert without_times(again.metrics) == without_times(result.metrics)
    assert scorelab.run([f"training.resume={tmp_path / 'new'}"]).metrics["sampling"]["count"] == 100


def test_the_same_samples_have_the_same_numbers_as_those_of_a_whole_run(trained, finished, tmp_path, undrawn):
    result = scorelab.run(["stage=sample", f"run={trained}"], tmp_path / "new")
    assert result.config.fingerprint == finished.config.fingerprint
    one, other = (without_times(each.metrics) for each in (result, finished))
    assert one["run"].pop("sampled_from")
    assert one == other


def test_a_number_that_the_stage_does_not_measure_any_more_is_not_there(small, tmp_path, undrawn):
    with_paths = [word for word in small if not word.startswith("study.trajectories")]
    first = scorelab.run([*with_paths, "study.trajectories=5", "stage=train"], tmp_path / "run")
    first = scorelab.run([f"run={first.directory}", "stage=sample"], tmp_path / "paths")
    assert "commitment" in str(first.metrics["trajectories"])
    for place in ({"in_place": "true"}, {"in_place": "false"}):
        words = [f"in_place={place['in_place']}", "stage=sample", "study.trajectories=0", "sampler=ula"]
        where = None if place["in_place"] == "true" else tmp_path / "other"
        again = scorelab.run([f"run={first.directory}", *words, "sampler.count=40", "sampler.steps=4"], where)
        assert set(again.metrics) - set(first.metrics) <= {"not_measured"}
        assert "commitment" not in str(again.metrics.get("trajectories"))


def test_a_sweep_samples_one_network_many_times_and_is_gathered(trained, tmp_path, undrawn):
    before = content(trained)
    listed = answer_here(*SWEEP, "sweep.dry_run=true", cwd=tmp_path)
    assert (listed["status"], listed["out"].count("job #")) == (0, 4), listed
    answer = answer_here(*SWEEP, "hydra.sweep.dir=s", cwd=tmp_path)
    assert answer["status"] == 0, answer
    assert content(trained) == before
    table = pandas.read_csv(tmp_path / "s" / "sweep.csv")
    assert list(table["sampler"]) == ["ddim", "ddim", "heun", "heun"]
    assert list(table["sampler.steps"]) == [4, 6, 4, 6]
    assert list(table["sampling.nfe"]) == [4, 6, 8, 12]
    assert table["projection.w1"].notna().all()
    assert table["training.loss"].nunique() == 1
    for name in "0123":
        metrics = scorelab.load(tmp_path / "s" / name).metrics
        assert metrics["run"]["sampled_from"]["run"] == str(trained)


def test_a_network_is_sampled_with_several_seeds_whose_spread_is_that_of_sampling(trained, tmp_path, undrawn):
    words = ["-m", "stage=sample", f"run={trained}", "sampler.seed=null,0,1", "hydra.sweep.dir=s", "sampler.count=60"]
    answer = answer_here(*words, cwd=tmp_path)
    assert answer["status"] == 0, answer
    every = [numpy.load(tmp_path / "s" / job / "samples.npy") for job in "012"]
    assert numpy.array_equal(every[0], every[1])  # the seed of the run is 0
    assert not numpy.isclose(every[0], every[2]).any()
    (row,) = scorelab.load(tmp_path / "s").summary.to_dict("records")
    assert row["count"] == 3


def test_a_sweep_of_samples_is_resumed_without_the_run_that_it_is_from(trained, tmp_path, undrawn):
    whole = answer_here(*SWEEP, "hydra.sweep.dir=s", cwd=tmp_path)
    assert whole["status"] == 0, whole
    numbers = without_times(Run(tmp_path / "s" / "2").metrics)
    job = tmp_path / "s" / "2"
    (job / "samples.npy").unlink()
    Run(job).mark("interrupted", stages=["train"])
    shutil.rmtree(trained)
    answer = answer_here("-m", "sweep.resume=s", cwd=tmp_path)
    assert answer["status"] == 0, answer
    assert without_times(Run(job).metrics) == numbers


@over("launcher", [("joblib", "hydra.launcher.n_jobs=2"), ("stacked", "hydra.launcher.n_jobs=1")])
def test_any_launcher_samples(launcher, trained, tmp_path, undrawn):
    name, jobs = launcher
    given = [word.replace("4,6", "4") for word in SWEEP]
    answer = answer_here(*given, f"hydra/launcher={name}", jobs, f"hydra.sweep.dir={name}", "threads=1", cwd=tmp_path)
    assert answer["status"] == 0, answer
    assert [Run(tmp_path / name / job).state for job in "01"] == ["done", "done"]


def test_a_run_with_replicas_is_sampled_with_the_network_of_each(small, tmp_path, undrawn):
    first = scorelab.run([*small, "replicas=2"], tmp_path / "run")
    words = ["stage=sample", f"run={first.directory}", "sampler=ddim", "sampler.count=60"]
    result = scorelab.run(words, tmp_path / "new")
    for number in "01":
        old, new = (Run(folder / "replicas" / number) for folder in (first.directory, result.directory))
        name = "denoiser.safetensors"
        assert (old / name).read_bytes() == (new / name).read_bytes()
        assert new.metrics["run"]["sampled_from"]["run"] == str(old.path)
        assert new.metrics["sampling"]["count"] == 60
    w1 = [Run(result.directory / "replicas" / number).metrics["projection"]["w1"] for number in "01"]
    assert result.metrics["projection"]["w1"] == pytest.approx(sum(w1) / 2)
    assert first.metrics["projection"]["w1"] != result.metrics["projection"]["w1"]


def test_a_replica_is_not_changed_alone(small, tmp_path, undrawn):
    """Its numbers are in the means of the run."""
    first = scorelab.run([*small, "replicas=2", "stage=train"], tmp_path / "run")
    alone = [f"run={first.directory / 'replicas' / '0'}", "stage=sample", "sampler.count=40"]
    text = refused(ConfigError, scorelab.run, [*alone, "in_place=true"])
    assert f"a replica of {first.directory}, its numbers are in the means" in text
    assert "sampler.count: 300 -> 40" in text
    assert scorelab.run(alone, tmp_path / "new").metrics["sampling"]["count"] == 40


# What is refused. ---------------------------------------------------------------------------------------------------


def test_a_run_that_is_in_training_is_refused_and_nothing_is_made(trained, tmp_path):
    with Lock(trained):
        for words in (["stage=sample", "run=d"], [*SWEEP, "hydra.sweep.dir=s"]):
            answer = answer_here(*words, cwd=tmp_path)
            assert answer["status"] != 0
            assert "error: " in answer["err"]
            assert "d: is running, pid" in answer["err"]
    Run(trained).mark("interrupted", stages=[])
    answer = answer_here("stage=sample", "run=d", cwd=tmp_path)
    assert answer["err"] == "error: stage = sample: d has no finished stage train\n"
    assert [path.name for path in tmp_path.iterdir()] == ["d"]


@over(
    ("words", "says"),
    [
        (
            ["stage=sample", "run=d", "denoiser.m=9"],
            "of another configuration, stage=sample cannot change denoiser.m",
        ),
        (["stage=sample", "run=d", "target.p=0.6"], "stage=sample cannot change target.p: 0.7 -> 0.6"),
        (["stage=sample", "run=d", "training.N=9"], "stage=sample cannot change training.N: 400 -> 9"),
        (["stage=sample", "run=d", "seed=3"], "stage=sample cannot change seed: 0 -> 3"),
        (["in_place=true"], "in_place = true: goes with stage=sample and run=DIR"),
        (["training.resume=d", "in_place=true"], "in_place = true: goes with run=DIR"),
        (["-m", "stage=sample", "run=d", "in_place=true", "seed=0,0"], "in_place: the jobs of a sweep are new runs"),
        (["-m", "stage=plot", "run=d", "figures.dpi=60,70"], "stage: the jobs of a sweep are new runs"),
        (["-m", "stage=sample", "run=gone", "sampler.steps=4,6"], "run = gone: not a run directory"),
    ],
)
def test_what_a_sampled_run_cannot_be_is_one_line(words, says, trained, tmp_path):
    answer = answer_here(*words, cwd=tmp_path)
    assert answer["status"] in (1, 2), answer
    assert says in answer["err"]
    assert "Traceback" not in answer["err"]
    assert [path.name for path in tmp_path.iterdir()] == ["d"]


def test_what_cannot_be_taken_whole_leaves_nothing(trained, tmp_path, monkeypatch):
    def full(path, other):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(again, "second_name", full)
    text = refused(ScorelabError, scorelab.run, ["stage=sample", f"run={trained}"], tmp_path / "new")
    assert "denoiser.safetensors: cannot be taken from" in text
    assert "No space left on device" in text
    assert [path.name for path in (tmp_path / "new").iterdir()] == []
    assert json.loads((trained / "status.json").read_text())["state"] == "done"
