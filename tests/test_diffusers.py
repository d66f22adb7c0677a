"""Step for step the same as huggingface diffusers on DDPM's chain.

Its timesteps count from 0, so that its timestep is our k - 1. Its betas are float32: they are replaced by ours, which
agree to float32. Its last step, from k = 1 to k = 0, returns the posterior mean, which here is
`sampler.output: posterior_mean`. DDPMScheduler keeps its variance above 1e-20, which is far below every one here.
"""

import importlib.util
import itertools

import numpy
import pytest
import torch
from helpers import assert_close, normal, over, random_mixture, seeded

from scorelab.denoisers import ExactDenoiser
from scorelab.samplers import DDIM, DDPMAncestral, DPMSolver2M, DPMSolver3M, DPMSolverSDE2M, EulerMaruyama
from scorelab.samplers.loop import posterior_mean, simulate
from scorelab.schedules import DDPM

pytestmark = [
    # not imported here: it takes a second, in every process that collects this file
    pytest.mark.skipif(importlib.util.find_spec("diffusers") is None, reason="diffusers is not there"),
    # their DPM-Solver asks torch for arrays in a way that numpy 2 warns of
    pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning"),
]


#: our name of the betas -> theirs
BETAS = {"linear": "linear", "quadratic": "scaled_linear", "sigmoid": "sigmoid", "cosine": "squaredcos_cap_v2"}
TARGET = random_mixture(modes=2, n=3, seed=1)
both_chains = over("beta", ["linear", "cosine"])
on_grids = over(("beta", "steps"), [("linear", 50), ("cosine", 50), ("linear", 333)])
#: DDIMScheduler knows no grids but even ones: 37 and 999 divide the 999 from k = 1000 to k = 1
on_even_grids = over(("beta", "steps"), [("linear", 37), ("cosine", 37), ("cosine", 999)])


def scheduler_class(name):
    return getattr(importlib.import_module("diffusers"), name)


def chain(beta):
    return DDPM(grid="native", timesteps=1000, beta=beta, beta_min=1e-4, beta_max=0.02)


def theirs(name, schedule, **options):
    """A scheduler of diffusers that takes posterior means, on our float64 chain."""
    if name != "DPMSolverMultistepScheduler":
        options["clip_sample"] = False
    scheduler = scheduler_class(name)(
        num_train_timesteps=schedule.timesteps,
        beta_start=schedule.beta_min,
        beta_end=schedule.beta_max,
        beta_schedule=BETAS[schedule.beta],
        prediction_type="sample",
        thresholding=False,
        **options,
    )
    scheduler.alphas_cumprod = torch.exp(2 * schedule.log_signals[1:])
    return scheduler


def timesteps(schedule, steps):
    return [int(k) - 1 for k in schedule.native_times(steps)]


def ours(rule, schedule, steps, x, noise, dtype=torch.float64):
    """Every state of our chain, the last one followed by its posterior mean."""
    states = []
    denoiser, angles = ExactDenoiser(TARGET), schedule.angles(steps)
    end = simulate(rule, denoiser, angles, x.clone(), noise, lambda k, angle, x: states.append(x.clone()), schedule)
    return [*states[1:], posterior_mean(denoiser, end, float(angles[-1]), noise)]


def driven(step, schedule, steps, x):
    """Every state after the first of a scheduler whose `step` is a function (posterior mean, timestep, x)."""
    states = []
    for timestep, angle in zip(timesteps(schedule, steps), schedule.angles(steps).tolist(), strict=True):
        x = step(TARGET.posterior_mean(x, angle), timestep, x)
        states.append(x)
    return states


def draws(seed, shape):
    generator = seeded(seed)
    return lambda: torch.randn(shape, generator=generator, dtype=torch.float64)


def assert_same_path(path, expected, tolerance):
    for state, other in zip(path, expected, strict=True):
        assert_close(state, other, rtol=tolerance, atol=tolerance)


@over("beta", BETAS)
def test_betas_are_those_of_diffusers(beta):
    scheduler = scheduler_class("DDPMScheduler")(
        num_train_timesteps=1000, beta_start=1e-4, beta_end=0.02, beta_schedule=BETAS[beta]
    )
    assert_close(chain(beta).betas.float(), scheduler.betas, rtol=2e-5 if beta == "sigmoid" else 1e-6, atol=1e-8)


@on_grids
@over(
    ("rule", "variance"),
    [
        (EulerMaruyama(), "fixed_small"),
        (DDPMAncestral(variance="posterior"), "fixed_small"),
        (DDPMAncestral(variance="beta"), "fixed_large"),
    ],
)
def test_ancestral_sampling_is_their_ddpm(beta, steps, rule, variance):
    schedule, x, generator = chain(beta), normal(4, 3, seed=2), seeded(3)
    scheduler = theirs("DDPMScheduler", schedule, variance_type=variance)
    scheduler.set_timesteps(timesteps=timesteps(schedule, steps))
    expected = driven(lambda m, k, x: scheduler.step(m, k, x, generator=generator)[0], schedule, steps, x)
    assert_same_path(ours(rule, schedule, steps, x, draws(3, x.shape)), expected, 1e-10)


@on_even_grids
@over("eta", [0.0, 0.5, 1.0])
def test_ddim_is_their_ddim(beta, steps, eta):
    schedule, x, noise = chain(beta), normal(4, 3, seed=4), draws(5, (4, 3))
    scheduler = theirs("DDIMScheduler", schedule)
    scheduler.set_timesteps(steps)
    expected = driven(lambda m, k, x: scheduler.step(m, k, x, eta, variance_noise=noise())[0], schedule, steps, x)
    assert_same_path(ours(DDIM(eta=eta), schedule, steps, x, draws(5, x.shape)), expected, 1e-10)


SOLVERS = over(
    ("rule", "algorithm"),
    [(DPMSolver2M(), "dpmsolver++"), (DPMSolverSDE2M(), "sde-dpmsolver++")],
)


def solver(schedule, steps, algorithm, order=2):
    """Of that order from the step that has the values for it; the last step, to no noise, is of first order."""
    options = {"algorithm_type": algorithm, "solver_order": order, "lower_order_final": False}
    scheduler = theirs("DPMSolverMultistepScheduler", schedule, **options)
    scheduler.set_timesteps(timesteps=timesteps(schedule, steps))
    return scheduler


@on_grids
@SOLVERS
def test_multistep_rules_are_their_dpm_solver_plus_plus(beta, steps, rule, algorithm):
    """`step` of DPMSolverMultistepScheduler rounds to float32; the updates that it calls do not."""
    schedule, x, noise = chain(beta), normal(4, 3, seed=6), draws(7, (4, 3))
    scheduler = solver(schedule, steps, algorithm)
    cotangents = 1 / torch.tan(schedule.angles(steps))
    assert_close(scheduler.sigmas[:-1], cotangents.float(), rtol=1e-6)
    scheduler.sigmas = torch.cat([cotangents, torch.zeros(1, dtype=torch.float64)])
    means = []

    def update(mean, timestep, x):
        scheduler._step_index = len(means)
        means.append(mean)
        if len(means) in (1, steps + 1):
            return scheduler.dpm_solver_first_order_update(mean, sample=x, noise=noise())
        return scheduler.multistep_dpm_solver_second_order_update(means[-2:], sample=x, noise=noise())

    expected = driven(update, schedule, steps, x)
    assert_same_path(ours(rule, schedule, steps, x, draws(7, x.shape)), expected, 1e-10)


@on_grids
def test_the_rule_of_three_values_is_their_third_order_update(beta, steps):
    """Step for step from our own states. Theirs takes its second step by the rule of two values; and their SDE form has
    another sign before its 1/2, so that only the ODE is compared."""
    schedule, states, rule = chain(beta), [], DPMSolver3M()
    scheduler, angles = solver(schedule, steps, "dpmsolver++", 3), schedule.angles(steps)
    scheduler.sigmas = 1 / torch.tan(angles)
    simulate(rule, ExactDenoiser(TARGET), angles, normal(4, 3, seed=10), None, lambda k, a, x: states.append(x.clone()))
    means = [TARGET.posterior_mean(x, angle) for x, angle in zip(states, angles.tolist(), strict=True)]
    for k in range(2, steps):
        scheduler._step_index = k
        expected = scheduler.multistep_dpm_solver_third_order_update(means[k - 2 : k + 1], sample=states[k])
        assert_close(states[k + 1], expected, rtol=1e-9, atol=1e-9)


@both_chains
@SOLVERS
def test_multistep_rules_are_their_dpm_solver_plus_plus_as_it_is_called(beta, rule, algorithm):
    schedule, x, noise = chain(beta), normal(4, 3, seed=8), draws(9, (4, 3))
    scheduler = solver(schedule, 50, algorithm)
    expected = driven(lambda m, k, x: scheduler.step(m, k, x, variance_noise=noise())[0], schedule, 50, x)
    assert_same_path(ours(rule, schedule, 50, x, draws(9, x.shape)), expected, 2e-5)


def test_the_timesteps_are_those_of_their_even_grids():
    scheduler = scheduler_class("DDPMScheduler")(num_train_timesteps=1000, timestep_spacing="linspace")
    for steps in (37, 50, 999):
        scheduler.set_timesteps(steps + 1)
        visited = timesteps(chain("linear"), steps)
        assert numpy.abs(numpy.array(visited) - scheduler.timesteps.numpy()).max() <= 1  # halves are rounded otherwise
        assert all(before > after for before, after in itertools.pairwise(visited))
