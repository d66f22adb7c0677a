"""Every sampling rule: which are the same, and that each has the order it states and the right limit."""

import gc
import itertools
import math

import pytest
import torch
from helpers import assert_close, normal, random_mixture, seeded, standard_error

from scorelab.denoisers import Denoiser, ExactDenoiser
from scorelab.samplers import (
    DDIM,
    MALA,
    ULA,
    AnnealedLangevin,
    DDPMAncestral,
    DPMSolver2M,
    DPMSolver3M,
    DPMSolverSDE2M,
    DPMSolverSDE3M,
    EulerMaruyama,
    ExponentialIntegrator,
    FlowEuler,
    FlowHeun,
    PredictorCorrector,
    ReverseSDE,
)
from scorelab.samplers.loop import draw_samples, simulate
from scorelab.schedules import DDPM, EDM, OU, VE, VP, Localization
from scorelab.targets import GaussianMixture

COMMON = {"count": 100, "steps": 10, "batch_size": 256, "output": "scaled"}
DETERMINISTIC = {
    "ddim": DDIM(eta=0.0, **COMMON),
    "flow_euler": FlowEuler(coordinate="angle", **COMMON),
    "heun": FlowHeun(coordinate="angle", **COMMON),
    "dpm_solver_2m": DPMSolver2M(**COMMON),
    "dpm_solver_3m": DPMSolver3M(**COMMON),
}
STOCHASTIC = {
    "euler_maruyama": EulerMaruyama(**COMMON),
    "ddim_1": DDIM(eta=1.0, **COMMON),
    "ddim_half": DDIM(eta=0.5, **COMMON),
    "ddpm_posterior": DDPMAncestral(variance="posterior", **COMMON),
    "ddpm_beta": DDPMAncestral(variance="beta", **COMMON),
    "dpm_solver_2m_sde": DPMSolverSDE2M(**COMMON),
    "dpm_solver_3m_sde": DPMSolverSDE3M(**COMMON),
}
#: rules that work in the schedule's own clock, which must start at an angle > 0
NATIVE_DETERMINISTIC = {
    "flow_euler_native": FlowEuler(coordinate="native", **COMMON),
    "heun_native": FlowHeun(coordinate="native", **COMMON),
}
NATIVE_STOCHASTIC = {
    "reverse_sde": ReverseSDE(**COMMON),
    "exponential_integrator": ExponentialIntegrator(**COMMON),
}
NATIVE = NATIVE_DETERMINISTIC | NATIVE_STOCHASTIC
#: predictor -> the rule that it is
PREDICTORS = {
    "ancestral": STOCHASTIC["ddim_1"],
    "ddim": DETERMINISTIC["ddim"],
    "reverse_sde": NATIVE["reverse_sde"],
}
#: rules that are not of one step of an ODE or SDE
CORRECTED = {
    f"corrected_{name}": PredictorCorrector(predictor=name, corrections=1, snr=0.1, **COMMON) for name in PREDICTORS
}
LANGEVIN = {
    "annealed_langevin": AnnealedLangevin(repeats=5, step_size=0.1, **COMMON),
    "ula": ULA(step_size=0.1, noise_level=0.5, **COMMON),
    "mala": MALA(step_size=0.1, noise_level=0.5, **COMMON),
}
IN_THE_ANGLE = DETERMINISTIC | STOCHASTIC
ALL = IN_THE_ANGLE | NATIVE | CORRECTED | LANGEVIN
END = 1.3

#: short clocks, on which 40 steps are many: the orders are measured on them
SHORT = {
    "ou": OU(grid="native", beta=0.7, sigma=1.3, T=2.0, t_min=0.05),
    "vp": VP(grid="native", beta="linear", beta_min=0.1, beta_max=8.0, T=1.0, t_min=0.1),
    "vp_cosine": VP(grid="native", beta="cosine", beta_min=0.1, beta_max=8.0, T=0.8, t_min=0.1),
    "ve": VE(grid="native", sigma_min=0.3, sigma_max=3.0),
    "edm": EDM(grid="native", sigma_min=0.3, sigma_max=3.0),
    "ddpm": DDPM(grid="native", timesteps=2561, beta="linear", beta_min=2.5e-5, beta_max=2.5e-3),
}
#: clocks that start from next to pure noise
LONG = {
    "localization": Localization(grid="log_snr", alpha_max=END, T=None, t_min=1e-2),
    "ou": OU(grid="log_snr", beta=1.0, sigma=math.sqrt(2), T=5.0, t_min=0.05),
    "vp": VP(grid="log_snr", beta="linear", beta_min=0.1, beta_max=20.0, T=1.0, t_min=0.05),
    "ve": VE(grid="log_snr", sigma_min=0.2, sigma_max=50.0),
    "edm": EDM(grid="karras", sigma_min=0.2, sigma_max=50.0),
    "ddpm": DDPM(grid="native", timesteps=1000, beta="linear", beta_min=1e-4, beta_max=0.02),
}


def grid(steps, name="angle"):
    return Localization(grid=name, alpha_max=END, T=None, t_min=1e-2).angles(steps)


def run(rule, denoiser, angles, x, draws=None, schedule=None, observe=None):
    stream = iter(draws if draws is not None else itertools.repeat(torch.zeros_like(x)))
    return simulate(rule, denoiser, angles, x.clone(), lambda: next(stream), observe, schedule)


def home(name):
    """A schedule that the rule runs on."""
    return LONG["localization"] if name in IN_THE_ANGLE else SHORT["ou"]


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
    for name in ("dpm_solver_2m_sde", "dpm_solver_3m_sde"):
        assert_close(run(STOCHASTIC[name], denoiser, angles, x, draws), stochastic, 1e-11)
    flow = run(DETERMINISTIC["ddim"], denoiser, angles, x)
    for name in ("dpm_solver_2m", "dpm_solver_3m"):
        assert_close(run(DETERMINISTIC[name], denoiser, angles, x), flow, 1e-11)


class Line(Denoiser):
    """m = 1 + 2 lambda with lambda = log tan(phi), whatever the state."""

    def forward(self, x, angle):
        return torch.full_like(x, 1 + 2 * math.log(math.tan(angle)))


@pytest.mark.parametrize(
    ("name", "integral", "factor"),
    [
        # d(x/cos) = e^lambda m dlambda
        ("dpm_solver_3m", lambda lam: math.exp(lam) * (2 * lam - 1), lambda angle: 1 / math.cos(angle)),
        # dY = m dt with t = e^{2 lambda} and Y = x sqrt(t (t + 1)) = x sin/cos^2
        (
            "dpm_solver_3m_sde",
            lambda lam: math.exp(2 * lam) * 2 * lam,
            lambda angle: math.sin(angle) / math.cos(angle) ** 2,
        ),
    ],
)
def test_rules_of_three_values_are_exact_for_a_line_once_they_have_two(name, integral, factor):
    states, angles = [], [0.2, 0.3, 0.45, 0.7, 0.8, 1.2]
    run(ALL[name], Line(), angles, normal(4, 2, seed=18), observe=lambda k, a, x: states.append(factor(a) * x))
    for k in range(1, 5):
        growth = integral(math.log(math.tan(angles[k + 1]))) - integral(math.log(math.tan(angles[k])))
        assert_close(states[k + 1] - states[k], torch.full((4, 2), growth, dtype=torch.float64), 1e-10)


def test_ddim_without_noise_turns_the_state_towards_its_velocity():
    target = random_mixture(n=3, modes=2, seed=5)
    x, (angle, next_angle) = normal(8, 3, seed=6), (0.4, 0.7)
    velocity = (target.posterior_mean(x, angle) - math.sin(angle) * x) / math.cos(angle)
    turned = math.cos(next_angle - angle) * x + math.sin(next_angle - angle) * velocity
    assert_close(run(DETERMINISTIC["ddim"], ExactDenoiser(target), [angle, next_angle], x), turned, 1e-12)


# The same rule under another name. ----------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", [LONG["edm"], SHORT["edm"]])
def test_euler_in_the_clock_of_edm_is_ddim(schedule):
    denoiser, angles, x = (
        ExactDenoiser(random_mixture(n=4, modes=3, seed=11)),
        schedule.angles(15),
        normal(7, 4, seed=1),
    )
    flow = run(NATIVE["flow_euler_native"], denoiser, angles, x, schedule=schedule)
    assert_close(flow, run(DETERMINISTIC["ddim"], denoiser, angles, x), 1e-10)


def test_ddim_without_noise_is_the_exponential_euler_rule_of_the_flow():
    """In lambda = log tan(phi) the flow is d(x/cos)/dlambda = e^lambda m; a frozen m is integrated exactly."""
    target, angles = random_mixture(n=4, modes=3, seed=12), [0.05, 0.3, 0.7, 0.9, 1.4]
    x = start = normal(7, 4, seed=2)
    for angle, next_angle in itertools.pairwise(angles):
        mean, (lam, next_lam) = target.posterior_mean(x, angle), (math.log(math.tan(a)) for a in (angle, next_angle))
        x = math.cos(next_angle) * (x / math.cos(angle) + (math.exp(next_lam) - math.exp(lam)) * mean)
    assert_close(run(DETERMINISTIC["ddim"], ExactDenoiser(target), angles, start), x, 1e-12)


def in_native_states(schedule, denoiser, angles, x, draws, step):
    """A chain of native states, whose `step` is a function (X, s, s', score of X, z), and its x at the end."""
    state, times = x * schedule.scale(schedule.time(angles[0])), schedule.time(angles)
    for angle, (time, next_time), draw in zip(angles[:-1], itertools.pairwise(times), draws, strict=True):
        scale = schedule.scale(time)
        x = state / scale
        score = (angle.sin() * denoiser(x, angle) - x) / angle.cos() ** 2 / scale
        state = step(state, time, next_time, score, draw)
    return state / schedule.scale(times[-1])


def root(value):
    return value.sqrt()


def ou(beta, sigma):
    return OU(grid="native", beta=beta, sigma=sigma, T=2.5, t_min=0.1)


def ve_rate(s):
    """g^2 of SHORT["ve"], whose sigma is 0.3 * 10^s."""
    return 2 * math.log(10) * (0.3 * 10**s) ** 2


@pytest.mark.parametrize(
    ("name", "schedule", "step"),
    [
        # 000_6c70dbc10a1c9c83.txt, section 5.3
        (
            "reverse_sde",
            ou(1.0, math.sqrt(2)),
            lambda X, s, t, score, z: X + (X + 2 * score) * (s - t) + root(2 * (s - t)) * z,
        ),
        # 004_bfdb7e49cac735be.txt, section 4
        (
            "reverse_sde",
            ou(0.7, 1.3),
            lambda X, s, t, score, z: X + (0.7 * X + 1.3**2 * score) * (s - t) + 1.3 * root(s - t) * z,
        ),
        (
            "reverse_sde",
            SHORT["ve"],
            lambda X, s, t, score, z: X + ve_rate(s) * (s - t) * score + root(ve_rate(s) * (s - t)) * z,
        ),
        (
            "reverse_sde",
            SHORT["edm"],
            lambda X, s, t, score, z: X + 2 * s * (s - t) * score + root(2 * s * (s - t)) * z,
        ),
        # 001_4ca3c1340e19a977.txt, equation (8), integrated
        (
            "exponential_integrator",
            ou(1.0, math.sqrt(2)),
            lambda X, s, t, score, z: (
                (s - t).exp() * X + 2 * ((s - t).exp() - 1) * score + root((2 * (s - t)).exp() - 1) * z
            ),
        ),
        # the same for another OU process: 2 c^2 (e^{beta h} - 1) and c^2 (e^{2 beta h} - 1) with c^2 = sigma^2/(2 beta)
        (
            "exponential_integrator",
            ou(0.5, 1.3),
            lambda X, s, t, score, z: (
                (0.5 * (s - t)).exp() * X
                + 1.3**2 * (2 * ((0.5 * (s - t)).exp() - 1) * score + root(((s - t).exp() - 1) / 1.3**2) * z)
            ),
        ),
        # no linear part: only the variance that is taken away is exact, sigma^2 - sigma'^2 in place of h g^2
        (
            "exponential_integrator",
            SHORT["edm"],
            lambda X, s, t, score, z: X + (s**2 - t**2) * score + root(s**2 - t**2) * z,
        ),
        (
            "exponential_integrator",
            SHORT["ve"],
            lambda X, s, t, score, z: X + 0.09 * (100**s - 100**t) * score + 0.3 * root(100**s - 100**t) * z,
        ),
    ],
)
def test_rules_of_the_reversed_sde_are_what_is_printed(name, schedule, step):
    denoiser, angles = ExactDenoiser(random_mixture(n=3, modes=3, seed=13)), schedule.angles(12)
    x, draws = normal(6, 3, seed=3), normal(12, 6, 3, seed=4)
    expected = in_native_states(schedule, denoiser, angles, x, draws, step)
    assert_close(run(NATIVE[name], denoiser, angles, x, draws, schedule), expected, 1e-10, 1e-10)


@pytest.mark.parametrize("schedule", ["ou", "ve", "ddpm", "localization"])
@pytest.mark.parametrize("name", IN_THE_ANGLE)
def test_rules_in_the_angle_see_no_native_clock(name, schedule):
    denoiser, angles = ExactDenoiser(random_mixture(n=3, modes=2, seed=14)), LONG["vp"].angles(10)
    x, draws = normal(5, 3, seed=5), normal(10, 5, 3, seed=6)
    expected = run(IN_THE_ANGLE[name], denoiser, angles, x, draws, LONG["vp"])
    assert torch.equal(run(IN_THE_ANGLE[name], denoiser, angles, x, draws, LONG[schedule]), expected)


@pytest.mark.parametrize("schedule", ["ou", "ve", "edm", "ddpm"])
@pytest.mark.parametrize("predictor", PREDICTORS)
def test_without_corrections_only_the_predictor_is_left(predictor, schedule):
    schedule = LONG[schedule]
    rule = PredictorCorrector(predictor=predictor, corrections=0, snr=0.1, **COMMON)
    denoiser, angles = ExactDenoiser(random_mixture(n=3, modes=2, seed=15)), schedule.angles(10)
    x, draws, paths = normal(5, 3, seed=7), normal(10, 5, 3, seed=8), ([], [])
    for path, one in zip(paths, (rule, PREDICTORS[predictor]), strict=True):
        run(one, denoiser, angles, x, draws, schedule, lambda k, angle, x, path=path: path.append(x.clone()))
    assert all(torch.equal(state, other) for state, other in zip(*paths, strict=True))
    assert rule.nfe == PREDICTORS[predictor].nfe


# Orders and limits. -------------------------------------------------------------------------------------------------


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


STEPS = [40, 80, 160, 320]


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_deterministic_rules_reach_the_exact_flow_with_their_order(name):
    """From next to pure noise, where the first step of a multistep rule has next to no error."""
    rule = DETERMINISTIC[name]
    grids = [Localization(grid="log_t", alpha_max=END, T=None, t_min=1e-4).angles(k + 1)[1:] for k in STEPS]
    errors = [flow_error(rule, angles) for angles in grids]
    assert fitted_order(errors, STEPS) == pytest.approx(rule.order, abs=0.15)
    assert errors[-1] < 0.02


@pytest.mark.parametrize("schedule", [name for name in SHORT if name != "ddpm"])
@pytest.mark.parametrize("name", NATIVE_DETERMINISTIC)
def test_the_flow_in_a_native_clock_is_reached_with_its_order(name, schedule):
    rule, schedule = NATIVE_DETERMINISTIC[name], SHORT[schedule]
    errors = [flow_error(rule, schedule.angles(k), schedule) for k in STEPS]
    assert fitted_order(errors, STEPS) == pytest.approx(rule.order, abs=0.05)
    assert errors[-1] < 0.01


@pytest.mark.parametrize("name", NATIVE_DETERMINISTIC)
def test_the_flow_in_the_clock_of_ddpm_is_as_exact_as_its_chain_is_long(name):
    """Its drift jumps at the integers, which no step of two or more sees."""
    assert flow_error(NATIVE_DETERMINISTIC[name], SHORT["ddpm"].angles(320), SHORT["ddpm"]) < 3 / 2561


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


@pytest.mark.parametrize("name", STOCHASTIC)
def test_stochastic_rules_reach_the_exact_law_with_their_weak_order(name):
    """For one centred Gaussian everything is linear, and the variance of the discretised chain has no sampling error.

    On a grid uniform in the angle every step shrinks; the first step of `log_t`, from 0 to t_min, would not.
    """
    rule = STOCHASTIC[name]
    errors = [abs(variance_error(rule, grid(k), std=1.4)) for k in STEPS]
    assert fitted_order(errors, STEPS) == pytest.approx(rule.order, abs=0.15)
    assert errors[-1] < 0.02


@pytest.mark.parametrize("schedule", SHORT)
@pytest.mark.parametrize("name", ["reverse_sde", "exponential_integrator", "euler_maruyama"])
def test_reversed_sdes_reach_the_exact_law_with_their_weak_order_in_every_clock(name, schedule):
    """The same law for all of them, hence for stochastic localization and every native clock."""
    rule, schedule = (NATIVE | STOCHASTIC)[name], SHORT[schedule]
    errors = [abs(variance_error(rule, schedule.angles(k), schedule)) for k in STEPS]
    assert fitted_order(errors, STEPS) == pytest.approx(rule.order, abs=0.15)
    assert errors[-1] < 0.01


@pytest.mark.parametrize(
    ("name", "schedule"), [("euler_maruyama", "localization"), ("reverse_sde", "ou"), ("reverse_sde", "ve")]
)
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


@pytest.mark.parametrize("snr", [0.2, 0.4])
def test_the_bias_of_the_corrector_is_the_square_of_its_snr(snr):
    """On N(0, v) the variance V of Langevin dynamics settles where V = v/(1 - step/(2 v)), with a step of 2 snr^2 v^2/V
    in many dimensions: at V = v (1 + snr^2)."""
    n, count, std, angle = 1024, 200, 0.6, 0.9
    rule = PredictorCorrector(predictor="ddim", corrections=int(4 / snr**2), snr=snr, **COMMON)
    generator, variance = seeded(16), exact_std(std, angle) ** 2
    x = math.sqrt(variance) * torch.randn(count, n, generator=generator, dtype=torch.float64)
    denoiser = ExactDenoiser(GaussianMixture([1.0], torch.zeros(1, n), std))
    draws = lambda: torch.randn(x.shape, generator=generator, dtype=x.dtype)  # noqa: E731
    end = simulate(rule, denoiser, [angle, angle], x.clone(), draws)  # a step of no length: the corrector alone
    ratio = end.square().mean(1) / variance
    # the lengths of the samples' scores differ by 1/n
    assert float(ratio.mean()) == pytest.approx(1 + snr**2, abs=4 * standard_error(ratio) + 4 / n)


#: what 60 steps add to the sampling error below, rounded up from 60000 samples; Langevin steps have a bias of their own
ALLOWANCE = {"flow_euler_native": 0.03, "corrected_ddim": 0.04, "annealed_langevin": 0.05}


@pytest.mark.parametrize(
    ("name", "schedule"),
    [
        (name, schedule)
        for name in ALL
        for schedule in LONG
        if name not in ("ula", "mala")
        and (schedule != "localization" or name in (*IN_THE_ANGLE, "corrected_ancestral", "corrected_ddim"))
    ],
)
def test_the_mode_weights_come_out_right_on_every_schedule(name, schedule, generator):
    target = GaussianMixture.two_modes(p=0.7, a=torch.full((4,), 3.0))
    rule, schedule, count = ALL[name], LONG[schedule], 2000
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


# What every rule keeps to. ------------------------------------------------------------------------------------------


class Counting(ExactDenoiser):
    """Counts its calls, as a denoiser or as the source of a score."""

    def __init__(self, target):
        super().__init__(target)
        self.calls = 0

    def forward(self, x, angle):
        self.calls += 1
        return super().forward(x, angle)


@pytest.mark.parametrize("output", ["scaled", "posterior_mean", "posterior_draw"])
@pytest.mark.parametrize("name", ALL)
def test_evaluations_are_counted(name, output):
    rule, denoiser = ALL[name].model_copy(update={"output": output}), Counting(random_mixture(n=2, modes=2))
    list(draw_samples(rule, home(name), denoiser, 2, seed=1))
    assert denoiser.calls == rule.nfe
    if name not in CORRECTED | LANGEVIN:
        assert rule.nfe == rule.steps * rule.evaluations + (output != "scaled")


@pytest.mark.parametrize("name", ALL)
def test_samples_do_not_depend_on_their_batch_and_keep_their_dtype(name):
    denoiser = ExactDenoiser(random_mixture(n=3, modes=2, seed=17))
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-4)):
        whole, parts = (
            torch.cat(
                list(
                    draw_samples(
                        ALL[name].model_copy(update={"count": 600, "batch_size": batch_size}),
                        home(name),
                        denoiser,
                        3,
                        2,
                        dtype,
                    )
                )
            )
            for batch_size in (1024, 256)
        )
        assert whole.dtype == parts.dtype == dtype
        if name != "mala" or dtype == torch.float64:  # a rounding may turn an acceptance
            assert_close(parts, whole, tolerance, tolerance)


@pytest.mark.parametrize("name", ALL)
def test_no_rule_remembers_the_states_behind_it(name):
    denoiser, schedule, alive = ExactDenoiser(random_mixture(n=2, modes=2)), home(name), []
    for steps in (10, 100):
        rule = ALL[name].model_copy(update={"steps": steps})

        def count(k, angle, x, steps=steps):
            if k == steps:
                alive.append(sum(type(thing) is torch.Tensor for thing in gc.get_objects()))

        list(draw_samples(rule, schedule, denoiser, 2, seed=3, observe=count))
    assert abs(alive[1] - alive[0]) < 10  # the thread that draws noise has a few of its own


class Shared(Denoiser):
    """A posterior mean that is one tensor for all samples, which no rule may write to."""

    exact = True

    def __init__(self):
        super().__init__()
        self.mean = torch.tensor([[0.5, -0.5]], dtype=torch.float64)
        self.target = GaussianMixture([1.0], self.mean, 1e-3)

    def forward(self, x, angle):
        return self.mean.expand_as(x)


@pytest.mark.parametrize("name", ALL)
def test_no_rule_writes_to_what_the_denoiser_returns(name):
    denoiser, schedule = Shared(), home(name)
    before = denoiser.mean.clone()
    rule = ALL[name].model_copy(update={"step_size": 1e-3}) if name in LANGEVIN else ALL[name]
    run(rule, denoiser, rule.angles(schedule), normal(3, 2, seed=11), schedule=schedule)
    assert torch.equal(denoiser.mean, before)


@pytest.mark.parametrize("name", DETERMINISTIC | NATIVE_DETERMINISTIC)
def test_deterministic_rules_draw_no_noise(name):
    def refuse():
        raise AssertionError("drew noise")

    target, schedule = random_mixture(n=3, modes=2, seed=9), SHORT["ou"]
    x = torch.randn(5, 3, generator=seeded(1), dtype=torch.float64)
    simulate(ALL[name], ExactDenoiser(target), schedule.angles(5), x, refuse, schedule=schedule)
