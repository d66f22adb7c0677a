"""Mixtures with full and low-rank covariances, and with many modes, as configurations give them."""

import math
import tracemalloc

import numpy
import pytest
import torch
from helpers import assert_close, composed, noisy_states, normal, over, refused, seeded

from scorelab.errors import ConfigError
from scorelab.lab.config import check
from scorelab.targets import AnisotropicMixture, GaussianMixture, LowRankMixture
from scorelab.targets.scale import scale

N, STD = 6, torch.tensor([0.7, 1.1, 0.4], dtype=torch.float64)
WEIGHTS, MEANS, FACTORS = [0.5, 0.3, 0.2], 2 * normal(3, N, seed=1), normal(3, 2, N, seed=2)
FACTORS[1, 1] = 0.0  # a mode of rank 1
THIN = LowRankMixture(WEIGHTS, MEANS, STD, FACTORS)
DENSE = AnisotropicMixture(
    WEIGHTS, MEANS, STD.reshape(3, 1, 1) ** 2 * torch.eye(N, dtype=torch.float64) + FACTORS.mT @ FACTORS
)
ANGLES = (0.0, 0.4, 1.1, 1.5, math.pi / 2)


def build(*overrides, target="mixture"):
    return check(composed(f"target={target}", *overrides))["target"].build(generator=seeded(0))


@over("angle", [*ANGLES, torch.linspace(0, math.pi / 2, 40, dtype=torch.float64)])
def test_low_rank_modes_are_the_modes_with_their_covariances(angle):
    x = noisy_states(DENSE, angle if isinstance(angle, float) else 1.0, 40, seed=3)
    asked = ("posterior_mean", "posterior_weights", "posterior_variance", "noisy_log_prob", "noisy_score")
    for name in (*asked, "squared_lengths"):
        found, exact = (getattr(law, name)(x, angle) for law in (THIN, DENSE))
        assert_close(found, exact, rtol=1e-9, atol=1e-11, case=name)
        assert getattr(THIN, name)(x.float(), angle).dtype == (
            torch.float64 if name == "squared_lengths" else torch.float32
        )


def test_their_laws_and_moments_are_the_same():
    for name in ("covariances", "covariance", "mean"):
        assert_close(getattr(THIN, name), getattr(DENSE, name), rtol=1e-12, atol=1e-12, case=name)
    assert_close(THIN.total_variances(), DENSE.total_variances(), rtol=1e-12)
    direction = normal(N, seed=4)
    for found, exact in (
        (THIN.projection(direction), DENSE.projection(direction)),
        (THIN.noisy_projection(direction, 0.8), DENSE.noisy_projection(direction, 0.8)),
        (THIN.noisy(0.6, 0.3).projection(direction), DENSE.noisy(0.6, 0.3).projection(direction)),
    ):
        assert_close(found.means, exact.means, rtol=1e-12)
        assert_close(found.stds, exact.stds, rtol=1e-12)
    assert_close(THIN.orthogonal_variance(direction), DENSE.orthogonal_variance(direction), rtol=1e-12)
    assert_close(list(scale(THIN)), list(scale(DENSE)), rtol=1e-10)
    for output in ("scaled", "posterior_mean"):
        angle = 1.56
        found, exact = (law.output_law(angle, output) for law in (THIN, DENSE))
        assert_close(found.covariances, exact.covariances, rtol=1e-9, atol=1e-12)
        assert isinstance(found, LowRankMixture)
    share, part = THIN.restricted(lambda x: (x[:, 0] > MEANS[0, 0] - 1e-9).long(), 1)
    other, same = DENSE.restricted(lambda x: (x[:, 0] > MEANS[0, 0] - 1e-9).long(), 1)
    assert share == pytest.approx(other)
    assert_close(part.covariances, same.covariances, rtol=1e-12, atol=1e-12)
    known = torch.tensor([[True, False] * 3]).expand(5, -1)
    x = normal(5, N, seed=6)
    assert_close(THIN.conditional_mean(x, known), DENSE.conditional_mean(x, known), rtol=1e-9)
    assert_close(THIN.tilted_mean(x), DENSE.tilted_mean(x), rtol=1e-9)


def test_samples_of_low_rank_modes_have_the_exact_moments():
    x = THIN.sample(40_000, seeded(5), torch.float64)
    off = x - THIN.mean
    products = off.unsqueeze(2) * off.unsqueeze(1)
    for values, exact in ((x, THIN.mean), (products, THIN.covariance)):
        z = (values.mean(0) - exact) / (values.std(0) / math.sqrt(len(x)))
        assert float(z.abs().max()) < 4.5


def test_modes_of_another_shape_are_not_taken_for_round_ones():
    for target in (THIN, DENSE):
        assert target.can("modes", "density", "score", "output_law", "posterior_variance", "covariance")
        assert target.lacks("gaussian_modes") == "the target has no isotropic Gaussian modes"
        assert not target.can("speciation")


def test_the_measured_risk_is_that_of_the_posterior_variance():
    risk, error = THIN.bayes_risk_and_error(0.8)
    clean = THIN.sample(40_000, seeded(7), torch.float64)
    x = math.sin(0.8) * clean + math.cos(0.8) * torch.randn(clean.shape, generator=seeded(8), dtype=torch.float64)
    squared = (clean - THIN.posterior_mean(x, 0.8)).square().sum(1)
    apart = float(squared.mean() - risk)
    assert abs(apart) < 4 * math.hypot(float(error), float(squared.std()) / 200)


def test_nothing_of_n_by_n_is_made_for_a_low_rank():
    n = 1024
    target = build(
        "target.n=1024", "target.covariances=[{std: 1.0, factors: [{norm: 3.0}]}, 2.0, {std: 0.5, factors: [1]}]"
    )
    assert isinstance(target, LowRankMixture)
    assert max(each.numel() for each in vars(target).values() if isinstance(each, torch.Tensor)) <= 3 * n
    tracemalloc.start()
    x = target.sample(8, seeded(0))
    for name in ("posterior_mean", "noisy_log_prob", "noisy_score", "posterior_variance"):
        assert bool(torch.isfinite(getattr(target, name)(x, 1.1)).all())
    target.projection(target.direction)
    tracemalloc.stop()


# Configurations. ----------------------------------------------------------------------------------------------------


def test_covariances_of_each_kind_make_the_class_that_is_quickest(tmp_path):
    two = ("target.n=2", "target.means=[1,-1]", "target.weights=[1,1]")
    target = build(*two, "target.covariances=[4.0,0.25]")
    assert isinstance(target, GaussianMixture)
    assert_close(target.std, [2.0, 0.5], rtol=1e-15)
    target = build(*two, "target.covariances=[4.0,[1.0,2.0]]")
    assert_close(target.covariances, [[[4.0, 0], [0, 4.0]], [[1.0, 0], [0, 2.0]]], rtol=1e-15)
    assert target.axes is None
    target = build(*two, "target.covariances=[[[2.0,1.0],[1.0,2.0]],{std: 0.5, factors: [[1,2]]}]")
    assert_close(target.covariances, [[[2.0, 1], [1, 2]], [[1.25, 2], [2, 4.25]]], rtol=1e-12)
    numpy.save(tmp_path / "both.npy", numpy.array([[[2.0, 1.0], [1.0, 2.0]], [[1.0, 0.0], [0.0, 3.0]]]))
    target = build(*two, "target.covariances=${npy:" + str(tmp_path / "both.npy") + "}")
    assert_close(target.covariances[0], [[2.0, 1], [1, 2]], rtol=1e-12)


def test_many_modes_are_said_in_one_line():
    target = build("target.n=16", "target.means.count=50", "target.weights={power: 1.0}", target="many_modes")
    assert target.means.shape == (50, 16)
    assert_close(target.means.norm(dim=1), torch.full((50,), 8.0, dtype=torch.float64), rtol=1e-12)
    assert_close(target.weights[0] / target.weights[9], 10.0, rtol=1e-12)
    equal = build("target.n=16", "target.means.count=50", target="many_modes")
    assert_close(equal.weights, torch.full((50,), 0.02, dtype=torch.float64), rtol=1e-12)
    assert torch.equal(equal.means, target.means)


def test_a_configuration_without_covariances_is_the_one_of_earlier_versions():
    before = composed("target=mixture")
    for name in ("covariances", "direction"):
        del before["target"][name]
    assert check(before).fingerprint == check(composed("target=mixture")).fingerprint
    assert "covariances" not in check(composed("target=mixture")).data["target"]


SMALL = ("target.n=2", "target.weights=[1,1]", "target.means=[1,-1]")


@over(
    ("overrides", "says"),
    [
        (["target.covariances=[1]"], "target.covariances has 1 entries, means has 2: one per mode is needed"),
        (["target.covariances=[1,-2]"], "target.covariances.1 = -2: variances > 0 are needed"),
        (["target.covariances=[1,[1,2,3]]"], "target: covariances[1] has 3 entries, n = 2: n entries are needed"),
        (["target.covariances=[1,[[1]]]"], "target: covariances[1] has 1 rows, n = 2: n rows are needed"),
        (["target.covariances=[1,[[1,2],[0,1]]]"], "a symmetric matrix is needed"),
        (["target.covariances=[1,[[1,2],[2,1]]]"], "target.covariances[1]: its least eigenvalue is -1, and a positive"),
        (["target.covariances=[1,full]"], "target.covariances.1 = full: allowed are a variance, n variances, n rows"),
        (["target.covariances=[1,{std: 1, factors: []}]"], "factors"),
        (["target.covariances=[1,{std: 0, factors: [1]}]"], "covariances.1.std = 0: must be greater than 0"),
        (["target.covariances=[1,{std: 1, factors: [[1,2,3]]}]"], "covariances[1].factors[0] has 3 entries, n = 2"),
        (["target.covariances=[1,{std: 1, factor: [1]}]"], "target.covariances.1.factors: a value is needed"),
        (["target.covariances=[1,1]", "target.means=[1,1]"], "modes 0 and 1 have one mean and one covariance"),
        (["target.weights=many"], "target.weights = many: allowed are K numbers > 0, equal, or {power: a}"),
        (["target.weights=[1,0]"], "target.weights = [1, 0]: allowed are K numbers > 0"),
        (["target.weights=[1,1,1]"], "means has 2 vectors, weights has 3 entries"),
        (["target.direction=north"], "target.direction = north: allowed are null (the target's own), pc"),
        (["target.direction=0"], "target.direction = 0: a direction other than 0 is needed"),
        (["target.direction=[1]"], "target.direction = [1.0]: has 1 entries, and 2 are needed"),
        (["target.direction={axis: 2}"], "target.direction = {'axis': 2}: the axes are 0 to 1"),
        (["target.direction={modes: [0, 2]}"], "target.direction = {'modes': [0, 2]}: the modes are 0 to 1"),
        (["target.direction={modes: [1, 1]}"], "allowed are null"),
    ],
)
def test_what_a_mixture_cannot_be_is_one_line(overrides, says):
    text = refused(ConfigError, build, *SMALL, *overrides)
    assert says in text
    assert "\n" not in text


@over(
    ("overrides", "says"),
    [
        (["target.means.count=0"], "target.means.count = 0: must be greater than or equal to 1"),
        (["target.means.norm=0"], "target.means.norm = 0: must be greater than 0"),
        (["target.weights=[1,2]"], "target.means has 200 vectors, weights has 2 entries"),
        (["target.weights={power: -1}"], "target.weights.power = -1: must be greater than or equal to 0"),
        (["~target.means.norm"], "target.means.norm: a value is needed"),
        (["+target.means.radius=3"], "target.means.radius: unknown key"),
    ],
)
def test_what_many_modes_cannot_be_is_one_line(overrides, says):
    assert says in refused(ConfigError, lambda: build(*overrides, target="many_modes"))


# Directions. --------------------------------------------------------------------------------------------------------


def test_a_direction_is_what_it_says():
    three = ("target.n=3", "target.means=[[3,0,0],[0,1,0],[0,0,-2]]")
    assert_close(build(*three).direction, [3.0, -1, 0], rtol=1e-15)
    assert_close(build(*three, "target.direction={modes: [2, 0]}").direction, [-3.0, 0, -2], rtol=1e-15)
    assert_close(build(*three, "target.direction={axis: 1}").direction, [0.0, 1, 0], rtol=1e-15)
    assert_close(build(*three, "target.direction=[1,2,2]").direction, [1.0, 2, 2], rtol=1e-15)
    assert_close(build(*three, "target.direction=2").direction, [2.0, 2, 2], rtol=1e-15)
    target = build(*three, "target.direction=pc")
    values, vectors = torch.linalg.eigh(target.covariance)
    assert abs(float(vectors[:, -1] @ target.direction)) == pytest.approx(1, abs=1e-12)
    assert target.projection(target.direction).variance == pytest.approx(float(values[-1]), rel=1e-12)


def test_every_target_takes_a_direction():
    for name, choice in (("two_modes", "pc"), ("ising", "{axis: 2}"), ("spiked", "1"), ("gamma_mixture", "pc")):
        target = check(composed(f"target={name}", f"target.direction={choice}"))["target"].build(generator=seeded(0))
        assert target.direction.shape == (target.n,)
    for name, choice, says in (
        ("ising", "{modes: [0, 1]}", "target.direction = {'modes': [0, 1]}: the target has no modes"),
        ("spiked", "pc", "target.direction = pc: the covariance of the target is not known"),
    ):
        component = check(composed(f"target={name}", f"target.direction={choice}"))["target"]
        assert says in refused(ConfigError, component.build)
