"""AMP as a denoiser: its equations, its limits, against sums over all states and state evolution; what it refuses."""

import math

import pytest
import torch
import yaml
from helpers import assert_close, normal, over, refused, seeded, with_values
from own_targets import OnlySamples

import scorelab
from scorelab.denoisers import AMPDenoiser
from scorelab.denoisers.state_evolution import fixed_point, overlaps
from scorelab.errors import ConfigError, ScorelabError
from scorelab.lab.config import check
from scorelab.targets import Ising
from scorelab.targets.ising import sherrington_kirkpatrick
from scorelab.targets.priors import Gaussian, Rademacher, SparseRademacher
from scorelab.targets.spiked import SpikedModel


def glass(n, beta, seed=0, h=None):
    return Ising(sherrington_kirkpatrick(n, seeded(seed)), beta, h)


def observed(clean, t, seed=1):
    return t * clean + math.sqrt(t) * normal(*clean.shape, seed=seed)


def error(target, denoiser, t, count=200):
    """E|m_AMP - m|^2/n over exact noisy states."""
    y = observed(target.sample(count, seeded(2), torch.float64), t)
    return float((denoiser.solve(y, t).mean - target.sums.means(y)).square().mean())


# The iteration. -----------------------------------------------------------------------------------------------------


def test_the_iterates_are_those_of_the_printed_recursion():
    target, y, t = glass(30, 0.8, h=0.2), normal(3, 30, seed=3), 0.7
    A = target.A - target.A.diag().diag()
    seen = []
    AMPDenoiser(target.couplings, iterations=5, descent_steps=2).solve(y, t, observe=lambda m: seen.append(m.clone()))
    before, m = torch.zeros_like(y), torch.tanh(y + 0.2)
    expected = [m]
    for _ in range(4):
        b = 0.8**2 * (1 - m.square().mean(1, keepdim=True))
        before, m = m, torch.tanh(0.8 * m @ A + y + 0.2 - b * before)
        expected.append(m)
    u = torch.atanh(m)
    for _ in range(2):
        gradient = -0.8 * torch.tanh(u) @ A - y - 0.2 + u + 0.8**2 * (1 - m.square().mean(1, keepdim=True)) * m
        u = u - 0.5 * gradient
        m = torch.tanh(u)
        expected.append(m)
    for one, other in zip(seen, expected, strict=True):
        assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_the_descent_ends_where_the_gradient_of_the_tap_free_energy_vanishes():
    """The free energy of the docstring, by autograd, with the overlap of state evolution."""
    target, beta, t = glass(40, 0.7), 0.7, 0.5
    y = observed(torch.ones(2, 40, dtype=torch.float64), t)
    m = AMPDenoiser(target.couplings, 20, 200).solve(y, t).mean.requires_grad_()
    A, q = target.A - target.A.diag().diag(), float(fixed_point(beta, t))
    entropy = -sum(((1 + s * m) / 2 * torch.log((1 + s * m) / 2)).sum() for s in (1, -1))
    free = -beta / 2 * ((m @ A) * m).sum() - (y * m).sum() - entropy + beta**2 * (1 - q) * m.square().sum() / 2
    (gradient,) = torch.autograd.grad(free, m)
    assert float(gradient.abs().max()) < 1e-9


@over("t", [0.05, 0.5, 3.0])
def test_amp_is_near_the_sums_over_all_states_and_mean_field_is_not(t):
    target = glass(14, 0.5)
    amp, entries, naive = (error(target, AMPDenoiser(target.couplings, onsager=kind), t) for kind in KINDS)
    assert amp < 2e-3
    assert entries < amp / 2 < naive / 4


KINDS = ("mean", "entries", "none")


def test_the_memory_of_the_entries_is_right_to_second_order_in_beta():
    """The error of the posterior mean is O(beta^3) with it, and O(beta^2) without memory."""
    slopes = {}
    for kind in ("entries", "none"):
        small, large = (
            error(glass(8, beta), AMPDenoiser(glass(8, beta).couplings, 60, 0, onsager=kind), 0.5)
            for beta in (0.02, 0.04)
        )
        slopes[kind] = math.log2(large / small) / 2
    assert slopes["entries"] == pytest.approx(3, abs=0.1)
    assert slopes["none"] == pytest.approx(2, abs=0.1)


def test_damping_and_tolerance_end_in_the_same_solution():
    target = glass(20, 0.6)
    y = observed(target.sample(5, seeded(0), torch.float64), 0.4)
    whole = AMPDenoiser(target.couplings, 200, 0).solve(y, 0.4)
    assert float(whole.residual.max()) < 1e-12
    damped = AMPDenoiser(target.couplings, 400, 0, damping=0.4).solve(y, 0.4)
    assert_close(damped.mean, whole.mean, rtol=0, atol=1e-9)
    seen = []
    early = AMPDenoiser(target.couplings, 200, 0, tolerance=1e-4).solve(y, 0.4, observe=seen.append)
    assert len(seen) < 60
    assert float(early.residual.max()) < 1e-4
    assert_close(early.mean, whole.mean, rtol=0, atol=1e-3)
    alone = AMPDenoiser(target.couplings, 200, 0, tolerance=1e-4).solve(y[:1], 0.4)
    assert_close(alone.mean[0], early.mean[0], rtol=0, atol=1e-12)  # no sample depends on the others


def test_the_ends_of_the_angle_and_the_dtype():
    target = glass(12, 0.5)
    denoiser, x = AMPDenoiser(target.couplings), normal(4, 12, seed=5)
    assert float(denoiser(x, 0.0).abs().max()) == 0
    assert_close(denoiser(x, math.pi / 2), x.sign(), rtol=0)
    assert denoiser(x.float(), 0.3).dtype == torch.float32
    assert_close(denoiser(x.float(), 0.3).double(), denoiser(x, 0.3), rtol=0, atol=1e-5)
    each = torch.tensor([0.2, 0.4, 0.6, 0.8], dtype=torch.float64)
    together = denoiser(x, each)
    for k in range(4):
        assert_close(together[k], denoiser(x[k : k + 1], float(each[k]))[0], rtol=0, atol=1e-12)
    assert denoiser.measured()["residual"].shape == (1,)
    assert not denoiser.trainable


def test_no_diagonal_changes_the_mean_of_signs():
    target = glass(12, 0.5)
    other = Ising(target.A + torch.diag(normal(12, seed=6)), 0.5)
    y = normal(3, 12, seed=7)
    assert_close(*(AMPDenoiser(each.couplings).solve(y, 0.3).mean for each in (target, other)), rtol=1e-12)


# State evolution. ---------------------------------------------------------------------------------------------------


@over(("prior", "beta"), [(Rademacher(), 0.8), (SparseRademacher(0.3), 1.5), (Gaussian(), 3.0)])
def test_state_evolution_predicts_every_iterate(prior, beta):
    """Over several matrices with n = 500, within 4 standard errors and what is left at this n."""
    n, t, measured = 500, 0.5, []
    for seed in range(8):
        target, own = SpikedModel.draw(n, beta, prior, seeded(seed)), []
        y = observed(target.theta.expand(4, n), t, seed=100 + seed)
        AMPDenoiser(target.couplings, 8, 0).solve(
            y, t, observe=lambda m, own=own, target=target: own.append(target.overlap(m).mean())
        )
        measured.append(torch.stack(own))
    measured, predicted = torch.stack(measured), overlaps(beta, t, 8, prior)
    gap, spread = (measured.mean(0) - predicted).abs(), measured.std(0) / math.sqrt(8)
    assert bool((gap < 4 * spread + 0.01).all()), (gap, spread)


def test_the_fixed_point_solves_its_equation_and_bifurcates_at_one():
    t = torch.tensor([0.0, 1e-3, 0.4, 30.0], dtype=torch.float64)
    for beta in (0.5, 1.0, 1.7):
        q = fixed_point(beta, t)
        assert_close(q, Rademacher().next_overlap(beta**2 * q + t), rtol=1e-9, atol=1e-12)
        assert_close(q[2], overlaps(beta, 0.4, 400)[-1], rtol=1e-9)
    assert float(fixed_point(1.0, 0.0)) == 0 < float(fixed_point(1.01, 0.0)) < 0.03
    assert_close(fixed_point(1.5, 0.0), Rademacher().bayes_overlap(1.5), rtol=1e-8)


def test_the_gaussian_prior_agrees_with_its_exact_posterior():
    target = SpikedModel.draw(60, 1.5, "gaussian", seeded(1))
    angle = math.atan(math.sqrt(0.5))
    x = math.sin(angle) * target.theta + math.cos(angle) * normal(10, 60, seed=2)
    m = AMPDenoiser(target.couplings, 40, 40)(x, angle)
    exact = target.posterior_mean(x, angle)
    assert float((m - exact).square().mean()) < 0.01 * float(exact.square().mean())


# In a run. ----------------------------------------------------------------------------------------------------------

RUN = ("denoiser=amp", "sampler=euler_maruyama", "sampler.count=64", "sampler.steps=12", "study.trajectories=0")
FEW = ("study.path_kl_angles=4", "study.path_kl_draws=20", "study.posterior_mean_draws=20", "study.floor_repeats=4")


def test_a_run_without_samples_says_what_it_does_not_measure(tmp_path, undrawn):
    run = scorelab.run([*RUN, *FEW, "target=ising", "target.n=40", "threads=1"], tmp_path / "run")
    missing = run.metrics["not_measured"]
    assert missing["path_kl.total"] == "n = 40: exact sums over the 2^n states are made up to n = 22"
    assert 0 < run.metrics["sampling"]["residual"] < 1e-2
    assert run.metrics["training"]["steps"] == 0


def test_a_run_with_few_spins_is_held_against_the_sums(tmp_path, undrawn):
    run = scorelab.run([*RUN, *FEW, "target=ising", "target.n=8", "threads=1"], tmp_path / "run")
    assert 0 < run.metrics["path_kl"]["total"] < 0.02
    assert max(run.metrics["posterior_mean"]["relative_error"]) < 0.3


def test_a_target_without_couplings_and_a_network_without_samples_are_one_line(tmp_path):
    said = refused(ConfigError, scorelab.run, [*RUN, *FEW], tmp_path / "a")
    assert (
        said
        == "denoiser Amp cannot run with target GaussianMixture: the target has no couplings between its coordinates"
    )
    said = refused(ConfigError, scorelab.run, ["target=ising", "target.n=40", "denoiser=relu"], tmp_path / "b")
    assert "n = 40: exact sums over the 2^n states are made up to n = 22" in said
    assert "\n" not in said
    with pytest.raises(ScorelabError, match="OnlySamples: the target has no couplings"):
        OnlySamples().couplings  # noqa: B018


@over(
    ("override", "says"),
    [
        ("iterations=0", "denoiser.iterations = 0: allowed is an integer >= 1"),
        ("descent_steps=-1", "denoiser.descent_steps = -1: allowed is an integer >= 0"),
        ("step_size=1.5", "denoiser.step_size = 1.5: allowed is a number"),
        ("damping=1", "denoiser.damping = 1: allowed is a number >= 0 and < 1"),
        ("tolerance=-1", "denoiser.tolerance = -1: allowed is a number >= 0"),
        ("onsager=some", "denoiser.onsager = some: must be 'mean', 'entries' or 'none'"),
    ],
)
def test_a_mistake_in_an_option_is_one_line(override, says):
    node = {"_target_": "scorelab.denoisers.Amp", "iterations": 5, "descent_steps": 5, "step_size": 0.5}
    node |= {"damping": 0.0, "tolerance": 0.0, "onsager": "mean"}
    key, _, value = override.partition("=")
    data = with_values() | {"denoiser": node | {key: value if key == "onsager" else yaml.safe_load(value)}}
    assert says in refused(ConfigError, check, data)
