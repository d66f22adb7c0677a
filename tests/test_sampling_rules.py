"""Every sampling rule: which are the same, and that each has the order it states and the right limit."""

import itertools
import math

import pytest
import torch
from helpers import assert_close, normal, random_mixture, seeded

from scorelab.denoisers import Denoiser, ExactDenoiser
from scorelab.samplers import DDIM, DDPMAncestral, DPMSolver2M, DPMSolverSDE2M, EulerMaruyama, FlowEuler, FlowHeun
from scorelab.samplers.loop import simulate
from scorelab.schedules import Localization
from scorelab.targets import GaussianMixture

COMMON = {"count": 100, "steps": 10, "batch_size": 256, "output": "scaled"}
DETERMINISTIC = {
    "ddim": DDIM(eta=0.0, **COMMON),
    "flow_euler": FlowEuler(**COMMON),
    "heun": FlowHeun(**COMMON),
    "dpm_solver_2m": DPMSolver2M(**COMMON),
}
STOCHASTIC = {
    "euler_maruyama": EulerMaruyama(**COMMON),
    "ddim_1": DDIM(eta=1.0, **COMMON),
    "ddim_half": DDIM(eta=0.5, **COMMON),
    "ddpm_posterior": DDPMAncestral(variance="posterior", **COMMON),
    "ddpm_beta": DDPMAncestral(variance="beta", **COMMON),
    "dpm_solver_2m_sde": DPMSolverSDE2M(**COMMON),
}
ALL = DETERMINISTIC | STOCHASTIC
END = 1.3


def grid(steps, name="angle"):
    return Localization(grid=name, alpha_max=END, T=None, t_min=1e-2).angles(steps)


def run(rule, denoiser, angles, x, draws=None):
    stream = iter(draws if draws is not None else itertools.repeat(torch.zeros_like(x)))
    return simulate(rule, denoiser, angles, x.clone(), lambda: next(stream))


def fitted_order(errors, steps):
    """The slope of log error against log step."""
    logs = torch.log(torch.tensor([steps, errors], dtype=torch.float64))
    centred = logs - logs.mean(1, keepdim=True)
    return float(-(centred[0] * centred[1]).sum() / centred[0].square().sum())


@pytest.mark.parametrize("name", ["ddim_1", "ddpm_posterior"])
@pytest.mark.parametrize("grid_name", ["angle", "log_t"])
def test_ancestral_sampling_is_euler_maruyama_step_for_step(name, grid_name):
    target = random_mixture(n=5, modes=3, seed=1)
    denoiser, angles = ExactDenoiser(target), grid(12, grid_name)
    x, draws = normal(20, 5, seed=2), [normal(20, 5, seed=10 + k) for k in range(12)]
    expected = run(STOCHASTIC["euler_maruyama"], denoiser, angles, x, draws)
    assert_close(run(STOCHASTIC[name], denoiser, angles, x, draws), expected, 1e-11)


class Frozen(Denoiser):
    """A posterior mean that never changes."""

    def __init__(self, mean):
        super().__init__()
        self.mean = mean

    def forward(self, x, angle):
        return self.mean.expand_as(x)


def test_for_a_frozen_posterior_mean_the_multistep_rules_are_their_first_order_ones():
    denoiser, angles, x = Frozen(normal(1, 4, seed=3)), grid(9), normal(10, 4, seed=4)
    draws = [normal(10, 4, seed=20 + k) for k in range(9)]
    stochastic = run(STOCHASTIC["euler_maruyama"], denoiser, angles, x, draws)
    assert_close(run(STOCHASTIC["dpm_solver_2m_sde"], denoiser, angles, x, draws), stochastic, 1e-12)
    flow = run(DETERMINISTIC["ddim"], denoiser, angles, x)
    assert_close(run(DETERMINISTIC["dpm_solver_2m"], denoiser, angles, x), flow, 1e-12)


def test_ddim_without_noise_turns_the_state_towards_its_velocity():
    target = random_mixture(n=3, modes=2, seed=5)
    x, (angle, next_angle) = normal(8, 3, seed=6), (0.4, 0.7)
    velocity = (target.posterior_mean(x, angle) - math.sin(angle) * x) / math.cos(angle)
    turned = math.cos(next_angle - angle) * x + math.sin(next_angle - angle) * velocity
    assert_close(run(DETERMINISTIC["ddim"], ExactDenoiser(target), [angle, next_angle], x), turned, 1e-12)


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_deterministic_rules_reach_the_exact_flow_with_their_order(name):
    """For one Gaussian the flow keeps (x - sin mu) / sqrt(v) as it is."""
    rule, std, mean = DETERMINISTIC[name], 0.6, 1.5
    denoiser = ExactDenoiser(GaussianMixture([1.0], [[mean, -mean]], std))
    start, x = 0.2, normal(6, 2, seed=7)
    width = [math.sqrt(std**2 * math.sin(angle) ** 2 + math.cos(angle) ** 2) for angle in (start, END)]
    centre = torch.tensor([mean, -mean], dtype=torch.float64)
    exact = math.sin(END) * centre + (x - math.sin(start) * centre) * (width[1] / width[0])
    steps = [40, 80, 160, 320]
    ends = [run(rule, denoiser, torch.linspace(start, END, k + 1).double(), x) for k in steps]
    errors = [float((end - exact).abs().max()) for end in ends]
    assert fitted_order(errors, steps) == pytest.approx(rule.order, abs=0.15)
    assert errors[-1] < 0.01


def chain_variance(rule, denoiser, angles):
    """The exact variance of the last state of a chain that is linear in its noise: one sample a draw, each of which
    sees that draw alone."""
    steps = len(angles) - 1
    unit = torch.eye(steps + 1, dtype=torch.float64)
    return float(
        run(rule, denoiser, angles, unit[:, :1], [unit[:, k : k + 1] for k in range(1, steps + 1)]).square().sum()
    )


@pytest.mark.parametrize("name", STOCHASTIC)
def test_stochastic_rules_reach_the_exact_law_with_their_weak_order(name):
    """For one centred Gaussian everything is linear, and the variance of the discretised chain has no sampling error.

    On a grid uniform in the angle every step shrinks; the first step of `log_t`, from 0 to t_min, would not.
    """
    rule, std = STOCHASTIC[name], 0.6
    denoiser = ExactDenoiser(GaussianMixture([1.0], [[0.0]], std))
    exact = std**2 * math.sin(END) ** 2 + math.cos(END) ** 2
    steps = [40, 80, 160, 320]
    errors = [abs(chain_variance(rule, denoiser, grid(k)) - exact) for k in steps]
    assert fitted_order(errors, steps) == pytest.approx(rule.order, abs=0.15)
    assert errors[-1] < 0.01


@pytest.mark.parametrize("name", ALL)
def test_the_mode_weights_come_out_right(name, generator):
    target = GaussianMixture.two_modes(p=0.7, a=torch.full((4,), 3.0))
    rule, count = ALL[name], 4000
    x = torch.randn(count, 4, generator=generator)
    angles = grid(60, "log_t")
    end = simulate(rule, ExactDenoiser(target), angles, x, lambda: torch.randn(x.shape, generator=generator))
    share = target.posterior_weights(end / math.sin(END), math.pi / 2)[:, 0].mean()
    assert float(share) == pytest.approx(0.7, abs=4 * math.sqrt(0.21 / count) + 0.01)


@pytest.mark.parametrize("name", ALL)
def test_evaluations_are_counted(name):
    calls = []

    class Counting(Frozen):
        def forward(self, x, angle):
            calls.append(angle)
            return super().forward(x, angle)

    run(ALL[name], Counting(torch.zeros(1, 2).double()), grid(10), normal(3, 2, seed=8))
    assert len(calls) == 10 * ALL[name].evaluations == ALL[name].nfe


def test_the_larger_variance_of_ddpm_is_exact_for_unit_gaussian_data():
    """As section 3.2 of its paper says of the variance beta."""
    denoiser = ExactDenoiser(GaussianMixture([1.0], [[0.0]]))
    assert chain_variance(STOCHASTIC["ddpm_beta"], denoiser, grid(10)) == pytest.approx(1.0, abs=1e-13)


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_deterministic_rules_draw_no_noise(name):
    def refuse():
        raise AssertionError("drew noise")

    target = random_mixture(n=3, modes=2, seed=9)
    x = torch.randn(5, 3, generator=seeded(1), dtype=torch.float64)
    simulate(DETERMINISTIC[name], ExactDenoiser(target), grid(5), x, refuse)
