"""Stochastic gradients: their moments agree with simulated descents; wrong formulas change verdicts."""

import math

import numpy
import pytest
from helpers import measure

from scorelab.claims import CORRECTED, FAILS, HOLDS
from scorelab.claims.registry import every_claim
from scorelab.studies.sgd import theory

#: claim, printed formula, another one, its verdict
MUTATIONS = {
    "gradient_doubled": ("S3-01", "printed_gradient", lambda theta, x, y: 2 * x * (x @ theta - y)[:, None], FAILS),
    "gradient_reversed": ("S3-01", "printed_gradient", lambda theta, x, y: -x * (x @ theta - y)[:, None], FAILS),
    "recursion_reversed": (
        "S3-01",
        "printed_recursion",
        lambda theta, optimum, step, increment: theta - step * (theta - optimum) - step * increment,
        FAILS,
    ),
    "step_above_the_edge": (
        "S3-02",
        "printed_step",
        lambda kind, t: {"middle": 0.01, "bigger": 0.3, "smaller": 0.001, "decreasing": 0.1 / t}[kind],
        FAILS,
    ),
    "step_ten_times_longer": (
        "S3-02",
        "printed_step",
        lambda kind, t: {"middle": 0.01, "bigger": 0.1, "smaller": 0.001, "decreasing": 1 / t}[kind],
        FAILS,
    ),
    "variance_doubled": ("S3-03", "printed_variance", lambda t, g, s: g * s**2 * (1 - numpy.exp(-2 * t)), FAILS),
    "mean_reversed": ("S3-03", "printed_mean", lambda t, start, to: to - (start - to) * numpy.exp(-t), FAILS),
    "second_moment_right": (
        "S3-03",
        "printed_second_moment_rate",
        theory.second_moment_rate,
        HOLDS,
    ),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_wrong_formula_changes_the_verdict(mutation, monkeypatch):
    name, formula, other, expected = MUTATIONS[mutation]
    monkeypatch.setattr(theory, formula, other)
    assert measure(name) == expected != every_claim()[name].recorded


def test_a_wrong_growth_factor_changes_the_verdict(monkeypatch):
    """The corrected statement can fail as well: with d in place of d + 2."""
    monkeypatch.setattr(theory, "growth_factor", lambda g, d: 1 - 2 * g + d * g**2)
    assert measure("S3-02") == FAILS != every_claim()["S3-02"].recorded


def test_the_second_moments_are_those_of_simulated_descents():
    """2 10^4 runs of 50 steps with normal inputs, and with the code's uniform ones."""
    count, steps, optimum = 20_000, 50, theory.OPTIMUM
    generator = numpy.random.default_rng(1)
    for nodes, draw, step in (
        (theory.normal_nodes(5), lambda: generator.standard_normal((count, 5)), 0.05),
        (theory.uniform_nodes(5, 5.0), lambda: generator.uniform(0, 5, (count, 5)), 0.01),
    ):
        theta = numpy.zeros((count, 5))
        for _ in range(steps):
            x = draw()
            residual = ((theta - optimum) * x).sum(1) - 0.1 * generator.standard_normal(count)
            theta = theta - step * x * residual[:, None]
        squares = ((theta - optimum) ** 2).sum(1)
        exact = theory.mean_square(lambda t, step=step: step, *nodes, steps)[-1]
        assert abs(squares.mean() - exact) < 4 * squares.std() / math.sqrt(count)


def test_steps_of_two_over_d_plus_two_neither_grow_nor_shrink():
    for d in (1, 5, 50):
        assert theory.growth_factor(2 / (d + 2), d) == pytest.approx(1, abs=1e-14)
        assert theory.growth_factor(1.9 / (d + 2), d) < 1 < theory.growth_factor(0.99, d)


def test_the_covariance_of_gradients_has_a_multiplicative_part():
    away, noise = numpy.array([0.5, -1.0, 0.2]), 0.3
    exact = (away @ away + noise**2) * numpy.eye(3) + numpy.outer(away, away)
    assert numpy.allclose(theory.covariance_of_gradients(away, noise), exact, atol=1e-12)
    assert measure("S3-03") == CORRECTED
