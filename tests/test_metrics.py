"""The numbers that compare what was learned with the exact answer."""

import itertools
import math

import numpy
import pytest
import torch
from helpers import assert_close, normal, random_mixture, seeded, standard_error
from scipy import stats

from scorelab.denoisers import Denoiser, ExactDenoiser
from scorelab.denoisers.phase_aware import PhaseAwareDenoiser
from scorelab.laws.atoms import Atoms
from scorelab.laws.estimate import flatten
from scorelab.laws.projected_law import ProjectedLaw
from scorelab.metrics import projection
from scorelab.metrics.path_kl import path_kl
from scorelab.metrics.posterior_mean import compare_posterior_means, published_angles
from scorelab.metrics.projection import LawComparison, project
from scorelab.reproduction.semester.figures import published_numbers
from scorelab.targets import GaussianMixture


def projection_metrics(*given):
    """The numbers as metrics.json has them, and the arrays."""
    metrics, arrays = projection.projection_metrics(*given)
    return flatten(metrics)[0], arrays


def mode_weights(*given):
    return flatten(projection.mode_weights(*given))[0]


def orthogonal_metrics(*given):
    return flatten(projection.orthogonal_metrics(*given))[0]


LAW = ProjectedLaw([0.7, 0.3], [0.3, -0.7], [0.1, 0.25])


# Distances of projected samples to a law. ---------------------------------------------------------------------------


def brute_force_wasserstein(values, law):
    """int |F_count - F| by the midpoint rule between the order statistics."""
    ordered = numpy.sort(values)
    edges = numpy.concatenate([[min(ordered[0], -4.0)], ordered, [max(ordered[-1], 4.0)]])
    total = 0.0
    for k, (low, high) in enumerate(itertools.pairwise(edges)):
        cells = 4000
        x = low + (high - low) * (numpy.arange(cells) + 0.5) / cells
        cdf = 0.7 * stats.norm.cdf(x, 0.3, 0.1) + 0.3 * stats.norm.cdf(x, -0.7, 0.25)
        total += numpy.abs(k / len(ordered) - cdf).mean() * (high - low)
    return total


@pytest.mark.parametrize(("count", "shift", "scale"), [(1, 0.0, 1.0), (2, 0.0, 1.0), (25, 0.2, 1.0), (60, -1.0, 2.0)])
def test_wasserstein_agrees_with_brute_force(count, shift, scale):
    values = shift + scale * LAW.sample(count, seeded(count)).numpy()
    expected = brute_force_wasserstein(values, LAW)
    assert_close(LawComparison(LAW, count).wasserstein_1(values), expected, rtol=1e-6)


def test_wasserstein_of_equal_values_is_the_mean_distance_to_them():
    x = torch.linspace(-4, 4, 200_001, dtype=torch.float64)
    for point in (-0.7, 0.0, 1.3):
        expected = float(torch.trapezoid((x - point).abs() * LAW.pdf(x), x))
        assert_close(LawComparison(LAW, 6).wasserstein_1([point] * 6), expected, rtol=1e-7)


def test_wasserstein_agrees_with_scipy_between_large_samples():
    values, reference = LAW.sample(20_000, seeded(1)) + 0.3, LAW.sample(200_000, seeded(2))
    between = stats.wasserstein_distance(values.numpy(), reference.numpy())
    x = torch.linspace(-4, 4, 4001, dtype=torch.float64)
    cdf = LAW.cdf(x)
    # the reference is this far from its law in expectation, and no triangle is longer on one side
    allowance = 3 * float(torch.trapezoid(torch.sqrt(cdf * (1 - cdf) / 200_000), x))
    assert allowance < 0.02 * between
    assert abs(LawComparison(LAW, 20_000).wasserstein_1(values) - between) < allowance


@pytest.mark.parametrize(("count", "shift"), [(1, 0.0), (7, 0.1), (2000, 0.0), (2000, 0.4)])
def test_kolmogorov_smirnov_agrees_with_scipy(count, shift):
    values = LAW.sample(count, seeded(count + 3)) + shift
    expected = stats.kstest(values.numpy(), lambda x: LAW.cdf(x).numpy()).statistic
    assert_close(LawComparison(LAW, count).kolmogorov_smirnov(values), float(expected), rtol=1e-12)


def test_exact_samples_are_at_the_floor():
    comparison = LawComparison(LAW, 2000)
    floor = comparison.floor(40, seeded(4))
    values = LAW.sample(2000, seeded(5))
    for name, distance in (("w1", comparison.wasserstein_1(values)), ("ks", comparison.kolmogorov_smirnov(values))):
        mean, deviation = floor[name]
        assert 0 < distance < mean + 4 * deviation


def test_floor_falls_like_the_root_of_the_count():
    small, large = LawComparison(LAW, 500).floor(60, seeded(6)), LawComparison(LAW, 8000).floor(60, seeded(7))
    for name in ("w1", "ks"):
        (mean, deviation), (large_mean, large_deviation) = small[name], large[name]
        error = math.hypot(deviation / mean, large_deviation / large_mean) / math.sqrt(60)
        assert abs(mean / large_mean / 4 - 1) < 4 * error + 0.02


@pytest.mark.parametrize("shift", [-0.5, 0.05, 2.0])
def test_wasserstein_grows_by_the_shift(shift):
    comparison = LawComparison(LAW, 4000)
    values = LAW.sample(4000, seeded(6))
    unmoved = comparison.wasserstein_1(values)
    assert unmoved < 0.02
    assert abs(comparison.wasserstein_1(values + shift) - abs(shift)) <= unmoved + 1e-12


def test_kolmogorov_smirnov_grows_with_a_shift():
    comparison = LawComparison(LAW, 4000)
    values = LAW.sample(4000, seeded(9))
    distances = [comparison.kolmogorov_smirnov(values + shift) for shift in (0.0, 0.05, 0.2, 5.0)]
    assert distances == sorted(distances)
    assert distances[0] < 0.05
    assert_close(distances[-1], 1.0, rtol=1e-6)


def test_distances_are_blind_to_order_and_leave_their_input_alone():
    comparison = LawComparison(LAW, 300)
    values = LAW.sample(300, seeded(10)) + 0.1
    shuffled = values[torch.randperm(300, generator=seeded(11))]
    kept = shuffled.clone()
    for distance in (comparison.wasserstein_1, comparison.kolmogorov_smirnov):
        assert distance(shuffled) == distance(values)
        assert torch.equal(shuffled, kept)
        assert distance(values.numpy()) == distance(values)


@pytest.mark.parametrize("law", [LAW, Atoms([-1.0, 0.0, 0.5], [0.2, 0.5, 0.3])])
def test_sets_are_compared_at_once_as_they_are_one_by_one(law, monkeypatch):
    monkeypatch.setattr("scorelab.metrics.projection._AT_ONCE", 1000)
    comparison = LawComparison(law, 300)
    values = (LAW.sample(300, seeded(4)) * 20).round() / 20  # many are equal
    generator = seeded(5)
    draws = [values[torch.randint(300, (300,), generator=generator)] for _ in range(11)]
    each = {name: numpy.std([comparison.distances(x)[name] for x in draws], ddof=1) for name in ("w1", "ks")}
    assert comparison.standard_errors(values, 11, seeded(5)) == pytest.approx(each, rel=1e-12)


def test_bootstrap_error_of_a_shifted_mean_is_that_of_the_mean():
    law = ProjectedLaw([1.0], [0.0], [1.0])
    values = law.sample(1000, seeded(12)) + 5  # far to one side, where W1 is the difference of the means
    error = LawComparison(law, 1000).standard_errors(values, 200, seeded(13))
    assert_close(error["w1"], 1 / math.sqrt(1000), rtol=0.2)


def test_projection_is_on_the_direction_over_its_square():
    samples, direction = normal(9000, 3, seed=14, dtype=torch.float32), torch.tensor([1.0, -2.0, 0.5])
    values = project(samples.numpy(), direction)
    assert values.dtype == torch.float64
    expected = samples.double() @ direction.double() / 5.25
    assert_close(values, expected, rtol=1e-12, atol=1e-14)
    assert torch.equal(project(samples, direction), values)


# Samples against a target. ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two_modes():
    return GaussianMixture.two_modes(0.7, 2 * torch.ones(4))


@pytest.fixture(scope="module")
def exact_samples(two_modes):
    return two_modes.sample(8000, seeded(15))


def test_exact_samples_pass_every_projection_metric(two_modes, exact_samples):
    end_law = two_modes.output_law(1.4, "scaled")
    metrics, arrays = projection_metrics(exact_samples.numpy(), two_modes, end_law, 20, seeded(16))
    for name in ("w1", "ks"):
        assert metrics[name] < metrics[f"{name}_floor"] + 4 * metrics[f"{name}_floor_deviation"]
    for name in ("mean", "variance"):
        assert abs(metrics[name] - metrics[f"{name}_exact"]) < 4 * metrics[f"{name}_standard_error"]
    law = two_modes.projection(two_modes.direction)
    assert_close(metrics["mean_exact"], law.mean, rtol=1e-14)
    assert_close(metrics["variance_exact_at_T"] - law.variance, 1 / (16 * math.tan(1.4) ** 2), rtol=1e-9)
    assert_close(metrics["mean_floor"], math.sqrt(law.variance / 8000), rtol=1e-12)
    assert_close(metrics["mean_standard_error"], metrics["mean_floor"], rtol=0.1)
    x = torch.linspace(-4, 4, 8001, dtype=torch.float64)
    fourth = float(torch.trapezoid((x - law.mean) ** 4 * law.pdf(x), x))
    assert_close(metrics["variance_standard_error"], math.sqrt((fourth - law.variance**2) / 8000), rtol=0.1)
    law_at_end = end_law.projection(two_modes.direction)
    values = torch.from_numpy(arrays["values"])
    assert_close(metrics["w1_at_T"], LawComparison(law_at_end, 8000).wasserstein_1(values), rtol=1e-9)
    assert metrics["w1_at_T"] != metrics["w1"]
    assert arrays["values"].shape == (8000,)
    assert_close(arrays["exact"], law.pdf(arrays["grid"]), rtol=1e-14)
    assert arrays["grid"][0] < arrays["values"].min() + 0.2
    assert float(numpy.trapezoid(arrays["exact"], arrays["grid"])) > 0.999


def test_mode_weights_of_exact_samples_are_the_mixture_weights():
    target = random_mixture(3, 4, "per_mode")
    result = mode_weights(target.sample(10_000, seeded(18)), target, target, seeded(19))
    error = result["mode_weight_standard_error"]
    assert 0 < error < 0.01
    assert abs(result["mode_weight"] - result["mode_weight_exact"]) < 4 * error
    assert_close(result["mode_weight_floor"], error, rtol=0.2)
    assert_close(sum(result["mode_weights"]), 1.0, rtol=1e-6)
    assert_close(result["mode_weights_exact"], target.weights, rtol=1e-15)
    assert result["mode_weights"][0] == result["mode_weight"]
    for found, exact in zip(result["mode_weights"], result["mode_weights_exact"], strict=True):
        assert abs(found - exact) < 0.02


def test_mode_weights_of_noisy_outputs_are_judged_by_their_own_law():
    """Modes of two widths in one place: the noise that is left makes the narrow mode look wide."""
    target = GaussianMixture([0.5, 0.5], torch.zeros(2, 1), [0.05, 0.5])
    law = target.output_law(math.atan(math.sqrt(20.0)), "scaled")
    result = mode_weights(law.sample(20_000, seeded(20)), target, law, seeded(21))
    assert abs(result["mode_weight"] - result["mode_weight_exact"]) < 4 * result["mode_weight_standard_error"]
    assert result["mode_weight_exact"] == 0.5
    assert_close(result["mode_weight_floor"], result["mode_weight_standard_error"], rtol=0.1)
    unknown, _ = projection.projection_metrics(law.sample(100, seeded(20)), target, None, 2, seeded(21))
    assert "finite time is not known" in unknown["mode_weight_exact"].not_measured
    assert unknown["mode_weight"].exact is None


def test_mode_weights_of_one_mode_show_the_loss_of_the_other():
    target = GaussianMixture.two_modes(0.7, 5 * torch.ones(4))
    left = target.means[1].float() + normal(500, 4, seed=20, dtype=torch.float32)
    result = mode_weights(left, target, target, seeded(21))
    assert result["mode_weight"] < 1e-6
    assert result["mode_weight_exact"] == 0.7


def test_orthogonal_variance_of_exact_samples_is_exact(two_modes, exact_samples):
    result = orthogonal_metrics(exact_samples.numpy(), two_modes, two_modes.output_law(1.4, "scaled"))
    assert abs(result["variance"] - result["variance_exact"]) < 4 * result["variance_standard_error"]
    assert_close(result["variance_standard_error"], math.sqrt(2 / (8000 * 3)), rtol=0.1)
    assert_close(result["variance_exact"], 1.0, rtol=1e-12)
    assert_close(result["variance_exact_at_T"], 1 + 1 / math.tan(1.4) ** 2, rtol=1e-12)


def test_orthogonal_variance_shows_collapse_and_ignores_the_signal(two_modes, exact_samples):
    unit = (two_modes.direction / two_modes.direction.norm()).float()
    signal = torch.outer(exact_samples @ unit, unit)
    full = orthogonal_metrics(exact_samples, two_modes, two_modes)["variance"]
    collapsed = orthogonal_metrics(10 * signal + 0.5 * (exact_samples - signal), two_modes, two_modes)["variance"]
    assert_close(collapsed, full / 4, rtol=1e-5)
    moved = orthogonal_metrics(exact_samples + torch.tensor([3.0, -1.0, 2.0, 0.0]), two_modes, two_modes)["variance"]
    assert_close(moved, full, rtol=1e-5)


# The KL divergence of path measures. --------------------------------------------------------------------------------


class Changed(Denoiser):
    """A function of the exact posterior mean."""

    def __init__(self, target, change):
        super().__init__()
        self.target, self.change = target, change

    def forward(self, x, angle):
        return self.change(self.target.posterior_mean(x, angle))


def test_path_kl_of_the_exact_denoiser_is_zero():
    target = random_mixture(3, 4, "per_mode")
    result = path_kl(ExactDenoiser(target), target, 1.4, points=16, draws=50, generator=seeded(22))
    assert result.total == 0
    assert result.standard_error == 0


@pytest.mark.parametrize("end_angle", [0.5, 1.2, 1.4])
def test_path_kl_of_a_constant_offset_is_half_its_square_times_T(end_angle):
    target = GaussianMixture.two_modes(0.7, torch.ones(3))
    offset = torch.tensor([2.0, -4.0, 1.0])
    offset_denoiser = Changed(target, lambda mean: mean + offset)
    result = path_kl(offset_denoiser, target, end_angle, points=48, draws=200, generator=seeded(23))
    assert_close(result.total, 21 * math.tan(end_angle) ** 2 / 2, rtol=1e-6)
    assert result.standard_error < 1e-6 * result.total
    assert_close(result.t, torch.tan(result.angle) ** 2, rtol=1e-14)
    assert_close(result.squared_error, torch.full((48,), 21.0, dtype=torch.float64), rtol=1e-5)
    # density is a rate in the angle: dt/d angle = 2 tan / cos^2
    assert_close(result.density, 21 * torch.tan(result.angle) / torch.cos(result.angle) ** 2, rtol=1e-5)
    assert 0 < float(result.angle[0]) < float(result.angle[-1]) < end_angle


def test_path_kl_is_split_where_a_denoiser_jumps():
    """|c|^2 tan^2/2 over the phases in which the offset c is there, of phases within a phase as well."""
    target = GaussianMixture.two_modes(0.7, torch.ones(4))
    without, offset = ExactDenoiser(target), Changed(target, lambda mean: mean + 0.5)
    once = PhaseAwareDenoiser([offset, without], [math.pi / 4], 0.1)
    twice = PhaseAwareDenoiser([without, once], [0.3], 0.1)
    for points in (8, 24):
        for denoiser, start in ((once, 0.0), (twice, 0.3)):
            result = path_kl(denoiser, target, 1.4, points, 20, seeded(24))
            assert_close(result.total, 0.5 * (1 - math.tan(start) ** 2), rtol=1e-6)
            assert result.rule_error < 1e-6
            assert len(result.angle) == points * (1 + len(denoiser.jumps()))


@pytest.mark.parametrize("points", [8, 24, 32])
def test_the_error_of_path_kl_holds_also_where_a_denoiser_jumps_without_saying_so(points):
    class Jumping(Changed):
        def forward(self, x, angle):
            return super().forward(x, angle) if angle < math.pi / 4 else self.target.posterior_mean(x, angle)

    target = GaussianMixture.two_modes(0.7, torch.ones(4))
    result = path_kl(Jumping(target, lambda mean: mean + 0.5), target, 1.4, points, 20, seeded(25))
    assert abs(result.total - 0.5) < 4 * result.standard_error
    assert result.standard_error < 0.6 * 8 / points


def test_path_kl_of_a_moved_mean_is_half_its_square():
    target = GaussianMixture([1.0], [[0.0, 0.0, 0.0]])
    offset = torch.tensor([0.1, 0.2, -0.1], dtype=torch.float64)
    moved = GaussianMixture([1.0], offset.unsqueeze(0))
    result = path_kl(ExactDenoiser(moved), target, math.pi / 2 - 0.01, points=48, draws=50, generator=seeded(24))
    # 1/2 int |cos^2 offset|^2 dt
    assert_close(result.total, 0.06 / 2 * (1 - math.sin(0.01) ** 2), rtol=1e-3)


# The posterior mean at fixed angles. --------------------------------------------------------------------------------


def compared(*given):
    """The rows as posterior_mean.csv has them, and the arrays."""
    rows, arrays = compare_posterior_means(*given)
    return [flatten(row)[0] for row in rows], arrays


class HandMade(GaussianMixture):
    """Two modes whose posterior mean is written by hand."""

    def __init__(self):
        super().__init__([0.5, 0.5], [[0.0, 1.0], [0.0, -1.0]])

    def posterior_mean(self, x, angle):
        return torch.tensor([[3.0, 4.0], [0.1, 0.0]])

    def bayes_risk(self, angle):
        return torch.tensor(0.5)


def test_relative_error_is_the_published_one():
    learned = torch.tensor([[3.0, 4.5], [0.1, 0.3]])
    denoiser = Changed(HandMade(), lambda mean: learned)
    (row,), arrays = compared(denoiser, HandMade(), torch.zeros(2, 2), [0.3], seeded(25), None)
    # |m| = 5, and |m|^2 = 0.01, which counts as 0.1
    first, second = 0.5 / 5, 0.3 / math.sqrt(0.1)
    assert_close(row["relative_error"], (first + second) / 2, rtol=1e-6)
    assert_close(row["relative_error_standard_error"], (second - first) / 2, rtol=1e-6)
    assert_close(row["squared_error"], (0.25 + 0.09) / 2, rtol=1e-6)
    assert row["bayes_risk"] == 0.5
    assert_close(row["t"], math.tan(0.3) ** 2, rtol=1e-12)
    assert_close(arrays["exact"], [[2.0, 0.0]], rtol=1e-6)
    assert_close(arrays["learned"], [[2.25, 0.15]], rtol=1e-6)


def test_signal_is_the_projection_of_the_native_state_over_its_time():
    target = GaussianMixture.two_modes(0.7, 2 * torch.ones(4))
    clean = target.sample(20, seeded(26))
    _, arrays = compare_posterior_means(ExactDenoiser(target), target, clean, [0.2, 1.5], seeded(27), None)
    noise = seeded(27)
    for k, angle in enumerate((0.2, 1.5)):
        t = math.tan(angle) ** 2
        y = t * clean + math.sqrt(t) * torch.randn(clean.shape, generator=noise)
        expected = (y / t).double() @ target.direction / target.direction.square().sum()
        assert_close(arrays["signal"][k], expected, rtol=1e-5, atol=1e-5)


def test_exact_denoiser_has_no_posterior_mean_error():
    target = random_mixture(3, 4)
    angles = [0.1, 0.8, 1.5]
    rows, arrays = compared(ExactDenoiser(target), target, target.sample(30, seeded(28)), angles, seeded(29), None)
    assert [row["angle"] for row in rows] == angles
    assert all(row["relative_error"] == 0 and row["squared_error"] == 0 for row in rows)
    assert all("relative_error_floor" not in row for row in rows)
    assert all(array.shape == (3, 30) for array in arrays.values())
    assert numpy.array_equal(arrays["exact"], arrays["learned"])
    for row in rows:
        assert_close(row["bayes_risk"], target.bayes_risk(row["angle"]), rtol=1e-12)


def test_standard_errors_of_the_comparison_are_those_of_a_mean():
    target = random_mixture(2, 3)
    clean = target.sample(500, seeded(30))
    denoiser = Changed(target, lambda mean: 0.9 * mean)
    (row,), _ = compared(denoiser, target, clean, [0.6], seeded(31), None)
    x = math.sin(0.6) * clean + math.cos(0.6) * torch.randn(clean.shape, generator=seeded(31))
    squared = (0.1 * target.posterior_mean(x, 0.6)).square().sum(1)
    assert_close(row["squared_error"], float(squared.mean()), rtol=1e-4)
    assert_close(row["squared_error_standard_error"], standard_error(squared), rtol=1e-4)


def test_published_angles_are_twelve():
    angles = published_angles()
    assert len(angles) == 12
    assert angles[0] == 0.1
    step = 18 * (math.pi / 2 - 0.2) / 199
    assert_close(torch.tensor(angles, dtype=torch.float64).diff(), torch.full((11,), step, dtype=torch.float64), 1e-12)


def test_with_a_switch_the_angles_are_those_of_the_published_figure_8():
    times = [math.tan(angle) ** 2 for angle in published_angles([2.0])]
    published = published_numbers()["phase_aware_tanh"]["t"]
    assert times == pytest.approx(published, abs=0.0051)
