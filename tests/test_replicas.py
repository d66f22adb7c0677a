"""`replicas=R`: several seeds of one configuration as one run, with means, standard errors and a figure with bands."""

import csv

import numpy
import pytest
from conftest import SMALL
from helpers import refused

import scorelab
from scorelab.errors import ConfigError, ScorelabError
from scorelab.figures.replicas import collect, figure
from scorelab.lab.replicas import average
from scorelab.lab.runs import Run, read_metrics

OWN = [*SMALL, "training.epochs=4", "study.trajectories=0", "seed=5"]


def numbers_of(directory, count=3):
    return [read_metrics(directory / "replicas" / str(k) / "metrics.json") for k in range(count)]


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """A run with three replicas, and its directory."""
    directory = tmp_path_factory.mktemp("replicas") / "run"
    return scorelab.run([*OWN, "replicas=3", "figures.formats=[png]"], directory), directory


def test_the_numbers_of_a_run_are_the_means_over_its_replicas(together):
    result, directory = together
    every = [each["projection"]["w1"] for each in numbers_of(directory)]
    assert len(set(every)) == 3
    assert result.metrics["projection"]["w1"] == pytest.approx(numpy.mean(every), rel=1e-12)
    error = result.metrics["projection"]["w1_standard_error"]
    assert error == pytest.approx(numpy.std(every, ddof=1) / 3**0.5, rel=1e-12)
    assert result.metrics["projection"]["mode_weight_exact"] == 0.7
    assert result.metrics["replicas"] == {"count": 3, "seeds": [5, 6, 7]}
    table = list(csv.DictReader((directory / "replicas.csv").read_text().splitlines()))
    assert [float(row["projection.w1"]) for row in table] == pytest.approx(every)
    assert [row["seed"] for row in table] == ["5", "6", "7"]


def test_a_replica_is_the_run_with_its_seed(together, tmp_path):
    _, directory = together
    alone = scorelab.run([*OWN, "seed=6"], tmp_path / "alone").metrics
    replica = numbers_of(directory)[1]
    assert replica["run"]["fingerprint"] == alone["run"]["fingerprint"]
    for section, key in (("training", "loss"), ("projection", "w1"), ("path_kl", "total")):
        assert replica[section][key] == pytest.approx(alone[section][key], rel=1e-3)


def test_the_figure_of_replicas_has_what_each_replica_has(together):
    _, directory = together
    assert (directory / "figures" / "replicas.png").is_file()
    paths = [directory / "replicas" / str(k) for k in range(3)]
    arrays = collect(paths)
    assert arrays["excess_risk"].shape[0] == arrays["relative_error"].shape[0] == arrays["density"].shape[0] == 3
    assert (arrays["density"] @ numpy.diff(arrays["edges"])).max() <= 1 + 1e-12
    assert not list(paths[0].glob("figures/*.png"))
    labels = figure(arrays | {"relative_error_floor": arrays["relative_error"][0]}).legends[0].texts
    assert "parametric floor" in {text.get_text() for text in labels}  # its name in the figure `errors`


def test_a_number_that_all_replicas_have_alike_keeps_its_own_error():
    every = [{"a": 1.0, "a_standard_error": 0.2, "a_exact": 3.0, "a_exact_standard_error": 0.1} for _ in range(3)]
    for own, value in zip(every, (1.0, 2.0, 3.0), strict=True):
        own["a"] = value
    assert average(every) == {
        "a": 2.0,
        "a_standard_error": pytest.approx(3**-0.5),
        "a_exact": 3.0,
        "a_exact_standard_error": 0.1,
    }


def test_an_average_keeps_what_is_equal_and_leaves_out_what_not_all_have():
    every = [
        {"a": 1.0, "a_standard_error": 9.0, "t": [1, 2], "kind": "x", "on": True, "some": 1.0, "other": "y"},
        {"a": 3.0, "a_standard_error": 9.0, "t": [3, 4], "kind": "x", "on": True, "other": "z", "in": {"b": 2}},
    ]
    for one, values in zip(every, ([1.0, 2.0], [3.0, 4.0]), strict=True):
        one["of"] = {"b": values, "b_mean": sum(values) / 2, "b_standard_error": 0.5}
    assert average(every).pop("of") == {"b": [2.0, 3.0], "b_mean": 2.5, "b_standard_error": pytest.approx(1.0)}
    every[0].pop("of")
    assert average(every) == {"a": 2.0, "a_standard_error": 1.0, "t": [2.0, 3.0], "kind": "x", "on": True}


def test_a_run_with_replicas_is_drawn_and_resumed_like_any_other(together):
    _, directory = together
    (directory / "figures" / "replicas.png").unlink()
    before = read_metrics(directory / "metrics.json")["projection"]
    scorelab.run(["stage=plot", f"run='{directory}'"])
    assert (directory / "figures" / "replicas.png").is_file()
    Run(directory / "replicas" / "2").mark("interrupted", stages=["train"])
    Run(directory).mark("interrupted")
    result = scorelab.run([f"training.resume='{directory}'"])
    assert result.metrics["projection"] == before


def test_a_replica_that_fails_does_not_take_the_others_with_it(tmp_path):
    wild = ["training.lr=1e15", "training.warmup=0", "training.lr_schedule=constant", "training.clip=null"]
    says = refused(ScorelabError, scorelab.run, [*OWN, *wild, "replicas=2"], tmp_path / "wild")
    assert "2 of 2 replicas failed; replica 0: training: " in says
    assert Run(tmp_path / "wild").state == "failed"
    scorelab.run([*OWN, "stage=train", "replicas=2"], tmp_path / "run")
    blocked, other = (tmp_path / "run" / "replicas" / str(k) for k in range(2))
    (blocked / "samples.npy").mkdir()
    says = refused(ScorelabError, scorelab.run, ["stage=sample", "in_place=true", f"run='{tmp_path / 'run'}'"])
    assert says.startswith("1 of 2 replicas failed; replica 0: ")
    assert Run(tmp_path / "run").state == Run(other).state == "done"  # put back as they were
    assert not (other / "samples.npy").is_file()


@pytest.mark.parametrize("count", ["0", "-1", "1.5", "2000"])
def test_a_number_of_replicas_that_cannot_be_is_refused(tmp_path, count):
    assert "replicas" in refused(ConfigError, scorelab.run, [*OWN, f"replicas={count}"], tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_that_is_done_is_not_written_again_when_it_is_resumed(together):
    _, directory = together
    for path in (directory, directory / "replicas" / "1"):
        before = (path / "metrics.json").stat().st_mtime_ns
        scorelab.run([f"training.resume='{path}'"])
        assert (path / "metrics.json").stat().st_mtime_ns == before
