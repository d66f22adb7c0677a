"""The exact answers about Gaussian mixtures, each against a computation that shares nothing with it."""

import itertools
import math

import numpy
import pytest
import torch
from helpers import assert_close, noisy_states, normal, product_grid, random_mixture, refused, seeded, standard_error
from hypothesis import given
from hypothesis import strategies as some
from scipy import stats
from torch.distributions import Normal

from scorelab import channel
from scorelab.channel import HALF_PI, mix
from scorelab.schedules import Localization
from scorelab.targets import GaussianMixture

ANGLES = [0.0, 1e-3, 0.4, 1.0, 1.5, HALF_PI]
LOCALIZATION = Localization(grid="angle", alpha_max=1.4, T=None, t_min=6e-4)

#: mixtures of every kind, in up to seven dimensions, and every angle with both ends
mixtures = some.builds(
    random_mixture,
    modes=some.integers(1, 4),
    n=some.integers(1, 7),
    std=some.sampled_from(["unit", "common", "per_mode"]),
    seed=some.integers(0, 9),
)
angles = some.sampled_from(ANGLES) | some.floats(0, HALF_PI)


def answers(target):
    """The answers that depend on a noisy state and its angle."""
    return target.posterior_mean, target.posterior_weights, target.noisy_log_prob, target.noisy_score


def naive_log_joint(target, x, angle):
    """log w_k + log p(x | mode k) from one normal density a coordinate."""
    sin, cos = math.sin(angle), math.cos(angle)
    columns = []
    for weight, mean, std in zip(target.weights, target.means, target.std, strict=True):
        noisy = Normal(sin * mean, torch.sqrt((sin * std) ** 2 + cos**2))
        columns.append(torch.log(weight) + noisy.log_prob(x).sum(1))
    return torch.stack(columns, 1)


def numpy_log_density(target, points):
    """log p(x) of the clean law on points (count, n), in numpy."""
    terms = []
    for weight, mean, std in zip(target.weights.numpy(), target.means.numpy(), target.std.numpy(), strict=True):
        squared = ((points - mean) ** 2).sum(1) / std**2
        terms.append(numpy.log(weight) - 0.5 * squared - target.n * numpy.log(std * math.sqrt(2 * math.pi)))
    return numpy.logaddexp.reduce(terms)


# The posterior. -----------------------------------------------------------------------------------------------------


@given(target=mixtures, angle=angles)
def test_posterior_weights_agree_with_a_naive_softmax(target, angle):
    x = noisy_states(target, angle, 50)
    expected = torch.softmax(naive_log_joint(target, x, angle), 1)
    assert_close(target.posterior_weights(x, angle), expected, rtol=1e-11, atol=1e-14)


@given(p=some.floats(0.02, 0.98), n=some.integers(1, 10), log_t=some.floats(-3, 4))
def test_two_modes_agree_with_equations_14_and_15_in_native_coordinates(p, n, log_t):
    a, t = normal(n, seed=n), 10**log_t
    target = GaussianMixture.two_modes(p, a)
    draws = seeded(1)
    y = t * target.sample(40, draws, torch.float64)
    y += math.sqrt(t) * torch.randn(y.shape, generator=draws, dtype=torch.float64)
    to_right, to_left = (y - t * (1 - p) * a).square().sum(1), (y + t * p * a).square().sum(1)
    right = p * torch.exp(-to_right / (2 * t * (t + 1)))
    equation_14 = right / (right + (1 - p) * torch.exp(-to_left / (2 * t * (t + 1))))
    equation_15 = (1 + torch.tanh((to_left - to_right) / (4 * t * (t + 1)) + math.log(p / (1 - p)) / 2)) / 2
    assert_close(equation_14, equation_15, rtol=1e-9, atol=1e-13)
    x, angle = LOCALIZATION.to_angle(y, t)
    assert_close(target.posterior_weights(x, angle)[:, 0], equation_15, rtol=1e-9, atol=1e-13)
    section_7_3 = (y + (equation_15 - p).unsqueeze(1) * a) / (t + 1)
    assert_close(target.posterior_mean(x, angle), section_7_3, rtol=1e-10, atol=1e-11)


def posterior_mean_by_quadrature(target, x, angle):
    """E[X | x] of states x (count, n) by sums over a grid of clean points."""
    sin, cos = math.sin(angle), math.cos(angle)
    means, stds = target.means.numpy(), target.std.numpy()
    narrowest = (stds * cos / numpy.sqrt(stds**2 * sin**2 + cos**2)).min()
    points, _ = product_grid(means.min(0) - 10 * stds.max(), means.max(0) + 10 * stds.max(), 0.5 * narrowest)
    prior = numpy_log_density(target, points)
    expected = []
    for state in x.numpy():
        log_posterior = prior - 0.5 * ((state - sin * points) ** 2).sum(1) / cos**2
        posterior = numpy.exp(log_posterior - log_posterior.max())
        expected.append(posterior @ points / posterior.sum())
    return torch.from_numpy(numpy.stack(expected))


def test_posterior_mean_agrees_with_quadrature():
    for kind in ((1, 1, "unit"), (2, 1, "per_mode"), (3, 2, "common"), (3, 2, "per_mode")):
        target = random_mixture(*kind)
        for angle in (0.0, 0.1, 0.5, 1.0, 1.3):
            x = noisy_states(target, angle, 8)
            expected = posterior_mean_by_quadrature(target, x, angle)
            assert_close(target.posterior_mean(x, angle), expected, rtol=1e-9, atol=1e-11, case=(kind, angle))


@given(target=mixtures)
def test_posterior_mean_at_the_ends_is_the_mean_and_the_state(target):
    x = noisy_states(target, 0.0, 20)
    mean = (target.weights @ target.means).expand(20, target.n)
    assert_close(target.posterior_mean(x, 0.0), mean, rtol=1e-13, atol=1e-14)
    assert_close(target.posterior_mean(x, HALF_PI), x, rtol=1e-14)


def test_posterior_mean_leaves_an_error_orthogonal_to_functions_of_the_state():
    for std, angle in itertools.product(("unit", "per_mode"), (0.3, 1.0, 1.4)):
        target = random_mixture(3, 6, std)
        draws = seeded(5)
        clean = target.sample(20_000, draws, torch.float64)
        x = mix(clean, torch.randn(clean.shape, generator=draws, dtype=torch.float64), angle)
        error = clean - target.posterior_mean(x, angle)
        for number, function in enumerate((torch.ones_like(x), x, torch.sin(2 * x), x.roll(1, 1))):
            products = (error * function).sum(1)
            assert abs(float(products.mean())) < 4 * standard_error(products), (std, angle, number)


# The noisy law. -----------------------------------------------------------------------------------------------------


@given(target=mixtures, angle=angles)
def test_noisy_log_prob_agrees_with_scipy(target, angle):
    x = noisy_states(target, angle, 30)
    sin, cos = math.sin(angle), math.cos(angle)
    terms = [
        math.log(weight) + stats.multivariate_normal(sin * mean.numpy(), sin**2 * s**2 + cos**2).logpdf(x.numpy())
        for weight, mean, s in zip(target.weights.tolist(), target.means, target.std.tolist(), strict=True)
    ]
    expected = torch.from_numpy(numpy.logaddexp.reduce(terms).reshape(-1))
    assert_close(target.noisy_log_prob(x, angle), expected, rtol=1e-11, atol=1e-12)
    if angle == HALF_PI:
        assert torch.equal(target.log_prob(x), target.noisy_log_prob(x, angle))


@given(std=some.sampled_from(["unit", "common", "per_mode"]), angle=angles)
def test_noisy_density_integrates_to_one(std, angle):
    target = random_mixture(3, 1, std)
    x = torch.arange(-30, 30, 0.05, dtype=torch.float64).unsqueeze(1)
    assert_close(float(target.noisy_log_prob(x, angle).exp().sum() * 0.05), 1.0, rtol=1e-12)


@given(target=mixtures, angle=angles)
def test_noisy_score_is_the_gradient_of_the_log_density(target, angle):
    x = noisy_states(target, angle, 30).requires_grad_()
    (gradient,) = torch.autograd.grad(target.noisy_log_prob(x, angle).sum(), x)
    assert_close(target.noisy_score(x.detach(), angle), gradient, rtol=1e-9, atol=1e-10)
    if angle == HALF_PI:
        assert torch.equal(target.score(x.detach()), target.noisy_score(x.detach(), angle))


@given(target=mixtures, angle=some.sampled_from(ANGLES) | some.floats(1e-3, 1.5))
def test_posterior_mean_and_noisy_score_satisfy_tweedie(target, angle):
    x = noisy_states(target, angle, 30)
    m, score = target.posterior_mean(x, angle), target.noisy_score(x, angle)
    assert_close(channel.posterior_mean_to_noise(m, x, angle), channel.score_to_noise(score, x, angle), 1e-9, 1e-11)
    if angle < HALF_PI:
        assert_close(channel.posterior_mean_to_score(m, x, angle), score, rtol=1e-9, atol=1e-9)
    if angle > 0:
        assert_close(channel.score_to_posterior_mean(score, x, angle), m, rtol=1e-9, atol=1e-9)


# Extremes, dtypes and the ways to give an angle. --------------------------------------------------------------------


def extreme_two_modes():
    """Two modes of tiny, equal and tiny other weight, from one centre to far apart, in four dimensions."""
    for p, norm in itertools.product((1e-12, 0.5, 1 - 1e-12), (0.0, 1e-3, 1.0, 1e3)):
        a = normal(4, seed=1)
        yield GaussianMixture.two_modes(p, a * (norm / a.norm())), (p, norm)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_answer_about_a_state_is_finite_at_extremes(dtype):
    for two_modes, case in extreme_two_modes():
        unequal = GaussianMixture(two_modes.weights, two_modes.means, [1.0, 0.5])
        for target, angle in itertools.product((two_modes, unequal), (0.0, 1e-6, 0.5, 1.57, HALF_PI)):
            x = noisy_states(target, angle, 16, dtype=dtype)
            x = torch.cat([x, torch.zeros(1, 4, dtype=dtype), 100 * x[:1]])
            for method in answers(target):
                for same_angle in (angle, torch.full((len(x),), angle, dtype=dtype)):
                    result = method(x, same_angle)
                    assert result.dtype == dtype
                    assert bool(torch.isfinite(result).all()), (case, method.__name__, angle)
            total = target.posterior_weights(x, angle).sum(1)
            assert_close(total, torch.ones(len(x), dtype=dtype), rtol=1e-6, case=(case, angle))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_risk_density_score_and_samples_are_finite_at_extremes(dtype):
    for target, case in extreme_two_modes():
        for one in (target, GaussianMixture(target.weights, target.means[:, :1], [1.0, 0.5])):
            risk = one.bayes_risk(torch.tensor([0.0, 1e-6, 0.5, 1.57, HALF_PI], dtype=dtype))
            assert bool((torch.isfinite(risk) & (risk >= 0)).all()), case
        samples = target.sample(16, seeded(2), dtype)
        for result in (target.log_prob(100 * samples), target.score(100 * samples), samples):
            assert result.dtype == dtype
            assert bool(torch.isfinite(result).all()), case


@given(target=mixtures, angle=angles)
def test_single_precision_agrees_with_double(target, angle):
    x = noisy_states(target, angle, 50, dtype=torch.float32)
    for method in answers(target):
        case = (method.__name__, angle)
        assert_close(method(x, angle).double(), method(x.double(), angle), rtol=1e-5, atol=2e-5, case=case)


@given(target=mixtures, angle=angles)
def test_number_scalar_and_one_angle_a_sample_agree(target, angle):
    x, one = noisy_states(target, angle, 10), torch.tensor(angle, dtype=torch.float64)
    for method in answers(target):
        for same_angle in (one, one.expand(10)):
            assert_close(method(x, same_angle), method(x, angle), rtol=1e-14, case=(method.__name__, same_angle))


def test_angles_belong_to_their_own_samples():
    target = random_mixture(3, 4, "per_mode")
    angles = torch.tensor([0.0, 0.3, 1.0, HALF_PI], dtype=torch.float64)
    x = noisy_states(target, 0.8, 4)
    for method in answers(target):
        one_by_one = torch.cat([method(x[i : i + 1], float(angles[i])) for i in range(4)])
        assert_close(method(x, angles), one_by_one, rtol=1e-13, atol=1e-14, case=method.__name__)


# Sampling. ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("std", ["unit", "common", "per_mode"])
def test_samples_have_the_moments_of_the_mixture(std, dtype):
    target = random_mixture(3, 4, std)
    x = target.sample(20_000, seeded(3), dtype)
    assert x.shape == (20_000, 4)
    assert x.dtype == dtype
    x = x.double()
    mean = target.weights @ target.means
    centred = target.means - mean
    covariance = (target.weights * centred.T) @ centred + float(target.weights @ target.std**2) * torch.eye(4)
    for i in range(4):
        assert abs(float(x[:, i].mean() - mean[i])) < 4 * standard_error(x[:, i])
        for j in range(i + 1):
            products = (x[:, i] - mean[i]) * (x[:, j] - mean[j])
            assert abs(float(products.mean() - covariance[i, j])) < 4 * standard_error(products)


def test_samples_share_the_modes_by_weight_and_keep_their_spread():
    weights, centres, stds = [0.6, 0.3, 0.1], [-40.0, 0.0, 40.0], [1.0, 2.0, 0.5]
    target = GaussianMixture(weights, [[centre, centre] for centre in centres], stds)
    x = target.sample(20_000, seeded(4), torch.float64)
    nearest = (x[:, :1] - torch.tensor(centres)).abs().argmin(1)
    for mode, (weight, centre, std) in enumerate(zip(weights, centres, stds, strict=True)):
        share = (nearest == mode).double()
        assert abs(float(share.mean()) - weight) < 4 * standard_error(share)
        squared = (x[nearest == mode] - centre).square().flatten()
        assert abs(float(squared.mean()) - std**2) < 4 * standard_error(squared)


def test_samples_depend_on_the_generator_alone():
    target = random_mixture(3, 4)
    before = torch.get_rng_state()
    first, again, other = (target.sample(50, seeded(seed)) for seed in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


# What is refused, and what is normalised. ---------------------------------------------------------------------------


def test_invalid_mixture_is_refused():
    two = [[1.0], [2.0]]
    for weights, means, std, says in (
        ([0.5, 0.0], two, 1.0, "each must be > 0"),
        ([0.5, -0.5], two, 1.0, "each must be > 0"),
        ([0.5, math.nan], two, 1.0, "each must be > 0"),
        ([0.5, math.inf], two, 1.0, "each must be > 0"),
        ([1.0], two, 1.0, "weights have shape"),
        ([[0.5, 0.5]], two, 1.0, "weights have shape"),
        ([0.5, 0.5], [1.0, 2.0], 1.0, "(K, n) is needed"),
        ([0.5, 0.5], [[1.0], [math.nan]], 1.0, "finite"),
        ([0.5, 0.5], [[1.0], [math.inf]], 1.0, "finite"),
        ([0.5, 0.5], two, 0.0, "one number > 0"),
        ([0.5, 0.5], two, -1.0, "one number > 0"),
        ([0.5, 0.5], two, [1.0, 0.0], "one number > 0"),
        ([0.5, 0.5], two, [1.0, 1.0, 1.0], "or 2 of them"),
        ([0.5, 0.5], two, math.nan, "one number > 0"),
    ):
        assert says in refused(ValueError, GaussianMixture, weights, means, std), (weights, means, std)


def test_invalid_two_modes_weight_is_refused():
    for p in (0, 1, -0.1, 1.1, math.nan):
        says = refused(ValueError, GaussianMixture.two_modes, p, torch.ones(3))
        assert "strictly between 0 and 1" in says, p


def test_weights_are_normalised():
    assert_close(GaussianMixture([7, 3], [[1.0], [2.0]]).weights, torch.tensor([0.7, 0.3], dtype=torch.float64), 1e-15)


def test_two_modes_are_those_of_equation_12():
    target = GaussianMixture.two_modes(0.7, torch.tensor([2.0, -4.0]))
    assert target.n == 2
    assert_close(target.weights, torch.tensor([0.7, 0.3], dtype=torch.float64), rtol=1e-15)
    expected = torch.tensor([[0.6, -1.2], [-1.4, 2.8]], dtype=torch.float64)
    assert_close(target.means, expected, rtol=1e-14)
    assert_close(target.direction, torch.tensor([2.0, -4.0], dtype=torch.float64), rtol=1e-14)
    assert_close(target.weights @ target.means, torch.zeros(2, dtype=torch.float64), rtol=0, atol=1e-15)


def test_two_modes_default_to_the_published_setting():
    target = GaussianMixture.two_modes()
    assert target.n == 128
    assert_close(target.weights, torch.tensor([0.7, 0.3], dtype=torch.float64), rtol=1e-15)
    assert_close(target.direction, torch.ones(128, dtype=torch.float64), rtol=1e-14)


# Other exact laws. --------------------------------------------------------------------------------------------------


def test_orthogonal_variance_agrees_with_monte_carlo():
    for std in ("unit", "per_mode"):
        target = random_mixture(3, 5, std)
        direction = normal(5, seed=7)
        unit = direction / direction.norm()
        x = target.sample(20_000, seeded(8), torch.float64) - target.weights @ target.means
        squared = (x - torch.outer(x @ unit, unit)).square().sum(1) / 4
        difference = abs(target.orthogonal_variance(direction) - float(squared.mean()))
        assert difference < 4 * standard_error(squared), std


def test_orthogonal_variance_of_two_modes_is_one():
    target = GaussianMixture.two_modes(0.7, n=16)
    assert_close(target.orthogonal_variance(target.direction), 1.0, rtol=1e-14)


@given(angle=some.floats(0.01, 1.56))
def test_output_law_of_unit_modes_is_closed(angle):
    target = GaussianMixture.two_modes(0.7, torch.full((3,), 1e5))  # apart at every angle
    end_snr = math.tan(angle) ** 2
    for output, variance in (("scaled", 1 + 1 / end_snr), ("posterior_mean", math.sin(angle) ** 2)):
        law = target.output_law(angle, output)
        assert_close(law.std**2, torch.full((2,), variance, dtype=torch.float64), rtol=1e-12)
        assert torch.equal(law.means, target.means)
        assert_close(law.weights, target.weights, rtol=1e-15)
    assert target.output_law(angle, "posterior_draw") is target


@pytest.mark.parametrize("angle", [0.6, 1.3])
def test_output_law_agrees_with_monte_carlo(angle):
    target = GaussianMixture([0.7, 0.3], [[15.0, 15.0], [-15.0, -15.0]], [2.0, 0.5])
    x = noisy_states(target, angle, 20_000, seed=9)
    right = x[:, 0] > 0
    outputs = {"scaled": x / math.sin(angle), "posterior_mean": target.posterior_mean(x, angle)}
    for output, values in outputs.items():
        law = target.output_law(angle, output)
        for mode, rows in ((0, right), (1, ~right)):
            within = values[rows].flatten()
            assert abs(float(within.mean() - law.means[mode, 0])) < 4 * standard_error(within)
            squared = (values[rows] - law.means[mode]).square().flatten()
            assert abs(float(squared.mean() - law.std[mode] ** 2)) < 4 * standard_error(squared)


def test_output_law_keeps_the_direction_it_is_looked_at_from():
    target = random_mixture(3, 4)
    target.direction = normal(4, seed=10)
    for output in ("scaled", "posterior_mean", "posterior_draw"):
        assert torch.equal(target.output_law(1.56, output).direction, target.direction)


def test_output_law_at_clean_data_is_the_target():
    target = random_mixture(3, 4, "per_mode")
    for output in ("scaled", "posterior_mean"):
        law = target.output_law(HALF_PI, output)
        assert_close(law.std, target.std, rtol=1e-14)
        assert_close(law.means, target.means, rtol=1e-14)


def test_log_prob_keeps_its_digits_far_from_zero():
    target = GaussianMixture([0.5, 0.5], [[1000.0], [1000.001]], 1e-3)
    near = GaussianMixture([0.5, 0.5], [[0.0], [0.001]], 1e-3)
    x = torch.tensor([[1000.0003]], dtype=torch.float64)
    assert float(target.log_prob(x)) == pytest.approx(float(near.log_prob(x - 1000)), rel=1e-9)


def test_one_dimension_has_no_orthogonal_space():
    assert GaussianMixture([1.0], [[0.0]]).orthogonal_variance(torch.ones(1)) == 0.0
