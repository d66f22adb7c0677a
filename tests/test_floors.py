"""The floors of a learned denoiser: what an estimator that knows everything but the means of the modes scores."""

import math

import numpy
import pytest
import torch
from helpers import assert_close, noisy_states, normal, over, random_mixture, seeded
from own_targets import OnlySamples

from scorelab.channel import mix
from scorelab.denoisers import ExactDenoiser
from scorelab.denoisers.mixture_aware import MixtureAwareDenoiser
from scorelab.metrics.floors import EstimatedMeans, estimated_means
from scorelab.metrics.path_kl import path_kl
from scorelab.metrics.posterior_mean import compare_posterior_means
from scorelab.targets import GaussianMixture

OVERLAPPING = GaussianMixture([0.6, 0.4], [[0.8, 0.3, 0.0], [-0.8, 0.0, 0.2]], [0.5, 1.2])
THREE = GaussianMixture([0.5, 0.3, 0.2], [[2.0, 0, 0, 0], [-2.0, 0, 0, 0], [0, 3.0, 0, 0]])
SAME_PLACE = GaussianMixture([0.5, 0.5], [[0.0] * 4, [0.0] * 4], [0.3, 1.5])


def maximum_likelihood(target, samples):
    """The mixture with the maximum-likelihood means, which EM finds from the true ones."""
    fitted = target
    for _ in range(30):
        gamma = fitted.posterior_weights(samples, math.pi / 2)
        means = (gamma.T @ samples) / gamma.sum(0).unsqueeze(1)
        fitted = GaussianMixture(target.weights, means, target.std)
    return fitted


@over(("std", "T"), [(0.1, 99.0), (0.1, 10.45), (1.0, 10.45), (3.0, 0.5), ([0.1, 2.0, 0.5], 3.0)])
def test_the_path_kl_floor_of_modes_far_apart_has_a_closed_form(std, T):
    means = torch.diag(torch.full((3,), 300.0, dtype=torch.float64))
    target = GaussianMixture([0.5, 0.3, 0.2], torch.cat([means, means], 1), torch.tensor(std, dtype=torch.float64))
    expected = sum(6 * s**2 * T / (1 + s**2 * T) for s in target.std.tolist()) / (2 * 1000)
    assert_close(EstimatedMeans(target, 1000).path_kl(T), expected, rtol=1e-10)


@over(("target", "noise"), [(OVERLAPPING, 0.0), (OVERLAPPING, 0.5), (THREE, 0.3), (SAME_PLACE, 0.0)])
def test_the_information_is_the_second_moment_of_the_scores_of_the_means(target, noise):
    """Along one direction of all the means, by automatic differentiation."""
    count, n = 40_000, target.n
    y = target.noisy(1.0, noise).sample(count, seeded(1), torch.float64)
    variance, log_weights = target.std**2 + noise, target.weights.log()
    errors = normal(*target.means.shape, seed=2)
    step = torch.zeros(count, 1, 1, dtype=torch.float64, requires_grad=True)
    squared = (y.unsqueeze(1) - (target.means + step * errors)).square().sum(2)
    log_density = torch.logsumexp(log_weights - 0.5 * (squared / variance + n * variance.log()), 1)
    (scores,) = torch.autograd.grad(log_density.sum(), step)
    estimated = EstimatedMeans(target, 100)
    inside, across = estimated.information(noise)
    along = errors @ estimated.basis.T
    rest = errors - along @ estimated.basis
    found = float(along.flatten() @ inside @ along.flatten() + torch.einsum("kn,kl,ln->", rest, across, rest))
    values = scores.flatten().square()
    error = float(values.std()) / math.sqrt(count)
    assert abs(found - float(values.mean())) < 4 * math.hypot(error, error * math.sqrt(count / 32768))


@over("angle", [0.05, 0.6, 1.4])
def test_the_change_of_the_posterior_mean_is_its_derivative(angle):
    target, h = random_mixture(3, 4, "per_mode"), 1e-5
    x, errors = noisy_states(target, angle, 5), normal(5, 3, 4, seed=3)
    found = EstimatedMeans(target, 100).change(x, angle, errors)
    for row, error, change in zip(x, errors, found, strict=True):
        up, down = (
            GaussianMixture(target.weights, target.means + step * error, target.std).posterior_mean(row[None], angle)
            for step in (h, -h)
        )
        assert_close(change, (up - down)[0] / (2 * h), rtol=1e-7, atol=1e-9)


@over("target", [OVERLAPPING, THREE])
def test_the_errors_of_the_means_have_the_inverse_information_as_covariance(target):
    estimated = EstimatedMeans(target, 50)
    errors = estimated.errors(20_000, seeded(4))
    inside = (errors @ estimated.basis.T).flatten(1)
    assert_close(inside.T @ inside / 20_000 @ estimated.inside * 50, torch.eye(inside.shape[1]).double(), 0.0, 0.1)
    rest = errors - (errors @ estimated.basis.T) @ estimated.basis
    outside = torch.einsum("ckn,cln->kl", rest, rest) / 20_000 / estimated.outside
    assert_close(outside @ estimated.across * 50, torch.eye(len(outside)).double(), 0.0, 0.1)


@pytest.mark.parametrize("target", [OVERLAPPING, SAME_PLACE], ids=["overlapping", "same place"])
def test_maximum_likelihood_scores_the_floors(target):
    """Thirty estimates from 1000 samples each."""
    count, end, angles = 1000, math.atan(math.sqrt(3.0)), [0.1, 0.7, 1.3]
    clean = target.sample(100, seeded(5), torch.float64)
    totals, relative = [], []
    for seed in range(30):
        fitted = ExactDenoiser(maximum_likelihood(target, target.sample(count, seeded(seed), torch.float64)))
        totals.append(path_kl(fitted, target, end, 6, 100, seeded(100 + seed)).total)
        rows, _ = compare_posterior_means(fitted, target, clean, angles, seeded(6), None)
        relative.append([row["relative_error"].value for row in rows])
    estimated, why = estimated_means(fitted, target, count)
    assert why is None
    floors, _ = compare_posterior_means(fitted, target, clean, angles, seeded(6), estimated)
    floors = [estimated.path_kl(3.0), *(row["relative_error"].floor for row in floors)]
    measured = numpy.column_stack([totals, relative])
    error = measured.std(0, ddof=1) / math.sqrt(len(measured))
    assert (numpy.abs(measured.mean(0) - floors) < 4 * error).all()
    assert (error < 0.15 * measured.mean(0)).all()


def test_there_is_no_floor_where_none_is_known():
    two = GaussianMixture.two_modes(0.7, n=8)
    near = GaussianMixture([0.7, 0.3], [[0.02] * 8, [-0.02] * 8])
    side = MixtureAwareDenoiser([ExactDenoiser(two)] * 2, "kmeans", 8)
    many = GaussianMixture(torch.ones(40), 9 * normal(40, 40, seed=7))
    for denoiser, target, count, why in (
        (ExactDenoiser(two), OnlySamples(), 1000, "no isotropic Gaussian modes"),
        (side, two, 1000, "chooses among several"),
        (ExactDenoiser(many), many, 1000, "40 means in 40 dimensions"),
        (ExactDenoiser(two), two, 50, "fewer than 20"),
        (ExactDenoiser(near), near, 1000, "tell apart"),
        (ExactDenoiser(near), GaussianMixture([0.5, 0.5], [[0.0], [0.0]]), 1000, "tell apart"),
    ):
        found, reason = estimated_means(denoiser, target, count)
        assert found is None
        assert why in reason
    assert estimated_means(ExactDenoiser(two), two, None) == (None, None)
    assert estimated_means(ExactDenoiser(two), GaussianMixture([1.0], [[0.0, 1.0]]), 30)[0] is not None


def test_the_floor_of_one_mode_is_the_error_of_its_mean():
    target = GaussianMixture([1.0], [[0.5, -1.0, 2.0]], 0.7)
    estimated, _ = estimated_means(ExactDenoiser(target), target, 400)
    assert_close(estimated.path_kl(5.0), 3 * 0.49 * 5 / (1 + 0.49 * 5) / 800, rtol=1e-12)
    moved = normal(1, 3, seed=8)
    x = mix(target.sample(1, seeded(9), torch.float64), normal(1, 3, seed=10), 0.4)
    factor = math.cos(0.4) ** 2 / (0.49 * math.sin(0.4) ** 2 + math.cos(0.4) ** 2)
    assert_close(estimated.change(x, 0.4, moved[None]), factor * moved, rtol=1e-12)
