"""`scorelab diff`: two runs, or two sweeps, side by side."""

import json
import math

import numpy
import pytest
from helpers import command, over, refused
from run_folders import Folder

import scorelab
from scorelab.errors import ScorelabError

NUMBERS = {
    "projection": {"w1": 0.5, "w1_standard_error": 0.03, "w1_floor": 0.1, "count": 3, "mean": 0.1 + 0.2},
    "path_kl": {"total": 2.0, "standard_error": 0.3, "T": 9.0},
    "posterior_mean": {"error": [1.0, 2.0, 3.0], "error_standard_error": [0.1, 0.1, None]},
    "training": {"seconds": 3.0},
    "run": {"git_commit": "a1", "versions": {"torch": "2.6"}},
}


@pytest.fixture
def make(tmp_path):
    """A function that makes a run with changed numbers, SECTION.KEY=VALUE."""

    def put(name, config="seed: 0\n", overrides=(), **changed):
        folder, numbers = Folder(tmp_path), json.loads(json.dumps(NUMBERS))
        for key, value in changed.items():
            section, _, number = key.partition("__")
            numbers[section][number] = value
        folder.write(f"{name}/config.yaml", config)
        folder.write(f"{name}/metrics.json", json.dumps(numbers))
        folder.write(f"{name}/status.json", json.dumps({"state": "done", "overrides": [*overrides]}))
        return tmp_path / name

    return put


def test_numbers_differ_are_undecided_or_equal_to_the_last_bit(make):
    changed = {"projection__w1": 0.6, "path_kl__total": 5.0, "projection__mean": 0.3, "training__seconds": 9.0}
    changed |= {"posterior_mean__error": [1.0, 2.1, 3.1], "projection__new": 1.0}
    table = scorelab.diff(make("a"), make("b", **changed)).set_index("key")
    assert dict(table["verdict"]) == {
        "projection.w1": "undecided",  # 0.1 of 0.0424
        "projection.count": "equal",
        "projection.mean": "differs",  # 0.1 + 0.2 is not 0.3
        "projection.new": "in one only",
        "path_kl.total": "differs",  # 3 of 0.424
        "path_kl.T": "equal",
        "posterior_mean.error[0]": "equal",
        "posterior_mean.error[1]": "undecided",
        "posterior_mean.error[2]": "differs",  # it has no error
        "training.seconds": "time",
    }
    assert math.isclose(table.loc["projection.w1", "standard_error"], 0.03 * math.sqrt(2))
    assert math.isclose(table.loc["path_kl.total", "in_errors"], 3 / (0.3 * math.sqrt(2)))


def test_a_number_with_another_error_or_floor_is_not_equal(make):
    for key in ("projection__w1_standard_error", "projection__w1_floor"):
        table = scorelab.diff(make("a"), make("b", **{key: 0.05})).set_index("key")
        assert (table.loc["projection.w1", "verdict"], table.loc["projection.w1", "difference"]) == ("undecided", 0)
    assert scorelab.diff(make("a"), make("b", path_kl__standard_error=0.4)).set_index("key").loc["path_kl.total"].b == 2


def test_the_standard_error_of_a_difference_is_that_of_its_repetitions(make):
    """The distances of 3000 pairs, in standard errors, have standard deviation 1 within four of its errors."""
    draws, count = numpy.random.default_rng(5), 3000
    a, b = (draws.normal(1.0, error, count).tolist() for error in (0.3, 0.4))
    runs = [
        make(name, posterior_mean__error=values, posterior_mean__error_standard_error=[error] * count)
        for name, values, error in (("a", a, 0.3), ("b", b, 0.4))
    ]
    table = scorelab.diff(*runs)
    found = table[table["key"].str.startswith("posterior_mean.error[")]["in_errors"]
    assert len(found) == count
    assert abs(found.std() - 1) < 4 / math.sqrt(2 * count)


def test_the_command_shows_what_differs_and_its_status_says_whether_something_does(make, monkeypatch, capsys, tmp_path):
    make("a", overrides=["seed=0"])
    make("b", "seed: 1\nreplicas: 2\n", ["seed=1"], run__git_commit="b2", projection__w1=0.6)
    make("c", overrides=["seed=0"], training__seconds=9.0)
    monkeypatch.chdir(tmp_path)
    shown, status = command(monkeypatch, capsys, "diff", "a", "b")
    rows = [line.split() for line in shown.splitlines()]
    assert status == 3
    for row in (
        ["override", "seed", "0", "1"],
        ["configuration", "replicas", "-", "2"],
        ["version", "run.git_commit", "a1", "b2"],
        ["number", "projection.w1", "0.5", "0.6", "0.100", "±", "0.042", "undecided,", "+2.4", "s.e."],
    ):
        assert row in rows
    assert "of 9 numbers 8 equal to the last bit; 1 undecided" in shown
    assert command(monkeypatch, capsys, "diff", "a", "c")[1] == 0
    assert "projection.count" in command(monkeypatch, capsys, "diff", "a", "c", "--all")[0]
    assert command(monkeypatch, capsys, "diff", "a", "b", "--csv", "d.csv")[1] == 3
    assert "undecided" in (tmp_path / "d.csv").read_text()


def test_sweeps_are_held_against_each_other_job_by_job(make, tmp_path):
    for name in ("one/0", "one/1", "two/0", "two/2"):
        make(name, projection__w1=0.5 if name != "two/0" else 0.9)
    table = scorelab.diff(tmp_path / "one", tmp_path / "two")
    assert list(table[table["verdict"] == "differs"]["job"]) == ["0"]
    assert list(table[table["kind"] == "job"]["key"]) == ["1", "2"]


@over(("names", "says"), [("a x", "x: no such directory"), ("a .", "a: is one run, and the other one is none")])
def test_what_cannot_be_held_against_each_other_is_one_line(names, says, make, tmp_path, monkeypatch):
    make("a")
    monkeypatch.chdir(tmp_path)
    assert says in refused(ScorelabError, scorelab.diff, *names.split())
