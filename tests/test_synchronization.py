"""The spiked model: its posterior is calibrated; wrong formulas change the verdict; limits, and the study."""

import math

import numpy
import pytest
import torch
from helpers import measure, over, refused, seeded
from matplotlib.figure import Figure
from scipy import stats

import scorelab
from scorelab.claims import FAILS
from scorelab.denoisers import AMPDenoiser
from scorelab.denoisers.state_evolution import fixed_point
from scorelab.errors import ConfigError
from scorelab.laws.spin_sums import all_states
from scorelab.samplers.spins import times
from scorelab.studies import Synchronization, draw
from scorelab.studies.synchronization import measurements
from scorelab.studies.synchronization import theory as spiked
from scorelab.targets.spiked import spectral_limit

QUICK = (
    "study=synchronization",
    "study.strengths=[0.5,2.0]",
    "study.steps=6",
    "study.amp.iterations=4",
    "study.amp.descent_steps=2",
    "study.estimate_iterations=5",
    "study.exact.n=5",
    "study.exact.matrices=3",
    "study.exact.samples=4",
    "study.large.n=20",
    "study.large.matrices=2",
    "study.large.samples=4",
    "figures.dpi=50",
    "threads=1",
)


@pytest.mark.parametrize("symmetric", [True, False])
def test_the_posterior_is_calibrated(symmetric):
    """With theta drawn from the prior, <x, theta>^2 of two draws of the posterior and of one and theta agree."""
    vectors, draws, beta, count = all_states(5), seeded(3), 1.5, 40
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


# Indistinguishable from noise. --------------------------------------------------------------------------------------


@over("strength", [0.4, 0.9, 1.3])
def test_the_second_moment_is_that_of_the_likelihood_ratio(strength):
    """By quadrature over W for n = 2: L depends on the trace and on the entry above the diagonal."""
    line = numpy.linspace(-9, 9, 1201)
    weights = stats.norm.pdf(line) * (line[1] - line[0])
    trace, off = line * math.sqrt(2), line * math.sqrt(0.5)
    ratio = numpy.exp(strength / 2 * trace[:, None] - strength**2 / 2) * numpy.cosh(strength * off)
    assert spiked.second_moment(2, strength) == pytest.approx(float(weights @ ratio**2 @ weights), rel=1e-9)
    assert float(weights @ ratio @ weights) == pytest.approx(1, rel=1e-9)


def test_the_ratios_are_those_of_the_densities_of_the_entries():
    W = spiked.observe(torch.ones(4), 0.0, True, 1, seeded(3))[0]
    (ratio,) = spiked.likelihood_ratios(4, 0.0, 1, seeded(0))
    assert float(ratio) == pytest.approx(1)
    vectors = all_states(4)
    logs = []
    for x in vectors:
        mean = 0.8 / 4 * torch.outer(x, x)
        spread = torch.full((4, 4), 0.5).double() + (math.sqrt(0.5) - 0.5) * torch.eye(4)
        density = [torch.distributions.Normal(each, spread).log_prob(W) for each in (mean, torch.zeros(4, 4).double())]
        logs.append(((density[0] - density[1]).triu()).sum())
    forms = ((vectors @ W) * vectors).sum(1)
    expected = torch.exp(0.4 * forms - 4 * 0.8**2 / 4)
    torch.testing.assert_close(torch.exp(torch.stack(logs)), expected)


def test_the_trace_tells_a_matrix_from_noise_as_often_as_is_said():
    line = numpy.linspace(-12, 12, 20001)
    densities = [stats.norm.pdf(line, mean, math.sqrt(2)) for mean in (0.0, 0.7)]
    variation = 0.5 * float(numpy.abs(densities[0] - densities[1]).sum()) * (line[1] - line[0])
    assert spiked.trace_variation(0.7) == pytest.approx(variation, abs=1e-7)


# Estimators and samples. --------------------------------------------------------------------------------------------


def test_amp_from_the_eigenvector_has_the_best_overlap_and_the_eigenvector_its_limit():
    found, own = [], []
    for matrix in range(12):
        target = measurements.model(250, 2.0, 0, matrix)
        found.append(measurements.estimated(target, AMPDenoiser(target.couplings, 40, 0))["estimate"])
        own.append(measurements.spectral(target))
    for values, limit in ((found, float(fixed_point(2.0, 0.0))), (own, float(spectral_limit(2.0)))):
        values = numpy.array(values)
        assert abs(values.mean() - limit) < 4 * values.std() / math.sqrt(12) + 0.01
    assert numpy.mean(found) > numpy.mean(own) + 0.1
    assert list(spectral_limit(numpy.array([0.5, 1.0, 2.0]))) == [0, 0, 0.75]


def test_samples_of_the_posterior_are_as_near_to_theta_as_to_each_other():
    gaps, against = [], []
    for matrix in range(12):
        target = measurements.model(10, 2.5, 1, matrix)
        found = measurements.sampled(target, AMPDenoiser(target.couplings), times(30.0, 20), 30, matrix, torch.float64)
        gaps.append(found["with_theta"] - found["among"])
        against.append(found["among"] - measurements.summed(target)["among"])
    for values in map(numpy.array, (gaps, against)):
        assert abs(values.mean()) < 4 * values.std() / math.sqrt(12) + 0.02


def test_the_summed_overlaps_are_those_of_the_enumerated_posterior():
    target = measurements.model(6, 1.4, 0, 0)
    vectors = all_states(6)
    law = torch.softmax(0.7 * ((vectors @ target.A) * vectors).sum(1), 0)
    found = measurements.summed(target)
    assert found["with_theta"] == pytest.approx(float(spiked.overlaps(law[None], vectors, target.theta)[0]))
    assert found["among"] == pytest.approx(float(law @ (vectors @ vectors.T / 6).square() @ law))


# The study. ---------------------------------------------------------------------------------------------------------


def test_the_study_measures_writes_and_draws(run_once):
    run = run_once(*QUICK)
    found = run.metrics["synchronization"]
    assert found["exact"]["strength"] == [0.5, 2.0]
    assert found["large"]["bayes"] == pytest.approx([0, float(fixed_point(2.0, 0.0))])
    assert found["large"]["gap_largest"] == pytest.approx(max(map(abs, found["large"]["gap"])))
    assert isinstance(draw(Synchronization, "synchronization", run.arrays["synchronization"]), Figure)


@over(
    ("override", "says"),
    [
        ("study.strengths=[-1]", "study.strengths.0 = -1"),
        ("study.exact.n=30", "study.exact.n = 30"),
        ("study.large.samples=2", "study.large.samples = 2"),
        ("study.estimate_iterations=0", "study.estimate_iterations = 0: allowed is an integer >= 1"),
    ],
)
def test_a_mistake_is_one_line(override, says, tmp_path):
    said = refused(ConfigError, scorelab.run, ["study=synchronization", override], tmp_path / "run")
    assert says in said, said
    assert "\n" not in said
