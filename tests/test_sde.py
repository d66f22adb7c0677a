"""Euler-Maruyama and Milstein: their exact errors agree with simulated paths; wrong formulas change the verdict."""

import math

import numpy
import pytest
from helpers import composed, measure
from scipy import integrate

import scorelab
from scorelab.claims import FAILS, HOLDS
from scorelab.claims.registry import every_claim
from scorelab.errors import ConfigError
from scorelab.lab.config import check
from scorelab.studies.sde import paths, theory

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


# Milstein. ------------------------------------------------------------------------------------------------------------


def test_the_schemes_have_their_strong_orders_on_geometric_brownian_motion():
    for scheme, order in (("euler_maruyama", 0.5), ("milstein", 1.0)):
        whole, half = (theory.errors_at_the_end("black_scholes", n, lag=0, scheme=scheme)[0] for n in (1024, 2048))
        assert math.log2(whole / half) == pytest.approx(order, abs=5e-3), scheme


def test_a_step_of_milstein_misses_a_third_power_of_the_noise():
    """X' less the scheme is sigma^3 (dW^3 - 3 h dW)/6 + mu sigma h dW to leading order: its square has the mean
    (sigma^6/6 + mu^2 sigma^2) h^3."""
    mu, sigma, steps = 0.8, 0.6, 2**12
    strong = theory.errors_at_the_end("black_scholes", 1, lag=0, mu=mu, sigma=sigma, T=1 / steps, scheme="milstein")[0]
    assert strong**2 * steps**3 == pytest.approx(sigma**6 / 6 + mu**2 * sigma**2, rel=2e-3)


# The OU process. ------------------------------------------------------------------------------------------------------


def test_the_moments_of_the_ou_process_solve_their_odes_and_those_of_the_scheme_their_recursion():
    kappa, volatility, optimum, start, t, dt = 0.7, 0.3, 0.5, -0.2, 1.9, 0.1

    def slope(_, state):
        return [kappa * (optimum - state[0]), -2 * kappa * state[1] + volatility**2]

    exact = integrate.solve_ivp(slope, (0, t), [start, 0.0], method="DOP853", rtol=1e-12, atol=1e-14).y[:, -1]
    assert paths.ornstein_uhlenbeck_mean(t, kappa, optimum, start) == pytest.approx(exact[0], abs=1e-10)
    assert paths.ornstein_uhlenbeck_variance(t, kappa, volatility) == pytest.approx(exact[1], abs=1e-10)
    mean, variance = start, 0.0
    for _ in range(19):
        mean, variance = mean + kappa * (optimum - mean) * dt, (1 - kappa * dt) ** 2 * variance + volatility**2 * dt
    assert paths.scheme_mean(19, kappa, optimum, start, dt) == pytest.approx(mean, rel=1e-12)
    assert paths.scheme_variance(19, kappa, volatility, dt) == pytest.approx(variance, rel=1e-12)
    starts = numpy.full(20_000, start)
    *_, x = paths.ornstein_uhlenbeck_paths(kappa, volatility, optimum, starts, dt, 19, numpy.random.default_rng(6))
    assert abs(x.mean() - mean) < 4 * x.std() / math.sqrt(len(x))
    assert x.var() == pytest.approx(variance, rel=4 * math.sqrt(2 / len(x)))


# The study. -----------------------------------------------------------------------------------------------------------

QUICK = ("study=sde", "threads=1", "study.schemes.counts=[16,32,64,128]", "study.schemes.paths=8000")
QUICK += ("study.ou.replicas=400", "study.ou.dt=0.02", "figures.dpi=50")


@pytest.fixture(scope="module")
def result(run_once):
    return run_once(*QUICK)


def test_measured_errors_and_orders_are_within_four_standard_errors_of_the_exact_ones(result):
    found = result.metrics["sde"]["schemes"]
    names = {"black_scholes_euler_maruyama": 0.5, "black_scholes_milstein": 1.0, "langevin_euler_maruyama": 1.0}
    for name, strong in names.items():
        for key in ("strong", "weak", "weak_second", "strong_order", "weak_order", "weak_second_order"):
            if f"sde.schemes.{name}.{key}" in result.metrics.get("not_measured", ()):
                continue  # an error that is too small to be measured
            value, error, exact = (numpy.array(found[name][f"{key}{end}"]) for end in ("", "_standard_error", "_exact"))
            assert (numpy.abs(value - exact) < 4 * error).all(), (name, key)
        assert found[name]["strong_order"] == pytest.approx(strong, abs=0.1), name


def test_the_ou_process_of_both_protocols_has_its_exact_variance(result, undrawn, tmp_path):
    author = scorelab.run([*QUICK, "study.protocol=author", "study.ou.dt=0.1"], tmp_path / "run")
    for run, kappa, limit in ((result, 1.0, 0.01 * 0.1**2 / 2), (author, 0.1, 2.5 * 0.01 * 0.1**2)):
        found = run.metrics["sde"]["ou"]
        assert found["kappa"] == kappa
        assert found["stationary_variance"] == pytest.approx(limit)
        for key in ("mean", "variance"):
            value, error = found["end"][key], found["end"][f"{key}_standard_error"]
            assert abs(value - found["end"][f"{key}_scheme"]) < 4 * error, key
        assert abs(found["inside"] - found["inside_exact"]) < 4 * found["inside_standard_error"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("study.schemes.counts=[10,20,40,60]", "40 does not divide 60"),
        ("study.schemes.counts=[8,16]", "at least 4 values"),
        ("study.schemes.mu=6", "study.schemes.mu = 6"),
        ("study.ou.dt=2", "ou.dt = 2: allowed is a number below 2/kappa = 2"),
        ("study.ou.dt=1e-6", "from 1 to 100000 steps"),
        ("study.ou.t_max=-1", "study.ou.t_max = -1"),
        ("study.protocol=paper", "study.protocol = paper"),
    ],
)
def test_mistakes_are_refused_in_one_line(override, message):
    with pytest.raises(ConfigError, match=message) as refused:
        check(composed("study=sde", override))
    assert "\n" not in str(refused.value)
