"""The spiked model: its posterior is calibrated; wrong formulas change the verdict."""

import math

import pytest
import torch
from helpers import measure, seeded

from scorelab.claims import FAILS
from scorelab.studies.synchronization import theory as spiked


@pytest.mark.parametrize("symmetric", [True, False])
def test_the_posterior_is_calibrated(symmetric):
    """With theta drawn from the prior, <x, theta>^2 of two draws of the posterior and of one and theta agree."""
    vectors, draws, beta, count = spiked.sign_vectors(5), seeded(3), 1.5, 40
    gaps = []
    for theta in vectors:
        law = spiked.bayes(spiked.observe(theta, beta, symmetric, count, draws), vectors, beta, symmetric)
        with_theta = spiked.overlaps(law, vectors, theta)
        among = torch.einsum("av,vw,aw->a", law, (vectors @ vectors.T / 5) ** 2, law)
        gaps.append(with_theta - among)
    gaps = torch.cat(gaps)
    assert abs(gaps.mean()) < 4 * gaps.std() / math.sqrt(len(gaps))


FACTORS = {"log_posterior_of_symmetric_noise": -1, "log_posterior_of_independent_noise": 0.5}


@pytest.mark.parametrize("name", FACTORS, ids=[f"S1-07-{name}" for name in FACTORS])
def test_a_wrong_formula_changes_the_verdict(name, monkeypatch):
    factor, right = FACTORS[name], getattr(spiked, name)
    monkeypatch.setattr(spiked, name, lambda *arguments: factor * right(*arguments))
    assert measure("S1-07") == FAILS
