"""Samples of the user's own as a target: read from a file, held against the law that they are."""

import math
import os

import numpy
import pandas
import pytest
import torch
from conftest import SMALL
from helpers import ROOT, assert_close, composed, noisy_states, normal, over, refused, seeded
from scipy import stats

import scorelab
from scorelab.errors import ConfigError
from scorelab.lab.config import check
from scorelab.targets.samples import Samples

POINTS = normal(40, 3, seed=1) * torch.tensor([2.0, 1.0, 0.5], dtype=torch.float64)
EYE, CSV = torch.eye(3, dtype=torch.float64), ROOT / "tests" / "data" / "samples.csv"
RUN = tuple(word for word in SMALL if not word.startswith(("target.", "denoiser.")))
RUN += ("target=samples", f"target.path={CSV}", "denoiser=exact")


def build(path, *overrides):
    return check(composed("target=samples", f"target.path={path}", *overrides))["target"].build()


@over("std", [0.0, 0.3])
def test_the_law_is_that_of_the_points(std):
    target = Samples(POINTS, None, std)
    centred = POINTS - POINTS.mean(0)
    exact = centred.T @ centred / 40 + std**2 * EYE
    assert_close(target.covariance, exact, rtol=1e-12, atol=1e-14)
    values, vectors = torch.linalg.eigh(exact)
    assert abs(float(vectors[:, -1] @ target.direction)) == pytest.approx(1, abs=1e-12)
    assert_close(target.projection(target.direction).variance, float(values[-1]), rtol=1e-8)
    assert_close(target.orthogonal_variance(target.direction), float(values[:2].mean()), rtol=1e-9)
    x, direction = target.sample(20_000, seeded(2), torch.float64), torch.tensor([0.3, -1.0, 2.0], dtype=torch.float64)
    noise = torch.randn(x.shape, generator=seeded(3), dtype=torch.float64)
    for angle in (0.6, 1.4):
        noisy = (math.sin(angle) * x + math.cos(angle) * noise) @ direction / direction.square().sum()
        law = target.noisy_projection(direction, angle)
        assert stats.kstest(noisy.numpy(), lambda v, law=law: law.cdf(v).numpy()).pvalue > 0.001
    law = target.output_law(1.4, "scaled")
    assert_close(law.covariance, exact + math.tan(1.4) ** -2 * EYE, rtol=1e-12, atol=1e-14)
    assert target.can("points", "posterior_mean", "projection", "noisy_projection", "covariance")
    assert target.can("score") == (std > 0)
    assert target.lacks("held_out") == "the target has no data that are held out"


def test_its_posterior_mean_is_the_weighted_mean_of_the_points():
    target, angle = Samples(POINTS), 1.1
    x = noisy_states(target, angle, 20, seed=4)
    squared = (x.unsqueeze(1) - math.sin(angle) * POINTS).square().sum(2)
    gamma = torch.softmax(-0.5 * squared / math.cos(angle) ** 2, 1)
    mean = gamma @ POINTS
    assert_close(target.posterior_mean(x, angle), mean, rtol=1e-10, atol=1e-12)
    variance = (gamma * (POINTS.unsqueeze(0) - mean.unsqueeze(1)).square().sum(2)).sum(1)
    assert_close(target.posterior_variance(x, angle), variance, rtol=1e-9, atol=1e-12)


def test_files_of_both_kinds_are_read_and_a_share_is_held_out(tmp_path):
    numpy.save(tmp_path / "a.npy", POINTS.float().numpy())
    numpy.savetxt(tmp_path / "a.csv", POINTS.numpy(), delimiter=",")
    pandas.DataFrame(POINTS.numpy()).to_csv(tmp_path / "index.csv")
    for name in ("a.npy", "a.csv", "index.csv"):
        target = build(tmp_path / name)
        assert (len(target.points), len(target.held_out)) == (32, 8)
        together = torch.cat([target.points, target.held_out])
        assert_close(together.double().sort(0).values, POINTS.sort(0).values, rtol=1e-6)
    assert len(build(CSV, "target.held_out=0").points) == 60
    other = build(tmp_path / "a.npy", f"target.held_out_path={tmp_path / 'a.csv'}", "target.limit=10")
    assert (len(other.points), len(other.held_out)) == (10, 40)
    assert torch.equal(build(CSV).points, build(CSV).points)
    assert not torch.equal(build(CSV).points, build(CSV, "target.split_seed=1").points)


def test_a_run_on_samples_says_what_is_copied_and_how_far_it_is_from_what_is_held_out(run_once):
    run = run_once(*RUN)
    data = run.metrics["data"]
    assert data["count"] == 48
    assert data["memorised"] > 0.9  # the exact posterior mean copies
    assert data["memorised_floor"] < 0.5
    for key in ("sliced_w1", "mmd_squared", "nearest_ratio"):
        assert {key, f"{key}_standard_error", f"{key}_floor", f"{key}_floor_deviation"} <= set(data)
    assert max(run.metrics["generalisation"]["gap_train"]) < 1e-6
    assert "generalisation" in run.figures
    assert "images" not in run.metrics
    rows = [row[0] for row in run.config.study.closing(run.metrics).rows]
    assert {"share of copies of the data", "sliced W1 to held-out samples"} <= set(rows)
    found = scorelab.evaluate(POINTS[:, :2].numpy(), run.target)
    assert "data.memorised" in {finding.name for finding in found.findings}


def test_a_file_that_holds_no_samples_is_one_line(tmp_path):
    save = lambda name, values: numpy.save(tmp_path / name, values)  # noqa: E731
    save("line.npy", numpy.arange(4.0))
    save("one.npy", numpy.ones((1, 2)))
    save("same.npy", numpy.ones((20, 2)))
    save("nan.npy", numpy.array([[1.0, 2.0], [numpy.nan, 1.0], [0.0, 1.0]]))
    save("huge.npy", numpy.array([[1.0, 2.0], [1e300, 1.0]]))
    save("words.npy", numpy.array([["a", "b"], ["c", "d"]]))
    save("complex.npy", numpy.ones((3, 2)) * 1j)
    save("three.npy", POINTS.numpy())
    numpy.save(tmp_path / "object.npy", numpy.array([[{}, 1], [2, 3]], dtype=object), allow_pickle=True)
    (tmp_path / "half.npy").write_bytes((tmp_path / "three.npy").read_bytes()[:200])
    (tmp_path / "words.csv").write_text("a,b\n1,2\nx,3\n4,5\n")
    (tmp_path / "empty.csv").write_text("")
    os.mkfifo(tmp_path / "pipe.npy")
    for name, says in {
        "none.npy": "no such file",
        "line.npy": "has the shape (4,), and (count, n) with count >= 2 is needed",
        "one.npy": "has the shape (1, 2)",
        "same.npy": "all samples are the same",
        "nan.npy": "sample 1 is not finite",
        "huge.npy": "sample 1 is not finite, or beyond 1e15",
        "words.npy": "real numbers are needed, not <U1",
        "complex.npy": "real numbers are needed, not complex128",
        "object.npy": "not a whole npy file of numbers",
        "half.npy": "not a whole npy file of numbers",
        "words.csv": "sample 1 is not finite",
        "empty.csv": "not a whole csv file of numbers",
        "pipe.npy": "is no file",
        "": "is no file",
    }.items():
        text = refused(ConfigError, build, tmp_path / name)
        assert text.startswith(f"target.path = {tmp_path / name}".rstrip("/")), text
        assert says in text, (name, text)
        assert "\n" not in text
    other = refused(ConfigError, build, CSV, f"target.held_out_path={tmp_path / 'three.npy'}")
    assert "target.held_out_path = " in other
    assert "its samples have 3 numbers, those of path 2" in other


@over(
    ("overrides", "says"),
    [
        (["target.path=null"], "target.path = null: an .npy or a .csv file of samples is needed"),
        (["target.held_out=1"], "target.held_out = 1: allowed is a number >= 0 and < 1"),
        (["target.held_out=0.99"], "target.held_out = 0.99: of each two are needed, or none held out; 1 samples"),
        (["target.limit=50"], "target.limit = 50: path has 48 samples that are not held out"),
        (["target.std=-1"], "target.std = -1: allowed is a number >= 0"),
        (["target.direction=[1,2,3]"], "target.direction = [1.0, 2.0, 3.0]: has 3 entries, and 2 are needed"),
    ],
)
def test_what_samples_cannot_be_is_one_line(overrides, says):
    assert says in refused(ConfigError, build, CSV, *overrides)


def test_the_file_of_a_saved_configuration_is_read_only_where_the_user_says_so(tmp_path):
    small = [word for word in SMALL if not word.startswith(("target.", "denoiser."))]
    run = scorelab.run([*small, "target=samples", f"target.path={CSV}", "denoiser=exact"], tmp_path / "run")
    assert "reads=True" in refused(ConfigError, lambda: scorelab.load(run.directory).target)
    assert len(scorelab.load(run.directory, reads=True).target.points) == 48
    again = [f"run={run.directory}", "stage=plot"]
    assert "target.path" in refused(ConfigError, scorelab.run, again)
    scorelab.run([*again, "target=samples", f"target.path={CSV}"])
