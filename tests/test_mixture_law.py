"""The law of a Gaussian mixture with any covariances, against computations that share nothing with it."""

import math

import numpy
import pytest
import torch
from helpers import assert_close, job, normal, over, seeded, standard_error
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from scorelab.channel import HALF_PI, mix
from scorelab.denoisers import ExactDenoiser
from scorelab.denoisers.student import StudentDenoiser
from scorelab.laws.estimate import mean_and_error
from scorelab.laws.mixture import IsotropicMixture, Mixture
from scorelab.laws.projected_law import ProjectedLaw, log_odds
from scorelab.samplers import FlowHeun
from scorelab.samplers.loop import draw_samples
from scorelab.schedules import Localization
from scorelab.targets import AnisotropicMixture, GaussianMixture

ANGLES = (0.0, 0.3, 1.2, HALF_PI)
WEIGHTS, MEANS = [0.5, 0.2, 0.3], torch.tensor([[1.0, -0.5], [-2.0, 0.4], [0.3, 1.8]], dtype=torch.float64)
_ROOTS = 0.4 * normal(3, 2, 2, seed=1)
LAWS = {
    "full": Mixture(WEIGHTS, MEANS, _ROOTS @ _ROOTS.mT + 0.3 * torch.eye(2, dtype=torch.float64)),
    "diagonal": Mixture(WEIGHTS, MEANS, [[0.5, 1.2], [0.3, 0.4], [2.0, 0.7]]),
    "isotropic": IsotropicMixture(WEIGHTS, MEANS, [0.6, 1.1, 0.8]),
}
every_law = pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)


def reference(law, angle):
    """The noisy law by torch.distributions."""
    sin, cos2 = math.sin(angle), math.cos(angle) ** 2
    modes = MultivariateNormal(sin * law.means, sin**2 * law.covariances + cos2 * torch.eye(law.n).double())
    return MixtureSameFamily(Categorical(law.weights), modes)


@every_law
def test_densities_scores_and_weights_are_those_of_the_noisy_mixture(law):
    """Scores by autograd; weights by Bayes' rule."""
    for angle in ANGLES:
        noisy, x = reference(law, angle), normal(40, 2, seed=2).requires_grad_()
        (slope,) = torch.autograd.grad(noisy.log_prob(x).sum(), x)
        x = x.detach()
        joint = noisy.component_distribution.log_prob(x.unsqueeze(1)) + law.weights.log()
        assert_close(law.noisy_log_prob(x, angle), noisy.log_prob(x), rtol=1e-12)
        assert_close(law.noisy_score(x, angle), slope, rtol=1e-11, atol=1e-12)
        assert_close(law.posterior_weights(x, angle), torch.softmax(joint, 1), rtol=1e-11)
    assert_close(law.log_prob(x), noisy.log_prob(x), rtol=1e-12)
    assert_close(law.score(x), slope, rtol=1e-11, atol=1e-12)


@every_law
def test_the_posterior_mean_is_a_ratio_of_sums_in_the_plane(law):
    line = torch.linspace(-15, 15, 401, dtype=torch.float64)
    clean = torch.cartesian_prod(line, line)
    prior, x = reference(law, HALF_PI).log_prob(clean), 1.5 * normal(20, 2, seed=3)
    for angle in (0.3, 1.2):
        log_kernel = -torch.cdist(x, math.sin(angle) * clean).square() / (2 * math.cos(angle) ** 2)
        expected = torch.softmax(prior + log_kernel, 1) @ clean
        assert_close(law.posterior_mean(x, angle), expected, rtol=1e-9, atol=1e-10)
    assert_close(law.posterior_mean(x, 0.0), law.mean.expand(20, 2), rtol=1e-13)
    assert_close(law.posterior_mean(x, HALF_PI), x, rtol=1e-12, atol=1e-13)


@every_law
def test_a_tensor_of_angles_is_one_angle_a_row(law):
    angles, x = torch.tensor(ANGLES, dtype=torch.float64), normal(len(ANGLES), 2, seed=4)
    for method in (law.noisy_log_prob, law.posterior_weights, law.posterior_mean, law.noisy_score):
        rows = torch.cat([method(x[[row]], angle) for row, angle in enumerate(ANGLES)])
        assert_close(method(x, angles), rows, rtol=1e-12)
        assert method(x.float(), 0.3).dtype == torch.float32
        assert_close(method(x.float(), 0.3).double(), method(x, 0.3), rtol=2e-5, atol=1e-5)


@every_law
def test_the_noisy_law_is_a_mixture_of_the_same_kind(law):
    x, angle = normal(20, 2, seed=5), 0.8
    noisy = law.noisy(math.sin(angle), math.cos(angle) ** 2)
    assert type(noisy) is type(law)
    assert_close(noisy.log_prob(x), law.noisy_log_prob(x, angle), rtol=1e-12)


@every_law
def test_the_projection_is_the_density_integrated_across_the_direction(law):
    direction = torch.tensor([1.5, -0.7], dtype=torch.float64)
    across = torch.tensor([0.7, 1.5], dtype=torch.float64) / direction.norm()
    line, place = torch.linspace(-12, 12, 1201, dtype=torch.float64), torch.tensor([-1.3, 0.2, 0.9]).double()
    points = place.view(-1, 1, 1) * direction + line.view(1, -1, 1) * across
    sums = reference(law, HALF_PI).log_prob(points).exp().sum(1) * (line[1] - line[0])
    projected = law.projection(direction)
    assert_close(projected.pdf(place), sums * direction.norm(), rtol=1e-11)
    squared = direction @ direction
    assert projected.mean == pytest.approx(float(law.mean @ direction / squared), rel=1e-12)
    variance = direction @ law.covariance @ direction / squared**2
    assert projected.variance == pytest.approx(float(variance), rel=1e-12)


@every_law
def test_samples_have_the_moments_of_the_law(law):
    """Mean and covariance, within four standard errors, and the density's mean logarithm."""
    x = law.sample(40_000, seeded(6), torch.float64)
    offsets = x - law.mean
    products = torch.stack([offsets[:, 0] ** 2, offsets[:, 1] ** 2, offsets[:, 0] * offsets[:, 1]], 1)
    exact = torch.stack([law.covariance[0, 0], law.covariance[1, 1], law.covariance[0, 1]])
    for values, expected in ((x, law.mean), (products, exact)):
        mean, error = mean_and_error(values)
        assert bool(((mean - expected).abs() < 4 * error).all())
    reflected = law.log_prob(x) - reference(law, HALF_PI).log_prob(reference(law, HALF_PI).sample((40_000,)))
    assert abs(float(reflected.mean())) < 4 * standard_error(reflected)


def test_one_law_written_three_ways_is_one_law():
    """Isotropic covariances as numbers, as diagonals and as matrices."""
    variances = LAWS["isotropic"].std ** 2
    diagonal = variances.unsqueeze(1).expand(3, 2)
    others = Mixture(WEIGHTS, MEANS, diagonal), Mixture(WEIGHTS, MEANS, torch.diag_embed(diagonal))
    x = mix(MEANS, normal(3, 2, seed=7), 0.6)
    for other in others:
        for name in ("noisy_log_prob", "posterior_mean", "noisy_score", "posterior_weights"):
            assert_close(getattr(other, name)(x, 0.6), getattr(LAWS["isotropic"], name)(x, 0.6), rtol=1e-12)
        assert_close(other.covariances, LAWS["isotropic"].covariances, rtol=1e-14)


def test_any_weights_may_stand_in_for_those_of_the_posterior():
    """sum_k gamma_k E[X | x, mode k], mode by mode with the law of that mode alone."""
    x, gamma = normal(10, 2, seed=8), torch.softmax(normal(10, 3, seed=9), 1)
    for law in LAWS.values():
        alone = [Mixture([1.0], law.means[[k]], law.covariances[[k]]).posterior_mean(x, 0.7) for k in range(3)]
        expected = (gamma.unsqueeze(-1) * torch.stack(alone, 1)).sum(1)
        assert_close(law.mean_given_weights(gamma, x, 0.7), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("covariances", "message"),
    [
        ([[1.0, 1.0]], r"\(3, 2\) or \(3, 2, 2\) is needed"),
        ([[1.0, 0.0]] * 3, "positive definite"),
        ([[1.0, math.nan]] * 3, "finite"),
        ([[[1.0, 0.5], [0.2, 1.0]]] * 3, "symmetric"),
        ([[[1.0, 2.0], [2.0, 1.0]]] * 3, "positive definite"),
    ],
)
def test_impossible_covariances_are_refused(covariances, message):
    with pytest.raises(ValueError, match=message):
        Mixture(WEIGHTS, MEANS, covariances)


# The target. --------------------------------------------------------------------------------------------------------

TARGET = AnisotropicMixture(WEIGHTS, MEANS, LAWS["full"].covariances)


def test_modes_that_are_isotropic_make_the_same_target_as_numbers_do():
    """Every method of the contract, beside `GaussianMixture`."""
    known = GaussianMixture(WEIGHTS, MEANS, LAWS["isotropic"].std)
    target = AnisotropicMixture(WEIGHTS, MEANS, LAWS["isotropic"].covariances)
    x, direction = normal(20, 2, seed=11), torch.tensor([0.4, 2.0], dtype=torch.float64)
    assert_close(target.direction, known.direction, rtol=0)
    assert_close(target.posterior_mean(x, 0.9), known.posterior_mean(x, 0.9), rtol=1e-12)
    assert target.orthogonal_variance(direction) == pytest.approx(known.orthogonal_variance(direction), rel=1e-12)
    assert_close(target.projection(direction).pdf(x[:, 0]), known.projection(direction).pdf(x[:, 0]), rtol=1e-12)
    for output in ("scaled", "posterior_mean"):
        laws = target.output_law(1.56, output), known.output_law(1.56, output)
        assert_close(laws[0].log_prob(x), laws[1].log_prob(x), rtol=1e-10)
    share, left = target.restricted(lambda means: (means[:, 0] > 0).long(), 1)
    assert share == pytest.approx(0.8, rel=1e-14)
    assert_close(left.means, MEANS[[0, 2]], rtol=0)


def test_what_a_sampler_returns_has_the_covariance_of_the_output_law():
    """x/sin of exact states, and of one mode, whose posterior mean is linear, the posterior mean."""
    one = AnisotropicMixture([1.0], MEANS[:1], TARGET.covariances[:1])
    for target, output in ((TARGET, "scaled"), (one, "posterior_mean")):
        clean = target.sample(40_000, seeded(12), torch.float64)
        x = mix(clean, normal(40_000, 2, seed=13), 1.1)
        returned = x / math.sin(1.1) if output == "scaled" else target.posterior_mean(x, 1.1)
        exact = target.output_law(1.1, output)
        products = (returned - exact.mean).prod(1)
        assert abs(float(products.mean() - exact.covariance[0, 1])) < 4 * standard_error(products)
        squares = (returned - exact.mean).square().sum(1)
        assert abs(float(squares.mean() - exact.covariance.trace())) < 4 * standard_error(squares)


def test_the_law_of_posterior_means_is_known_only_where_the_modes_do_not_overlap():
    """Where it is known, posterior means of exact states have its variance and weights; elsewhere it would be wrong."""
    two = GaussianMixture.two_modes(0.7, torch.ones(4))
    for target in (two, AnisotropicMixture(two.weights, two.means, two.covariances)):
        known = []
        for t in (0.5, 30.0):
            angle, clean = math.atan(math.sqrt(t)), target.sample(20_000, seeded(14), torch.float64)
            means = target.posterior_mean(mix(clean, normal(20_000, 4, seed=15), angle), angle)
            law = target.output_law(angle, "posterior_mean")
            known.append(law is not None)
            if known[-1]:
                gamma = law.posterior_weights(means, math.pi / 2)[:, 0]
                assert abs(float(gamma.mean()) - 0.7) < 4 * standard_error(gamma)
                squares = (means - target.mean).square().sum(1)
                assert abs(float(squares.mean() - law.covariance.trace())) < 4 * standard_error(squares)
        assert known == [False, True]


def test_the_exact_denoiser_samples_a_target_with_correlations():
    """The probability-flow ODE from noise, whose projections have the exact law's variance within four errors."""
    rule = FlowHeun(coordinate="angle")
    schedule = Localization(grid="angle", alpha_max=1.5, T=None, t_min=3e-4)
    samples = torch.cat(list(draw_samples(job(rule, 4000, 60, 4000), schedule, ExactDenoiser(TARGET), 2, 0))).double()
    law = TARGET.output_law(rule.end_angle(schedule), "scaled")
    for direction in torch.tensor([[1.0, 0.0], [1.0, 1.0], [1.0, -1.0]], dtype=torch.float64):
        projected = law.projection(direction)
        squares = (samples @ direction / (direction @ direction) - projected.mean).square()
        assert abs(float(squares.mean()) - projected.variance) < 4 * standard_error(squares)


# The line. ----------------------------------------------------------------------------------------------------------


def test_the_law_on_the_line_knows_its_score_its_weights_and_its_noisy_law():
    """Autograd, Bayes' rule, and a sum over X."""
    law = ProjectedLaw([0.7, 0.3], [0.9, -2.1], [1.0, 0.6])
    x = torch.linspace(-6, 5, 23, dtype=torch.float64).requires_grad_()
    (slope,) = torch.autograd.grad(law.log_pdf(x).sum(), x)
    x = x.detach()
    assert_close(law.log_pdf(x).exp(), law.pdf(x), rtol=1e-12)
    assert math.isfinite(law.log_pdf(200.0))
    assert law.pdf(200.0) == 0
    assert_close(law.score(x), slope, rtol=1e-11)
    alone = torch.stack([w * ProjectedLaw([1.0], [m], [s]).pdf(x) for w, m, s in ((0.7, 0.9, 1.0), (0.3, -2.1, 0.6))])
    assert_close(law.posterior_weights(x).T, alone / alone.sum(0), rtol=1e-12)
    clean = torch.linspace(-14, 14, 2801, dtype=torch.float64)
    kernel = torch.distributions.Normal(-0.8 * clean, 0.5).log_prob(x.unsqueeze(1)).exp()
    expected = (kernel * law.pdf(clean)).sum(1) * (clean[1] - clean[0])
    assert_close(law.noisy(-0.8, 0.25).pdf(x), expected, rtol=1e-11)


def test_the_log_odds_of_two_modes_are_those_of_their_weights():
    """Of numpy and of torch."""
    law, x = ProjectedLaw([0.7, 0.3], [0.9, -2.1], [0.6, 0.6]), torch.linspace(-3, 3, 7, dtype=torch.float64)
    weights = law.posterior_weights(x)
    for given in (x, x.numpy()):
        found = log_odds(given, 0.7, 0.9, -2.1, 0.36)
        assert isinstance(found, type(given))
        assert_close(found, weights[:, 0].log() - weights[:, 1].log(), rtol=1e-12)


def test_a_law_may_differ_from_point_to_point():
    """As that of a process at a time of its own for each point."""
    law, x = ProjectedLaw([0.7, 0.3], [0.9, -2.1], [1.0, 0.6]), torch.tensor([0.3, -1.0, 2.0], dtype=torch.float64)
    signals = torch.tensor([1.0, 0.5, 0.1], dtype=torch.float64)
    together = law.noisy(signals.unsqueeze(1), 1 - signals.unsqueeze(1) ** 2)
    for method in ("pdf", "log_pdf", "score", "cdf"):
        each = [getattr(law.noisy(float(a), 1 - float(a) ** 2), method)(y) for a, y in zip(signals, x, strict=True)]
        assert_close(getattr(together, method)(x), torch.stack(each), rtol=1e-13)


def test_mean_and_error_are_those_of_numpy_and_of_torch():
    values = normal(50, 3, seed=10)
    expected = values.mean(0), values.std(0) / math.sqrt(50)
    for given in (values, values.numpy()):
        for found, known in zip(mean_and_error(given), expected, strict=True):
            assert_close(found, known, rtol=1e-14)
        transposed = mean_and_error(given.T, -1)
        assert_close(transposed[1], expected[1], rtol=1e-14)
        mean, error = mean_and_error(given[:, 0])
        assert (mean, error) == (pytest.approx(float(expected[0][0])), pytest.approx(float(expected[1][0])))
        assert {type(mean), type(error)} == {float}
    assert isinstance(mean_and_error(values.numpy())[0], numpy.ndarray)


@over("places", [(0.0, 2.0, 1e7), (1e7, 1e7 + 2, 0.0), (1e7, 1e7 + 2), (-1e7, 1e7, 1e7 + 2, -1e7 + 2)])
def test_modes_far_away_cost_near_modes_no_digits(places):
    """Against the differences x - sin mu_k, which `Mixture` takes; the student as well."""
    means = torch.outer(torch.tensor(places, dtype=torch.float64), torch.full((4,), 0.5, dtype=torch.float64))
    weights, spread = 1 + torch.arange(len(places)).double(), torch.full((len(places), 4), 0.09, dtype=torch.float64)
    law, direct = IsotropicMixture(weights, means, 0.3), Mixture(weights, means, spread)
    student = StudentDenoiser(4, len(places), 0.3, 1.0).double()
    student.means.data.copy_(means)
    student.log_weights.data.copy_(weights.log())
    for angle in (0.4, 1.0, math.pi / 2, torch.linspace(0.0, 1.5, 50).double()):
        x = mix(law.sample(50, seeded(1), torch.float64), normal(50, 4, seed=2), angle)
        assert_close(law.posterior_weights(x, angle), direct.posterior_weights(x, angle), rtol=0, atol=1e-13)
        assert_close(law.noisy_log_prob(x, angle), direct.noisy_log_prob(x, angle), rtol=1e-13, atol=1e-13)
        assert_close(law.noisy_score(x, angle), direct.noisy_score(x, angle), rtol=1e-12, atol=1e-12)
        assert_close(student(x, angle).detach(), direct.posterior_mean(x, angle), rtol=1e-14, atol=1e-8)
        assert torch.equal(law.posterior_weights(x, angle)[:7], law.posterior_weights(x[:7], _first(angle, 7)))


def _first(angle, count):
    return angle[:count] if isinstance(angle, torch.Tensor) else angle
