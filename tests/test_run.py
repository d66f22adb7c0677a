"""A whole run from Python: what it leaves behind, its stages, and what it refuses."""

import json
import os
from concurrent.futures import ThreadPoolExecutor

import numpy
import pandas
import pytest
import torch
from conftest import SMALL
from helpers import copied, over, refused, without_times

import scorelab
from scorelab.errors import ConfigError, ScorelabError
from scorelab.lab.denoiser_file import load_denoiser
from scorelab.lab.runs import Run, claim, reserve


@pytest.fixture(scope="module")
def finished(run_once):
    return run_once(*SMALL, "figures.formats=[png]")


def test_a_run_leaves_what_it_promises(finished):
    names = {path.name for path in finished.directory.iterdir()}
    promised = {".hydra", "run.log", "metrics.json", "training.csv", "posterior_mean.csv", "path_kl.csv"}
    promised |= {"samples.npy", "denoiser.safetensors", "figures", "status.json", "config.yaml", "report.html"}
    assert names == promised
    figures = {path.name for path in (finished.directory / "figures").iterdir()}
    assert figures == {
        f"{n}.{e}" for n in ("projection", "posterior_mean", "errors", "training") for e in ("png", "npz")
    }
    samples = numpy.load(finished.directory / "samples.npy")
    assert samples.shape == (300, 8)
    assert samples.dtype == numpy.float32
    assert json.loads((finished.directory / "status.json").read_text())["state"] == "done"


@over(
    ("total", "floor", "steps", "says"),
    [
        (
            2.2,
            0.006,
            800,
            "a path KL of 2.2 nats, 367 times its floor, hardly bounds the error of the samples; more training.epochs",
        ),
        (2.2, None, 800, "2.2 nats, with a floor that is not known"),
        (2.2, 0.006, 0, "hardly bounds the error of the samples"),
        (2.2, 0.3, 800, None),  # few training samples: no estimator would be much better
        (1.02, 0.006, 800, None),  # four standard errors do not decide
        (0.09, 0.006, 800, None),  # the default
    ],
)
def test_a_denoiser_far_from_its_floor_is_one_line_and_says_what_to_set(finished, total, floor, steps, says):
    measured = {"total": total, "standard_error": 0.01, "parametric_floor": floor}
    metrics = finished.metrics | {"path_kl": measured, "training": {"steps": steps}}
    lines = [line for line in finished.config.study.closing(metrics).lines if "path KL" in line]
    assert len(lines) == (says is not None)
    if lines:
        assert says in lines[0]
        assert ("training.epochs" in lines[0]) == (steps > 0)


def test_the_log_says_what_happened(finished):
    text = (finished.directory / "run.log").read_text()
    for expected in ("least loss", "training 4/4 epochs", "T = 99.3", "measuring"):
        assert expected in text


def test_metrics_have_the_promised_names(finished):
    metrics = finished.metrics
    promised = {
        "projection": "w1 w1_floor ks mode_weight mode_weight_exact",
        "path_kl": "total standard_error parametric_floor",
        "posterior_mean": "relative_error",
        "training": "loss bayes_risk excess_risk steps seconds samples_per_second",
        "sampling": "nfe seconds count T",
        "run": "seed git_commit versions device wall_seconds",
    }
    for section, names in promised.items():
        assert set(names.split()) <= set(metrics[section]), section
    assert len(metrics["posterior_mean"]["relative_error"]) == 12
    assert metrics["training"]["steps"] == 16
    assert metrics["sampling"]["nfe"] == 20


def test_tables_hold_the_numbers(finished):
    training = pandas.read_csv(finished.directory / "training.csv")
    assert list(training["epoch"]) == [1, 2, 3, 4]
    assert training["loss"].iloc[-1] == pytest.approx(finished.metrics["training"]["loss"])
    assert len(pandas.read_csv(finished.directory / "posterior_mean.csv")) == 12
    assert len(pandas.read_csv(finished.directory / "path_kl.csv")) == 8


def test_the_result_holds_arrays_and_figures(finished):
    assert finished.arrays["projection"]["values"].shape == (300,)
    assert set(finished.figures) == {"projection", "posterior_mean", "errors", "training"}
    assert finished.samples.shape == (300, 8)


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(finished, small, tmp_path, undrawn):
    again = scorelab.run(small, directory=tmp_path / "again")
    other = scorelab.run([*small, "seed=1"], directory=tmp_path / "other")
    assert without_times(again.metrics) == without_times(finished.metrics)
    assert other.metrics["projection"]["w1"] != finished.metrics["projection"]["w1"]


def test_results_do_not_depend_on_the_batch_of_samples(finished, small, tmp_path, undrawn):
    result = scorelab.run([*small, "sampler.batch_size=1"], directory=tmp_path / "run")
    assert numpy.allclose(result.samples, finished.samples, atol=1e-5)


def test_a_saved_denoiser_is_rebuilt_from_its_file(finished):
    denoiser = load_denoiser(finished.directory / "denoiser.safetensors")
    x = torch.randn(5, 8, generator=torch.Generator().manual_seed(0))
    assert denoiser(x, torch.tensor(0.5)).shape == (5, 8)


def test_an_exact_denoiser_needs_no_training(small, tmp_path, undrawn):
    small = [override for override in small if not override.startswith("denoiser.")]
    result = scorelab.run([*small, "denoiser=exact"], directory=tmp_path / "run")
    assert result.metrics["path_kl"]["total"] == 0
    assert result.metrics["path_kl"]["parametric_floor"] is None
    assert result.metrics["training"]["steps"] == 0


# Stages on an existing run. -----------------------------------------------------------------------------------------


@pytest.fixture
def copy(finished, tmp_path):
    return copied(finished, tmp_path)


def test_stage_plot_redraws_and_changes_no_number(copy, finished):
    for path in (copy / "figures").iterdir():
        if path.stem not in ("projection", "training") or path.suffix == ".png":
            path.unlink()  # to draw them all takes long
    result = scorelab.run(["stage=plot", f"run={copy}", "figures.formats=[png,svg]"])
    assert {path.suffix for path in (copy / "figures").iterdir()} == {".png", ".svg", ".npz"}
    assert without_times(result.metrics) == without_times(finished.metrics)


def test_stage_sample_in_place_samples_again_without_training(copy, finished, undrawn):
    before = (copy / "denoiser.safetensors").read_bytes()
    changed = ["in_place=true", "sampler.count=100", "sampler.output=posterior_mean"]
    result = scorelab.run(["stage=sample", f"run={copy}", *changed])
    assert (copy / "denoiser.safetensors").read_bytes() == before
    assert result.samples.shape == (100, 8)
    assert result.metrics["training"] == finished.metrics["training"]
    assert result.metrics["sampling"]["count"] == 100
    assert Run(copy).config.data["sampler"]["count"] == 100


def test_stage_analyse_gives_the_same_numbers_again(copy, finished, undrawn):
    result = scorelab.run(["stage=analyse", f"run={copy}"])
    assert without_times(result.metrics) == without_times(finished.metrics)


def test_stages_one_after_the_other_equal_all_at_once(finished, small, tmp_path, undrawn):
    first = scorelab.run([*small, "stage=train"], directory=tmp_path / "run")
    assert set(first.metrics) == {"training", "run"}
    second = scorelab.run(["stage=sample", "in_place=true", f"run={tmp_path / 'run'}"])
    assert without_times(second.metrics) == without_times(finished.metrics)


def test_a_stage_may_not_change_what_came_before_it(copy):
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    for overrides, says in (
        (["stage=plot", "training.N=3"], "stage=plot cannot change training.N: 400 -> 3"),
        (["stage=sample", "denoiser.m=9"], "stage=sample cannot change denoiser.m: 8 -> 9"),
        (["stage=analyse", "sampler.count=3"], "stage=analyse cannot change sampler.count: 300 -> 3"),
        (["stage=train"], "goes with stage=sample, analyse or plot"),
        ([], "goes with stage=sample, analyse or plot"),
    ):
        assert says in refused(ConfigError, scorelab.run, [f"run={copy}", *overrides]), overrides
        assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before, overrides


# What is refused. ---------------------------------------------------------------------------------------------------


def test_a_directory_with_something_in_it_is_refused_and_left_alone(small, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ScorelabError, match="exists and is not empty"):
        scorelab.run(small, directory=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_resuming_another_configuration_is_refused(copy):
    with pytest.raises(ConfigError, match=r"training.resume cannot change seed: 0 -> 3"):
        scorelab.run([f"training.resume={copy}", "seed=3"])


def test_a_run_is_resumed_as_a_whole_whatever_was_last_done_with_it(copy, undrawn):
    scorelab.run([f"run={copy}", "stage=plot"])
    Run(copy).mark("interrupted", stages=[])
    config = scorelab.run([f"training.resume={copy}"]).config
    assert (config.general.stage, config.general.run) == ("all", None)
    assert Run(copy).status["stages"] == ["train", "sample", "analyse", "plot"]


def test_resuming_nothing_is_refused(tmp_path):
    with pytest.raises(ScorelabError, match="not a run directory"):
        scorelab.run([f"training.resume={tmp_path}"])


def test_a_damaged_denoiser_is_refused(copy, finished):
    path = copy / "denoiser.safetensors"
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"\x80\x04 something else entirely", b""):
        path.write_bytes(content)
        text = refused(ScorelabError, scorelab.run, ["stage=sample", f"run={copy}", "in_place=true"])
        assert "not a whole safetensors file" in text, content[:8]
    assert without_times(Run(copy).metrics) == without_times(finished.metrics)  # the run is what it was


def test_the_denoiser_of_another_network_is_refused(copy, small, tmp_path):
    other = scorelab.run([*small, "denoiser.m=9", "stage=train"], directory=tmp_path / "other")
    os.replace(other.directory / "denoiser.safetensors", copy / "denoiser.safetensors")
    with pytest.raises(ScorelabError, match=r"of another configuration: denoiser.m: 8 -> 9"):
        scorelab.run(["stage=sample", f"run={copy}", "in_place=true"])


def test_a_failed_run_is_marked_and_its_log_says_why(small, tmp_path):
    overrides = [*small, "training.lr=1e15", "training.clip=null", "training.warmup=0", "denoiser=relu"]
    with pytest.raises(ScorelabError, match="the loss is"):
        scorelab.run(overrides, directory=tmp_path / "run")
    status = Run(tmp_path / "run").status
    assert status["state"] == "failed"
    assert "the loss is" in status["error"]
    assert "the loss is" in (tmp_path / "run" / "run.log").read_text()
    assert not (tmp_path / "run" / "metrics.json").exists()


def test_a_bug_leaves_its_traceback_in_the_log(small, tmp_path, monkeypatch):
    import scorelab.studies.sampling as stage

    def broken(study, context):
        raise RuntimeError("a bug")

    monkeypatch.setattr(stage, "run", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        scorelab.run(small, directory=tmp_path / "run")
    assert "Traceback" in (tmp_path / "run" / "run.log").read_text()


def test_a_full_disk_loses_nothing(copy, monkeypatch):
    from scorelab.studies import sampling as sample

    before = (copy / "samples.npy").read_bytes()

    def chunks(context, found):
        yield b"half"
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sample, "_file", chunks)
    with pytest.raises(ScorelabError, match=r"samples.npy: cannot be written \(No space left on device\)"):
        scorelab.run(["stage=sample", f"run={copy}", "in_place=true"])
    assert (copy / "samples.npy").read_bytes() == before
    assert Run(copy).state == "done"
    assert not list(copy.glob(".*.part"))


def test_reservations_of_one_name_at_once_get_a_directory_each(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        names = [path.name for path in pool.map(reserve, [tmp_path / "a"] * 24)]
    assert sorted(names) == sorted(["a", *(f"a-{number}" for number in range(2, 25))])
    assert claim(tmp_path / "b") == tmp_path / "b"


def test_a_run_whose_process_is_gone_is_interrupted(copy):
    status = json.loads((copy / "status.json").read_text())
    (copy / "status.json").write_text(
        json.dumps(status | {"state": "running", "pid": 2**22 + 1, "host": os.uname().nodename})
    )
    assert Run(copy).state == "interrupted"


def test_the_number_of_threads_is_put_back(small, tmp_path):
    torch.set_num_threads(2)
    try:
        scorelab.run([*small, "stage=train"], directory=tmp_path / "run")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def test_the_default_directory_is_below_outputs_and_named_by_the_overrides(small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = scorelab.run([*small, "stage=train", "denoiser=tanh"])
    assert result.directory.parts[0] == "outputs"
    assert "target.n-8" in result.directory.name


@over(
    ("overrides", "says"),
    [
        (("schedule=ou", "schedule.T=800"), "no signal is left"),
        (("schedule=ou", "schedule.beta=200"), "no signal is left"),
        (("schedule=vp", "schedule.beta_max=3000"), "no signal is left"),
        (("schedule=ddpm", "schedule.timesteps=1000000"), "32 steps on the grid native .* do not increase"),
        (("grid@schedule.grid=karras", "schedule.grid.rho=0.001"), "beyond the numbers of double precision"),
        (("schedule.alpha_max=1e-300",), "no signal is left"),
    ],
)
def test_a_grid_that_cannot_be_made_is_refused_before_anything_is_trained(overrides, says, small, tmp_path):
    where = tmp_path / str(overrides).replace("/", " ")
    with pytest.raises(ConfigError, match=says):
        scorelab.run([*small, "sampler.steps=32", *overrides], where)
    assert not (where / "training.csv").exists()
