"""The exact law of a projected mixture on the line."""

import math

import numpy
import pytest
import torch
from helpers import assert_close, normal, random_mixture, seeded, standard_error
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
MODERATE = ["one mode", "two modes", "overlapping", "one centre"]

every_law = pytest.mark.parametrize("name", LAWS)
every_moderate_law = pytest.mark.parametrize("name", MODERATE)


def points_of(law, reach=5.0):
    """Points within `reach` standard deviations of each mode, increasing."""
    z = torch.linspace(-reach, reach, 41, dtype=torch.float64)
    return torch.sort((law.means.unsqueeze(1) + law.stds.unsqueeze(1) * z).flatten()).values


def scipy_mixture(law, function, x):
    terms = zip(law.weights.tolist(), law.means.tolist(), law.stds.tolist(), strict=True)
    return sum(weight * function(x, mean, std) for weight, mean, std in terms)


@every_law
def test_cdf_and_density_agree_with_scipy(name):
    law = ProjectedLaw(*LAWS[name])
    x = points_of(law, reach=6.0)
    assert_close(law.cdf(x), scipy_mixture(law, stats.norm.cdf, x.numpy()), rtol=1e-12, atol=1e-15)
    assert_close(law.pdf(x), scipy_mixture(law, stats.norm.pdf, x.numpy()), rtol=1e-12, atol=1e-300)


@every_law
def test_density_is_the_derivative_of_the_cdf(name):
    law = ProjectedLaw(*LAWS[name])
    x = points_of(law, reach=3.0).requires_grad_()
    (derivative,) = torch.autograd.grad(law.cdf(x).sum(), x)
    assert_close(law.pdf(x.detach()), derivative, rtol=1e-10)


@every_moderate_law
def test_density_is_the_difference_quotient_of_the_cdf(name):
    law = ProjectedLaw(*LAWS[name])
    x = points_of(law, reach=3.0)
    step = 1e-5 * float(law.stds.min())
    quotient = (law.cdf(x + step) - law.cdf(x - step)) / (2 * step)
    assert_close(law.pdf(x), quotient, rtol=1e-6, atol=1e-8 / float(law.stds.min()))


LEVELS = [1e-300, 1e-100, 1e-16, 1e-9, 1e-3, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 0.999, 1 - 1e-9, 1 - 1e-15, 1 - 2**-53]


@every_law
def test_cdf_of_the_quantile_is_the_level(name):
    law = ProjectedLaw(*LAWS[name])
    levels = torch.tensor(LEVELS, dtype=torch.float64)
    x = law.quantile(levels)
    assert bool(torch.isfinite(x).all())
    assert_close(law.cdf(x), levels, rtol=0, atol=1e-12)


@every_law
def test_quantile_of_the_cdf_is_the_point(name):
    law = ProjectedLaw(*LAWS[name])
    x = points_of(law, reach=3.0)
    levels = law.cdf(x)
    # the level's own rounding moves the point by this much
    resolution = 4e-16 / law.pdf(x)
    error = (law.quantile(levels) - x).abs()
    assert bool((error <= 1e-12 * (1 + x.abs()) + resolution).all())


@every_law
def test_quantile_increases(name):
    law = ProjectedLaw(*LAWS[name])
    levels = torch.linspace(1e-6, 1 - 1e-6, 1001, dtype=torch.float64)
    assert bool((law.quantile(levels).diff() > 0).all())


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


@pytest.mark.parametrize("level", [-1e-12, 1 + 1e-12, math.nan, [0.5, 2.0]])
def test_quantile_of_no_probability_is_refused(level):
    with pytest.raises(ValueError, match=r"in \[0, 1\]"):
        ProjectedLaw(*LAWS["two modes"]).quantile(level)


@every_moderate_law
def test_integrals_of_cdf_and_survival_agree_with_quadrature(name):
    law = ProjectedLaw(*LAWS[name])
    low, high = float((law.means - 9 * law.stds).min()), float((law.means + 9 * law.stds).max())
    breaks = sorted({float(x) for x in points_of(law, reach=4.0)[::5]})
    for x in points_of(law, reach=3.0)[::20].tolist():
        below, above = [b for b in breaks if b < x], [b for b in breaks if b > x]
        cdf, _ = integrate.quad(lambda s: float(law.cdf(s)), low, x, points=below or None, epsabs=1e-13, limit=400)
        survival, _ = integrate.quad(
            lambda s: 1 - float(law.cdf(s)), x, high, points=above or None, epsabs=1e-13, limit=400
        )
        assert_close(law.integrated_cdf(x), cdf, rtol=1e-10, atol=1e-12)
        assert_close(law.integrated_survival(x), survival, rtol=1e-10, atol=1e-12)


@every_law
def test_integrals_of_cdf_and_survival_differ_by_the_distance_to_the_mean(name):
    law = ProjectedLaw(*LAWS[name])
    x = points_of(law)
    assert_close(law.integrated_cdf(x) - law.integrated_survival(x), x - law.mean, rtol=1e-12, atol=1e-11)


@every_moderate_law
def test_mean_and_variance_agree_with_integrals_of_the_density(name):
    law = ProjectedLaw(*LAWS[name])
    low, high = float((law.means - 12 * law.stds).min()), float((law.means + 12 * law.stds).max())
    step = float(law.stds.min()) / 4
    x = torch.arange(low, high, step, dtype=torch.float64)
    mass = law.pdf(x) * step
    assert_close(mass.sum(), 1.0, rtol=1e-12)
    assert_close(law.mean, float((mass * x).sum()), rtol=1e-11, atol=1e-12)
    assert_close(law.variance, float((mass * (x - law.mean) ** 2).sum()), rtol=1e-10)


@every_moderate_law
def test_samples_follow_the_law(name):
    law = ProjectedLaw(*LAWS[name])
    values = law.sample(5000, seeded(1))
    assert values.shape == (5000,)
    assert values.dtype == torch.float64
    assert abs(float(values.mean()) - law.mean) < 4 * math.sqrt(law.variance / 5000)
    assert stats.kstest(values.numpy(), lambda x: law.cdf(x).numpy()).pvalue > 1e-4


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


@pytest.mark.parametrize("std", ["unit", "per_mode"])
@pytest.mark.parametrize(("modes", "n"), [(1, 3), (2, 1), (4, 6)])
def test_projection_agrees_with_projected_samples(modes, n, std):
    target = random_mixture(modes, n, std)
    direction = 3 * normal(n, seed=2)
    law = target.projection(direction)
    values = target.sample(10_000, seeded(3), torch.float64) @ direction / direction.square().sum()
    assert abs(float(values.mean()) - law.mean) < 4 * standard_error(values)
    squared = (values - law.mean).square()
    assert abs(float(squared.mean()) - law.variance) < 4 * standard_error(squared)
    assert stats.kstest(values.numpy(), lambda x: law.cdf(x).numpy()).pvalue > 1e-4


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


@pytest.mark.parametrize(
    ("direction", "message"),
    [(torch.zeros(3), "other than 0"), (torch.ones(4), r"\(3,\) is needed"), (torch.ones(1, 3), r"\(3,\) is needed")],
)
def test_impossible_direction_is_refused(direction, message):
    with pytest.raises(ValueError, match=message):
        random_mixture(2, 3).projection(direction)


def test_the_left_tail_of_the_cdf_keeps_its_relative_accuracy():
    z = torch.linspace(-30, 0, 61, dtype=torch.float64)
    law = ProjectedLaw([1.0], [0.0], [1.0])
    expected = torch.from_numpy(stats.norm.cdf(z.numpy()))
    assert torch.allclose(law.cdf(z), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize(("means", "stds"), [((0.0, 1.0), (1.0, 1.0)), ((-1000.0, 1000.0), (1.0, 3.0))])
def test_quantiles_far_in_the_tail_are_exact(means, stds):
    law = ProjectedLaw([0.5, 0.5], means, stds)
    levels = torch.tensor([1e-300, 1e-100, 1e-20, 1e-16], dtype=torch.float64)
    assert torch.allclose(law.cdf(law.quantile(levels)), levels, rtol=1e-9, atol=0)


def test_the_variance_does_not_cancel_far_from_zero():
    assert ProjectedLaw([0.5, 0.5], [1e6, 1e6], [1e-3, 1e-3]).variance == pytest.approx(1e-6, rel=1e-12)
