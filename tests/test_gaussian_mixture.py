"""The exact answers about Gaussian mixtures, each against a computation that shares nothing with it."""

import itertools
import math

import numpy
import pytest
import torch
from helpers import assert_close, noisy_states, normal, random_mixture, seeded, standard_error
from scipy import stats
from torch.distributions import Normal

from scorelab import channel
from scorelab.channel import HALF_PI, mix
from scorelab.schedules import Localization
from scorelab.targets import GaussianMixture

ANGLES = [0.0, 1e-3, 0.4, 1.0, 1.5, HALF_PI]
MIXTURES = [
    (1, 1, "unit"),
    (1, 3, "common"),
    (2, 1, "per_mode"),
    (2, 5, "unit"),
    (2, 5, "per_mode"),
    (3, 2, "common"),
    (3, 2, "per_mode"),
    (4, 7, "unit"),
    (4, 7, "per_mode"),
]
LOCALIZATION = Localization(grid="angle", alpha_max=1.4, T=None, t_min=6e-4)

every_mixture = pytest.mark.parametrize(("modes", "n", "std"), MIXTURES)
every_angle = pytest.mark.parametrize("angle", ANGLES)


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


def product_grid(low, high, step):
    """A grid of points (count, n) over a box, and the volume of its cells."""
    axes = [numpy.arange(first, last, step) for first, last in zip(low, high, strict=True)]
    points = numpy.stack(numpy.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes))
    return points, step ** len(axes)


# The posterior. -----------------------------------------------------------------------------------------------------


@every_angle
@every_mixture
def test_posterior_weights_agree_with_a_naive_softmax(modes, n, std, angle):
    target = random_mixture(modes, n, std)
    x = noisy_states(target, angle, 50)
    expected = torch.softmax(naive_log_joint(target, x, angle), 1)
    assert_close(target.posterior_weights(x, angle), expected, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("t", [1e-3, 0.1, 1.0, 30.0, 1e4])
@pytest.mark.parametrize(("p", "n"), [(0.7, 1), (0.5, 4), (0.05, 10)])
def test_two_modes_agree_with_equations_14_and_15_in_native_coordinates(p, n, t):
    a = normal(n, seed=n)
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


@pytest.mark.parametrize("angle", [0.0, 0.1, 0.5, 1.0, 1.3])
@pytest.mark.parametrize(("modes", "n", "std"), [mixture for mixture in MIXTURES if mixture[1] <= 2])
def test_posterior_mean_agrees_with_quadrature(modes, n, std, angle):
    target = random_mixture(modes, n, std)
    sin, cos = math.sin(angle), math.cos(angle)
    means, stds = target.means.numpy(), target.std.numpy()
    narrowest = (stds * cos / numpy.sqrt(stds**2 * sin**2 + cos**2)).min()
    points, _ = product_grid(means.min(0) - 10 * stds.max(), means.max(0) + 10 * stds.max(), 0.5 * narrowest)
    prior = numpy_log_density(target, points)
    x = noisy_states(target, angle, 8)
    expected = []
    for state in x.numpy():
        log_posterior = prior - 0.5 * ((state - sin * points) ** 2).sum(1) / cos**2
        posterior = numpy.exp(log_posterior - log_posterior.max())
        expected.append(posterior @ points / posterior.sum())
    assert_close(target.posterior_mean(x, angle), torch.from_numpy(numpy.stack(expected)), rtol=1e-9, atol=1e-11)


@every_mixture
def test_posterior_mean_at_the_ends_is_the_mean_and_the_state(modes, n, std):
    target = random_mixture(modes, n, std)
    x = noisy_states(target, 0.0, 20)
    mean = (target.weights @ target.means).expand(20, n)
    assert_close(target.posterior_mean(x, 0.0), mean, rtol=1e-13, atol=1e-14)
    assert_close(target.posterior_mean(x, HALF_PI), x, rtol=1e-14)


@pytest.mark.parametrize("angle", [0.3, 1.0, 1.4])
@pytest.mark.parametrize("std", ["unit", "per_mode"])
def test_posterior_mean_leaves_an_error_orthogonal_to_functions_of_the_state(std, angle):
    target = random_mixture(3, 6, std)
    draws = seeded(5)
    clean = target.sample(20_000, draws, torch.float64)
    x = mix(clean, torch.randn(clean.shape, generator=draws, dtype=torch.float64), angle)
    error = clean - target.posterior_mean(x, angle)
    for function in (torch.ones_like(x), x, torch.sin(2 * x), x.roll(1, 1)):
        products = (error * function).sum(1)
        assert abs(float(products.mean())) < 4 * standard_error(products)


# The noisy law. -----------------------------------------------------------------------------------------------------


@every_angle
@every_mixture
def test_noisy_log_prob_agrees_with_scipy(modes, n, std, angle):
    target = random_mixture(modes, n, std)
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


@every_angle
@pytest.mark.parametrize("std", ["unit", "common", "per_mode"])
def test_noisy_density_integrates_to_one(std, angle):
    target = random_mixture(3, 1, std)
    x = torch.arange(-30, 30, 0.05, dtype=torch.float64).unsqueeze(1)
    assert_close(float(target.noisy_log_prob(x, angle).exp().sum() * 0.05), 1.0, rtol=1e-12)


@every_angle
@every_mixture
def test_noisy_score_is_the_gradient_of_the_log_density(modes, n, std, angle):
    target = random_mixture(modes, n, std)
    x = noisy_states(target, angle, 30).requires_grad_()
    (gradient,) = torch.autograd.grad(target.noisy_log_prob(x, angle).sum(), x)
    assert_close(target.noisy_score(x.detach(), angle), gradient, rtol=1e-9, atol=1e-10)
    if angle == HALF_PI:
        assert torch.equal(target.score(x.detach()), target.noisy_score(x.detach(), angle))


@every_angle
@every_mixture
def test_posterior_mean_and_noisy_score_satisfy_tweedie(modes, n, std, angle):
    target = random_mixture(modes, n, std)
    x = noisy_states(target, angle, 30)
    m, score = target.posterior_mean(x, angle), target.noisy_score(x, angle)
    assert_close(channel.posterior_mean_to_noise(m, x, angle), channel.score_to_noise(score, x, angle), 1e-9, 1e-11)
    if angle < HALF_PI:
        assert_close(channel.posterior_mean_to_score(m, x, angle), score, rtol=1e-9, atol=1e-9)
    if angle > 0:
        assert_close(channel.score_to_posterior_mean(score, x, angle), m, rtol=1e-9, atol=1e-9)


# Bayes risk. --------------------------------------------------------------------------------------------------------


def second_moments_by_quadrature(target, angle):
    """E|X|^2 - E|m|^2 on a grid of noisy states."""
    sin, cos = math.sin(angle), math.cos(angle)
    weights, means, stds = target.weights.numpy(), target.means.numpy(), target.std.numpy()
    noisy = numpy.sqrt(stds**2 * sin**2 + cos**2)
    low, high = sin * means.min(0) - 10 * noisy.max(), sin * means.max(0) + 10 * noisy.max()
    points, cell = product_grid(low, high, noisy.min() / (8 if target.n == 2 else 40))
    density, numerator = numpy.zeros(len(points)), numpy.zeros_like(points)
    for weight, mean, std, width in zip(weights, means, stds, noisy, strict=True):
        joint = weight * stats.norm.pdf(points, sin * mean, width).prod(1)
        density += joint
        numerator += joint[:, None] * (mean + std**2 * sin / width**2 * (points - sin * mean))
    kept = density > 1e-200
    of_mean = (numerator[kept] ** 2).sum(1) / density[kept]
    return weights @ ((means**2).sum(1) + target.n * stds**2) - of_mean.sum() * cell


@pytest.mark.parametrize("angle", [0.0, 0.2, 0.8, 1.3])
@pytest.mark.parametrize("std", ["unit", "common", "per_mode"])
@pytest.mark.parametrize(("modes", "n"), [(1, 1), (2, 1), (3, 1), (1, 2), (3, 2)])
def test_bayes_risk_agrees_with_quadrature(modes, n, std, angle):
    target = random_mixture(modes, n, std)
    assert_close(target.bayes_risk(angle), second_moments_by_quadrature(target, angle), rtol=1e-9)


@pytest.mark.parametrize("angle", [0.2, 1.1])
@pytest.mark.parametrize("std", [1.0, [1.0, 0.7]])
def test_bayes_risk_of_two_modes_in_the_plane_agrees_with_quadrature(std, angle):
    target = GaussianMixture([0.7, 0.3], [[1.0, 0.5], [-1.5, 0.4]], std)
    assert_close(target.bayes_risk(angle), second_moments_by_quadrature(target, angle), rtol=1e-9)


@pytest.mark.parametrize("angle", [0.2, 1.1])
def test_bayes_risk_of_modes_with_one_centre_agrees_with_quadrature(angle):
    target = GaussianMixture([0.4, 0.6], [[0.3, -1.0], [0.3, -1.0]], [1.0, 0.5])
    assert_close(target.bayes_risk(angle), second_moments_by_quadrature(target, angle), rtol=1e-9)


@pytest.mark.parametrize("std", [1.0, 0.3, 4.0])
@pytest.mark.parametrize("n", [1, 128])
def test_bayes_risk_of_one_mode_is_the_linear_one(n, std):
    target = GaussianMixture([1.0], normal(1, n, seed=1), std)
    angles = torch.tensor(ANGLES, dtype=torch.float64)
    expected = n * std**2 * torch.cos(angles) ** 2 / (std**2 * torch.sin(angles) ** 2 + torch.cos(angles) ** 2)
    assert_close(target.bayes_risk(angles), expected, rtol=1e-12, atol=1e-30)


@pytest.mark.parametrize("std", ["unit", "per_mode"])
@pytest.mark.parametrize("angle", [0.4, 1.0])
def test_bayes_risk_in_many_dimensions_agrees_with_monte_carlo(angle, std):
    target = random_mixture(5, 6, std)
    draws = seeded(2)
    clean = target.sample(40_000, draws, torch.float64)
    x = mix(clean, torch.randn(clean.shape, generator=draws, dtype=torch.float64), angle)
    squared = (clean - target.posterior_mean(x, angle)).square().sum(1)
    assert abs(float(target.bayes_risk(angle)) - float(squared.mean())) < 4 * standard_error(squared)


@pytest.mark.parametrize(("modes", "n", "std"), [(2, 1, "per_mode"), (2, 5, "unit"), (3, 2, "per_mode")])
def test_bayes_risk_falls_from_the_variance_to_nothing(modes, n, std):
    target = random_mixture(modes, n, std)
    angles = torch.tensor([0.0, 0.1, 0.5, 1.0, 1.4, HALF_PI], dtype=torch.float64)
    risk = target.bayes_risk(angles)
    centred = target.means - target.weights @ target.means
    variance = float(target.weights @ (centred.square().sum(1) + n * target.std**2))
    assert_close(float(risk[0]), variance, rtol=1e-12)
    assert bool((risk.diff() < 0).all())
    assert 0 <= float(risk[-1]) < 1e-25


def test_bayes_risk_has_the_shape_of_the_angle():
    target = random_mixture(2, 3)
    angles = torch.tensor([[0.2, 0.7, 1.1], [0.3, 0.5, 0.9]])
    risk = target.bayes_risk(angles)
    assert risk.shape == (2, 3)
    assert risk.dtype == torch.float64
    assert target.bayes_risk(0.7).shape == ()
    assert_close(float(risk[0, 1]), float(target.bayes_risk(0.7)), rtol=1e-6)


def test_bayes_risk_does_not_depend_on_where_the_mixture_lies():
    target = random_mixture(3, 4, "common")
    rotation = torch.linalg.qr(normal(4, 4, seed=3)).Q
    moved = GaussianMixture(target.weights, target.means @ rotation.T + normal(4, seed=4), target.std)
    for angle in (0.3, 1.2):
        assert_close(moved.bayes_risk(angle), target.bayes_risk(angle), rtol=1e-11)


def test_bayes_risk_of_two_modes_far_apart_is_that_of_one():
    target = GaussianMixture.two_modes(0.3, 100 * torch.ones(4))
    assert_close(float(target.bayes_risk(1.0)), 4 * math.cos(1.0) ** 2, rtol=1e-12)


# Extremes, dtypes and the ways to give an angle. --------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("norm", [0.0, 1e-3, 1.0, 1e3])
@pytest.mark.parametrize("p", [1e-12, 0.5, 1 - 1e-12])
def test_everything_is_finite_at_extremes(p, norm, dtype):
    a = normal(4, seed=1)
    a *= norm / a.norm()
    two_modes = GaussianMixture.two_modes(p, a)
    unequal = GaussianMixture(two_modes.weights, two_modes.means, [1.0, 0.5])
    for target, angle in itertools.product((two_modes, unequal), (0.0, 1e-6, 0.5, 1.57, HALF_PI)):
        x = noisy_states(target, angle, 16, dtype=dtype)
        x = torch.cat([x, torch.zeros(1, 4, dtype=dtype), 100 * x[:1]])
        for method in (target.posterior_mean, target.posterior_weights, target.noisy_log_prob, target.noisy_score):
            for same_angle in (angle, torch.full((len(x),), angle, dtype=dtype)):
                result = method(x, same_angle)
                assert result.dtype == dtype
                assert bool(torch.isfinite(result).all()), (method.__name__, angle)
        assert_close(target.posterior_weights(x, angle).sum(1), torch.ones(len(x), dtype=dtype), rtol=1e-6)
    for target in (two_modes, GaussianMixture(two_modes.weights, two_modes.means[:, :1], [1.0, 0.5])):
        risk = target.bayes_risk(torch.tensor([0.0, 1e-6, 0.5, 1.57, HALF_PI], dtype=dtype))
        assert bool(torch.isfinite(risk).all())
        assert bool((risk >= 0).all())
    for result in (two_modes.log_prob(x), two_modes.score(x), two_modes.sample(5, seeded(2), dtype)):
        assert result.dtype == dtype
        assert bool(torch.isfinite(result).all())


@every_angle
def test_single_precision_agrees_with_double(angle):
    target = random_mixture(3, 6, "per_mode")
    x = noisy_states(target, angle, 50, dtype=torch.float32)
    for method in (target.posterior_mean, target.posterior_weights, target.noisy_log_prob, target.noisy_score):
        assert_close(method(x, angle).double(), method(x.double(), angle), rtol=1e-5, atol=1e-5)


@every_angle
def test_number_scalar_and_one_angle_a_sample_agree(angle):
    target = random_mixture(3, 4, "per_mode")
    x = noisy_states(target, angle, 10)
    one = torch.tensor(angle, dtype=torch.float64)
    for method in (target.posterior_mean, target.posterior_weights, target.noisy_log_prob, target.noisy_score):
        assert_close(method(x, one), method(x, angle), rtol=1e-14)
        assert_close(method(x, one.expand(10)), method(x, angle), rtol=1e-14)


def test_angles_belong_to_their_own_samples():
    target = random_mixture(3, 4, "per_mode")
    angles = torch.tensor([0.0, 0.3, 1.0, HALF_PI], dtype=torch.float64)
    x = noisy_states(target, 0.8, 4)
    for method in (target.posterior_mean, target.posterior_weights, target.noisy_log_prob, target.noisy_score):
        one_by_one = torch.cat([method(x[i : i + 1], float(angles[i])) for i in range(4)])
        assert_close(method(x, angles), one_by_one, rtol=1e-13, atol=1e-14)


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


@pytest.mark.parametrize(
    ("weights", "means", "std", "message"),
    [
        ([0.5, 0.0], [[1.0], [2.0]], 1.0, "each must be > 0"),
        ([0.5, -0.5], [[1.0], [2.0]], 1.0, "each must be > 0"),
        ([0.5, math.nan], [[1.0], [2.0]], 1.0, "each must be > 0"),
        ([0.5, math.inf], [[1.0], [2.0]], 1.0, "each must be > 0"),
        ([1.0], [[1.0], [2.0]], 1.0, "weights have shape"),
        ([[0.5, 0.5]], [[1.0], [2.0]], 1.0, "weights have shape"),
        ([0.5, 0.5], [1.0, 2.0], 1.0, r"\(K, n\) is needed"),
        ([0.5, 0.5], [[1.0], [math.nan]], 1.0, "finite"),
        ([0.5, 0.5], [[1.0], [math.inf]], 1.0, "finite"),
        ([0.5, 0.5], [[1.0], [2.0]], 0.0, "one number > 0"),
        ([0.5, 0.5], [[1.0], [2.0]], -1.0, "one number > 0"),
        ([0.5, 0.5], [[1.0], [2.0]], [1.0, 0.0], "one number > 0"),
        ([0.5, 0.5], [[1.0], [2.0]], [1.0, 1.0, 1.0], "or 2 of them"),
        ([0.5, 0.5], [[1.0], [2.0]], math.nan, "one number > 0"),
    ],
)
def test_invalid_mixture_is_refused(weights, means, std, message):
    with pytest.raises(ValueError, match=message):
        GaussianMixture(weights, means, std)


@pytest.mark.parametrize("p", [0, 1, -0.1, 1.1, math.nan])
def test_invalid_two_modes_weight_is_refused(p):
    with pytest.raises(ValueError, match="strictly between 0 and 1"):
        GaussianMixture.two_modes(p, torch.ones(3))


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


@pytest.mark.parametrize("std", ["unit", "per_mode"])
def test_orthogonal_variance_agrees_with_monte_carlo(std):
    target = random_mixture(3, 5, std)
    direction = normal(5, seed=7)
    unit = direction / direction.norm()
    x = target.sample(20_000, seeded(8), torch.float64) - target.weights @ target.means
    squared = (x - torch.outer(x @ unit, unit)).square().sum(1) / 4
    assert abs(target.orthogonal_variance(direction) - float(squared.mean())) < 4 * standard_error(squared)


def test_orthogonal_variance_of_two_modes_is_one():
    target = GaussianMixture.two_modes(0.7, n=16)
    assert_close(target.orthogonal_variance(target.direction), 1.0, rtol=1e-14)


@pytest.mark.parametrize("angle", [0.5, 1.0, 1.5])
def test_output_law_of_unit_modes_is_closed(angle):
    target = GaussianMixture.two_modes(0.7, n=3)
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
        assert torch.equal(target.output_law(1.0, output).direction, target.direction)


def test_output_law_at_clean_data_is_the_target():
    target = random_mixture(3, 4, "per_mode")
    for output in ("scaled", "posterior_mean"):
        law = target.output_law(HALF_PI, output)
        assert_close(law.std, target.std, rtol=1e-14)
        assert_close(law.means, target.means, rtol=1e-14)


@pytest.mark.parametrize(
    ("weights", "means", "std", "angle"),
    [
        ((0.1, 0.9), (1e-6, 0.0), (1.0, 0.1), 1.3),
        ((0.1, 0.9), (0.3, 0.0), (1.0, 0.2), 1.3),
        ((0.7, 0.3), (1.0, -1.5), (10.0, 0.02), 1.5),
        ((0.2, 0.3, 0.5), (0.0, 0.5, 3.0), (1.0, 0.3, 0.05), 1.2),
    ],
)
def test_bayes_risk_with_very_different_widths_agrees_with_quadrature(weights, means, std, angle):
    target = GaussianMixture(weights, [[mean] for mean in means], std)
    w, mu, s = (torch.tensor(values, dtype=torch.float64) for values in (weights, means, std))
    sin, cos = math.sin(angle), math.cos(angle)
    v = s**2 * sin**2 + cos**2
    # Trapezoidal on the union of fine grids around each mode.
    grids = [
        sin * mean + math.sqrt(width) * torch.linspace(-12, 12, 100_001).double()
        for mean, width in zip(mu, v, strict=True)
    ]
    x = torch.cat(grids).unique().unsqueeze(1)
    joint = w * torch.exp(-0.5 * (x - sin * mu) ** 2 / v) / torch.sqrt(2 * math.pi * v)
    gamma = joint / joint.sum(1, keepdim=True).clamp_min(1e-300)
    centres = mu + s**2 * sin / v * (x - sin * mu)
    mean = (gamma * centres).sum(1, keepdim=True)
    spread = (gamma * (s**2 * cos**2 / v + (centres - mean) ** 2)).sum(1)
    expected = torch.trapezoid(joint.sum(1) * spread, x.squeeze(1))
    assert float(target.bayes_risk(angle)) == pytest.approx(float(expected), rel=1e-8)


def test_bayes_risk_of_far_modes_needs_little_memory_and_is_that_of_one():
    means = 100 * torch.eye(3, 16, dtype=torch.float64)
    risk = float(GaussianMixture([0.2, 0.3, 0.5], means).bayes_risk(1.3))
    assert risk == pytest.approx(16 * math.cos(1.3) ** 2, rel=1e-13)


def test_log_prob_keeps_its_digits_far_from_zero():
    target = GaussianMixture([0.5, 0.5], [[1000.0], [1000.001]], 1e-3)
    near = GaussianMixture([0.5, 0.5], [[0.0], [0.001]], 1e-3)
    x = torch.tensor([[1000.0003]], dtype=torch.float64)
    assert float(target.log_prob(x)) == pytest.approx(float(near.log_prob(x - 1000)), rel=1e-9)


def test_one_dimension_has_no_orthogonal_space():
    assert GaussianMixture([1.0], [[0.0]]).orthogonal_variance(torch.ones(1)) == 0.0
