"""The conditional mean of two modes: closed forms, limits with their rates, t_sharp, linearity, claims, the study."""

import json
import math

import numpy
import pandas
import pytest
import torch
from helpers import assert_close, measure, normal, seeded
from matplotlib.figure import Figure

import scorelab
from scorelab.channel import HALF_PI
from scorelab.claims import FAILS, HOLDS
from scorelab.claims.registry import every_claim
from scorelab.errors import ConfigError
from scorelab.studies import ConditionalMean, draw
from scorelab.studies.conditional_mean import claims
from scorelab.studies.conditional_mean.theory import COORDINATES, TwoModeMean
from scorelab.targets import AnisotropicMixture, GaussianMixture

#: the text's target; equal weights; nearly one mode; another width and a mean that is not 0
TARGETS = {
    "text": GaussianMixture.two_modes(0.7, n=128),
    "equal": GaussianMixture.two_modes(0.5, n=6),
    "close": GaussianMixture.two_modes(0.2, 0.3 * torch.ones(4)),
    "wide": GaussianMixture([0.3, 0.7], [[1.0, 2.0, 0.5], [-0.5, 1.0, -1.0]], 0.6),
}
TIMES = [1e-3, 0.03, 1.0, 50.0]
every_target = pytest.mark.parametrize("name", TARGETS)


def vector(*values):
    return torch.tensor(values, dtype=torch.float64)


def states(target, t, count=200, seed=0):
    """Exact draws of Y_t (count, n), their u, the state x_phi of the same channel, and the angle."""
    draws = seeded(seed)
    y = t * target.sample(count, draws, torch.float64) + math.sqrt(t) * normal(count, target.n, seed=seed + 1)
    u = y @ target.direction / (t * target.direction.square().sum())
    return y, u, y / math.sqrt(t * (t + 1)), math.atan(math.sqrt(t))


# Closed forms. ------------------------------------------------------------------------------------------------------


@every_target
@pytest.mark.parametrize("t", TIMES)
def test_weight_and_mean_are_those_of_the_mixture(name, t):
    target = TARGETS[name]
    exact = TwoModeMean.of(target)
    _, u, x, angle = states(target, t)
    squared = target.direction.square().sum()
    assert_close(exact.weight(u, t), target.posterior_weights(x, angle)[:, 0], rtol=0, atol=1e-12)
    assert_close(exact.mean(u, t), target.posterior_mean(x, angle) @ target.direction / squared, rtol=0, atol=1e-12)


@pytest.mark.parametrize("t", TIMES)
def test_weight_is_that_of_equations_14_and_15(t):
    p, target = 0.7, TARGETS["text"]
    y, u, _, _ = states(target, t)
    a = target.direction
    first, second = (y - t * (1 - p) * a).square().sum(1), (y + t * p * a).square().sum(1)
    density = torch.stack([-first, -second], 1) / (2 * t * (t + 1)) + vector(p, 1 - p).log()
    by_tanh = 0.5 * (1 + torch.tanh((second - first) / (4 * t * (t + 1)) + 0.5 * math.log(p / (1 - p))))
    exact = TwoModeMean.of(target).weight(u, t)
    assert_close(exact, torch.softmax(density, 1)[:, 0], rtol=0, atol=1e-12)
    assert_close(exact, by_tanh, rtol=0, atol=1e-12)


@pytest.mark.parametrize("t", TIMES)
def test_weight_and_mean_are_integrals_over_x(t):
    """On a line: the likelihood exp(-(y - t x)^2/(2 t)) times each mode's density, summed over a fine grid of x."""
    a, p, std = 3.0, 0.7, 0.8
    exact = TwoModeMean(p, a**2, std)
    for u in (-1.5, -0.4, 0.1, 0.9):
        y, means = t * a * u, vector((1 - p) * a, -p * a).unsqueeze(1)
        centres, width = (std**2 * y + means) / (1 + std**2 * t), std / math.sqrt(1 + std**2 * t)
        x = centres + width * torch.linspace(-12, 12, 4001, dtype=torch.float64)
        log = -((y - t * x) ** 2) / (2 * t) - 0.5 * ((x - means) / std) ** 2
        mass = vector(p, 1 - p).unsqueeze(1) * torch.exp(log - log.max())
        weight, mean = mass[0].sum() / mass.sum(), (mass * x).sum() / mass.sum()
        assert_close(exact.weight(u, t), weight, rtol=0, atol=1e-12)
        assert_close(exact.mean(u, t), mean / a, rtol=0, atol=1e-12)


@every_target
@pytest.mark.parametrize("t", TIMES)
def test_the_law_of_the_abscissa_keeps_the_mean_of_the_weight(name, t):
    """E gamma_1 = p at every t, and E m = E X, over the exact law; it is that of the noisy projection."""
    target = TARGETS[name]
    exact = TwoModeMean.of(target)
    law = exact.law(t)
    ends = law.quantile([1e-16, 1 - 1e-16])
    u = torch.linspace(float(ends[0]), float(ends[1]), 20001, dtype=torch.float64)
    mass = law.pdf(u) * (u[1] - u[0])
    assert_close(mass @ exact.weight(u, t), exact.p, rtol=1e-10)
    assert_close(mass @ exact.mean(u, t), exact.centre, rtol=1e-10, atol=1e-10)
    scaled = target.output_law(math.atan(math.sqrt(t)), "scaled").projection(target.direction)
    assert_close(law.means, scaled.means, rtol=1e-12)
    assert_close(law.stds, scaled.stds, rtol=1e-12)
    dense = law.pdf(u) >= exact.density_level(t, 0.9)
    assert_close(mass[dense].sum(), 0.9, rtol=0, atol=2e-3)


# Slopes. ------------------------------------------------------------------------------------------------------------


@every_target
@pytest.mark.parametrize("t", TIMES)
def test_slopes_are_the_derivatives(name, t):
    """By autograd at gamma_1 = 1/2, where they are largest; in each coordinate by the chain rule."""
    target = TARGETS[name]
    exact = TwoModeMean.of(target)
    u = (exact.transition(t) + torch.linspace(-2, 2, 401, dtype=torch.float64)).requires_grad_()
    weight, mean = exact.weight(u, t), exact.mean(u, t)
    assert_close(weight[200].detach(), 0.5, rtol=1e-9)
    (of_weight,) = torch.autograd.grad(weight.sum(), u)
    (of_mean,) = torch.autograd.grad(mean.sum(), u)
    in_a_mode = exact.law(t).stds[0]
    chain = {"scaled": 1.0, "state": t * exact.a_squared, "standardised": 1 / in_a_mode}
    for coordinate in COORDINATES:
        assert_close(exact.slope(t, coordinate), of_weight[200] / chain[coordinate], rtol=1e-9)
    assert_close(exact.mean_slope(t), of_mean[200], rtol=1e-9)
    assert int(of_weight.argmax()) == int(of_mean.argmax()) == 200


def test_the_slope_falls_in_the_state_and_grows_in_the_coordinate_of_the_figures():
    exact, t = TwoModeMean.of(TARGETS["text"]), torch.logspace(-6, 6, 100).double()
    assert bool((exact.slope(t, "state").diff() < 0).all())
    for coordinate in ("scaled", "standardised"):
        assert bool((exact.slope(t, coordinate).diff() > 0).all())
    for coordinate, end in (("state", 1e-9), ("scaled", 1e9), ("standardised", 1e9)):
        assert exact.largest_slope(coordinate) * (1 - 1e-8) < float(exact.slope(end, coordinate))
        assert float(exact.slope(end, coordinate)) < exact.largest_slope(coordinate)


def test_the_curve_of_the_posterior_mean_is_steepest_near_one():
    """At t = (|a|^2 + 4)/(|a|^2 - 4) = 1.065 for |a|^2 = 128; at infinity for modes that are not apart."""
    exact = TwoModeMean.of(TARGETS["text"])
    assert exact.steepest_time == pytest.approx(132 / 124, rel=1e-14)
    for name in ("text", "wide"):
        exact = TwoModeMean.of(TARGETS[name])
        before, at, after = exact.mean_slope(exact.steepest_time * vector(0.999, 1.0, 1.001)).tolist()
        assert at > max(before, after)
    assert TwoModeMean(0.5, 4.0).steepest_time == math.inf


# Limits. ------------------------------------------------------------------------------------------------------------


def test_at_small_times_the_weight_is_the_prior_up_to_sqrt_t():
    """Along Y_t = t X + sqrt(t) G: gamma_1 = p + p (1-p) sqrt(t) <G, a> + O(t); the error falls fourfold with t/4."""
    target, p = TARGETS["text"], 0.7
    exact, a = TwoModeMean.of(target), target.direction
    clean, noise = target.sample(50, seeded(0), torch.float64), normal(50, 128, seed=1)
    errors = []
    for t in (1e-6, 2.5e-7):
        u = (t * clean + math.sqrt(t) * noise) @ a / (t * 128)
        log_odds = math.log(p / (1 - p)) + math.sqrt(t) * noise @ a + t * (clean @ a - 128 * (1 - 2 * p) / 2)
        assert_close(exact.log_odds(u, t), log_odds, rtol=0, atol=2 * t * float((exact.log_odds(u, t)).abs().max()))
        errors.append(exact.weight(u, t) - p - p * (1 - p) * math.sqrt(t) * noise @ a)
    assert float(errors[0].norm() / errors[1].norm()) == pytest.approx(4, rel=0.02)


def test_the_text_at_small_times_is_a_coin_instead_of_the_prior():
    """With <G, a>/sqrt(t) in the exponent E gamma_1 would go to 1/2; it is p = 0.7 at every t."""
    t, along = 1e-4, math.sqrt(128) * normal(200_000, seed=2)
    text = torch.sigmoid(math.log(0.7 / 0.3) + along / math.sqrt(t))
    assert float(text.mean()) == pytest.approx(0.5, abs=0.005)
    assert float(((text - 0.5).abs() > 0.49).double().mean()) > 0.99
    right = torch.sigmoid(math.log(0.7 / 0.3) + along * math.sqrt(t))
    assert float(right.mean()) == pytest.approx(0.7, abs=0.005)
    assert float(right.std()) == pytest.approx(0.21 * math.sqrt(128 * t), rel=0.05)


def test_at_large_times_the_posterior_mean_is_the_scaled_state():
    """|<m, a>/|a|^2 - u| <= (|u| + 1)/(t + 1); t times it has a limit."""
    exact, u = TwoModeMean.of(TARGETS["text"]), torch.linspace(-2, 2, 101, dtype=torch.float64)
    for t in (10.0, 1e3, 1e6):
        assert bool(((exact.mean(u, t) - u).abs() <= (u.abs() + 1) / (t + 1)).all())
    limit = exact.weight(u, 1e12) - 0.7 - u
    errors = [float((t * (exact.mean(u, t) - u) - limit).norm()) for t in (1e4, 1e5)]
    assert errors[0] / errors[1] == pytest.approx(10, rel=0.02)


@every_target
def test_at_large_times_the_weight_is_that_of_clean_data_and_no_step(name):
    target = TARGETS[name]
    exact = TwoModeMean.of(target)
    share = torch.linspace(-0.5, 1.5, 201, dtype=torch.float64).unsqueeze(1)
    clean = target.means[0] + share * (target.means[1] - target.means[0]) + normal(201, target.n, seed=3)
    u = clean @ target.direction / exact.a_squared
    limit = target.posterior_weights(clean, HALF_PI)[:, 0]
    assert float((limit * (1 - limit)).max()) > 0.01
    errors = [float((exact.weight(u, t) - limit).norm()) for t in (1e4, 1e5)]
    assert errors[0] / errors[1] == pytest.approx(10, rel=0.01)


def test_the_threshold_of_equation_16_is_where_the_weight_is_half():
    exact = TwoModeMean.of(TARGETS["text"])
    for t in TIMES:
        tau = 64 * t * (1 - 1.4) - (t + 1) * math.log(0.7 / 0.3)
        assert_close(t * 128 * exact.transition(t), tau, rtol=1e-12)
        assert_close(exact.weight(tau / (t * 128), t), 0.5, rtol=1e-10)


# t_sharp. -----------------------------------------------------------------------------------------------------------


@every_target
@pytest.mark.parametrize("coordinate", ["scaled", "standardised"])
def test_t_sharp_solves_its_equation(name, coordinate):
    exact = TwoModeMean.of(TARGETS[name])
    threshold = exact.largest_slope(coordinate) * vector(1e-4, 0.1, 0.5, 0.99)
    t = exact.sharp_time(threshold, coordinate)
    assert_close(exact.slope(t, coordinate), threshold, rtol=1e-10)
    assert bool((exact.slope(1.001 * t, coordinate) > threshold).all())
    assert bool((exact.slope(0.999 * t, coordinate) < threshold).all())
    above = exact.largest_slope(coordinate) * vector(1.0, 1.5)
    assert exact.sharp_time(above, coordinate).tolist() == [math.inf] * 2


@every_target
def test_t_sharp_of_the_text_is_zero_or_infinite(name):
    """In <y_t, a> the slope is above a threshold below 1/4 from the start until (1/(4 h) - 1)/s^2, above 1/4 never."""
    exact = TwoModeMean.of(TARGETS[name])
    threshold = vector(0.01, 0.1, 0.2499, 0.25, 0.3, 10.0)
    assert exact.sharp_time(threshold, "state").tolist() == [0.0] * 3 + [math.inf] * 3
    until = exact.sharp_until(threshold)
    assert until[3:].tolist() == [0.0] * 3
    assert_close(exact.slope(until[:3], "state"), threshold[:3], rtol=1e-10)
    assert bool((exact.slope(1e-12, "state") > threshold[:3]).all())
    assert bool((exact.slope(torch.logspace(-12, 6, 50), "state").max() < threshold[3:]).all())


def test_the_switches_are_half_and_two_thirds_of_the_largest_slope():
    exact = TwoModeMean.of(TARGETS["text"])
    assert_close(exact.sharp_time([16.0, 64 / 3], "scaled"), [1.0, 2.0], rtol=1e-12)


# Linearity. ---------------------------------------------------------------------------------------------------------


@every_target
@pytest.mark.parametrize("t", [0.01, 0.1, 1.0])
def test_nonlinearity_is_what_a_regression_leaves(name, t):
    """Monte Carlo over 4 * 10^5 states in ten sets, within four standard errors."""
    exact = TwoModeMean.of(TARGETS[name])
    u = exact.law(t).sample(400_000, seeded(4))
    shares = []
    for part in u.split(40_000):
        mean = exact.mean(part, t)
        shares.append(1 - float(torch.corrcoef(torch.stack([mean, part]))[0, 1] ** 2))
    error = numpy.std(shares, ddof=1) / math.sqrt(10)
    assert abs(numpy.mean(shares) - exact.nonlinearity(t)) < 4 * error


@every_target
@pytest.mark.parametrize("t", [0.03, 1.0])
def test_nonlinearity_is_the_gap_between_the_best_line_and_the_bayes_risk(name, t):
    target = TARGETS[name]
    exact, law = TwoModeMean.of(target), target.projection(target.direction)
    length = math.sqrt(exact.a_squared)
    line = GaussianMixture(law.weights, length * law.means.unsqueeze(1), length * law.stds)
    risk = float(line.bayes_risk(math.atan(math.sqrt(t)))) / exact.a_squared
    best_line = law.variance / (1 + t * exact.a_squared * law.variance)
    assert_close(exact.nonlinearity(t), (best_line - risk) / (law.variance - risk), rtol=1e-7)


@every_target
def test_nonlinearity_vanishes_at_both_ends_with_the_stated_rates(name):
    exact = TwoModeMean.of(TARGETS[name])
    small, large = 1e-5 / exact.a_squared, 1e4 / exact.std**2
    assert exact.nonlinearity(small) < 1e-5
    assert exact.nonlinearity(large) < 1e-8
    assert_close(exact.nonlinearity(small), exact.nonlinearity_limits(small)[0], rtol=1e-3)
    assert_close(exact.nonlinearity(large), exact.nonlinearity_limits(large)[1], rtol=1e-3)
    largest, at = exact.most_nonlinear()
    grid = numpy.geomspace(1e-4, 1e4, 200) / exact.a_squared
    assert largest >= max(exact.nonlinearity(t) for t in grid) - 1e-12
    assert exact.nonlinearity(at) == pytest.approx(largest, rel=1e-12)


def test_late_nonlinearity_of_modes_that_are_apart():
    """kappa (1 - kappa)/t^2, and at t = 1 the text's posterior mean is a line up to 1.7 per cent of its variance."""
    exact = TwoModeMean.of(TARGETS["text"])
    assert exact.between == pytest.approx(26.88 / 27.88, rel=1e-12)
    assert float(exact.nonlinearity_limits(1.0)[1]) == pytest.approx(exact.between * (1 - exact.between), rel=1e-4)
    assert exact.nonlinearity(1.0) == pytest.approx(0.01697, abs=1e-5)


# The claims. --------------------------------------------------------------------------------------------------------

#: claim, formula, another one, its verdict
WRONG = {
    "half of the log-odds in (15)": (
        "S0-10",
        "printed_weight_15",
        lambda y, t: torch.tanh(claims.printed_weight_14(y, t)),
        FAILS,
    ),
    "another sign of the prior in (14)": (
        "S0-10",
        "printed_weight_14",
        lambda y, t: claims.printed_weight_15(y, t, 1 - claims.P) * 1.0,
        FAILS,
    ),
    "the other power of t made right": (
        "S0-12",
        "printed_early_weight",
        claims.corrected_early_weight,
        HOLDS,
    ),
    "twice the exponent at small t": (
        "S0-12",
        "corrected_early_weight",
        lambda noise, t: claims.printed_early_weight(2 * noise * t, t),
        FAILS,
    ),
    "half the slope of clean data": (
        "S0-13",
        "corrected_late_weight",
        lambda u: torch.sigmoid(math.log(claims.P / (1 - claims.P)) + claims.A**2 * (u - 0.5 + claims.P) / 2),
        FAILS,
    ),
    "twice the slope in the state": ("S0-14", "EXACT", TwoModeMean(claims.P, claims.A**2, std=0.5), FAILS),
    "half of the distance in t_sharp": ("S0-15", "EXACT", TwoModeMean(claims.P, claims.A**2 / 2), FAILS),
}


@pytest.mark.parametrize("name", WRONG)
def test_another_formula_gets_another_verdict(name, monkeypatch):
    claim, formula, mutated, verdict = WRONG[name]
    monkeypatch.setattr(claims, formula, mutated)
    assert measure(claim) == verdict != every_claim()[claim].recorded


# The study. ---------------------------------------------------------------------------------------------------------

QUICK = ("study=conditional_mean", "study.points=60", "figures.dpi=50", "threads=1")


@pytest.fixture(scope="module")
def result(run_once):
    return run_once(*QUICK)


def test_a_run_writes_its_tables_numbers_and_figure(result):
    table = pandas.read_csv(result.directory / "conditional_mean.csv")
    assert len(table) == 60
    assert_close(table["slope_state"].tolist(), (0.25 / (1 + table["t"])).tolist(), rtol=1e-12)
    assert_close(table["slope_scaled"].tolist(), (32 * table["t"] / (1 + table["t"])).tolist(), rtol=1e-12)
    sharp = pandas.read_csv(result.directory / "t_sharp.csv")
    assert set(sharp["sharp_t_state"]) == {0.0, math.inf}
    assert "conditional_mean" in ConditionalMean.figures
    assert isinstance(draw(ConditionalMean, "conditional_mean", result.arrays["conditional_mean"]), Figure)
    assert (result.directory / "figures" / "conditional_mean.png").stat().st_size > 10_000
    json.loads((result.directory / "metrics.json").read_text(), parse_constant=lambda name: pytest.fail(name))
    assert not (result.directory / "samples.npy").exists()


def test_the_numbers_of_the_text_s_target(result):
    found = result.metrics["conditional_mean"]
    assert found["slope_sup_scaled"] == 32
    assert found["mean_slope_max_t"] == pytest.approx(1.0645, abs=1e-4)
    assert found["speciation_t"] == pytest.approx(0.02958, abs=1e-5)
    assert found["nonlinearity_max"] == pytest.approx(0.14286, abs=1e-5)
    assert found["nonlinearity_max_t"] == pytest.approx(0.0757, abs=1e-4)
    assert found["at"]["speciation"]["undecided"] == pytest.approx(0.5, abs=1e-6)
    assert found["at"]["text"]["slope_scaled"] == 16
    assert found["sharp_t_state"].count(None) == sum(threshold >= 0.25 for threshold in found["threshold"])


def test_two_modes_of_another_width_and_place_have_a_run(tmp_path):
    target = ["target=mixture", "target.n=3", "target.weights=[1,3]", "target.means=[1,[0,1,2]]", "target.std=0.5"]
    result = scorelab.run([*QUICK, *target], tmp_path / "run").metrics["conditional_mean"]
    assert (result["p"], result["std"]) == (0.25, 0.5)
    assert result["a_squared"] == pytest.approx(2.0)
    assert result["slope_sup_scaled"] == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (["target=mixture"], "mixture of 3 modes; exactly two"),
        (["target=mixture", "target.weights=[1]", "target.means=[0]"], "mixture of 1 modes; exactly two"),
        (
            ["target=mixture", "target.weights=[1,1]", "target.means=[0,1]", "target.std=[1,2]"],
            r"std = \[1.0, 2.0\]; two modes of one standard deviation",
        ),
        (["target=mixture", "target.weights=[1,1]", "target.means=[1,1]"], "have one mean and one std"),
        (["study.t_min=10", "study.t_max=1"], "t_min = 10, t_max = 1: t_min < t_max"),
        (["study.thresholds=[0]"], "study.thresholds"),
        (["study.times=[]"], "study.times"),
        (["+study.switches.speciation=3"], "speciation is a name"),
    ],
)
def test_other_targets_and_mistakes_are_refused_in_one_line(target, message, tmp_path):
    with pytest.raises(ConfigError, match=message) as refused:
        scorelab.run([*QUICK, *target], tmp_path / "run")
    assert "\n" not in str(refused.value)


def test_a_target_without_modes_is_refused():
    with pytest.raises(ValueError, match=r"two .*: the target has no isotropic Gaussian modes"):
        TwoModeMean.of(AnisotropicMixture([0.7, 0.3], torch.eye(2), torch.ones(2, 2)))
