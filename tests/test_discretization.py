"""The three errors of the discretized reverse process: densities, distances, closed forms, the claim, and the study."""

import json
import math

import numpy
import pandas
import pytest
import torch
from helpers import assert_close, measure, normal, seeded
from matplotlib.figure import Figure
from scipy import integrate, stats

import scorelab
from scorelab.claims import FAILS
from scorelab.denoisers.exact import ExactDenoiser
from scorelab.errors import ConfigError
from scorelab.metrics.rates import rate
from scorelab.samplers import EulerMaruyama, Sampling
from scorelab.samplers.loop import draw_samples
from scorelab.schedules import Localization
from scorelab.studies import Discretization, draw
from scorelab.studies.discretization import measurements
from scorelab.studies.discretization import theory as theory
from scorelab.studies.discretization.theory import Modes
from scorelab.targets import GaussianMixture

MODES = {"line": Modes(1, 0.7, 4.0, 1.0), "high": Modes(5, 0.3, 3.0, -0.5), "one": Modes(2, 0.5, 0.0, 1.0)}
every_target = pytest.mark.parametrize("name", MODES)


def mixture(modes):
    """The same target, as the rest of the package has it, with a along the first axis."""
    means = torch.zeros(2, modes.n, dtype=torch.float64)
    means[:, 0] = torch.from_numpy(modes.centres)
    return GaussianMixture(modes.weights, means)


def normal_density(x, mean, variance):
    return numpy.exp(-((x - mean) ** 2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)


# The target. --------------------------------------------------------------------------------------------------------


@every_target
@pytest.mark.parametrize("u", [0.0, 0.3, 2.0])
def test_density_and_score_are_those_of_the_mixture(name, u):
    modes, target = MODES[name], mixture(MODES[name])
    y = numpy.linspace(-3, 4, 50)
    x = torch.zeros(50, modes.n, dtype=torch.float64)
    x[:, 0] = torch.from_numpy(y)
    angle = math.asin(math.exp(-u))
    outside = 0.5 * (modes.n - 1) * math.log(2 * math.pi)
    assert_close(modes.density(y, u), torch.exp(target.noisy_log_prob(x, angle) + outside), rtol=1e-10)
    assert_close(modes.score(y, u), target.noisy_score(x, angle)[:, 0], rtol=1e-9, atol=1e-12)
    assert_close(1 + modes.ratio(y, u), modes.density(y, u) / normal_density(y, 0, 1), rtol=1e-12)


@every_target
def test_the_constants_of_the_theorem(name):
    """KL by scipy's quadrature, L as the largest slope of the score over x and time, m_2 as a moment."""
    modes = MODES[name]

    def integrand(y):
        density = modes.density(numpy.array(y), 0.0)
        return density * math.log(density / normal_density(y, 0, 1))

    assert_close(modes.kl(), integrate.quad(integrand, -12, 12, limit=200)[0], rtol=1e-7)
    y = numpy.linspace(-12, 12, 20001)
    slopes = [numpy.abs(numpy.gradient(modes.score(y, u), y)).max() for u in numpy.linspace(0, 3, 61)]
    assert max(slopes) == pytest.approx(modes.lipschitz, rel=1e-4)
    draws = mixture(modes).sample(400_000, seeded(0), torch.float64).square().sum(1)
    assert abs(float(draws.mean()) - modes.second_moment) < 4 * float(draws.std()) / math.sqrt(400_000)


def test_kl_keeps_its_digits_close_to_noise():
    """KL(N(m, 1) || N(0, 1)) = m^2/2, far below rounding of the densities."""
    assert Modes(1, 0.5, 0.0, 1.0).kl(12.0) == pytest.approx(0.5 * math.exp(-24), rel=1e-6)
    assert theory.initial_variation(Modes(1, 0.5, 0.0, 1.0), 20.0) == pytest.approx(
        math.exp(-20) / math.sqrt(2 * math.pi), rel=1e-5
    )


# Total variation. ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("variance", "reference"), [(1.3, 1.0), (0.7, 1.0), (1.0, 1.0)])
def test_the_variation_of_a_product_is_that_of_two_dimensions(variance, reference):
    """Against a plain sum over the plane: two coordinates, one of them outside."""
    y = numpy.linspace(-9, 9, 3001)
    p, q = normal_density(y, 0.2, 1.1), 0.5 * normal_density(y, -0.3, 1) + 0.5 * normal_density(y, 0.4, 1)
    z = numpy.linspace(-9, 9, 3001)[:, None]
    difference = p * normal_density(z, 0, variance) - q * normal_density(z, 0, reference)
    plain = 0.5 * numpy.abs(difference).sum() * (y[1] - y[0]) ** 2
    assert theory.product_variation(y, p, q, 1, variance, reference) == pytest.approx(plain, rel=1e-5)


def test_the_variation_in_many_dimensions():
    """With one law along the line what is left is the radius; chances of it by scipy."""
    y = numpy.linspace(-9, 9, 601)
    p = normal_density(y, 0, 1)
    for variance in (1.05, 0.9):
        found = theory.radial_variation(127, variance, 1.0)
        assert theory.product_variation(y, p, p, 127, variance, 1.0) == pytest.approx(found, rel=1e-10)
        radius = numpy.linspace(0, 400, 400_001)
        difference = stats.chi2.pdf(radius / variance, 127) / variance - stats.chi2.pdf(radius, 127)
        assert found == pytest.approx(0.5 * numpy.abs(difference).sum() * radius[1], rel=1e-6)
    assert theory.radial_variation(127, 1.0, 1.0) == theory.radial_variation(0, 2.0, 1.0) == 0.0


def test_the_variation_on_a_line_is_exact_between_grid_points():
    y = numpy.linspace(-10, 10, 401)
    found = theory.total_variation(y, normal_density(y, 0.0123, 1) - normal_density(y, 0, 1))
    assert found == pytest.approx(math.erf(0.0123 / math.sqrt(8)), rel=1e-6)
    assert theory.shift_variation(0.0123) == pytest.approx(found, rel=1e-6)


# The sampler. -------------------------------------------------------------------------------------------------------


def test_two_steps_of_the_sampler_are_the_integral_over_the_states_between():
    modes, T = MODES["line"], 0.5
    law = theory.reverse_process(modes, T, 2)
    h, spread = T / 2, math.expm1(T)

    def step(x, u):
        return math.exp(h) * x + 2 * math.expm1(h) * modes.score(x, u)

    x = numpy.linspace(-14, 14, 1501)
    width = x[1] - x[0]
    between = normal_density(x[:, None], step(x, T), spread) @ modes.density(x, T) * width
    some = law.y[::50]
    final = normal_density(some[:, None], step(x, T - h), spread) @ between * width
    assert_close(law.density[::50], final, rtol=1e-9, atol=1e-14)


@every_target
def test_nothing_is_lost_and_outside_of_the_line_the_variance_is_the_closed_form(name):
    modes, T, steps = MODES[name], 1.5, 12
    law = theory.reverse_process(modes, T, steps)
    assert law.density.sum() * (law.y[1] - law.y[0]) == pytest.approx(1, abs=1e-12)
    h, variance, shift, scaled = T / steps, 1.0, 0.0, 1.0
    for _ in range(steps):
        variance = (math.exp(h) - 2 * math.expm1(h)) ** 2 * variance + math.expm1(2 * h)
        scaled = (math.exp(h) - 2 * 0.8 * math.expm1(h)) ** 2 * scaled + math.expm1(2 * h)
        shift = math.exp(h) * shift + 2 * math.expm1(h) * (0.3 - shift)
    assert law.variance == pytest.approx(variance, rel=1e-13)
    assert theory.orthogonal_variance(h, steps, 0.2) == pytest.approx(scaled, rel=1e-13)
    assert theory.orthogonal_shift(h, steps, 0.3) == pytest.approx(shift, rel=1e-13)


@pytest.mark.parametrize(("T", "steps"), [(1.0, 8), (4.0, 4)])
def test_the_law_is_that_of_simulated_states(T, steps):
    """Equation (8) in five dimensions with the package's own score, against means over 10^5 states."""
    modes, target, count = MODES["high"], mixture(MODES["high"]), 100_000
    law, h = theory.reverse_process(modes, T, steps, from_noise=True), T / steps
    x = normal(count, modes.n, seed=5)
    for k in range(steps):
        angle = math.asin(math.exp(-(T - k * h)))
        noise = math.sqrt(math.expm1(2 * h)) * normal(count, modes.n, seed=6 + k)
        x = math.exp(h) * x + 2 * math.expm1(h) * target.noisy_score(x, angle) + noise
    width = law.y[1] - law.y[0]
    assert law.density.sum() * width == pytest.approx(1, abs=1e-12)
    for function in (numpy.cos, numpy.tanh):
        values = function(x[:, 0].numpy())
        exact = (law.density * function(law.y)).sum() * width
        assert abs(values.mean() - exact) < 4 * values.std() / math.sqrt(count)
    squares = x[:, 1:].square().mean(1)
    assert abs(float(squares.mean()) - law.variance) < 4 * float(squares.std()) / math.sqrt(count)


def test_steps_of_log_3_are_refused():
    assert theory.reverse_process(MODES["line"], 2.1, 2).variance > 10
    with pytest.raises(ValueError, match="below log 3"):
        theory.reverse_process(MODES["line"], 2.2, 2)


@every_target
def test_what_is_left_of_the_start_is_the_limit_of_small_steps(name):
    modes, T = MODES[name], 0.8
    found = []
    for steps in (100, 200):
        laws = [theory.reverse_process(modes, T, steps, from_noise=noise) for noise in (True, False)]
        found.append(theory.total_variation(laws[0].y, laws[0].density - laws[1].density))
    exact = theory.initial_variation_at_the_end(modes, T)
    assert 2 * found[1] - found[0] == pytest.approx(exact, rel=2e-3)
    assert exact < theory.initial_variation(modes, T) < math.sqrt(modes.kl(T) / 2)


def test_one_shifted_mode_has_closed_forms():
    """TV(N(m e^-T, 1), N(0, 1)), and at the end the shift m e^-2T; the path's share of d h T."""
    one = Modes(1, 0.5, 0.0, 1.0)
    for T in (0.5, 3.0, 9.0):
        assert theory.initial_variation(one, T) == pytest.approx(math.erf(math.exp(-T) / math.sqrt(8)), rel=1e-7)
        end = theory.initial_variation_at_the_end(one, T)
        assert end == pytest.approx(math.erf(math.exp(-2 * T) / math.sqrt(8)), rel=1e-6)
    T, steps = 2.0, 40
    h = T / steps
    noise = Modes(7, 0.5, 0.0)
    exact = 7 * steps * 2 * (h + math.expm1(-h))
    assert theory.path_kl(noise, T, steps) == pytest.approx(exact, rel=1e-10)


def test_path_kl_is_the_integral_of_the_error_of_the_frozen_score():
    """E|grad log q_u(X_u) - grad log q_u'(X_u')|^2 over the joint law of X_u and X_u', by quadrature in the plane."""
    modes, T, steps = MODES["line"], 1.0, 4
    h, total = T / steps, 0.0
    x = numpy.linspace(-9, 10, 400)
    z, weights = numpy.polynomial.hermite_e.hermegauss(40)
    weights = weights / weights.sum()
    nodes, masses = numpy.polynomial.legendre.leggauss(6)
    for k in range(steps):
        later = T - k * h
        for delta, mass in zip(h / 2 * (nodes + 1), h / 2 * masses, strict=True):
            u = later - delta
            noisier = math.exp(-delta) * x[:, None] + math.sqrt(-math.expm1(-2 * delta)) * z
            gap = (modes.score(x, u)[:, None] - modes.score(noisier, later)) ** 2 @ weights
            total += mass * (modes.density(x, u) * gap).sum() * (x[1] - x[0])
    assert theory.path_kl(modes, T, steps) == pytest.approx(total, rel=1e-6)


@every_target
def test_the_end_is_closer_than_the_paths(name):
    """Data processing and Pinsker: KL at the end <= KL of paths, TV <= sqrt(KL/2)."""
    modes = MODES[name]
    law = theory.reverse_process(modes, 2.0, 20)
    exact = modes.density(law.y, 0.0)
    kl = law.kl_from(modes, exact)
    assert kl < theory.path_kl(modes, 2.0, 20)
    assert law.variation(modes, exact) < math.sqrt(kl / 2)


# Errors of the score. -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [theory.constant_error, theory.weight_error])
@pytest.mark.parametrize("u", [0.0, 1.0])
def test_errors_have_unit_norm(shape, u):
    modes = MODES["high"]
    y = modes.line()
    assert (modes.density(y, u) * shape(modes, y, u) ** 2).sum() * (y[1] - y[0]) == pytest.approx(1, rel=1e-10)


def test_an_error_along_the_gradient_of_the_weight_moves_weight_as_it_should():
    """d E gamma_1 / d eps = 2 int (E gamma_1'^2)^(1/2) du; no other error of the same norm moves more."""
    modes, T, steps, eps = MODES["line"], 3.0, 300, 1e-3
    y = modes.line()
    shift = modes.centres[0] - modes.centres[1]

    def largest(u):
        gamma = modes.first(y, u)
        slope = math.exp(-u) * shift * gamma * (1 - gamma)
        return 2 * math.sqrt((modes.density(y, u) * slope**2).sum() * (y[1] - y[0]))

    exact = integrate.quad(largest, 0, T)[0]
    moved = {}
    for name, shape in (("weight", theory.weight_error), ("constant", theory.constant_error)):
        ends = []
        for sign in (1, -1):
            error = lambda y, u, s=sign, shape=shape: s * eps * shape(modes, y, u)  # noqa: E731
            law = theory.reverse_process(modes, T, steps, error=error)
            ends.append((law.density * modes.first(law.y, 0.0)).sum() * (law.y[1] - law.y[0]))
        moved[name] = (ends[0] - ends[1]) / (2 * eps)
    assert moved["weight"] == pytest.approx(exact, rel=0.02)
    assert 0 < moved["constant"] < moved["weight"]


# The paper's setting. -----------------------------------------------------------------------------------------------


def test_localization_is_the_package_s_own_euler_maruyama():
    """2 10^4 of its samples, scaled, with the exact denoiser."""
    modes, steps, end, count = Modes(4, 0.7, 3.0), 12, 1.2, 20_000
    law, _ = theory.localization(modes, end, steps)
    schedule = Localization(grid="angle", alpha_max=end, T=None, t_min=6e-4)
    job = Sampling(count=count, steps=steps, batch_size=count, output="scaled", rule=EulerMaruyama())
    denoiser = ExactDenoiser(mixture(modes))
    angles = torch.linspace(0, end, steps + 1, dtype=torch.float64)
    samples = torch.cat(list(draw_samples(job, schedule, denoiser, 4, 3, angles=angles))).double()
    states = math.sin(end) * samples.numpy()
    width = law.y[1] - law.y[0]
    assert law.density.sum() * width == pytest.approx(1, abs=1e-12)
    for function in (numpy.cos, numpy.tanh):
        values = function(states[:, 0])
        assert abs(values.mean() - (law.density * function(law.y)).sum() * width) < 4 * values.std() / math.sqrt(count)
    squares = (states[:, 1:] ** 2).mean(1)
    assert abs(squares.mean() - law.variance) < 4 * squares.std() / math.sqrt(count)


def test_truncation_is_the_blur_of_the_output():
    """In one dimension a plain integral; in many it is the radius that counts."""
    modes, T = MODES["line"], 9.0
    x = numpy.linspace(-12, 14, 100_001)
    blurred = sum(w * normal_density(x, c, 1 + 1 / T) for w, c in zip(modes.weights, modes.centres, strict=True))
    plain = 0.5 * numpy.abs(blurred - modes.density(x, 0.0)).sum() * (x[1] - x[0])
    assert theory.truncation_variation(modes, T) == pytest.approx(plain, rel=1e-5)
    many = theory.truncation_variation(Modes(128, 0.7, math.sqrt(128)), 99.3)
    assert many == pytest.approx(theory.radial_variation(128, 1 + 1 / 99.3, 1.0), rel=2e-2)


def test_a_rate_is_a_slope_with_its_error():
    x = numpy.arange(5.0)
    assert rate(x, numpy.exp(-2 * x)) == pytest.approx((-2, 0), abs=1e-12)
    bent = numpy.exp(-2 * x + 0.1 * numpy.array([1, -1, 0, -1, 1]))
    slope, error = rate(x, bent)
    exact = stats.linregress(x, numpy.log(bent))
    assert (slope, error) == pytest.approx((exact.slope, exact.stderr))


# The claim. ---------------------------------------------------------------------------------------------------------

#: a printed term, and another one
WRONG = {
    "start_twice_as_fast": ("printed_initialisation", lambda kl, T: math.sqrt(kl) * math.exp(-2 * T)),
    "start_half": ("printed_initialisation", lambda kl, T: 0.5 * math.sqrt(kl) * math.exp(-T)),
    "start_slower": ("printed_initialisation", lambda kl, T: math.sqrt(kl) * math.exp(-T / 2)),
    "steps_half": (
        "printed_discretization",
        lambda L, d, h, m2, T: 0.5 * (L * math.sqrt(d * h) + L * m2 * h) * math.sqrt(T),
    ),
    "steps_first_order": (
        "printed_discretization",
        lambda L, d, h, m2, T: (L * math.sqrt(d) * h + L * m2 * h) * math.sqrt(T),
    ),
    "score_without_time": ("printed_score", lambda eps, T: eps),
    "score_half": ("printed_score", lambda eps, T: 0.5 * eps * math.sqrt(T)),
}


@pytest.mark.parametrize("name", WRONG)
def test_with_another_term_the_claim_fails(name, monkeypatch):
    monkeypatch.setattr(measurements, *WRONG[name])
    assert measure("S1-03") == FAILS


# The study. ---------------------------------------------------------------------------------------------------------

TARGETS = (
    "+study.targets={near: {label: near, n: 1, p: 0.7, distance: 3.0, mean: 1.0}, "
    "far: {label: far, n: 6, p: 0.4, distance: 3.0, mean: 0}}"
)
QUICK = ("study=discretization", "threads=1", "~study.targets", TARGETS, "study.horizon=3", "study.error_share=0.25")
QUICK += ("study.shares=[0.25,0.125,0.0625,0.03125]", "study.localization.steps=[20,40]", "figures.dpi=50")


@pytest.fixture(scope="module")
def result(run_once):
    return run_once(*QUICK)


def test_a_run_writes_its_tables_numbers_and_figure(result):
    for name, rows in {"initialisation": 24, "discretization": 8, "score": 30, "total": 10, "localization": 4}.items():
        table = pandas.read_csv(result.directory / f"{name}.csv")
        assert len(table) == rows, name
        assert numpy.isfinite(table.drop(columns=["target", "shape"], errors="ignore").to_numpy()).all()
    assert "discretization" in Discretization.figures
    assert isinstance(draw(Discretization, "discretization", result.arrays["discretization"]), Figure)
    assert (result.directory / "figures" / "discretization.png").stat().st_size > 10_000
    json.loads((result.directory / "metrics.json").read_text(), parse_constant=lambda name: pytest.fail(name))
    assert not (result.directory / "samples.npy").exists()


def test_each_term_has_its_rate_and_stays_below_its_bound(result):
    found = result.metrics["discretization"]["targets"]
    for name, start in (("near", -1), ("far", -2)):
        terms = found[name]
        assert terms["initialisation"]["rate"] == pytest.approx(start, rel=0.02)
        assert terms["initialisation"]["rate_at_the_end"] == pytest.approx(2 * start, rel=0.02)
        assert terms["discretization"]["rate"] == pytest.approx(1, abs=0.03)
        assert terms["discretization"]["path_rate"] == pytest.approx(0.5, abs=0.03)
        for shape in terms["score"].values():
            assert shape["rate"] == pytest.approx(1, abs=0.05)
            assert shape["ratio_max"] < 1
        for term in ("initialisation", "discretization", "total"):
            assert terms[term]["ratio_max"] < 1
        assert terms["total"]["parts_ratio_max"] < 1  # the triangle inequality
        assert max(terms["growth"].values()) < 1.2
    assert set(found["far"]["score"]) == {"along", "weight", "orthogonal", "radial"}
    assert set(found["near"]["score"]) == {"along", "weight"}


def test_a_target_that_is_noise_itself_has_no_error_of_the_start(tmp_path):
    """With one mode at 0 neither KL nor a rate is there to be fitted; the rest is."""
    targets = "+study.targets={noise: {label: noise, n: 3, p: 0.5, distance: 0, mean: 0}}"
    metrics = scorelab.run([*QUICK[:3], targets, *QUICK[4:]], tmp_path / "run").metrics
    found, missing = metrics["discretization"]["targets"], metrics["not_measured"]
    for key in ("rate", "ratio_max"):
        assert key not in found["noise"]["initialisation"]
        assert f"discretization.targets.noise.initialisation.{key}" in missing
    assert found["noise"]["discretization"]["rate"] == pytest.approx(1, abs=0.05)
    assert found["noise"]["total"]["ratio_max"] < 1


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("study.shares=[1,0.5,0.25]", "study.shares"),
        ("study.shares=[2,1,0.5,0.25]", "study.shares"),
        ("study.errors=[0.1,0.1,0.1,0.1]", "at least 4 values"),
        ("study.horizon=0", "study.horizon"),
        ("study.targets.paper.p=1", "study.targets.paper.p"),
        ("study.localization.steps=[]", "study.localization.steps"),
    ],
)
def test_mistakes_are_refused_in_one_line(override, message, tmp_path):
    with pytest.raises(ConfigError, match=message) as refused:
        scorelab.run(["study=discretization", override], tmp_path / "run")
    assert "\n" not in str(refused.value)
