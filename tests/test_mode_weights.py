"""The weight of every mode beside its exact value, and the counts of all modes beside their exact law."""

import math

import pytest
import torch
from helpers import assert_close, composed, seeded

from scorelab.lab.config import check
from scorelab.metrics.projection import mode_counts, mode_weights
from scorelab.targets import GaussianMixture

WEIGHTS = torch.tensor([0.5, 0.3, 0.15, 0.05], dtype=torch.float64)
#: modes that overlap
TARGET = GaussianMixture(WEIGHTS, torch.tensor([[0.0, 0.0], [1.5, 0.0], [0.0, 1.5], [2.0, 2.0]]))


def test_the_counts_of_exact_samples_follow_the_law_that_is_declared():
    found = [mode_weights(TARGET.sample(60, seeded(k), torch.float64), TARGET, TARGET, seeded(k)) for k in range(600)]
    for name in ("mode_chi_squared", "mode_deviation"):
        values = torch.tensor([each[name].value for each in found], dtype=torch.float64)
        one = found[0][name]
        assert abs(float(values.mean()) - one.floor) < 4 * one.floor_deviation / math.sqrt(len(found)) + 0.02
        assert float(values.std()) == pytest.approx(one.floor_deviation, rel=0.12)
    assert found[0]["mode_chi_squared"].floor == 3
    # the variance of Pearson's statistic of 60 draws, by its own formula
    exact = 2 * 3 * (59 / 60) + (float((1 / WEIGHTS).sum()) - 16) / 60
    assert found[0]["mode_chi_squared"].floor_deviation == pytest.approx(math.sqrt(exact), rel=1e-12)


def test_samples_that_miss_a_mode_are_told_by_their_counts():
    part = GaussianMixture(WEIGHTS[:3], TARGET.means[:3])
    found = mode_weights(part.sample(4000, seeded(1), torch.float64), TARGET, TARGET, seeded(2))
    for name in ("mode_chi_squared", "mode_deviation"):
        assert found[name].value > found[name].floor + 5 * found[name].floor_deviation, name


def test_each_mode_has_its_error_and_one_mode_has_no_counts():
    x = TARGET.sample(500, seeded(3), torch.float64)
    found = mode_weights(x, TARGET, TARGET, seeded(4))["mode_weights"]
    gamma = TARGET.posterior_weights(x, math.pi / 2)
    assert_close(found.value, gamma.mean(0), rtol=1e-12)
    assert_close(found.standard_error, gamma.std(0) / math.sqrt(500), rtol=1e-12)
    assert_close(found.exact, WEIGHTS, rtol=1e-12)
    assert mode_counts(torch.ones(5, 1), torch.ones(1), seeded(0)) == {}


def closing(modes):
    projection = {"mode_weight": 0.4, "mode_weight_standard_error": 0.01, "mode_weight_exact": 0.5, "w1": 0.1}
    for key, value in (("", 0.4), ("_standard_error", 0.01), ("_exact", 1 / modes)):
        projection[f"mode_weights{key}"] = [value] * modes
    projection |= {"mode_chi_squared": 210.0, "mode_chi_squared_floor": modes - 1.0}
    projection |= {"mode_deviation": 3.1, "mode_deviation_floor": 2.9}
    return check(composed()).study.closing({"projection": projection}).rows


def test_the_closing_table_has_every_mode_or_what_tells_of_all():
    assert [row[0] for row in closing(2)] == ["W1 of the projection", "mode weight"]
    rows = closing(3)
    assert [row[0] for row in rows[1:]] == [f"weight of mode {k}" for k in range(3)]
    assert rows[1][1:] == ("0.4", "0.01", "exact 0.3333")
    rows = closing(200)
    assert rows[1] == ("largest deviation of a mode weight (s.e.)", "3.1", "", "floor 2.9")
    assert rows[2] == ("chi-squared of 200 mode weights", "210", "", "floor 199")
