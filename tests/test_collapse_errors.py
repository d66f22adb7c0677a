"""Collapse: errors of known size in a posterior mean, and the claim on what they do to samplers."""

import math

import numpy
import pytest
import torch
from helpers import measure, noisy_states, normal, random_mixture

from scorelab.claims import CORRECTED, FAILS, Budget
from scorelab.claims.claim import UNDECIDED
from scorelab.studies.collapse import claims as collapse
from scorelab.studies.collapse.flawed import Flawed, empirical
from scorelab.studies.collapse.least_squares import LeastSquaresNetwork
from scorelab.studies.collapse.measurements import shrunken_mean
from scorelab.studies.collapse.theory import relative_variance
from scorelab.targets import GaussianMixture

# Errors of known size. ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["shrink", "bias_along", "bias_orthogonal"])
def test_an_error_has_the_size_that_it_is_given(kind):
    target, angle = GaussianMixture.two_modes(0.7, 10 * torch.ones(6)), 1.0
    x = noisy_states(target, angle, 20000)
    error = Flawed(target, kind, 0.3)(x, angle) - target.posterior_mean(x, angle)
    risk = 6 * math.cos(angle) ** 2
    assert float(error.square().sum(1).mean()) == pytest.approx(0.3**2 * risk, rel=0.02)
    along = (error @ target.direction) / target.direction.norm()
    if kind == "bias_along":
        assert torch.allclose(along.square(), error.square().sum(1))
    if kind == "bias_orthogonal":
        assert float(along.abs().max()) < 1e-10


def test_an_error_is_there_in_its_band_alone():
    target, x = random_mixture(3, 4, "per_mode"), normal(5, 4, seed=1)
    angles = torch.tensor([0.1, 0.5, 0.7, 0.9, 1.3], dtype=torch.float64)
    flawed, exact = Flawed(target, "shrink", 0.3, (0.5, 0.9))(x, angles), target.posterior_mean(x, angles)
    assert (flawed != exact).any(1).tolist() == [False, True, True, False, False]
    for k, angle in enumerate(angles.tolist()):
        alone = Flawed(target, "shrink", 0.3, (0.5, 0.9))(x, angle)[k]
        assert torch.allclose(flawed[k], alone, atol=1e-14)


def test_an_error_of_size_0_is_none():
    target, x = random_mixture(3, 4, "per_mode"), normal(5, 4, seed=1)
    for kind in ("shrink", "sharpen", "bias_along", "bias_orthogonal"):
        assert torch.allclose(Flawed(target, kind, 0.0)(x, 0.6), target.posterior_mean(x, 0.6), atol=1e-12)


def test_sharpened_weights_are_more_certain():
    target, x = GaussianMixture.two_modes(0.5, torch.ones(2)), normal(50, 2, seed=1)
    exact, sharp = target.posterior_mean(x, 0.6), Flawed(target, "sharpen", 1.0)(x, 0.6)
    gamma = target.posterior_weights(x, 0.6)
    squared = gamma.square() / gamma.square().sum(1, keepdim=True)
    assert torch.allclose(sharp - exact, ((squared - gamma) @ target.means) * math.cos(0.6) ** 2, atol=1e-12)


def test_memorised_data_are_the_posterior_mean_near_the_end():
    data = normal(20, 4, seed=3)
    flawed = Flawed(GaussianMixture([1.0], torch.ones(1, 4)), "empirical", data=data)
    assert torch.allclose(flawed(data * math.sin(1.5), 1.5), data, atol=1e-4)
    assert torch.allclose(flawed(normal(3, 4, seed=4), 0.0), data.mean(0).expand(3, 4), atol=1e-6)
    assert empirical(data).weights.tolist() == pytest.approx([1 / 20] * 20)


# The claim can fail: its closed form, its rule, its memory and its least squares. ----------------------------------

LOSS = collapse.expected_loss
PARTS = {name: getattr(collapse, name) for name in ("distance_to_training_data", "_learned")}


@pytest.fixture(scope="module")
def known():
    """Part of the claim -> what is measured there, once for all formulas that leave it as it is."""
    return {name: part(Budget(quick=True, seed=0, claim="S2-09")) for name, part in PARTS.items()}


@pytest.fixture(autouse=True)
def measured_once(known, monkeypatch):
    for name, found in known.items():
        monkeypatch.setattr(collapse, name, lambda budget, found=found: found)


def test_the_claim_holds_as_corrected():
    assert measure("S2-09") == CORRECTED


@pytest.mark.parametrize(
    "mutated",
    [
        lambda band, value: 1 - relative_variance(2 * collapse.SIZE, band, collapse.END, value),
        lambda band, value: -LOSS(band, value),
        lambda band, value: LOSS(band, 0.0),  # the stochastic sampler as the deterministic one
        lambda band, value: LOSS(band, 0.0) * (1 if value == 0 else math.sin(sum(band) / 2) ** (2 * value)),
    ],
)
def test_with_another_closed_form_the_claim_fails(mutated, monkeypatch):
    monkeypatch.setattr(collapse, "expected_loss", mutated)
    assert measure("S2-09") == FAILS


def test_with_an_error_at_low_noise_in_the_place_of_high_noise_the_claim_fails(monkeypatch):
    monkeypatch.setattr(collapse, "HIGH_NOISE", collapse.LOW_NOISE)
    assert measure("S2-09") == FAILS


def test_with_a_network_that_is_rigid_at_all_noise_levels_the_claim_fails(monkeypatch):
    made = collapse.LeastSquaresNetwork
    monkeypatch.setattr(collapse, "_learned", PARTS["_learned"])
    monkeypatch.setattr(
        collapse, "LeastSquaresNetwork", lambda target, width, harmonics, *more: made(target, width, 0, *more)
    )
    assert measure("S2-09") == FAILS


def test_without_memorised_data_the_claim_is_undecided(monkeypatch):
    monkeypatch.setattr(
        collapse, "distance_to_training_data", lambda budget: dict.fromkeys(("Heun", "2M SDE"), (1.0, 0.001))
    )
    assert measure("S2-09") == UNDECIDED


def test_the_shrunken_posterior_mean_is_that_of_a_mixture_of_one():
    normal, x = GaussianMixture([1.0], torch.zeros(1, 1)), torch.linspace(-2, 2, 5, dtype=torch.float64).unsqueeze(1)
    for angle in (0.2, 0.5, 0.8):
        exact = Flawed(normal, "shrink", 0.3, (0.4, 0.7))(x, angle)
        assert torch.allclose(shrunken_mean(0.3, (0.4, 0.7))(x, angle), exact, atol=1e-14)


def test_the_network_finds_the_least_squares():
    target = GaussianMixture([0.7, 0.3], torch.tensor([[0.6], [-1.4]]).expand(2, 4).clone(), 0.4)
    network = LeastSquaresNetwork(target, 24, 2, 20000, 1, math.pi / 4, 1.4)
    clean, _, angle = network.states(1000, 0.3, torch.Generator().manual_seed(0))
    assert float((angle > math.pi / 4).double().mean()) == pytest.approx(0.3)
    assert network.features(clean, angle).shape == (1000, 5 * 25)
    assert numpy.max(network.errors(0.5)) < 0.05
