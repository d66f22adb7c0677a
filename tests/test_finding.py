"""`scorelab.runs` and the command `scorelab`."""

import functools
import sys

import numpy
import pytest
from conftest import SMALL
from helpers import refused, seeded

import scorelab
from scorelab import cli
from scorelab.errors import ScorelabError
from scorelab.targets import GaussianMixture


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """Two runs at different depths, and one that is damaged."""
    folder = tmp_path_factory.mktemp("outputs")
    small = [*SMALL, "study.trajectories=0", "training.epochs=2"]
    scorelab.run([*small, "seed=1"], folder / "one")
    scorelab.run([*small, "denoiser=tanh", "denoiser.m=8"], folder / "deep" / "er" / "two")
    (folder / "broken").mkdir()
    (folder / "broken" / "status.json").write_text("[]")
    return folder


def command(monkeypatch, capsys, *words):
    """What the command prints, and its exit status."""
    monkeypatch.setattr(sys, "argv", ["scorelab", *map(str, words)])
    try:
        cli.main()
        status = 0
    except SystemExit as ended:
        status = ended.code
    shown = capsys.readouterr()
    return shown.out + shown.err, status


def test_every_run_at_any_depth_is_a_row_with_its_configuration_and_its_numbers(outputs):
    table = scorelab.runs(outputs).set_index("directory")
    assert list(table["state"]) == ["unreadable", "done", "done"]
    two = table.loc[str(outputs / "deep" / "er" / "two")]
    assert (two["denoiser"], two["denoiser.m"], two["study"]) == ("OuterProduct", 8, "Generate")
    assert two["metrics.projection.w1"] == scorelab.load(outputs / "deep" / "er" / "two").metrics["projection"]["w1"]


def test_runs_are_found_by_an_expression_of_their_names(outputs):
    found = scorelab.runs(outputs, where="seed == 1 and training.epochs == 2 and metrics.projection.w1 > 0")
    assert list(found["directory"]) == [str(outputs / "one")]
    assert len(scorelab.runs(outputs, where="target == 'TwoModes' and denoiser.parametrization == 'skip'")) == 1
    for where, says in (
        ("metrics.projection.w2 > 0", "no run has metrics.projection.w2; did you mean metrics.projection.w1"),
        ("seed ==", "cannot be read"),
        ("seed", "is neither true nor false of a run"),
        ("seed .to_csv('here') == 0", "cannot be read"),
        ("@table.to_csv('here') == 0", "cannot be read"),
        ("sed == 1", "no run has sed; did you mean seed"),
    ):
        assert says in refused(ScorelabError, functools.partial(scorelab.runs, where=where), outputs)
    assert "no such directory" in refused(ScorelabError, scorelab.runs, outputs / "nothing")


def test_the_command_lists_runs(outputs, monkeypatch, capsys, tmp_path):
    shown, status = command(monkeypatch, capsys, "ls", outputs, "--where", "seed == 1")
    assert (status, "1 runs" in shown, str(outputs / "one") in shown) == (0, True, True)
    shown, _ = command(monkeypatch, capsys, "ls", outputs, "--columns", "state,denoiser.m")
    assert shown.split()[:2] == ["state", "denoiser.m"]
    command(monkeypatch, capsys, "ls", outputs, "--csv", tmp_path / "runs.csv")
    assert "metrics.path_kl.total" in (tmp_path / "runs.csv").read_text()
    shown, status = command(monkeypatch, capsys, "ls", outputs, "--columns", "nonsense")
    assert "no run has nonsense" in str(status)


def test_the_command_evaluates_samples(monkeypatch, capsys, tmp_path):
    samples = GaussianMixture.two_modes(n=4).sample(500, seeded(3)).numpy()
    for factor, expected in ((1, 0), (2, 3)):
        numpy.save(tmp_path / "samples.npy", factor * samples)
        words = ("evaluate", tmp_path / "samples.npy", "target=two_modes", "target.n=4", "--repeats", 10)
        shown, status = command(monkeypatch, capsys, *words, "--out", tmp_path / "out")
        assert status == expected
        assert "W1 of the projection" in shown
    assert (tmp_path / "out" / "evaluation.json").is_file()


def test_a_command_that_is_not_there_is_one_line(monkeypatch, capsys):
    shown, status = command(monkeypatch, capsys, "rum")
    assert (shown.strip(), status) == ("error: rum: allowed are run, ls, gather, status, stop, evaluate", 2)
    shown, status = command(monkeypatch, capsys)
    assert status == 0
    assert "scorelab run" in shown
