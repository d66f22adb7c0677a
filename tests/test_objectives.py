"""Objectives, their weights and laws of angles: each against the others and against what is known in closed form."""

import functools
import itertools
import math
from types import SimpleNamespace
from typing import get_args

import pytest
import torch
from helpers import assert_close, composed, normal, random_mixture, refused, seeded, standard_error, with_values
from test_angles import LAWS
from test_training import network, trainer

from scorelab.channel import mix
from scorelab.denoisers import ExactDenoiser
from scorelab.errors import ConfigError
from scorelab.lab.config import check
from scorelab.metrics.path_kl import path_kl
from scorelab.targets import GaussianMixture
from scorelab.training import Training, angle_law, build_objective
from scorelab.training.derivatives import quadratic_forms

NAMES = get_args(Training.model_fields["objective"].annotation)
REGRESSIONS = ("posterior_mean", "velocity", "noise", "score", "dsm")
IMPLICIT = ("implicit", "implicit_hutchinson", "sliced")
WEIGHTS = ("unit", "noise_variance", "likelihood", "min_snr")

UNEQUAL = random_mixture(2, 3, "per_mode")


def objective(name, target, weight=None, law=LAWS["uniform"], probe="rademacher", probes=1, loss="squared"):
    options = SimpleNamespace(objective=name, weight=weight, probe=probe, probes=probes, loss=loss)
    return build_objective(options, law, target)


def gradient(loss, denoiser):
    """The gradient of a loss with respect to all parameters, flat; those it does not depend on count as 0."""
    parameters = list(denoiser.parameters())
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    pairs = zip(found, parameters, strict=True)
    return torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for g, p in pairs])


def batch_of(target, law, count, seed=0):
    """Clean samples, noisy states and angles, float64, and the generator to go on with."""
    draws = seeded(seed)
    clean = target.sample(count, draws, torch.float64)
    angle = law.sample(count, draws, torch.float64)
    return clean, mix(clean, torch.randn(clean.shape, generator=draws, dtype=torch.float64), angle), angle, draws


def losses_of(made, denoiser, clean, x, angle, generator):
    return made.losses(denoiser, x, angle, *made.columns(clean, x, angle, generator))


@functools.cache
def bayes_risks(target, law):
    """Angles, weights and Bayes risks of a quadrature over a law."""
    angle, weights = law.quadrature(16)
    return angle, weights, target.bayes_risk(angle)


def least_value(made, target, law):
    angle, weights, risk = bayes_risks(target, law)
    return float(weights @ made.least_value(angle, risk))


def one_dimension(angles=(0.3, 0.8, 1.3)):
    """A mixture on the line, and a rule for E over (x, X) at some angles, exact to rounding.

    x: trapezoidal. X given x: a mixture of normals, with three Gauss-Hermite nodes a mode, exact for the squares of X.
    Returns the target, X, x and the angle (nodes, ...), and weights that sum to 1.
    """
    target = GaussianMixture([0.3, 0.7], [[-1.5], [1.0]], [0.5, 0.8])
    line = torch.linspace(-12, 12, 1201, dtype=torch.float64)
    x, angle = torch.cartesian_prod(line, torch.tensor(angles, dtype=torch.float64)).T
    x = x.unsqueeze(1)
    density = torch.exp(target.noisy_log_prob(x, angle)) * float(line[1] - line[0]) / len(angles)
    sin, cos = torch.sin(angle).unsqueeze(1), torch.cos(angle).unsqueeze(1)
    variance = target.std**2 * sin**2 + cos**2
    centre = target.means.T + target.std**2 * sin / variance * (x - sin * target.means.T)
    spread = target.std * cos / torch.sqrt(variance)
    nodes, shares = torch.tensor([[-(3**0.5), 0.0, 3**0.5], [1 / 6, 2 / 3, 1 / 6]], dtype=torch.float64)
    clean = centre.unsqueeze(2) + spread.unsqueeze(2) * nodes
    weights = (density.unsqueeze(1) * target.posterior_weights(x, angle)).unsqueeze(2) * shares
    each = clean[0].numel()
    return target, clean.view(-1, 1), x.repeat_interleave(each, 0), angle.repeat_interleave(each), weights.flatten()


# Weights. -----------------------------------------------------------------------------------------------------------


def whole_weight(name, weight, angle):
    """w(phi) as the literature has it, for angles uniform on [0.1, 1.4]."""
    sin, cos = math.sin(angle), math.cos(angle)
    kappa = {"posterior_mean": 1, "velocity": 1 / cos, "noise": sin / cos, "dsm": (sin / cos) ** 2}
    kappa = kappa.get(name, sin / cos**2)
    variance = (cos / sin) ** 2 if name == "dsm" else cos**2
    likelihood = math.tan(angle) * (1 + math.tan(angle) ** 2) * 1.3
    snr = min(math.tan(angle) ** 2, 5)
    weights = {"unit": kappa**2, "noise_variance": variance * kappa**2, "likelihood": likelihood, "min_snr": snr}
    if weight is None:
        weight = "unit" if name in ("posterior_mean", "velocity", "noise") else "noise_variance"
    return weights[weight]


def test_gradients_at_one_angle_differ_by_the_stated_weight():
    target, denoiser = random_mixture(2, 4), network().double()
    clean = target.sample(20, seeded(0), torch.float64)

    def gradient_of(made, angle):
        x = mix(clean, normal(20, 4, seed=1), angle)
        return gradient(made.loss(denoiser, x, angle, *made.columns(clean, x, angle, None)), denoiser)

    for value in (0.2, 0.9, 1.3):
        angle = torch.full((20,), value, dtype=torch.float64)
        plain = gradient_of(objective("posterior_mean", target), angle)
        for name, weight in itertools.product(REGRESSIONS, (None, *WEIGHTS)):
            expected = whole_weight(name, weight, value) * plain
            actual = gradient_of(objective(name, target, weight), angle)
            assert_close(actual, expected, rtol=1e-10, atol=1e-14, case=(name, weight, value))


def test_score_matching_has_the_stated_weight():
    """Also in the factor of the regular form, w / tan^2, whose limit at 0 is finite for all but likelihood."""
    angle = torch.linspace(0.1, 1.4, 9, dtype=torch.float64)
    for name, weight in itertools.product(("explicit", *IMPLICIT), (None, *WEIGHTS)):
        made = objective(name, random_mixture(2, 4), weight)
        expected = torch.tensor([whole_weight(name, weight, value) for value in angle.tolist()], dtype=torch.float64)
        assert_close(made.root_weight(angle) ** 2, expected, rtol=1e-12, case=(name, weight))
        if name in IMPLICIT:
            assert_close(made.factor(angle), expected / torch.tan(angle) ** 2, rtol=1e-12, case=(name, weight))
            if weight != "likelihood":
                assert_close(made.factor(torch.zeros(1)), torch.ones(1), rtol=1e-6, case=(name, weight))


def test_noise_score_and_dsm_are_one_objective_under_their_own_weights():
    target, denoiser = random_mixture(3, 4), network().double()
    drawn = batch_of(target, LAWS["uniform"], 50)
    noise, score, dsm = (losses_of(objective(name, target), denoiser, *drawn) for name in ("noise", "score", "dsm"))
    assert_close(score, noise, rtol=1e-10)
    assert_close(dsm, noise, rtol=1e-10)
    velocity = losses_of(objective("velocity", target, "noise_variance"), denoiser, *drawn)
    assert_close(velocity, losses_of(objective("posterior_mean", target), denoiser, *drawn), rtol=1e-10)


def test_likelihood_is_noise_prediction_in_log_t_and_the_posterior_mean_in_the_time_of_localization():
    angle = torch.linspace(0.2, 1.3, 5, dtype=torch.float64)
    in_log_t = objective("noise", random_mixture(2, 4), "likelihood", LAWS["log_t"]).root_weight(angle) ** 2
    span = 2 * (math.log(math.tan(1.4)) - math.log(math.tan(0.1)))
    assert_close(in_log_t, 0.5 * span * torch.tan(angle) ** 2, rtol=1e-12)
    in_t = objective("posterior_mean", random_mixture(2, 4), "likelihood", LAWS["rising"]).root_weight(angle) ** 2
    assert_close(in_t, torch.full_like(angle, 0.5 * math.tan(1.2) ** 2), rtol=1e-12)


@pytest.mark.parametrize("law", ["uniform", "log_t", "falling"])
def test_the_excess_risk_of_the_likelihood_weight_is_the_path_kl(law):
    target, denoiser, law = GaussianMixture.two_modes(n=4), network(), LAWS[law]
    _, x, angle, _ = batch_of(target, law, 100_000)
    root = objective("velocity", target, "likelihood", law).root_weight(angle)
    with torch.no_grad():
        difference = denoiser(x.float(), angle.float()) - target.posterior_mean(x, angle)
    excess = (root.unsqueeze(1) * difference).square().sum(1)
    whole, before = (path_kl(denoiser, target, end, 40, 10_000, seeded(1)) for end in (law.high, law.low))
    error = math.hypot(standard_error(excess), whole.standard_error, before.standard_error)
    assert abs(float(excess.mean()) - (whole.total - before.total)) < 4 * error


def test_the_trainers_excess_risk_is_measured_in_the_same_unit():
    run = trainer(weight="likelihood")
    excess, error = run.excess_risk()
    whole = path_kl(run.denoiser, run.target, 1.5, 40, 5000, seeded(1))
    assert abs(4 * excess - whole.total) < 4 * math.hypot(4 * error, whole.standard_error)


# What is minimised. -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_the_exact_denoiser_scores_the_least_value(name):
    target, law = UNEQUAL, LAWS["uniform"]
    for weight in WEIGHTS:
        made = objective(name, target, weight)
        with torch.no_grad():
            losses = losses_of(made, ExactDenoiser(target), *batch_of(target, law, 20_000))
        error = abs(float(losses.mean()) - least_value(made, target, law))
        assert error < 4 * standard_error(losses) + 1e-12, weight


def test_the_least_value_without_the_score_is_its_mean_square():
    target = UNEQUAL
    for value in (0.2, 0.8, 1.4):
        angle = torch.tensor(value, dtype=torch.float64)
        clean, noise = target.sample(200_000, seeded(0), torch.float64), normal(200_000, 3, seed=1)
        squared = target.noisy_score(mix(clean, noise, value), value).square().mean(1)
        least = objective("implicit", target, "unit").least_value(angle, target.bayes_risk(angle))
        assert abs(float(squared.mean()) + float(least)) < 4 * standard_error(squared)


@pytest.mark.parametrize("name", ["dsm", "implicit"])
def test_on_the_line_denoising_and_implicit_score_matching_are_explicit_score_matching(name):
    """Gradients agree, and losses up to a constant that does not depend on the parameters."""
    target, clean, x, angle, weights = one_dimension()
    assert float(weights.sum()) == pytest.approx(1, abs=1e-12)
    explicit, made = objective("explicit", target), objective(name, target)
    constants = []
    for seed in (1, 2):
        denoiser = network(n=1, seed=seed).double()
        exact, other = (weights @ losses_of(one, denoiser, clean, x, angle, None) for one in (explicit, made))
        assert_close(gradient(other, denoiser), gradient(exact, denoiser), rtol=1e-8, atol=1e-9)
        constants.append(float((other - exact).detach()))
    assert constants[0] == pytest.approx(constants[1], abs=1e-9)
    angles = torch.tensor([0.3, 0.8, 1.3], dtype=torch.float64)
    assert constants[0] == pytest.approx(float(made.least_value(angles, target.bayes_risk(angles)).mean()), abs=1e-9)


@pytest.mark.parametrize("name", ["dsm", *IMPLICIT])
def test_in_more_dimensions_they_are_too(name):
    target, law = random_mixture(2, 4), LAWS["uniform"]
    drawn = batch_of(target, law, 50_000)
    for seed, probe in ((1, "gaussian"), (2, "rademacher")):
        denoiser, made = network(seed=seed).double(), objective(name, target, probe=probe, probes=2)
        with torch.no_grad():
            difference = losses_of(made, denoiser, *drawn) - losses_of(objective("explicit", target), denoiser, *drawn)
        error = abs(float(difference.mean()) - least_value(made, target, law))
        assert error < 4 * standard_error(difference), probe


@pytest.mark.parametrize("name", NAMES)
def test_every_objective_trains(name):
    run = trainer(objective=name, N=500, epochs=20, validation=0.1)
    before, _ = run.excess_risk()
    run.run()
    after, _ = run.excess_risk()
    assert after < 0.5 * before
    assert math.isfinite(run.rows[-1]["validation_loss"])


# Traces. ------------------------------------------------------------------------------------------------------------


def jacobians(denoiser, x, angle):
    """D_x m_hat of each sample by finite differences, (count, n, n)."""
    step = 1e-5
    columns = []
    for direction in step * torch.eye(x.shape[1], dtype=x.dtype):
        columns.append((denoiser(x + direction, angle) - denoiser(x - direction, angle)) / (2 * step))
    return torch.stack(columns, 2).detach()


@pytest.fixture
def states():
    """A network with more outputs than hidden units, and states of its dimension at random angles."""
    return network(n=6).double(), normal(5, 6, seed=3), torch.linspace(0, 1.5, 5, dtype=torch.float64)


@pytest.mark.parametrize("law", ["rademacher", "gaussian"])
def test_hutchinsons_estimator_is_unbiased_and_has_the_stated_variance(law, states):
    """Variance of v^T J v, S the symmetric part of J: 2 |S|_F^2 for Gaussian probes, without the diagonal for signs."""
    denoiser, x, angle = states
    target = random_mixture(2, 6)
    symmetric = jacobians(denoiser, x, angle)
    symmetric = 0.5 * (symmetric + symmetric.mT)
    many, angles = x.repeat_interleave(2000, 0), angle.repeat_interleave(2000)
    made = objective("implicit_hutchinson", target, probe=law, probes=20)
    _, probes = made.columns(None, many, angles, seeded(5))
    with torch.no_grad():
        forms = quadratic_forms(denoiser, many, angles, probes)[1].view(len(x), -1)
    diagonal = symmetric.diagonal(dim1=1, dim2=2)
    expected = 2 * symmetric.square().sum((1, 2)) - (2 * diagonal.square().sum(1) if law == "rademacher" else 0)
    for sample, mean, variance in zip(forms, diagonal.sum(1), expected, strict=True):
        assert abs(float(sample.mean() - mean)) < 4 * standard_error(sample)
        squared = (sample - sample.mean()).square()
        assert abs(float(squared.mean() - variance)) < 4 * standard_error(squared)


def test_probes_and_slices_have_the_expectation_of_the_exact_trace(states):
    denoiser, x, angle = states
    target, count = random_mixture(2, 6), 20_000
    many, angles = x[2:3].expand(count, -1), angle[2:3].expand(count)
    with torch.no_grad():
        exact = losses_of(objective("implicit", target), denoiser, None, x[2:3], angle[2:3], None)
        for name, law in itertools.product(("implicit_hutchinson", "sliced"), ("rademacher", "gaussian")):
            losses = losses_of(objective(name, target, probe=law), denoiser, None, many, angles, seeded(6))
            assert abs(float(losses.mean() - exact)) < 4 * standard_error(losses), (name, law)


# Options. -----------------------------------------------------------------------------------------------------------


def test_every_objective_weight_and_law_of_angles_is_an_option():
    for name, weight in itertools.product(NAMES, (None, *WEIGHTS)):
        written = with_values(
            f"training.objective={name}", f"training.weight={weight or 'null'}", "training.angle_min=0.1"
        )
        options = check(written).options("training")
        assert (options.objective, options.weight) == (name, weight)
    for law in get_args(Training.model_fields["angles"].annotation):
        options = check(with_values(f"training.angles={law}", "training.angle_min=0.1")).options("training")
        assert options.angles == law
    ncsn = check(composed("training=ncsn")).options("training")
    assert angle_law(ncsn).low == pytest.approx(math.atan(1 / 50))


def test_a_mistake_is_one_line():
    for overrides, says in (
        (["objective=scores"], "training.objective = scores: must be 'posterior_mean', 'velocity'"),
        (["weight=snr"], "training.weight = snr: must be 'unit'"),
        (["angles=ladder"], "angle_min = 0: angles: ladder needs angle_min > 0"),
        (["weight=likelihood", "angles=single"], "needs angles with a density, angles: single has none"),
        (["weight=likelihood", "angles=ladder", "angle_min=0.1"], "angles: ladder has none"),
        (["weight=likelihood", "objective=implicit"], "likelihood of objective: implicit needs angle_min > 0"),
        (["noise_level=0"], "training.noise_level = 0: allowed is a number > 0"),
        (["levels=1"], "training.levels = 1: allowed is an integer >= 2"),
        (["probes=0"], "training.probes = 0: allowed is an integer >= 1"),
        (["probe=uniform"], "must be 'rademacher' or 'gaussian'"),
    ):
        text = refused(ConfigError, check, with_values(*(f"training.{override}" for override in overrides)))
        assert says in text, overrides
        assert "\n" not in text, overrides


def test_a_likelihood_that_is_infinite_is_refused():
    with pytest.raises(ConfigError, match="the angles begin at 0"):
        objective("implicit", random_mixture(2, 4), "likelihood", LAWS["rising"])
    with pytest.raises(ConfigError, match="no density"):
        LAWS["ladder"].density(torch.ones(1))
