"""Neal's funnel, held against a plain sum over its first coordinate, finite differences and its samples."""

import math

import pytest
import torch
from helpers import assert_close, noisy_states, refused, seeded, standard_error

from scorelab.targets import Funnel

FUNNEL = Funnel(3, 1.5)
#: states that the law does not have
ODD = torch.tensor([[-4.0, 30.0, 2.0], [6.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 100.0, 0.0]], dtype=torch.float64)


def summed(x, angle):
    """log p_phi(x), E[X | x] and tr Cov[X | x] by a sum over 400001 values of the first coordinate."""
    sin, cos, s = math.sin(angle), math.cos(angle), FUNNEL.scale
    v = torch.linspace(-40, 40, 400_001, dtype=torch.float64)
    variance, found = sin**2 * v.exp() + cos**2, []
    for first, *rest in x.tolist():
        squared = sum(each**2 for each in rest)
        log = -0.5 * ((v / s) ** 2 + ((first - sin * v) / cos) ** 2 + 2 * variance.log() + squared / variance)
        total = torch.logsumexp(log, 0) + math.log(float(v[1] - v[0])) - math.log(s * cos) - 2 * math.log(2 * math.pi)
        share, kept = torch.softmax(log, 0), sin * v.exp() / variance
        mean = [float(share @ v), *(float(share @ kept) * each for each in rest)]
        within = (v - mean[0]) ** 2 + 2 * v.exp() * cos**2 / variance + squared * (kept - share @ kept) ** 2
        found.append((total, torch.tensor(mean, dtype=torch.float64), share @ within))
    return [torch.stack(each) for each in zip(*found, strict=True)]


def test_the_posterior_is_that_of_a_plain_sum_at_every_noise_and_for_odd_states():
    for angle in (0.05, 0.4, 0.8, 1.2, 1.5, 1.565):
        x = torch.cat([noisy_states(FUNNEL, angle, 4), ODD])
        log_prob, mean, variance = summed(x, angle)
        assert_close(FUNNEL.noisy_log_prob(x, angle), log_prob, 1e-9, 1e-9, angle)
        assert_close(FUNNEL.posterior_mean(x, angle), mean, 1e-9, 1e-9, angle)
        assert_close(FUNNEL.posterior_variance(x, angle), variance, 1e-9, 0, angle)
        step = 1e-5 * torch.eye(3, dtype=torch.float64)
        slopes = [FUNNEL.noisy_log_prob(x + each, angle) - FUNNEL.noisy_log_prob(x - each, angle) for each in step]
        assert_close(FUNNEL.noisy_score(x, angle), torch.stack(slopes, 1) / 2e-5, 1e-7, 1e-7, angle)


def test_both_ends_of_the_noise_are_exact_and_each_state_may_have_its_own():
    x = FUNNEL.sample(6, seeded(1), torch.float64)
    first, squared = x[:, 0], x[:, 1:].square().sum(1)
    log_prob = -0.5 * ((first / 1.5) ** 2 + 2 * first + squared * (-first).exp()) - math.log(1.5)
    assert_close(FUNNEL.noisy_log_prob(x, math.pi / 2), log_prob - 1.5 * math.log(2 * math.pi), 1e-10)
    assert_close(FUNNEL.posterior_mean(x, math.pi / 2), x, 1e-10, 1e-12)
    assert float(FUNNEL.posterior_variance(x, math.pi / 2).max()) < 1e-10
    assert_close(FUNNEL.posterior_mean(x, 0.0), torch.zeros_like(x), 0, 1e-10)
    assert_close(FUNNEL.posterior_variance(x, 0.0), FUNNEL.covariance.trace().expand(6), 1e-10)
    angles = torch.tensor([0.1, 0.5, 0.9, 1.2, 1.5, math.pi / 2], dtype=torch.float64)
    alone = [FUNNEL.posterior_mean(x[k : k + 1], float(angle)) for k, angle in enumerate(angles)]
    assert_close(FUNNEL.posterior_mean(x, angles), torch.cat(alone), 1e-10, 1e-12)


def test_the_laws_of_projections_are_those_of_samples():
    x = FUNNEL.sample(200_000, seeded(2), torch.float64)
    for direction in ([2.0, 0.0, 0.0], [0.0, 1.0, -0.5]):
        direction = torch.tensor(direction, dtype=torch.float64)
        values = x @ direction / direction.square().sum()
        law = FUNNEL.projection(direction)
        across = float(direction @ FUNNEL.covariance @ direction / direction.square().sum() ** 2)
        assert law.variance == pytest.approx(across, rel=1e-9)
        for at in (-1.0, -0.2, 0.3, 2.0):
            below = (values <= at).double()
            assert abs(float(below.mean() - law.cdf(at))) < 4 * standard_error(below)
    mixed = Funnel(3, 1.5)
    mixed.direction = torch.ones(3, dtype=torch.float64)
    assert mixed.lacks("projection") == "the law of the target's projection is not known"


def test_a_funnel_needs_two_dimensions_and_a_scale():
    assert "n = 1: a funnel has 2 dimensions" in refused(ValueError, Funnel, 1, 1.0)
    assert "scale = 0" in refused(ValueError, Funnel, 2, 0)
