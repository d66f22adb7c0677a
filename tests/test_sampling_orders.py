"""Every sampling rule has the order that it states and the right limit."""

import math

import pytest
import torch
from helpers import job, normal, over, seeded, standard_error
from rules import (
    ALL,
    DETERMINISTIC,
    END,
    IN_THE_ANGLE,
    LONG,
    NATIVE,
    NATIVE_DETERMINISTIC,
    SHORT,
    STOCHASTIC,
    fitted_order,
    grid,
    run,
)

from scorelab.denoisers import ExactDenoiser
from scorelab.samplers import PredictorCorrector
from scorelab.samplers.loop import draw_samples, simulate
from scorelab.schedules import DDPM, Localization
from scorelab.targets import GaussianMixture


def exact_std(std, angle):
    """Of x_phi, where the data is N(0, std^2)."""
    return math.sqrt(std**2 * math.sin(angle) ** 2 + math.cos(angle) ** 2)


def flow_error(rule, angles, schedule=None, std=1.4, mean=1.5):
    """How far a rule ends from the exact flow of N(mean, std^2), which keeps (x - sin mean)/exact_std as it is."""
    centre, x = torch.tensor([mean, -mean], dtype=torch.float64), normal(6, 2, seed=7)
    start, end = float(angles[0]), float(angles[-1])
    exact = math.sin(end) * centre + (x - math.sin(start) * centre) * (exact_std(std, end) / exact_std(std, start))
    denoiser = ExactDenoiser(GaussianMixture([1.0], [centre.tolist()], std))
    return float((run(rule, denoiser, angles, x, schedule=schedule) - exact).abs().max())


STEPS = [40, 80, 160]


@over("name", DETERMINISTIC)
def test_deterministic_rules_reach_the_exact_flow_with_their_order(name):
    """From next to pure noise, where the first step of a multistep rule has next to no error."""
    rule = DETERMINISTIC[name]
    grids = [Localization(grid="log_t", alpha_max=END, T=None, t_min=1e-4).angles(k + 1)[1:] for k in STEPS]
    errors = [flow_error(rule, angles) for angles in grids]
    assert fitted_order(errors, STEPS) == pytest.approx(rule.order, abs=0.15)
    assert errors[-1] < 0.04


#: grids that visit integers of the chain, and grids that do not; steps longer and shorter than one of the chain
CLOCKS = SHORT | {
    "log_snr": DDPM(grid="log_snr", timesteps=100, beta="linear", beta_min=1e-3, beta_max=0.05),
    "karras": DDPM(grid="karras", timesteps=200, beta="sigmoid", beta_min=1e-3, beta_max=0.03),
}


@over("schedule", CLOCKS)
@over("name", NATIVE_DETERMINISTIC)
def test_the_flow_in_a_native_clock_is_reached_with_its_order(name, schedule):
    rule, schedule = NATIVE_DETERMINISTIC[name], CLOCKS[schedule]
    errors = [flow_error(rule, schedule.angles(k), schedule) for k in STEPS]
    assert fitted_order(errors, STEPS) == pytest.approx(rule.order, abs=0.05)
    assert errors[-1] < 0.04


@over("name", NATIVE_DETERMINISTIC)
def test_the_flow_of_a_whole_chain_is_reached_step_by_step(name):
    """From k to k - 1 with the beta of this interval; with the beta of the next one the limit is 5e-3 away."""
    rule = NATIVE_DETERMINISTIC[name]
    assert flow_error(rule, LONG["ddpm"].angles(999), LONG["ddpm"]) < (0.007 if rule.order == 1 else 1e-5)


def chain_variance(rule, denoiser, angles, schedule=None, start_std=1.0):
    """The exact variance of the last state of a chain that is linear in its noise: one sample a draw, each of which
    sees that draw alone."""
    steps = len(angles) - 1
    unit = torch.eye(steps + 1, dtype=torch.float64)
    draws = [unit[:, k : k + 1] for k in range(1, steps + 1)]
    return float(run(rule, denoiser, angles, start_std * unit[:, :1], draws, schedule).square().sum())


def variance_error(rule, angles, schedule=None, std=0.6):
    """Of a chain that starts from the exact law of N(0, std^2): no sampling error."""
    start, end = float(angles[0]), float(angles[-1])
    denoiser = ExactDenoiser(GaussianMixture([1.0], [[0.0]], std))
    return chain_variance(rule, denoiser, angles, schedule, exact_std(std, start)) - exact_std(std, end) ** 2


@over("name", STOCHASTIC)
def test_stochastic_rules_reach_the_exact_law_with_their_weak_order(name):
    """For one centred Gaussian everything is linear, and the variance of the discretised chain has no sampling error.

    On a grid uniform in the angle every step shrinks; the first step of `log_t`, from 0 to t_min, would not.
    """
    rule = STOCHASTIC[name]
    errors = [abs(variance_error(rule, grid(k), std=1.4)) for k in STEPS]
    assert fitted_order(errors, STEPS) == pytest.approx(rule.order, abs=0.15)
    assert errors[-1] < 0.04


@over("schedule", CLOCKS)
@over("name", ["reverse_sde", "exponential_integrator", "euler_maruyama"])
def test_reversed_sdes_reach_the_exact_law_with_their_weak_order_in_every_clock(name, schedule):
    """The same law for all of them, hence for stochastic localization and every native clock."""
    rule, schedule = (NATIVE | STOCHASTIC)[name], CLOCKS[schedule]
    errors = [abs(variance_error(rule, schedule.angles(k), schedule)) for k in STEPS]
    assert fitted_order(errors, STEPS) == pytest.approx(rule.order, abs=0.15)
    assert errors[-1] < 0.02


@over(("name", "schedule"), [("euler_maruyama", "localization"), ("reverse_sde", "ou"), ("reverse_sde", "ve")])
def test_paths_of_additive_noise_have_strong_order_one(name, schedule):
    """On two modes, with the same Brownian motion on every grid; the path taken as exact has 8 times the steps."""
    schedule = {**SHORT, "localization": Localization(grid="angle", alpha_max=1.2, T=None, t_min=1e-2)}[schedule]
    denoiser, count, finest = ExactDenoiser(GaussianMixture.two_modes(p=0.6, a=[2.0, -1.0])), 300, 1024
    fine = schedule.angles(finest)
    # both rules add increments of the Brownian motion of the native state, whatever its clock is called
    lengths = schedule.time(fine).diff().abs()
    motion = lengths.sqrt()[:, None, None] * normal(finest, count, 2, seed=9)
    start = normal(count, 2, seed=10)

    def end(steps):
        stride = finest // steps
        length = lengths.view(steps, stride).sum(1).sqrt()
        draws = motion.view(steps, stride, count, 2).sum(1) / length[:, None, None]
        return run((NATIVE | STOCHASTIC)[name], denoiser, fine[::stride], start, draws, schedule)

    exact, steps = end(finest), [16, 32, 64, 128]
    errors = [float((end(k) - exact).norm(dim=1).mean()) for k in steps]
    assert fitted_order(errors, steps) == pytest.approx(1.0, abs=0.2)


@over(("snr", "n"), [(0.2, 128), *((0.4, n) for n in (1, 2, 3, 8, 128))])
def test_the_bias_of_the_corrector_is_the_square_of_its_snr_in_every_dimension(snr, n):
    """On N(0, v) the variance V of Langevin dynamics settles where V = v/(1 - step/(2 v)), with a step of
    2 snr^2 v^2/V: at V = v (1 + snr^2)."""
    count, std, angle = 200_000 // n, 0.6, 0.9
    rule = PredictorCorrector(predictor="ddim", corrections=int(4 / snr**2), snr=snr)
    generator, variance = seeded(16), exact_std(std, angle) ** 2
    x = math.sqrt(variance) * torch.randn(count, n, generator=generator, dtype=torch.float64)
    denoiser = ExactDenoiser(GaussianMixture([1.0], torch.zeros(1, n), std))
    draws = lambda: torch.randn(x.shape, generator=generator, dtype=x.dtype)  # noqa: E731
    end = simulate(rule, denoiser, [angle, angle], x.clone(), draws)  # a step of no length: the corrector alone
    ratio = end.square().mean(1) / variance
    assert float(ratio.mean()) == pytest.approx(1 + snr**2, abs=4 * standard_error(ratio))


@over("predictor", ["ancestral", "ddim"])
def test_predictor_corrector_has_the_variance_of_the_target_in_one_dimension(predictor):
    """Up to the bias of the corrector, snr^2 of the variance within the modes."""
    target, schedule = GaussianMixture.two_modes(p=0.7, n=1), LONG["vp"]
    given = job(PredictorCorrector(predictor=predictor, corrections=1, snr=0.1), count=8192, steps=60, batch_size=8192)
    x = torch.cat(list(draw_samples(given, schedule, ExactDenoiser(target), 1, seed=1))).double()
    exact = float(target.covariance) + 1 / schedule.end_snr
    squares = (x - x.mean()).square()
    assert float(squares.mean()) == pytest.approx(exact, abs=4 * standard_error(squares) + 0.03)


#: what 60 steps add to the sampling error below, rounded up from 60000 samples; Langevin steps have a bias of their own
ALLOWANCE = {"flow_euler_native": 0.03, "corrected_ddim": 0.04, "annealed_langevin": 0.05}


@over(
    ("name", "schedule"),
    [
        (name, schedule)
        for name in ALL
        for schedule in LONG
        if name not in ("ula", "mala")
        and (schedule != "localization" or name in (*IN_THE_ANGLE, "corrected_ancestral", "corrected_ddim"))
        and (schedule in ("localization", "edm", "ddpm") or name not in IN_THE_ANGLE)  # which sees the grid alone
    ],
)
def test_the_mode_weights_come_out_right_on_every_schedule(name, schedule):
    target = GaussianMixture.two_modes(p=0.7, a=torch.full((4,), 3.0))
    rule, schedule, count = ALL[name], LONG[schedule], 1000
    generator = seeded(0)
    x = torch.randn(count, 4, generator=generator) * schedule.start_std
    angles = schedule.angles(60)
    noise = lambda: torch.randn(x.shape, generator=generator)  # noqa: E731
    end = simulate(rule, ExactDenoiser(target), angles, x, noise, schedule=schedule)
    share = target.posterior_weights(end / math.sin(float(angles[-1])), math.pi / 2)[:, 0].mean()
    assert float(share) == pytest.approx(0.7, abs=4 * math.sqrt(0.21 / count) + ALLOWANCE.get(name, 0.015))


def test_the_larger_variance_of_ddpm_is_exact_for_unit_gaussian_data():
    """As section 3.2 of its paper says of the variance beta."""
    denoiser = ExactDenoiser(GaussianMixture([1.0], [[0.0]]))
    assert chain_variance(STOCHASTIC["ddpm_beta"], denoiser, grid(10)) == pytest.approx(1.0, abs=1e-13)
