"""The spin glass: chains, statistics, the speed of Glauber dynamics, the claims' formulas, and the study."""

import itertools
import math

import numpy
import pytest
import torch
from helpers import assert_close, over, refused, seeded
from matplotlib.figure import Figure
from scipy.linalg import expm

import scorelab
from scorelab.denoisers import AMPDenoiser, ExactDenoiser
from scorelab.errors import ConfigError
from scorelab.metrics import spins
from scorelab.samplers.spins import Paths, localize, signs, times
from scorelab.studies import SpinGlass, draw
from scorelab.studies.spin_glass import chains, theory
from scorelab.targets import Ising
from scorelab.targets.ising import sherrington_kirkpatrick
from scorelab.theory.spins import sk_energy, sk_overlap

QUICK = (
    "study=spin_glass",
    "study.betas=[0.4,1.2]",
    "study.steps=8",
    "study.amp.iterations=4",
    "study.amp.descent_steps=2",
    "study.exact.sizes=[5]",
    "study.exact.matrices=2",
    "study.exact.samples=40",
    "study.large.sizes=[20]",
    "study.large.samples=8",
    "study.iterates_at=[0.5]",
    "study.chains.n=10",
    "study.chains.betas=[0.4]",
    "study.chains.count=6",
    "study.chains.levels=3",
    "study.chains.steps=[2,4]",
    "figures.dpi=50",
    "threads=1",
)


def glass(n, beta, seed=0):
    return Ising(sherrington_kirkpatrick(n, seeded(seed)), beta)


# Chains. ------------------------------------------------------------------------------------------------------------


@over("name", ["glauber", "tempering"])
def test_a_chain_has_the_law_of_the_model_as_its_limit(name):
    """Pair correlations of 4000 chains differ from sums over all states by their noise."""
    target, count, draws = glass(10, 0.8), 4000, numpy.random.default_rng(0)
    if name == "glauber":
        x = chains.glauber(target.A, 0.8, count, 40, draws)
    else:
        x = chains.tempering(target.A, 0.8, count, 20, draws, levels=3)
    found = spins.correlation_error(x, target.correlations())
    assert found.value < found.floor + 4 * found.standard_error
    assert set(numpy.unique(x)) == {-1.0, 1.0}


def test_the_fields_are_kept_up_to_date_over_blocks_and_exchanges():
    A = sherrington_kirkpatrick(60, seeded(1)).numpy()
    system = chains.Spins(A, numpy.repeat([0.3, 0.9], 5), numpy.random.default_rng(0))
    for _ in range(3):
        system.sweep()
        system.exchange(numpy.arange(5), numpy.arange(5, 10))
    numpy.testing.assert_allclose(system.fields, (A - numpy.diag(numpy.diag(A))) @ system.x, atol=1e-12)
    form = (system.x * ((A - numpy.diag(numpy.diag(A))) @ system.x)).sum(0)
    numpy.testing.assert_allclose(system.forms(), form, atol=1e-12)


def test_the_rate_of_glauber_dynamics_is_that_of_its_generator():
    """Against the spectrum of a generator that is written state by state, and the decay of a correlation."""
    target = glass(5, 0.7)
    states = list(itertools.product((-1.0, 1.0), repeat=5))
    A = (target.A - target.A.diag().diag()).numpy()
    generator = numpy.zeros((32, 32))
    for k, x in enumerate(states):
        for i in range(5):
            flipped = list(x)
            flipped[i] = -x[i]
            rate = 1 / (1 + math.exp(2 * 0.7 * x[i] * (A[i] @ numpy.array(x))))
            generator[k, states.index(tuple(flipped))] += rate
            generator[k, k] -= rate
    values = numpy.sort(numpy.linalg.eigvals(generator).real)
    assert theory.glauber_rate(target) == pytest.approx(-values[-2], rel=1e-9)
    decayed = expm(40 * generator) @ numpy.array([sum(x) for x in states])
    assert numpy.abs(decayed).max() < 10 * math.exp(-40 * theory.glauber_rate(target))


@over("beta", [0.05, 0.15, 0.2])
def test_glauber_dynamics_is_as_fast_as_is_guaranteed(beta):
    for seed in range(5):
        target = glass(7, beta, seed)
        assert theory.glauber_rate(target) >= theory.guaranteed_rate(target)
    assert theory.glauber_rate(Ising(torch.zeros(6, 6), beta)) == pytest.approx(1)


# Statistics. --------------------------------------------------------------------------------------------------------


def test_statistics_of_exact_samples_are_within_their_errors():
    target = glass(12, 0.6)
    for seed in range(3):
        x = target.sample(1500, seeded(seed), torch.float64)
        energy, overlap = spins.energy(target, x), spins.squared_overlap(x, theory.mean_squared_overlap(target))
        assert abs(energy.value - energy.exact) < 4 * energy.standard_error
        assert abs(overlap.value - overlap.exact) < 4 * overlap.standard_error
        found = spins.correlation_error(x, target.correlations())
        assert abs(found.value - found.floor) < 4 * found.standard_error


def test_paths_are_the_same_brownian_motion_for_coarser_steps():
    paths = Paths(times(4.0, 12), (3, 2), seed=1, dtype=torch.float64)
    fine, coarse = paths.noise(1), paths.noise(3)
    gaps = paths.grid.diff()
    for k in range(4):
        parts = sum(gap.sqrt() * fine() for gap in gaps[3 * k : 3 * k + 3])
        assert_close(coarse() * gaps[3 * k : 3 * k + 3].sum().sqrt(), parts, rtol=1e-12)


# Sampling. ----------------------------------------------------------------------------------------------------------


@over("beta", [0.3, 0.5])
def test_pair_correlations_of_samples_differ_from_the_sums_by_their_noise(beta):
    target, count = glass(12, beta), 2000
    paths = Paths(times(30.0, 40), (count, 12), seed=2, dtype=torch.float64)
    x = signs(localize(AMPDenoiser(target.couplings, 10, 10), paths), seeded(3))
    found = spins.correlation_error(x, target.correlations())
    assert found.value < found.floor + 4 * found.standard_error
    energy = spins.energy(target, x)
    assert abs(energy.value - energy.exact) < 4 * energy.standard_error + 0.01


def test_a_large_glass_has_its_limits_below_one_and_coupled_runs_part_above():
    n, count = 200, 60
    for beta, low, high in ((0.4, 0, 1e-3), (1.4, 0.1, 2)):
        target, paths = glass(n, beta, seed=5), Paths(times(30.0, 30), (count, n), seed=4)
        means = localize(AMPDenoiser(target.couplings), paths)
        other = localize(AMPDenoiser(target.couplings, 30, 30), paths)
        assert low < spins.distance(means, other).value < high
        if beta < 1:
            x = signs(means, seeded(1))
            energy, overlap = spins.energy(target, x), spins.squared_overlap(x)
            assert abs(energy.value - sk_energy(beta)) < 4 * energy.standard_error + 0.01
            assert abs(overlap.value - sk_overlap(beta)) < 4 * overlap.standard_error + 0.05


def test_coupled_runs_with_the_exact_mean_are_near_each_other():
    target, paths = glass(10, 0.3), Paths(times(30.0, 20), (100, 10), seed=6, dtype=torch.float64)
    exact, amp, naive = (
        localize(each, paths)
        for each in (
            ExactDenoiser(target),
            AMPDenoiser(target.couplings),
            AMPDenoiser(glass(10, 0.0).couplings),  # a sampler of free spins
        )
    )
    near, far = spins.distance(amp, exact), spins.distance(naive, exact)
    assert near.value < 0.03 < 0.15 < far.value


# The study. ---------------------------------------------------------------------------------------------------------


def test_the_study_measures_writes_and_draws(run_once):
    run = run_once(*QUICK)
    found = run.metrics["spin_glass"]
    assert found["products"] == 9 * (4 - 1 + 2)
    assert found["exact"]["n"] == [5, 5]
    assert found["large"]["energy_limit"] == [0.4, None]
    assert found["large"]["energy_off"] == pytest.approx(abs(found["large"]["energy"][0] / 0.4 - 1))
    assert max(found["chains"]["cost"]) <= found["products"]
    assert {"diffusion", "glauber", "tempering"} == set(found["chains"]["method"])
    assert isinstance(draw(SpinGlass, "spin_glass", run.arrays["spin_glass"]), Figure)
    assert run.config.study.amp.half.iterations == 2


@over(
    ("override", "says"),
    [
        ("study.betas=[0.5,-1]", "study.betas.0 = -1"),
        ("study.steps=7", "study.steps = 7"),
        ("study.exact.sizes=[24]", "study.exact.sizes.0 = 24: must be less than or equal to 20"),
        ("study.exact.samples=10", "study.exact.samples = 10: allowed is an integer"),
        ("study.amp.onsager=x", "must be 'mean', 'entries' or 'none'"),
        ("study.chains.levels=1", "study.chains.levels = 1"),
    ],
)
def test_a_mistake_is_one_line(override, says, tmp_path):
    said = refused(ConfigError, scorelab.run, ["study=spin_glass", override], tmp_path / "run")
    assert says in said, said
    assert "\n" not in said
