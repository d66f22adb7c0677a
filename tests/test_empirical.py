"""The law of a finite data set: its exact posterior, its score, its nearest points."""

import math

import pytest
import torch
from helpers import assert_close, noisy_states, normal, over, seeded

from scorelab.channel import HALF_PI, mix
from scorelab.targets import Empirical, GaussianMixture, Images, empirical
from scorelab.targets.scale import scale

POINTS = normal(23, 1, 2, 3, seed=5) + 0.7


def brute_force(points, std, x, angle):
    """Weights, posterior mean and log density of one state, from the definition, in float64."""
    sin, cos = math.sin(angle), math.cos(angle)
    variance = std**2 * sin**2 + cos**2
    logs = torch.stack([-((x - sin * point) ** 2).sum() / (2 * variance) for point in points])
    weights = torch.softmax(logs, 0)
    given = [point + std**2 * sin / variance * (x - sin * point) for point in points]
    mean = sum(weight * each for weight, each in zip(weights, given, strict=True))
    log_prob = torch.logsumexp(logs, 0) - math.log(len(points)) - 0.5 * x.numel() * math.log(2 * math.pi * variance)
    total = sum(weight * (each - mean).square().sum() for weight, each in zip(weights, given, strict=True))
    return mean, log_prob, total + x.numel() * std**2 * cos**2 / variance


@over(["std", "angle"], [(std, angle) for std in (0.0, 0.3) for angle in (0.0, 0.4, 1.1, 1.45)])
def test_the_posterior_is_that_of_bayes_rule(std, angle):
    target = Empirical(POINTS, std)
    x = noisy_states(target, angle, 6)
    expected = [brute_force(POINTS, std, each, angle) for each in x]
    mean, log_prob, risk = (torch.stack([one[k] for one in expected]) for k in range(3))
    assert_close(target.posterior_mean(x, angle), mean, 1e-12, 1e-12)
    assert_close(target.noisy_log_prob(x, angle), log_prob, 1e-12)
    assert_close(target.posterior_risk(None, x, angle), risk, 1e-9, 1e-12)
    angles = torch.full((6,), angle, dtype=torch.float64)
    assert_close(target.posterior_mean(x, angles), mean, 1e-12, 1e-12)
    assert_close(target.posterior_mean(x.float(), angle), mean.float(), 1e-4, 1e-5)


def test_with_a_kernel_it_is_the_mixture_with_a_mode_at_each_point():
    target = Empirical(POINTS.flatten(1), 0.4)
    mixture = GaussianMixture(torch.ones(23), POINTS.flatten(1), 0.4)
    angles = torch.tensor([0.0, 0.2, 0.9, 1.4, 1.57, HALF_PI], dtype=torch.float64)
    x = mix(mixture.sample(6, seeded(1), torch.float64), normal(6, 6, seed=2), angles)
    for name in ("posterior_mean", "noisy_log_prob", "noisy_score"):
        assert_close(getattr(target, name)(x, angles), getattr(mixture, name)(x, angles), 1e-11, 1e-12, case=name)
    assert target.can("score")


@over("std", [0.0, 0.5])
def test_the_score_is_the_gradient_of_the_density(std):
    target = Empirical(POINTS, std)
    angles = torch.tensor([0.0, 0.3, 1.0, 1.4], dtype=torch.float64)
    x = noisy_states(target, 1.0, 4).requires_grad_()
    (expected,) = torch.autograd.grad(target.noisy_log_prob(x, angles).sum(), x)
    assert_close(target.noisy_score(x.detach(), angles), expected, 1e-11, 1e-12)
    mean = target.posterior_mean(x.detach(), angles)
    sin, cos = (f(angles).reshape(-1, 1, 1, 1) for f in (torch.sin, torch.cos))
    assert_close(target.noisy_score(x.detach(), angles), (sin * mean - x.detach()) / cos**2, 1e-11, 1e-12)


def test_the_posterior_mean_can_be_differentiated_in_the_state():
    target, x, way = Empirical(POINTS, 0.2), noisy_states(Empirical(POINTS), 0.8, 3), normal(3, 1, 2, 3, seed=9)
    state = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad((target.posterior_mean(state, 0.8) * way).sum(), state)
    found = target.posterior_mean(x + 1e-6 * way, 0.8) - target.posterior_mean(x - 1e-6 * way, 0.8)
    assert_close((slope * way).sum(), (found / 2e-6 * way).sum(), 1e-6)


def test_the_ends_of_the_angle_are_the_mean_of_the_data_and_the_nearest_point():
    target, x = Empirical(POINTS), normal(5, 1, 2, 3, seed=3)
    assert_close(target.posterior_mean(x, 0.0), POINTS.mean(0).expand_as(x), 1e-13)
    apart = (x.unsqueeze(1) - POINTS).flatten(2).norm(dim=2)
    nearest = POINTS[apart.argmin(1)]
    assert torch.equal(target.posterior_mean(x, HALF_PI), nearest)
    assert torch.equal(target.posterior_mean(POINTS[4:6], HALF_PI), POINTS[4:6])
    assert_close(target.posterior_mean(x, HALF_PI - 1e-4), nearest, 1e-12)
    angles = torch.tensor([0.0, 0.5, HALF_PI, 1.0, HALF_PI], dtype=torch.float64)
    one_by_one = [target.posterior_mean(x[k : k + 1], float(angle)) for k, angle in enumerate(angles)]
    assert_close(target.posterior_mean(x, angles), torch.cat(one_by_one), 1e-13)
    for ask in (target.noisy_log_prob, target.noisy_score):
        with pytest.raises(ValueError, match="a law of points has no density"):
            ask(x, HALF_PI)
    assert target.lacks("density", "posterior_mean", "bayes_risk") is None
    assert target.lacks("score") == "the target has atoms, and no score where there is no noise"


def test_blocks_give_the_numbers_of_one_block(monkeypatch):
    target, x = Empirical(POINTS, 0.1), noisy_states(Empirical(POINTS), 1.2, 11)
    angles = torch.linspace(0.9, 1.4, 11, dtype=torch.float64)
    asked = (
        lambda: target.posterior_mean(x, angles),
        lambda: target.noisy_log_prob(x, 1.2),
        lambda: target.posterior_risk(None, x, angles),
        lambda: torch.stack([*map(torch.Tensor.double, target.nearest(x))]),
        lambda: Empirical(POINTS).mean,
    )
    whole = [ask() for ask in asked]
    monkeypatch.setattr(empirical, "_BLOCK", 12)
    monkeypatch.setattr(empirical, "_ROWS", 4)
    assert len(target._blocks(4)) > 5
    for ask, expected in zip(asked, whole, strict=True):
        assert_close(ask(), expected, 1e-12, 1e-14)


def test_the_nearest_points_are_exact_also_for_copies_and_for_points_far_from_zero():
    points = torch.cat([POINTS, POINTS[:1]]) + 1e4
    target = Empirical(points)
    x = torch.cat([points[3:5], normal(7, 1, 2, 3, seed=8) + 1e4, points[:1]])
    apart = (x.unsqueeze(1) - points).flatten(2).norm(dim=2).sort(1)
    found = target.nearest(x)
    assert_close(found.distance, apart.values[:, 0], 1e-14)
    assert_close(found.second, apart.values[:, 1], 1e-14)
    assert found.distance[:2].tolist() == [0, 0]
    assert found.ratio[[0, 1, -1]].tolist() == [0, 0, 0]  # the last is there twice
    assert found.index.tolist() == [3, 4, *apart.indices[2:9, 0].tolist(), 0]


def test_a_training_goes_through_the_data_in_whole_passes_and_samples_are_independent():
    target = Empirical(torch.arange(10.0).reshape(10, 1))
    drawn = target.training_samples(25, seeded(0))[:, 0]
    for one in (drawn[:10], drawn[10:20]):
        assert sorted(one.tolist()) == list(range(10))
    assert not torch.equal(drawn[:10], drawn[10:20])
    assert len(set(drawn[20:].tolist())) == 5
    counts = torch.bincount(target.sample(5000, seeded(1))[:, 0].long(), minlength=10)
    assert 4 < float(((counts - 500) ** 2 / 500).sum()) < 25  # chi squared with 9 degrees of freedom
    wide = Empirical(torch.zeros(4, 3), 0.5).training_samples(4000, seeded(2), torch.float64)
    assert_close(wide.std(), torch.tensor(0.5).double(), 0.02)
    mixture = GaussianMixture.two_modes(n=3)
    assert torch.equal(mixture.training_samples(7, seeded(3)), mixture.sample(7, seeded(3)))


def test_the_measured_bayes_risk_agrees_with_squared_errors():
    target = Empirical(POINTS, 0.2)
    risk, error = target.bayes_risk_and_error(1.0)
    clean = target.sample(20_000, seeded(6), torch.float64)
    x = mix(clean, normal(*clean.shape, seed=7), 1.0)
    squared = (clean - target.posterior_mean(x, 1.0)).square().flatten(1).sum(1)
    assert abs(float(risk) - float(squared.mean())) < 4 * math.hypot(float(error), float(squared.std()) / 20_000**0.5)
    assert float(Empirical(POINTS).bayes_risk(HALF_PI)) == 0
    assert float(target.bayes_risk(0.0)) == pytest.approx(
        float((POINTS - POINTS.mean(0)).square().sum() / 23 + 6 * 0.04), rel=0.05
    )


def test_the_scale_of_data_is_that_of_their_spread_and_the_last_noise_is_held_against_a_tenth():
    target = Empirical(POINTS)
    found = scale(target)
    lengths = (POINTS - POINTS.mean(0)).square().flatten(1).sum(1)
    assert found.spread == pytest.approx(float(lengths.max()))
    assert found.offset == pytest.approx(float(POINTS.mean(0).square().sum()))
    assert found.width == pytest.approx(float(lengths.mean() / 6) ** 0.5)
    assert found.resolved == pytest.approx(0.1 * found.width)
    assert scale(Empirical(POINTS, 0.5)).resolved == 0.5
    assert scale(GaussianMixture.two_modes(n=3)).resolved == 1.0


def test_what_is_no_data_set_is_refused():
    for points, std, says in (
        (torch.zeros(1, 3), 0.0, "N >= 2 is needed"),
        (torch.zeros(3), 0.0, "N >= 2 is needed"),
        (torch.full((3, 2), math.nan), 0.0, "finite"),
        (torch.zeros(3, 2), -0.1, "std = -0.1"),
        (torch.zeros(3, 2), math.inf, "std = inf"),
    ):
        with pytest.raises(ValueError, match=says):
            Empirical(points, std)
    with pytest.raises(ValueError, match=r"\(N, 1, H, W\)"):
        Images(torch.zeros(4, 3, 3))
    with pytest.raises(ValueError, match="held_out have shape"):
        Images(torch.zeros(4, 1, 3, 3), held_out=torch.zeros(4, 1, 3, 2))
    with pytest.raises(ValueError, match="one for each image"):
        Images(torch.zeros(4, 1, 3, 3), labels=[0, 1])
