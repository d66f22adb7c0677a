"""`scorelab.runs` and the command `scorelab`."""

import functools
import sys

import numpy
import pytest
from conftest import SMALL
from helpers import command, over, refused, seeded

import scorelab
from scorelab.errors import ScorelabError
from scorelab.lab.finding import Found
from scorelab.lab.listing import listing
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
    for words in (("--where", "seed == 1"), ("seed == 1",), ("seed == 1", "--where", "projection.w1 > 0")):
        shown, status = command(monkeypatch, capsys, "ls", outputs, *words)
        assert (status, shown.splitlines()[1].split()[:2]) == (0, ["one", "done"])
        assert shown.splitlines()[2] == f"1 run below {outputs}"
    shown, _ = command(monkeypatch, capsys, "ls", outputs)
    heading, broken, two, one, last = shown.splitlines()
    assert heading.split()[:4] == ["directory", "state", "denoiser", "seed"]
    assert broken.split()[:2] == ["broken", "unreadable"]
    assert two.split()[:4] == ["deep/er/two", "done", "tanh", "0"]
    assert one.split()[:4] == ["one", "done", "OuterProduct", "1"]
    assert last == f"3 runs below {outputs}"
    for words, says in (
        (("nowhere",), "nowhere: no such directory"),
        (("2026-11-27/one",), "2026-11-27/one: no such directory"),
        ((outputs, "sed == 1"), "sed == 1: no run has sed; did you mean seed"),
    ):
        assert says in str(command(monkeypatch, capsys, "ls", *words)[1])
    shown, _ = command(monkeypatch, capsys, "ls", outputs, "--columns", "state,denoiser.m,path_kl.total")
    assert shown.split()[:3] == ["state", "denoiser.m", "metrics.path_kl.total"]
    command(monkeypatch, capsys, "ls", outputs, "--csv", tmp_path / "runs.csv")
    assert "metrics.path_kl.total" in (tmp_path / "runs.csv").read_text()
    shown, status = command(monkeypatch, capsys, "ls", outputs, "--columns", "nonsense")
    assert "no run has nonsense" in str(status)


@over("width", [200, 100, 60])
def test_a_listing_is_no_wider_than_the_terminal_and_says_what_it_leaves_out(width, outputs, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    found = Found([outputs])
    *rows, _, last = listing(found, range(found.count)).splitlines()
    assert max(map(len, rows)) <= width
    assert "seed" not in last
    for name in ("projection.w1", "path_kl.total", "error"):
        assert (name in rows[0]) or (name in last and width < 200)


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
    allowed = "run, ls, diff, rm, gather, status, stop, evaluate, conformance"
    assert (shown.strip(), status) == (f"error: rum: allowed are {allowed}", 2)
    shown, status = command(monkeypatch, capsys)
    assert status == 0
    assert "scorelab run" in shown
