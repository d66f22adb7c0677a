"""The exact Bayes risk of Gaussian mixtures, against quadrature, Monte Carlo and closed forms."""

import itertools
import math

import numpy
import torch
from helpers import assert_close, normal, product_grid, random_mixture, seeded, standard_error
from hypothesis import given
from hypothesis import strategies as some
from scipy import stats

from scorelab.channel import HALF_PI, mix
from scorelab.laws.mode_draws import sampled
from scorelab.laws.mode_pairs import Centres, Labels, Span, bayes_risk, undecided
from scorelab.targets import GaussianMixture

ANGLES = [0.0, 1e-3, 0.4, 1.0, 1.5, HALF_PI]


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


def test_bayes_risk_agrees_with_quadrature():
    drawn = itertools.product(((1, 1), (2, 1), (3, 1), (1, 2), (3, 2)), ("unit", "common", "per_mode"))
    targets = {(*size, std): random_mixture(*size, std) for size, std in drawn}
    targets["in the plane"] = GaussianMixture([0.7, 0.3], [[1.0, 0.5], [-1.5, 0.4]], 1.0)
    targets["in the plane, unequal"] = GaussianMixture([0.7, 0.3], [[1.0, 0.5], [-1.5, 0.4]], [1.0, 0.7])
    targets["one centre"] = GaussianMixture([0.4, 0.6], [[0.3, -1.0], [0.3, -1.0]], [1.0, 0.5])
    for name, target in targets.items():
        for angle in (0.0, 0.2, 0.8, 1.3):
            expected = second_moments_by_quadrature(target, angle)
            assert_close(target.bayes_risk(angle), expected, rtol=1e-9, case=(name, angle))


@given(n=some.integers(1, 128), std=some.floats(0.1, 10))
def test_bayes_risk_of_one_mode_is_the_linear_one(n, std):
    target = GaussianMixture([1.0], normal(1, n, seed=1), std)
    angle = torch.tensor(ANGLES, dtype=torch.float64)
    expected = n * std**2 * torch.cos(angle) ** 2 / (std**2 * torch.sin(angle) ** 2 + torch.cos(angle) ** 2)
    assert_close(target.bayes_risk(angle), expected, rtol=1e-12, atol=1e-30)


def test_bayes_risk_in_many_dimensions_agrees_with_monte_carlo():
    for std, angle in itertools.product(("unit", "per_mode"), (0.4, 1.0)):
        target = random_mixture(5, 6, std)
        draws = seeded(2)
        clean = target.sample(40_000, draws, torch.float64)
        x = mix(clean, torch.randn(clean.shape, generator=draws, dtype=torch.float64), angle)
        squared = (clean - target.posterior_mean(x, angle)).square().sum(1)
        difference = abs(float(target.bayes_risk(angle)) - float(squared.mean()))
        assert difference < 4 * standard_error(squared), (std, angle)


def test_bayes_risk_falls_from_the_variance_to_nothing():
    for kind in ((2, 1, "per_mode"), (2, 5, "unit"), (3, 2, "per_mode")):
        target = random_mixture(*kind)
        risk = target.bayes_risk(torch.tensor([0.0, 0.1, 0.5, 1.0, 1.4, HALF_PI], dtype=torch.float64))
        centred = target.means - target.weights @ target.means
        variance = float(target.weights @ (centred.square().sum(1) + target.n * target.std**2))
        assert_close(float(risk[0]), variance, rtol=1e-12, case=kind)
        assert bool((risk.diff() < 0).all()), kind
        assert 0 <= float(risk[-1]) < 1e-25, kind


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


def risk_on_the_line(target, angle):
    """E Var(X | x) of a mixture on the line: trapezoidal on the union of fine grids around each mode."""
    w, mu, s = target.weights, target.means[:, 0], target.std
    sin, cos = math.sin(angle), math.cos(angle)
    v = s**2 * sin**2 + cos**2
    steps = torch.linspace(-12, 12, 100_001, dtype=torch.float64)
    x = torch.cat([sin * mean + math.sqrt(width) * steps for mean, width in zip(mu, v, strict=True)])
    x = x.unique().unsqueeze(1)
    joint = w * torch.exp(-0.5 * (x - sin * mu) ** 2 / v) / torch.sqrt(2 * math.pi * v)
    gamma = joint / joint.sum(1, keepdim=True).clamp_min(1e-300)
    centres = mu + s**2 * sin / v * (x - sin * mu)
    mean = (gamma * centres).sum(1, keepdim=True)
    spread = (gamma * (s**2 * cos**2 / v + (centres - mean) ** 2)).sum(1)
    return torch.trapezoid(joint.sum(1) * spread, x.squeeze(1))


def test_bayes_risk_with_very_different_widths_agrees_with_quadrature():
    for weights, means, std, angle in (
        ((0.1, 0.9), (1e-6, 0.0), (1.0, 0.1), 1.3),
        ((0.1, 0.9), (0.3, 0.0), (1.0, 0.2), 1.3),
        ((0.7, 0.3), (1.0, -1.5), (10.0, 0.02), 1.5),
        ((0.2, 0.3, 0.5), (0.0, 0.5, 3.0), (1.0, 0.3, 0.05), 1.2),
    ):
        target = GaussianMixture(weights, [[mean] for mean in means], std)
        assert_close(target.bayes_risk(angle), risk_on_the_line(target, angle), rtol=1e-8, case=std)


def test_bayes_risk_of_far_modes_is_the_risk_of_one_mode():
    far = {
        "two modes": (GaussianMixture.two_modes(0.3, 100 * torch.ones(4)), 1.0),
        "three modes": (GaussianMixture([0.2, 0.3, 0.5], 100 * torch.eye(3, 16, dtype=torch.float64)), 1.3),
    }
    for name, (target, angle) in far.items():
        assert_close(float(target.bayes_risk(angle)), target.n * math.cos(angle) ** 2, rtol=1e-13, case=name)


def test_quasi_random_points_agree_with_the_lattice_within_their_error():
    """For few modes and in the plane, where both rules are possible, over nine powers of ten of the expectation."""
    angles = torch.tensor([0.0, 0.3, 0.8, 1.1, 1.3], dtype=torch.float64)
    for modes, n, std in ((2, 40, "per_mode"), (3, 2, "per_mode"), (4, 2, "common"), (12, 2, "unit")):
        target = random_mixture(modes, n, std, seed=5)
        target = GaussianMixture(target.weights, (0.3 if n > 2 else 3) * target.means, target.std)
        for kind, exact in ((Centres, bayes_risk), (Labels, undecided)):
            states = [kind(Span(target), math.sin(angle), math.cos(angle)) for angle in angles.tolist()]
            value, error = sampled(states)
            value = value + torch.tensor([pairs.within for pairs in states], dtype=torch.float64)
            gap = (value - exact(target, angles)[0]).abs()
            assert bool((gap <= 6 * error + 1e-9 * value).all()), (modes, n, std, kind, gap / error)


def test_bayes_risk_of_many_modes_knows_its_error():
    """Many modes in the plane are exact; in 20 dimensions the error is known, and small beside the risk."""
    angles = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    target = GaussianMixture(torch.ones(30), normal(30, 2, seed=2) * 4)
    assert target.bayes_risk_and_error(angles)[1] is None or bool((target.bayes_risk_and_error(angles)[1] < 1e-4).all())
    assert_close(float(target.bayes_risk(0.9)), float(second_moments_by_quadrature(target, 0.9)), rtol=1e-7)
    target = GaussianMixture(torch.ones(30), normal(30, 20, seed=2), 1.0)
    risk, error = target.bayes_risk_and_error(angles)
    assert bool((error > 0).any())
    assert bool((error <= 1e-4 * risk).all())
    for value, spread, angle in zip(risk.tolist(), error.tolist(), angles.tolist(), strict=True):
        draws = seeded(3)
        clean = target.sample(40_000, draws, torch.float64)
        x = mix(clean, torch.randn(clean.shape, generator=draws, dtype=torch.float64), angle)
        squared = (clean - target.posterior_mean(x, angle)).square().sum(1)
        assert abs(value - float(squared.mean())) < 4 * math.hypot(standard_error(squared), spread)


def test_far_groups_of_modes_are_as_if_each_were_alone():
    """Two groups in parallel planes: each alone is exact, together they are drawn. Far away, single precision fails."""
    groups = [random_mixture(3, 2, "common", seed) for seed in (0, 1)]
    angles = torch.tensor([0.1, 0.4, 1.2], dtype=torch.float64)
    across = 0.6**2 / (0.6**2 * torch.tan(angles).square() + 1)  # the risk of the third coordinate
    for distance in (100.0, 1e3, 1e5):
        heights = distance * torch.tensor([[1.0]] * 3 + [[-1.0]] * 3, dtype=torch.float64)
        means = torch.cat([torch.cat([group.means for group in groups]), heights], 1)
        target = GaussianMixture(torch.cat([group.weights for group in groups]), means, 0.6)
        for measure, more in ((bayes_risk, across), (undecided, 0.0)):
            exact = 0.5 * sum(measure(group, angles)[0] for group in groups) + more
            value, error = measure(target, angles)
            assert bool((error <= 1e-4 * value).all()), (distance, measure)
            assert bool(((value - exact).abs() <= 5 * error).all()), (distance, measure, (value - exact) / error)


def test_bayes_risk_with_unequal_widths_in_many_dimensions():
    """Two modes with one mean differ in the length of x alone, which has a known law."""
    target = GaussianMixture([0.4, 0.6], torch.zeros(2, 500), [1.0, 0.9])
    for angle in (0.3, 0.7):
        sin, cos = math.sin(angle), math.cos(angle)
        v = target.std.numpy() ** 2 * sin**2 + cos**2
        laws, shrink = [stats.chi2(500, scale=each) for each in v], target.std.numpy() ** 2 * sin / v
        x2 = numpy.linspace(200, 900, 20001)
        joint = numpy.stack([weight * law.pdf(x2) for weight, law in zip((0.4, 0.6), laws, strict=True)])
        between = numpy.trapezoid(joint.prod(0) / joint.sum(0) * x2 * (shrink[0] - shrink[1]) ** 2, x2)
        within = sum(w * 500 * s**2 * cos**2 / u for w, s, u in zip((0.4, 0.6), (1.0, 0.9), v, strict=True))
        assert_close(float(target.bayes_risk(angle)), within + between, rtol=1e-10)
