"""From Python and in notebooks: results of runs and of sweeps, and how they show themselves."""

import logging

import numpy
import pytest
import torch
from conftest import SMALL
from helpers import copied, over, refused, without_times
from matplotlib.figure import Figure

import scorelab
from scorelab.errors import ConfigError, ScorelabError
from scorelab.lab.denoiser_file import load_denoiser

PNG = b"\x89PNG"
WILD = ("training.clip=null", "training.warmup=0", "denoiser=relu", "training.lr=1e-3,1e15")


@pytest.fixture(scope="module")
def finished(run_once):
    return run_once(*SMALL, "figures.formats=[png]")


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A sweep of which one job fails, and the handlers of logging before and after it."""
    loggers = [logging.getLogger(name) for name in (None, "scorelab")]
    before = [(list(logger.handlers), logger.level) for logger in loggers]
    result = scorelab.sweep([*SMALL, *WILD], tmp_path_factory.mktemp("sweep") / "here")
    return result, before, [(list(logger.handlers), logger.level) for logger in loggers]


def test_the_network_of_a_run_is_loaded_ready_to_be_called(finished):
    denoiser = scorelab.load(finished.directory).denoiser
    assert not denoiser.training
    x = torch.randn(5, 8, generator=torch.Generator().manual_seed(0))
    saved = load_denoiser(finished.directory / "denoiser.safetensors").eval()
    assert torch.equal(denoiser(x, torch.tensor(0.5)), saved(x, torch.tensor(0.5)))


def test_the_closing_table_has_the_numbers_in_full_precision(finished):
    table, metrics = finished.table, finished.metrics
    w1 = table.loc["W1 of the projection"]
    assert w1["measured"] == metrics["projection"]["w1"]
    assert w1["± s.e."] == metrics["projection"]["w1_standard_error"]
    assert (w1["held against"], w1["reference"]) == ("floor", metrics["projection"]["w1_floor"])
    assert "deviations above it" in w1["verdict"]
    weight = table.loc["mode weight"]
    assert (weight["held against"], weight["reference"]) == ("exact", 0.7)


def test_the_table_of_a_study_with_headings_of_its_own_is_a_table(run_once):
    words = ("denoiser=exact", "target.n=4", "sampler.count=100", "study.evaluations=[4,8]", "study.grids=[angle]")
    run = run_once("study=sampler_accuracy", *words, "study.floor_repeats=5", "figures.formats=[]")
    assert list(run.table)[:2] == ["grid", "sampler"]
    assert list(run.table["sampler"]) == list(run.config.study.samplers)


def test_a_run_shows_what_it_found(finished):
    for shown in (str(finished), finished._repr_html_()):
        for expected in ("W1 of the projection", "floor", "Of 3 numbers", "target.n=8", str(finished.directory)):
            assert expected in shown
    lines = str(finished).splitlines()
    (row,) = (line for line in lines if line.startswith("mode weight"))
    assert "exact 0.7" in row
    assert "<table" in finished._repr_html_()


def test_figures_show_themselves_without_pyplot(finished):
    figure = finished.figures["projection"]
    assert isinstance(figure, Figure)
    assert figure._repr_png_().startswith(PNG)
    assert finished.figures._repr_html_().count("data:image/png;base64,") == len(finished.figures) == 4
    assert figure is finished.figures["projection"]
    with pytest.raises(KeyError):
        finished.figures["gone"]


def test_a_run_with_replicas_has_results_of_each(small, tmp_path, undrawn):
    result = scorelab.run([*small, "replicas=2"], tmp_path / "run")
    assert [each.config.general.seed for each in result.replicas] == [0, 1]
    assert result.replicas[1].samples.shape == (300, 8)
    for name in ("denoiser", "samples"):
        assert "result.replicas[0]" in refused(ScorelabError, getattr, result, name)


# Sweeps. ------------------------------------------------------------------------------------------------------------


def test_a_sweep_from_python_has_a_row_for_each_job_also_for_one_that_fails(swept):
    result, before, after = swept
    assert list(result.table["state"]) == ["done", "failed"]
    assert "the loss is" in result.table["error"][1]
    assert list(result.runs) == ["0"]
    run = result.runs["0"]
    assert run.metrics["projection"]["w1"] == result.table["projection.w1"][0]
    assert run.denoiser is not None
    assert (result.directory / "sweep.md").is_file()
    assert "training 4/4" in (result.directory / "0" / "run.log").read_text()
    assert before == after


def test_a_job_of_a_sweep_from_python_is_the_run_alone(swept, small, tmp_path, undrawn):
    alone = scorelab.run([*small, *WILD[:-1], "training.lr=1e-3"], tmp_path / "alone")
    assert without_times(swept[0].runs["0"].metrics) == without_times(alone.metrics)


def test_a_sweep_is_loaded_from_its_directory_which_is_only_read(swept, tmp_path):
    directory = copied(swept[0], tmp_path)
    for path in directory.glob("sweep.[chm]*"):
        path.unlink()
    before = {path: path.stat().st_mtime_ns for path in directory.rglob("*")}
    loaded = scorelab.load(directory)
    assert loaded.table.drop(columns="error").equals(swept[0].table.drop(columns="error"))
    assert loaded.figures["projection"]._repr_png_().startswith(PNG)
    for shown in (str(loaded), loaded._repr_html_()):
        for expected in ("2 jobs, 1 done.", "training.lr", "the loss is"):
            assert expected in shown
    assert {path: path.stat().st_mtime_ns for path in directory.rglob("*")} == before
    assert "scorelab.runs(" in refused(ScorelabError, scorelab.load, tmp_path)


def test_networks_are_sampled_many_times_from_python(finished, tmp_path, undrawn):
    words = ["stage=sample", f"run={finished.directory}", "sampler=ddim,heun", "sampler.count=40", "sampler.steps=4"]
    result = scorelab.sweep(words, tmp_path / "s")
    assert list(result.table["sampler"]) == ["ddim", "heun"]
    one, other = (numpy.array(run.samples) for run in result.runs.values())
    assert one.shape == other.shape == (40, 8)


@over(
    ("words", "says"),
    [
        (["denoiser=tahn,rellu"], "no such option; did you mean tanh"),
        (["training.N=-1,-2"], "no job of this sweep can run; job #0 training.N=-1: training.N = -1"),
        (["training.Nn=1,2"], "training.Nn: unknown key; did you mean N?"),
        (["seed=0,1", "sweep.dry_run=true"], "sweep.dry_run = true: is for the command line"),
        ("seed=0,1", "a list of words is needed"),
    ],
)
def test_what_no_job_can_be_is_an_error(words, says, tmp_path):
    assert says in refused(ConfigError, scorelab.sweep, words, tmp_path / "here")
    assert not (tmp_path / "here").exists()
