"""The exact law of a projected mixture on the line."""

import itertools
import math

import numpy
import pytest
import torch
from helpers import assert_close, normal, random_mixture, refused, seeded, standard_error
from hypothesis import given
from hypothesis import strategies as some
from scipy import integrate, stats

from scorelab.laws.projected_law import ProjectedLaw
from scorelab.targets import GaussianMixture

LAWS = {
    "one mode": ([1.0], [0.3], [2.0]),
    "two modes": ([0.7, 0.3], [0.3, -0.7], [0.09, 0.09]),
    "overlapping": ([0.2, 0.5, 0.3], [-1.0, 0.0, 1.5], [1.0, 0.4, 2.0]),
    "one centre": ([0.5, 0.5], [0.0, 0.0], [1.0, 0.01]),
    "far apart": ([0.3, 0.7], [-1000.0, 1000.0], [1.0, 1.0]),
    "rare mode": ([1e-12, 1 - 1e-12], [-50.0, 50.0], [1.0, 3.0]),
    "far apart and unequal": ([0.2, 0.5, 0.3], [-100.0, 0.0, 1e4], [0.01, 1.0, 100.0]),
}
MODERATE = ("one mode", "two modes", "overlapping", "one centre")
LEVELS = [1e-300, 1e-100, 1e-16, 1e-9, 1e-3, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 0.999, 1 - 1e-9, 1 - 1e-15, 1 - 2**-53]


def laws(names=tuple(LAWS)):
    """Names and laws, one after the other."""
    return [(name, ProjectedLaw(*LAWS[name])) for name in names]


def points_of(law, reach=5.0):
    """Points within `reach` standard deviations of each mode, increasing."""
    z = torch.linspace(-reach, reach, 41, dtype=torch.float64)
    return torch.sort((law.means.unsqueeze(1) + law.stds.unsqueeze(1) * z).flatten()).values


def scipy_mixture(law, function, x):
    terms = zip(law.weights.tolist(), law.means.tolist(), law.stds.tolist(), strict=True)
    return sum(weight * function(x, mean, std) for weight, mean, std in terms)


def test_cdf_and_density_agree_with_scipy():
    for name, law in laws():
        x = points_of(law, reach=6.0)
        cdf, pdf = (scipy_mixture(law, function, x.numpy()) for function in (stats.norm.cdf, stats.norm.pdf))
        assert_close(law.cdf(x), cdf, rtol=1e-12, atol=1e-15, case=name)
        assert_close(law.pdf(x), pdf, rtol=1e-12, atol=1e-300, case=name)


def test_density_is_the_derivative_and_the_difference_quotient_of_the_cdf():
    for name, law in laws():
        x = points_of(law, reach=3.0).requires_grad_()
        (derivative,) = torch.autograd.grad(law.cdf(x).sum(), x)
        x = x.detach()
        assert_close(law.pdf(x), derivative, rtol=1e-10, case=name)
        if name in MODERATE:
            step = 1e-5 * float(law.stds.min())
            quotient = (law.cdf(x + step) - law.cdf(x - step)) / (2 * step)
            assert_close(law.pdf(x), quotient, rtol=1e-6, atol=1e-8 / float(law.stds.min()), case=name)


@given(levels=some.lists(some.sampled_from(LEVELS) | some.floats(1e-300, 1 - 2**-53), min_size=1))
def test_cdf_of_the_quantile_is_the_level(levels):
    levels = torch.tensor(levels, dtype=torch.float64)
    for name, law in laws():
        x = law.quantile(levels)
        assert bool(torch.isfinite(x).all()), name
        assert_close(law.cdf(x), levels, rtol=0, atol=1e-12, case=name)


def test_quantile_of_the_cdf_is_the_point():
    for name, law in laws():
        x = points_of(law, reach=3.0)
        # the level's own rounding moves the point by this much
        resolution = 4e-16 / law.pdf(x)
        error = (law.quantile(law.cdf(x)) - x).abs()
        assert bool((error <= 1e-12 * (1 + x.abs()) + resolution).all()), name


def test_quantile_increases():
    levels = torch.linspace(1e-6, 1 - 1e-6, 1001, dtype=torch.float64)
    for name, law in laws():
        assert bool((law.quantile(levels).diff() > 0).all()), name


def test_quantile_of_one_mode_agrees_with_scipy():
    levels = torch.tensor(LEVELS, dtype=torch.float64)
    expected = stats.norm.ppf(levels.numpy(), 0.3, 2.0)
    assert_close(ProjectedLaw([1.0], [0.3], [2.0]).quantile(levels), expected, rtol=1e-12)


def test_quantile_at_both_ends_is_infinite():
    law = ProjectedLaw(*LAWS["two modes"])
    ends = law.quantile([0.0, 0.5, 1.0])
    assert ends[0] == -math.inf
    assert math.isfinite(ends[1])
    assert ends[2] == math.inf


def test_quantile_of_no_probability_is_refused():
    law = ProjectedLaw(*LAWS["two modes"])
    for level in (-1e-12, 1 + 1e-12, math.nan, [0.5, 2.0]):
        assert refused(ValueError, law.quantile, level) == "quantile: probabilities must be in [0, 1]", level


def test_integrals_of_cdf_and_survival_agree_with_quadrature():
    for name, law in laws(MODERATE):
        low, high = float((law.means - 9 * law.stds).min()), float((law.means + 9 * law.stds).max())
        breaks = sorted({float(x) for x in points_of(law, reach=4.0)[::5]})
        for x in points_of(law, reach=3.0)[::20].tolist():
            below, above = [b for b in breaks if b < x] or None, [b for b in breaks if b > x] or None
            lower = integrate.quad(law.cdf, low, x, points=below, epsabs=1e-13, limit=400)
            upper = integrate.quad(lambda s, law=law: 1 - law.cdf(s), x, high, points=above, epsabs=1e-13, limit=400)
            assert_close(law.integrated_cdf(x), lower[0], rtol=1e-10, atol=1e-12, case=(name, x))
            assert_close(law.integrated_survival(x), upper[0], rtol=1e-10, atol=1e-12, case=(name, x))


def test_integrals_of_cdf_and_survival_differ_by_the_distance_to_the_mean():
    for name, law in laws():
        x = points_of(law)
        difference = law.integrated_cdf(x) - law.integrated_survival(x)
        assert_close(difference, x - law.mean, rtol=1e-12, atol=1e-11, case=name)


def test_mean_and_variance_agree_with_integrals_of_the_density():
    for name, law in laws(MODERATE):
        low, high = float((law.means - 12 * law.stds).min()), float((law.means + 12 * law.stds).max())
        step = float(law.stds.min()) / 4
        x = torch.arange(low, high, step, dtype=torch.float64)
        mass = law.pdf(x) * step
        assert_close(mass.sum(), 1.0, rtol=1e-12, case=name)
        assert_close(law.mean, float((mass * x).sum()), rtol=1e-11, atol=1e-12, case=name)
        assert_close(law.variance, float((mass * (x - law.mean) ** 2).sum()), rtol=1e-10, case=name)


def test_samples_follow_the_law():
    for name, law in laws(MODERATE):
        values = law.sample(5000, seeded(1))
        assert values.shape == (5000,)
        assert values.dtype == torch.float64
        assert abs(float(values.mean()) - law.mean) < 4 * math.sqrt(law.variance / 5000), name
        assert stats.kstest(values.numpy(), lambda x, law=law: law.cdf(x).numpy()).pvalue > 1e-4, name


def test_numbers_lists_and_tensors_of_any_shape_are_taken():
    law = ProjectedLaw(*LAWS["overlapping"])
    levels = torch.tensor([[0.1, 0.4], [0.6, 0.9]], dtype=torch.float64)
    for method in (law.pdf, law.cdf, law.quantile, law.integrated_cdf, law.integrated_survival):
        whole = method(levels)
        assert whole.shape == (2, 2)
        assert torch.equal(method(levels.tolist()), whole)
        assert torch.equal(method(0.4), whole[0, 1])
        assert torch.equal(method(levels.numpy()), whole)


def test_weights_are_normalised():
    law, same = ProjectedLaw([7, 3], [0.0, 1.0], [1.0, 2.0]), ProjectedLaw([0.7, 0.3], [0.0, 1.0], [1.0, 2.0])
    assert_close(law.cdf(0.4), same.cdf(0.4), rtol=1e-15)


# The law of a mixture's projection. ---------------------------------------------------------------------------------


def test_projection_agrees_with_projected_samples():
    for kind in itertools.product((1, 2, 4), (1, 3, 6), ("unit", "per_mode")):
        target = random_mixture(*kind)
        direction = 3 * normal(target.n, seed=2)
        law = target.projection(direction)
        values = target.sample(5000, seeded(3), torch.float64) @ direction / direction.square().sum()
        assert abs(float(values.mean()) - law.mean) < 4 * standard_error(values), kind
        squared = (values - law.mean).square()
        assert abs(float(squared.mean()) - law.variance) < 4 * standard_error(squared), kind
        assert stats.kstest(values.numpy(), lambda x, law=law: law.cdf(x).numpy()).pvalue > 1e-4, kind


def test_projection_of_two_modes_on_their_difference_has_the_published_centres():
    law = GaussianMixture.two_modes(0.7).projection(torch.ones(128))
    assert_close(law.means, torch.tensor([0.3, -0.7], dtype=torch.float64), rtol=1e-13)
    assert_close(law.stds, torch.full((2,), 128**-0.5, dtype=torch.float64), rtol=1e-14)
    x = numpy.linspace(-1, 1, 7)
    expected = 0.7 * stats.norm.pdf(x, 0.3, 128**-0.5) + 0.3 * stats.norm.pdf(x, -0.7, 128**-0.5)
    assert_close(law.pdf(x), expected, rtol=1e-11)


def test_projection_in_one_dimension_is_the_mixture_itself():
    target = random_mixture(3, 1, "per_mode")
    x = torch.linspace(-4, 4, 31, dtype=torch.float64)
    law = target.projection(torch.ones(1))
    assert_close(law.pdf(x), target.log_prob(x.unsqueeze(1)).exp(), rtol=1e-12)


def test_impossible_direction_is_refused():
    for direction, says in (
        (torch.zeros(3), "other than 0"),
        (torch.ones(4), "(3,) is needed"),
        (torch.ones(1, 3), "(3,) is needed"),
    ):
        assert says in refused(ValueError, random_mixture(2, 3).projection, direction), direction


def test_the_left_tail_of_the_cdf_keeps_its_relative_accuracy():
    z = torch.linspace(-30, 0, 61, dtype=torch.float64)
    law = ProjectedLaw([1.0], [0.0], [1.0])
    expected = torch.from_numpy(stats.norm.cdf(z.numpy()))
    assert torch.allclose(law.cdf(z), expected, rtol=1e-12, atol=0)


def test_quantiles_far_in_the_tail_are_exact():
    levels = torch.tensor([1e-300, 1e-100, 1e-20, 1e-16], dtype=torch.float64)
    for means, stds in (((0.0, 1.0), (1.0, 1.0)), ((-1000.0, 1000.0), (1.0, 3.0))):
        law = ProjectedLaw([0.5, 0.5], means, stds)
        assert_close(law.cdf(law.quantile(levels)), levels, rtol=1e-9, case=means)


def test_the_variance_does_not_cancel_far_from_zero():
    assert ProjectedLaw([0.5, 0.5], [1e6, 1e6], [1e-3, 1e-3]).variance == pytest.approx(1e-6, rel=1e-12)


def test_a_mean_that_is_rounding_alone_is_zero():
    law = ProjectedLaw([0.25, 0.25, 0.5], [0.2, 0.4, -0.3], [1, 1, 1])
    assert float((law.weights * law.means).sum()) != 0 == law.mean
    assert ProjectedLaw([0.5, 0.5], [1.0, -1.0 + 1e-12], [1, 1]).mean == pytest.approx(5e-13, rel=1e-3)
