"""Densities in the plane: curves, boxes and functions of the user's own, against independent computations."""

import logging
import math

import numpy
import pytest
import torch
from helpers import assert_close, composed, noisy_states, over, refused, seeded
from own_densities import THREE, in_numpy, three
from scipy import special, stats

from scorelab import progress
from scorelab.errors import ConfigError
from scorelab.lab.config import check
from scorelab.laws.mixture import IsotropicMixture
from scorelab.laws.tabulated import Tabulated
from scorelab.quadrature import gauss_legendre
from scorelab.targets import Boxes, Curves, GaussianMixture, PlaneDensity, Target
from scorelab.targets.boxes import checkerboard
from scorelab.targets.curves import moons, rings, spiral

ANGLES = (0.0, 0.3, 0.9, 1.3, 1.5, math.pi / 2)
MADE = {
    "rings": lambda: Curves(rings(2, 2.0), 0.15),
    "moons": lambda: Curves(moons(2.0), 0.15),
    "spiral": lambda: Curves(spiral(2, 2.0), 0.15),
    "checkerboard": lambda: Boxes(*checkerboard(4, 2.0)),
    "own": lambda: PlaneDensity(three, -4.0, 4.0, 1e-6),
}
#: angles beside the one where the two rules of an own density take turns
TURN = math.atan(1 / (2 * 8 / 95))


@pytest.fixture(scope="module")
def targets():
    return {name: make() for name, make in MADE.items()}


def build(*overrides):
    return check(composed("target=density", "extensions=[own_densities]", *overrides))["target"].build()


# What is known, by other means. -------------------------------------------------------------------------------------


def test_a_ring_has_the_density_that_a_bessel_function_gives():
    radius, width = 1.3, 0.2
    ring = Curves(rings(1, radius), width)
    x = noisy_states(ring, 1.2, 200, seed=1)
    for angle in ANGLES:
        signal, variance = radius * math.sin(angle), (width * math.sin(angle)) ** 2 + math.cos(angle) ** 2
        r = x.norm(dim=1).numpy()
        log = -((r - signal) ** 2) / (2 * variance) + numpy.log(special.ive(0, r * signal / variance))
        assert_close(ring.noisy_log_prob(x, angle), log - math.log(2 * math.pi * variance), rtol=1e-8, atol=1e-8)


@over("name", ["moons", "spiral"])
def test_the_points_of_a_curve_are_near_enough_to_be_a_curve(name, targets):
    """Against the same law as a mean over parameters that lie much closer."""
    target = targets[name]
    t, weights = gauss_legendre(0.0, 1.0, 1500)
    places = torch.cat([arc.place(t) for arc in target.arcs])
    fine = IsotropicMixture(torch.cat([arc.share * weights for arc in target.arcs]), places, target.width)
    for angle in ANGLES:
        x = noisy_states(target, angle, 60, seed=2)
        assert_close(target.posterior_mean(x, angle), fine.posterior_mean(x, angle), rtol=0, atol=1e-11)
        assert_close(target.noisy_log_prob(x, angle), fine.noisy_log_prob(x, angle), rtol=0, atol=1e-9)


def test_the_moons_lie_on_both_sides_of_0_and_reach_into_each_other():
    one, other = (arc.place(torch.linspace(0, 1, 201, dtype=torch.float64)) for arc in moons(2.0))
    assert_close(one, -other, rtol=0)
    assert float(one[:, 1].min()) < float(other[:, 1].max())
    assert_close((one + torch.tensor([0.5, 0.25])).norm(dim=1), torch.ones(201, dtype=torch.float64), rtol=1e-12)


def by_quadrature(boxes, x, angle, points=300):
    """log p_phi, E[X | x] and tr Cov[X | x] at one state by a rule with many points in every box."""
    sin, cos = math.sin(angle), math.cos(angle)
    total, first, second = 0.0, torch.zeros(2, dtype=torch.float64), 0.0
    for low, high, share in zip(boxes.low, boxes.high, boxes.share, strict=True):
        (a, u), (b, v) = (gauss_legendre(float(low[k]), float(high[k]), points) for k in range(2))
        u, v = (w * torch.exp(-0.5 * ((z - sin * y) / cos) ** 2) for w, y, z in ((u, a, x[0]), (v, b, x[1])))
        mass = share / (high - low).prod() * torch.outer(u, v)
        total += mass.sum()
        first += torch.stack([mass.sum(1) @ a, mass.sum(0) @ b])
        second += (mass * (a.unsqueeze(1) ** 2 + b**2)).sum()
    mean = first / total
    return torch.log(total / (2 * math.pi * cos**2)), mean, second / total - mean.square().sum()


@over("angle", [0.0, 0.4, 1.1, 1.5])
def test_the_posterior_of_boxes_is_that_of_quadrature(angle):
    boxes = Boxes([[-2.0, -1.0], [0.0, 0.0], [-0.5, -1.0]], [[-1.0, 0.0], [1.5, 1.0], [0.0, 1.0]], [0.5, 0.2, 0.3])
    x = noisy_states(boxes, angle, 5, seed=3)
    found = boxes.noisy_log_prob(x, angle), boxes.posterior_mean(x, angle), boxes.posterior_variance(x, angle)
    expected = [torch.stack(each) for each in zip(*(by_quadrature(boxes, state, angle) for state in x), strict=True)]
    for one, other in zip(found, expected, strict=True):
        assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_boxes_without_noise_and_far_from_everything(targets):
    boxes = targets["checkerboard"]
    x = boxes.sample(50, seeded(4), torch.float64)
    assert_close(boxes.posterior_mean(x, math.pi / 2), x, rtol=0, atol=1e-12)
    assert_close(
        boxes.noisy_log_prob(x, math.pi / 2), torch.full((50,), -math.log(8.0), dtype=torch.float64), rtol=1e-12
    )
    far = torch.tensor([[9.0, 9.0], [-0.5, -0.6], [1e6, -1e6]], dtype=torch.float64)
    nearest = torch.tensor([[2.0, 2.0], [-0.5, -0.6], [1.0, -1.0]], dtype=torch.float64)
    assert_close(boxes.posterior_mean(far, math.pi / 2)[:2], nearest[:2], rtol=0, atol=1e-9)
    assert bool(torch.isfinite(boxes.posterior_mean(far, 1.2)).all())
    assert boxes.lacks("score").startswith("the density of the target jumps")
    assert_close(boxes.posterior_mean(x, 0.0), boxes.mean.expand(50, 2), rtol=0, atol=1e-12)


@over("angle", [0.0, 0.4, 1.2, TURN - 1e-6, TURN + 1e-6, 1.52, math.pi / 2])
def test_a_function_is_known_as_well_as_the_mixture_that_it_is(angle, targets):
    target, x = targets["own"], noisy_states(THREE, angle, 1000, seed=5)
    spread = math.sqrt(float(THREE.covariance.trace()))
    off = (target.posterior_mean(x, angle) - THREE.posterior_mean(x, angle)).square().sum(1).mean().sqrt()
    assert float(off) < target.accuracy * spread / 10
    for name in ("noisy_log_prob", "posterior_variance", "noisy_score"):
        assert_close(getattr(target, name)(x, angle), getattr(THREE, name)(x, angle), rtol=1e-5, atol=1e-5, case=name)
    assert_close(target.bayes_risk(angle), THREE.bayes_risk(angle), rtol=1e-6, atol=1e-12)


def test_the_moments_and_the_laws_of_a_function_are_those_of_its_mixture(targets):
    target = targets["own"]
    assert_close(target.mean, THREE.mean, rtol=0, atol=1e-12)
    assert_close(target.covariance, THREE.covariance, rtol=1e-12, atol=1e-12)
    x = torch.linspace(-3, 3, 301, dtype=torch.float64)
    for direction in ([1.0, 0.0], [0.4, -1.7]):
        for angle in (0.4, 1.5, 1.57):
            found, exact = (each.noisy_projection(torch.tensor(direction), angle) for each in (target, THREE))
            assert_close(found.cdf(x), exact.cdf(x), rtol=0, atol=1e-7)
        found, exact = (each.projection(torch.tensor(direction)) for each in (target, THREE))
        assert_close(found.integrated_cdf(x), exact.integrated_cdf(x), rtol=0, atol=1e-7)


def test_a_function_that_torch_cannot_differentiate_has_no_score():
    target = PlaneDensity(in_numpy, -4.0, 4.0, 1e-6)
    assert target.lacks("score").startswith("log_density is not differentiable")
    assert target.can("posterior_mean", "density", "projection", "bayes_risk")


# Every density. -----------------------------------------------------------------------------------------------------


@over("name", MADE)
def test_samples_follow_the_law_that_is_declared(name, targets):
    target, other = targets[name], torch.tensor([0.6, -1.3], dtype=torch.float64)
    x = target.sample(20_000, seeded(6), torch.float64)
    assert torch.equal(x, target.sample(20_000, seeded(6), torch.float64))
    for direction in (target.direction, other):
        values = (x @ direction / direction.square().sum()).numpy()
        law = target.projection(direction)
        assert stats.kstest(values, lambda v, law=law: law.cdf(v).numpy()).pvalue > 0.001
        assert_close(law.mean, float(direction @ target.mean / direction.square().sum()), rtol=0, atol=1e-6)
        exact = float(direction @ target.covariance @ direction) / float(direction.square().sum()) ** 2
        assert_close(law.variance, exact, rtol=1e-5)
        noise = torch.randn(len(x), generator=seeded(7), dtype=torch.float64).numpy()
        for angle in (0.0, 0.7, 1.5):
            noisy = math.sin(angle) * values + math.cos(angle) / float(direction.norm()) * noise
            law = target.noisy_projection(direction, angle)
            assert stats.kstest(noisy, lambda v, law=law: law.cdf(v).numpy()).pvalue > 0.001, angle


@over("name", MADE)
def test_the_score_is_the_slope_of_the_log_density_and_gives_the_posterior_mean(name, targets):
    target = targets[name]
    for angle in (0.3, 1.0, 1.45):
        x = noisy_states(target, angle, 40, seed=8)
        steps = 1e-5 * torch.eye(2, dtype=torch.float64)
        slopes = [
            (target.noisy_log_prob(x + step, angle) - target.noisy_log_prob(x - step, angle)) / 2e-5 for step in steps
        ]
        score = target.noisy_score(x, angle)
        assert_close(score, torch.stack(slopes, 1), rtol=1e-4, atol=1e-4)
        mean = (x + math.cos(angle) ** 2 * score) / math.sin(angle)
        assert_close(target.posterior_mean(x, angle), mean, rtol=1e-5, atol=1e-5)


@over("name", MADE)
def test_the_risk_is_the_mean_of_the_squared_error(name, targets):
    target = targets[name]
    angles = torch.tensor([0.0, 0.5, 1.2, 1.45, 1.56], dtype=torch.float64)
    generator = seeded(9)
    clean = target.sample(4000, generator, torch.float64)
    noise = torch.randn(clean.shape, generator=generator, dtype=torch.float64)
    for angle, risk in zip(angles.tolist(), target.bayes_risk(angles).tolist(), strict=True):
        x = math.sin(angle) * clean + math.cos(angle) * noise
        squared = (clean - target.posterior_mean(x, angle)).square().sum(1)
        variance = target.posterior_variance(x, angle)
        for found in (squared, variance):
            assert abs(float(found.mean()) - risk) < 4 * float(found.std()) / math.sqrt(len(found)) + 1e-9, angle


@over("name", MADE)
def test_a_density_says_what_it_can(name, targets):
    target = targets[name]
    assert target.can("posterior_mean", "posterior_variance", "density", "bayes_risk", "signal_risk", "covariance")
    assert target.can("projection", "noisy_projection", "output_law", "orthogonal_variance")
    assert target.lacks("modes", "gaussian_modes") == "the target has no modes"
    assert not target.can("speciation")
    law = target.output_law(1.4, "scaled")
    assert_close(law.projection(target.direction).variance, float(target.covariance[0, 0]) + math.tan(1.4) ** -2, 1e-5)
    variance = float(target.covariance[1, 1])
    assert_close(target.orthogonal_variance(target.direction), variance, rtol=1e-9)
    assert_close(law.orthogonal_variance(target.direction), variance + math.tan(1.4) ** -2, rtol=1e-9)
    assert law.sample(3, seeded(0)).shape == (3, 2)
    assert target.output_law(1.4, "posterior_mean") is None
    each = torch.tensor([0.3, 1.1], dtype=torch.float64)
    x = noisy_states(target, 0.7, 2, seed=1)
    together = target.posterior_mean(x, each)
    for k in range(2):
        assert_close(together[k : k + 1], target.posterior_mean(x[k : k + 1], float(each[k])), rtol=1e-12, atol=1e-14)
    assert target.posterior_mean(x.float(), each).dtype == torch.float32
    if name in ("rings", "own"):  # a risk along the signal that is measured agrees
        assert_close(target.signal_risk(each), Target.signal_risk(target, each), rtol=0.1)


# Tables. ------------------------------------------------------------------------------------------------------------


def test_a_table_of_a_density_that_jumps_where_it_is_told_is_exact():
    law = Tabulated(lambda y: torch.where(y < 1, 0.25, 0.75), [0.0, 1.0, 2.0])
    x = torch.tensor([-1.0, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0], dtype=torch.float64)
    assert_close(law.cdf(x), [0, 0, 0.125, 0.25, 0.625, 1, 1], rtol=0, atol=1e-14)
    assert_close(law.integrated_cdf(x), [0, 0, 0.03125, 0.125, 0.34375, 0.75, 1.75], rtol=0, atol=1e-14)
    assert_close(law.integrated_survival(x), law.integrated_cdf(x) + 1.25 - x, rtol=0, atol=1e-14)
    assert_close(law.quantile([0.125, 0.25, 0.625]), [0.5, 1.0, 1.5], rtol=1e-13)
    assert_close([law.mean, law.variance], [1.25, 1.0 / 12 + 0.1875], rtol=1e-13)


@over(("signal", "variance"), [(1.0, 1e-6), (-0.7, 0.02), (0.3, 0.5), (0.0, 1.0)])
def test_a_table_with_noise_is_the_mixture_with_noise(signal, variance):
    exact = GaussianMixture([0.3, 0.7], [[-1.0], [0.6]], [0.1, 0.4]).projection(torch.ones(1))
    found = Tabulated(exact.pdf, torch.linspace(-5, 5, 9)).noisy(signal, variance)
    x = torch.linspace(-4, 4, 401, dtype=torch.float64)
    assert_close(found.pdf(x), exact.noisy(signal, variance).pdf(x), rtol=0, atol=2e-8)


# Configurations. ----------------------------------------------------------------------------------------------------

OWN = ("target.shape=own", "target.function=own_densities.three", "target.box=[-4,4]")


def test_every_shape_is_built_from_its_configuration():
    for shape in ("rings", "moons", "spiral", "checkerboard"):
        target = build(f"target.shape={shape}")
        assert target.shape == (2,)
        assert float(target.sample(2000, seeded(0)).abs().max()) < 2.6
    assert len(build("target.shape=checkerboard", "target.count=6").low) == 18
    x = noisy_states(THREE, 1.2, 20, seed=1)
    assert_close(build(*OWN).posterior_mean(x, 1.2), THREE.posterior_mean(x, 1.2), rtol=0, atol=1e-6)


@over(
    ("overrides", "says"),
    [
        (["target.shape=square"], "target.shape = square: must be 'rings', 'moons', 'spiral', 'checkerboard' or 'own'"),
        (["target.shape=moons", "target.count=3"], "target.count = 3: goes with rings, spiral, checkerboard, and not"),
        (["target.shape=checkerboard", "target.count=1"], "target.count = 1: a checkerboard has 2 to 64 cells"),
        (["target.width=3"], "target.width = 3: at most size = 2 is needed"),
        (["target.width=1e-5"], "target.width = 1e-05: too narrow"),
        (["target.width=0"], "target.width = 0: allowed is a number > 0"),
        (["target.function=own_densities.three"], "target.function = own_densities.three: goes with shape = own"),
        (["target.shape=own"], "target.function = null: shape = own needs PACKAGE.MODULE.FUNCTION"),
        ([*OWN[:2]], "target.box = null: shape = own needs [low, high]"),
        ([*OWN, "target.box=[1,1]"], "target.box = [1, 1]: allowed are null and [low, high] with low < high"),
        ([*OWN, "target.box=[-1,1]"], "target.box = [-1, 1]: the density at its edge is"),
        ([*OWN, "target.box=[50,90]"], "target.box = [50, 90]: the density"),
        ([*OWN, "target.accuracy=1e-18"], "target.accuracy = 1e-18: not reached by 1024 x 1024 points, whose error"),
        ([*OWN, "target.function=own_densities.square"], "target.accuracy = 1e-06: not reached"),
        ([*OWN, "target.function=own_densities.flat"], "target.box = [-4, 4]: the density at its edge is 1.0e+00"),
        ([*OWN, "target.function=own_densities.pairs"], "target.function = own_densities.pairs: log_density returns"),
        ([*OWN, "target.function=own_densities.undefined"], "own_densities.undefined: log_density at [-4.0, -4.0]: a"),
        ([*OWN, "target.function=own_densities.none"], "own_densities.none: cannot be imported"),
        ([*OWN, "target.function=own_densities.number"], "number: a function that is defined in own_densities is"),
        ([*OWN, "target.function=own_densities.GaussianMixture"], "a function that is defined in own_densities"),
        ([*OWN, "target.function=os.system"], "target.function = os.system: allowed are functions PACKAGE.MODULE"),
        ([*OWN, "target.function=3"], "target.function = 3: allowed are functions"),
        (["target.direction=[1,2,3]"], "target.direction = [1.0, 2.0, 3.0]: has 3 entries, and 2 are needed"),
    ],
)
def test_a_density_that_cannot_be_is_one_line(overrides, says):
    text = refused(ConfigError, build, *overrides)
    assert says in text
    assert "\n" not in text


def test_a_function_of_a_package_that_is_not_given_is_not_imported(tmp_path, monkeypatch):
    (tmp_path / "trap_density.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    data = composed("target=density", *OWN, "target.function=trap_density.f")
    assert "allowed are functions" in refused(ConfigError, check, data)


def test_a_bayes_risk_that_takes_long_is_foretold_in_one_line(caplog, monkeypatch):
    target, angles = Boxes(*checkerboard(2, 1.0)), torch.linspace(0.5, 1.5, 4, dtype=torch.float64)
    monkeypatch.setattr(progress, "_LOOK", 0.0)
    for long, lines in ((1e9, 0), (0.0, 1)):
        monkeypatch.setattr(progress, "_LONG", long)
        caplog.clear()
        with caplog.at_level(logging.INFO, "scorelab"):
            target.bayes_risk(angles)
        assert [record.getMessage()[:27] for record in caplog.records] == ["Bayes risk: 4 angles, about"] * lines
