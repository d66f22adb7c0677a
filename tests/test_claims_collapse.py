"""The claim on collapse can fail: its closed form, its rule and its least squares."""

import math

import numpy
import pytest
import torch
from test_claims import measure

from scorelab.claims import CORRECTED, FAILS
from scorelab.claims.claim import UNDECIDED
from scorelab.studies.collapse import claims as collapse
from scorelab.studies.collapse.flawed import Flawed
from scorelab.studies.collapse.theory import relative_variance
from scorelab.targets import GaussianMixture

LOSS = collapse.expected_loss


def test_as_it_is():
    assert measure("S2-09") == CORRECTED


@pytest.mark.parametrize(
    "mutated",
    [
        lambda band, value: 1 - relative_variance(2 * collapse._SIZE, band, collapse._END, value),
        lambda band, value: -LOSS(band, value),
        lambda band, value: LOSS(band, 0.0),  # the stochastic sampler as the deterministic one
        lambda band, value: LOSS(band, 0.0) * (1 if value == 0 else math.sin(sum(band) / 2) ** (2 * value)),
    ],
)
def test_another_closed_form_fails(mutated, monkeypatch):
    monkeypatch.setattr(collapse, "expected_loss", mutated)
    assert measure("S2-09") == FAILS


def test_a_denoiser_that_errs_where_it_is_said_not_to_fails(monkeypatch):
    monkeypatch.setattr(collapse, "_HIGH_NOISE", collapse._LOW_NOISE)
    assert measure("S2-09") == FAILS


def test_a_network_that_is_rigid_at_all_noise_levels_fails(monkeypatch):
    made = collapse.Learner
    monkeypatch.setattr(collapse, "Learner", lambda target, width, harmonics, *more: made(target, width, 0, *more))
    assert measure("S2-09") == FAILS


def test_memory_without_data_fails(monkeypatch):
    monkeypatch.setattr(collapse, "_memory", lambda budget: dict.fromkeys(("Heun", "2M SDE"), (1.0, 0.001)))
    assert measure("S2-09") == UNDECIDED


def test_the_shrunken_posterior_mean_is_that_of_a_mixture_of_one():
    normal, x = GaussianMixture([1.0], torch.zeros(1, 1)), torch.linspace(-2, 2, 5, dtype=torch.float64).unsqueeze(1)
    for angle in (0.2, 0.5, 0.8):
        exact = Flawed(normal, "shrink", 0.3, (0.4, 0.7))(x, angle)
        assert torch.allclose(collapse.shrunken(0.3, (0.4, 0.7))(x, angle), exact, atol=1e-14)


def test_the_learner_finds_the_least_squares():
    target = GaussianMixture([0.7, 0.3], torch.tensor([[0.6], [-1.4]]).expand(2, 4).clone(), 0.4)
    learner = collapse.Learner(target, 24, 2, 20000, 1)
    clean, _, angle = learner.states(1000, 0.3, torch.Generator().manual_seed(0))
    assert float((angle > collapse._SWITCH).double().mean()) == pytest.approx(0.3)
    assert learner.features(clean, angle).shape == (1000, 5 * 25)
    assert numpy.max(learner.errors(0.5)) < 0.05
