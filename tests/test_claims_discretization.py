"""Claims on discretization and on stochastic gradients: a wrong factor or sign changes the verdict, and the closed
forms behind them are those of simulations."""

import math

import numpy
import pytest
from scipy import integrate

from scorelab.claims import CORRECTED, FAILS, HOLDS, Budget, judge
from scorelab.claims.claim import REGISTRY
from scorelab.studies.discretization import claims as discretization
from scorelab.studies.sgd import claims as stochastic_gradients


def verdict(name):
    return judge(REGISTRY[name].measure(Budget(quick=True, seed=0, claim=name)))


#: claim, module, printed formula, another one, its verdict
MUTATIONS = {
    "start_twice_as_fast": ("S1-03", "printed_initialisation", lambda kl, T: math.sqrt(kl) * math.exp(-2 * T), FAILS),
    "start_half": ("S1-03", "printed_initialisation", lambda kl, T: 0.5 * math.sqrt(kl) * math.exp(-T), FAILS),
    "start_slower": ("S1-03", "printed_initialisation", lambda kl, T: math.sqrt(kl) * math.exp(-T / 2), FAILS),
    "steps_half": (
        "S1-03",
        "printed_discretization",
        lambda L, d, h, m2, T: 0.5 * (L * math.sqrt(d * h) + L * m2 * h) * math.sqrt(T),
        FAILS,
    ),
    "steps_first_order": (
        "S1-03",
        "printed_discretization",
        lambda L, d, h, m2, T: (L * math.sqrt(d) * h + L * m2 * h) * math.sqrt(T),
        FAILS,
    ),
    "score_without_time": ("S1-03", "printed_score", lambda eps, T: eps, FAILS),
    "score_half": ("S1-03", "printed_score", lambda eps, T: 0.5 * eps * math.sqrt(T), FAILS),
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
        stochastic_gradients.second_moment_rate,
        HOLDS,
    ),
    "index_right": ("S3-04", "printed_increment", lambda i: i + 1, HOLDS),
    "drift_reversed": (
        "S3-04",
        "printed_langevin_step",
        lambda w, mu, sigma, dt, dW: w + mu * w * dt + sigma * dW,
        FAILS,
    ),
    "noise_doubled": (
        "S3-04",
        "printed_black_scholes_step",
        lambda w, mu, sigma, dt, dW: w + mu * w * dt + 2 * sigma * w * dW,
        FAILS,
    ),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_wrong_formula_changes_the_verdict(mutation, monkeypatch):
    name, formula, other, expected = MUTATIONS[mutation]
    module = discretization if hasattr(discretization, formula) and name in ("S1-03", "S3-04") else stochastic_gradients
    monkeypatch.setattr(module, formula, other)
    assert verdict(name) == expected != REGISTRY[name].recorded


def test_a_wrong_growth_factor_changes_the_verdict(monkeypatch):
    """The corrected statement can fail as well: with d in place of d + 2."""
    monkeypatch.setattr(stochastic_gradients, "growth_factor", lambda g, d: 1 - 2 * g + d * g**2)
    assert verdict("S3-02") == FAILS != REGISTRY["S3-02"].recorded


# Euler-Maruyama. ----------------------------------------------------------------------------------------------------


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
    strong, weak, _ = discretization.errors_at_the_end(equation, steps, lag=lag)
    squares = (w - x) ** 2
    assert abs(squares.mean() - strong**2) < 4 * squares.std() / math.sqrt(count)
    assert abs(abs((w - x).mean()) - weak) < 4 * (w - x).std() / math.sqrt(count)


def test_the_limits_of_the_strong_errors():
    """sigma^4 T E X(T)^2/2 per h for geometric Brownian motion, for OU an integral per h^2."""
    mu, sigma, steps = 0.8, 0.6, 2**15
    strong = discretization.errors_at_the_end("black_scholes", steps, lag=0)[0]
    assert strong**2 * steps == pytest.approx(sigma**4 / 2 * math.exp(2 * mu + sigma**2), rel=1e-3)

    def density(left):
        return math.exp(-2 * mu * left) * (mu**2 / 3 - mu**3 * left / 2 + mu**4 * left**2 / 4)

    limit = sigma**2 * integrate.quad(density, 0, 1)[0] + (mu**2 / 2 * math.exp(-mu)) ** 2
    strong = discretization.errors_at_the_end("langevin", 2**12, lag=0)[0]
    assert strong**2 * 2**24 == pytest.approx(limit, rel=1e-2)


# Stochastic gradients. ----------------------------------------------------------------------------------------------


def test_the_second_moments_are_those_of_simulated_descents():
    """2 10^4 runs of 50 steps with normal inputs, and with the code's uniform ones."""
    count, steps, optimum = 20_000, 50, stochastic_gradients._OPTIMUM
    generator = numpy.random.default_rng(1)
    for nodes, draw, step in (
        (stochastic_gradients._normal_nodes(5), lambda: generator.standard_normal((count, 5)), 0.05),
        (stochastic_gradients._uniform_nodes(5, 5.0), lambda: generator.uniform(0, 5, (count, 5)), 0.01),
    ):
        theta = numpy.zeros((count, 5))
        for _ in range(steps):
            x = draw()
            residual = ((theta - optimum) * x).sum(1) - 0.1 * generator.standard_normal(count)
            theta = theta - step * x * residual[:, None]
        squares = ((theta - optimum) ** 2).sum(1)
        exact = stochastic_gradients.mean_square(lambda t, step=step: step, *nodes, steps)[-1]
        assert abs(squares.mean() - exact) < 4 * squares.std() / math.sqrt(count)


def test_steps_of_two_over_d_plus_two_neither_grow_nor_shrink():
    for d in (1, 5, 50):
        assert stochastic_gradients.growth_factor(2 / (d + 2), d) == pytest.approx(1, abs=1e-14)
        assert stochastic_gradients.growth_factor(1.9 / (d + 2), d) < 1 < stochastic_gradients.growth_factor(0.99, d)


def test_the_covariance_of_gradients_has_a_multiplicative_part():
    away, noise = numpy.array([0.5, -1.0, 0.2]), 0.3
    exact = (away @ away + noise**2) * numpy.eye(3) + numpy.outer(away, away)
    assert numpy.allclose(stochastic_gradients._covariance_of_gradients(away, noise), exact, atol=1e-12)
    assert verdict("S3-03") == CORRECTED
