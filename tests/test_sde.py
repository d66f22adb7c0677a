"""Euler-Maruyama: its exact errors agree with simulated paths; wrong formulas change the verdict."""

import math

import numpy
import pytest
from helpers import measure
from scipy import integrate

from scorelab.claims import FAILS, HOLDS
from scorelab.claims.registry import every_claim
from scorelab.studies.sde import theory

#: printed formula, another one, its verdict
MUTATIONS = {
    "index_right": ("printed_increment", lambda i: i + 1, HOLDS),
    "drift_reversed": (
        "printed_langevin_step",
        lambda w, mu, sigma, dt, dW: w + mu * w * dt + sigma * dW,
        FAILS,
    ),
    "noise_doubled": (
        "printed_black_scholes_step",
        lambda w, mu, sigma, dt, dW: w + mu * w * dt + 2 * sigma * w * dW,
        FAILS,
    ),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_wrong_formula_changes_the_verdict(mutation, monkeypatch):
    formula, other, expected = MUTATIONS[mutation]
    monkeypatch.setattr(theory, formula, other)
    assert measure("S3-04") == expected != every_claim()["S3-04"].recorded


@pytest.mark.parametrize("lag", [0, 1])
@pytest.mark.parametrize("equation", ["black_scholes", "langevin"])
def test_the_errors_are_those_of_simulated_paths(equation, lag):
    """10^5 paths of 8 steps; for OU the exact solution needs the integral of e^-mu(h-s) dW beside Delta W."""
    count, steps, mu, sigma = 100_000, 8, 0.8, 0.6
    generator, h = numpy.random.default_rng(3), 1 / steps
    dW = math.sqrt(h) * generator.standard_normal((steps + 1, count))  # dW[0] is that of before the start
    w = x = numpy.ones(count)
    joint = -math.expm1(-mu * h) / mu
    rest = math.sqrt(-math.expm1(-2 * mu * h) / (2 * mu) - joint**2 / h)
    for i in range(steps):
        used = dW[i + 1 - lag]
        if equation == "black_scholes":
            w = w + mu * w * h + sigma * w * used
            x = x * numpy.exp((mu - sigma**2 / 2) * h + sigma * dW[i + 1])
        else:
            w = w - mu * w * h + sigma * used
            noise = joint / h * dW[i + 1] + rest * generator.standard_normal(count)
            x = math.exp(-mu * h) * x + sigma * noise
    strong, weak, _ = theory.errors_at_the_end(equation, steps, lag=lag)
    squares = (w - x) ** 2
    assert abs(squares.mean() - strong**2) < 4 * squares.std() / math.sqrt(count)
    assert abs(abs((w - x).mean()) - weak) < 4 * (w - x).std() / math.sqrt(count)


def test_the_limits_of_the_strong_errors():
    """sigma^4 T E X(T)^2/2 per h for geometric Brownian motion, for OU an integral per h^2."""
    mu, sigma, steps = 0.8, 0.6, 2**15
    strong = theory.errors_at_the_end("black_scholes", steps, lag=0)[0]
    assert strong**2 * steps == pytest.approx(sigma**4 / 2 * math.exp(2 * mu + sigma**2), rel=1e-3)

    def density(left):
        return math.exp(-2 * mu * left) * (mu**2 / 3 - mu**3 * left / 2 + mu**4 * left**2 / 4)

    limit = sigma**2 * integrate.quad(density, 0, 1)[0] + (mu**2 / 2 * math.exp(-mu)) ** 2
    strong = theory.errors_at_the_end("langevin", 2**12, lag=0)[0]
    assert strong**2 * 2**24 == pytest.approx(limit, rel=1e-2)
