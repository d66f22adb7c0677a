"""Clocks against the formulas of their papers, and grids against what their names say."""

import dataclasses
import itertools
import math
from collections.abc import Callable

import numpy
import pytest
import scipy.integrate
import torch
from helpers import assert_close, normal
from hydra import compose, initialize_config_dir

from scorelab.channel import HALF_PI, mix
from scorelab.errors import ConfigError
from scorelab.lab.app import config_folder, plain
from scorelab.lab.config import check
from scorelab.nodes import component
from scorelab.schedules import DDPM, EDM, OU, VE, VP, Localization
from scorelab.targets import GaussianMixture


def localization(grid="angle", alpha_max=1.4, T=None, t_min=6e-4):
    return Localization(grid=grid, alpha_max=alpha_max, T=T, t_min=t_min)


@pytest.mark.parametrize("t", [1e-8, 6e-4, 0.5, 1.0, 33.0, 1e4, 1e8])
def test_native_state_maps_to_the_channel(t):
    clean, noise = normal(5, 3, seed=1), normal(5, 3, seed=2)
    x, angle = localization().to_angle(t * clean + math.sqrt(t) * noise, t)
    assert_close(torch.tan(angle) ** 2, t, rtol=1e-7 if t > 1e6 else 1e-10)
    assert_close(x, mix(clean, noise, angle), rtol=1e-9 if t > 1e6 else 1e-12, atol=1e-15)


@pytest.mark.parametrize("t", [1e-8, 6e-4, 0.5, 33.0, 1e4])
def test_to_angle_and_back_is_the_identity(t):
    schedule, y = localization(), normal(5, 3, seed=3)
    for time in (t, torch.tensor(t, dtype=torch.float64), torch.full((5,), t, dtype=torch.float64)):
        x, angle = schedule.to_angle(y, time)
        state, back = schedule.from_angle(x, angle)
        assert angle.shape == torch.as_tensor(time).shape
        assert_close(state, y, rtol=1e-11)
        assert_close(back, torch.as_tensor(time, dtype=torch.float64), rtol=1e-11)


@pytest.mark.parametrize("angle", [1e-4, 0.3, 1.0, 1.4, HALF_PI - 0.01])
def test_from_angle_and_back_is_the_identity(angle):
    schedule, x = localization(), normal(5, 3, seed=4)
    for same in (angle, torch.tensor(angle, dtype=torch.float64), torch.full((5,), angle, dtype=torch.float64)):
        state, time = schedule.from_angle(x, same)
        assert time.shape == torch.as_tensor(same).shape
        back, back_angle = schedule.to_angle(state, time)
        assert_close(back, x, rtol=1e-11)
        assert_close(back_angle, torch.as_tensor(same, dtype=torch.float64), rtol=1e-12)


def test_from_angle_gives_each_sample_its_own_time():
    x, angles = normal(3, 2, seed=5), torch.tensor([0.2, 0.9, 1.3], dtype=torch.float64)
    state, time = localization().from_angle(x, angles)
    for i, angle in enumerate(angles.tolist()):
        t = math.tan(angle) ** 2
        assert_close(time[i], t, rtol=1e-13)
        assert_close(state[i], math.sqrt(t * (t + 1)) * x[i], rtol=1e-13)


def test_native_state_at_pure_noise_is_zero():
    state, time = localization().from_angle(normal(3, 2, seed=6), 0.0)
    assert torch.equal(state, torch.zeros(3, 2, dtype=torch.float64))
    assert time == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_states_keep_their_dtype(dtype):
    x, angle = localization().to_angle(normal(3, 2, seed=7, dtype=dtype), torch.tensor([0.1, 1.0, 10.0]))
    assert x.dtype == dtype
    assert angle.dtype == torch.float64
    state, _ = localization().from_angle(x, angle)
    assert state.dtype == dtype


@pytest.mark.parametrize("time", [0.0, -1.0, math.inf, math.nan, torch.tensor([1.0, 0.0, 2.0])])
def test_time_without_a_channel_is_refused(time):
    with pytest.raises(ValueError, match="0 < t < inf"):
        localization().to_angle(normal(3, 2, seed=8), time)


# Grids. -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("grid", ["angle", "log_t"])
@pytest.mark.parametrize("steps", [2, 3, 150, 999])
def test_grid_increases_from_noise_to_its_end(grid, steps):
    angles = localization(grid).angles(steps)
    assert angles.shape == (steps + 1,)
    assert angles.dtype == torch.float64
    assert bool((angles.diff() > 0).all())
    assert angles[0] == 0
    assert abs(float(angles[-1]) - 1.4) < (1e-300 if grid == "angle" else 1e-14)


@pytest.mark.parametrize("steps", [1, 7, 150])
def test_angle_grid_is_uniform_in_the_angle(steps):
    angles = localization("angle", alpha_max=HALF_PI - 0.01).angles(steps)
    expected = (HALF_PI - 0.01) * torch.arange(steps + 1, dtype=torch.float64) / steps
    assert_close(angles, expected, rtol=1e-14)
    assert float(angles[-1]) == HALF_PI - 0.01


def test_log_t_grid_is_uniform_in_log_t_after_its_first_step():
    t = torch.tan(localization("log_t", t_min=1e-3, T=1e3).angles(60)) ** 2
    assert t[0] == 0
    assert_close(t[1], 1e-3, rtol=1e-12)
    assert_close(t[-1], 1e3, rtol=1e-11)
    assert_close(torch.log(t[2:] / t[1:-1]), torch.full((59,), math.log(1e6) / 59, dtype=torch.float64), rtol=1e-9)


@pytest.mark.parametrize("grid", ["angle", "log_t"])
def test_T_replaces_alpha_max(grid):
    schedule = localization(grid, alpha_max=0.3, T=50.0)
    assert_close(schedule.end_angle, math.atan(math.sqrt(50)), rtol=1e-15)
    assert_close(float(schedule.angles(20)[-1]), schedule.end_angle, rtol=1e-14)
    assert_close(schedule.end_snr, 50.0, rtol=1e-12)


def test_end_snr_is_T_of_the_last_angle():
    assert_close(localization(alpha_max=1.4).end_snr, math.tan(1.4) ** 2, rtol=1e-14)
    assert localization(alpha_max=1.4).end_angle == 1.4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"alpha_max": 0.0}, "alpha_max"),
        ({"alpha_max": -0.1}, "alpha_max"),
        ({"alpha_max": HALF_PI}, "alpha_max"),
        ({"T": 0.0}, "T"),
        ({"T": -1.0}, "T"),
        ({"T": math.inf}, "T"),
        ({"t_min": 0.0}, "t_min"),
        ({"grid": "log_t", "t_min": 40.0}, "needs t_min < T"),
        ({"grid": "log_t", "T": 1e-4}, "needs t_min < T"),
        ({"grid": "uniform"}, "grid"),
    ],
)
def test_impossible_schedule_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        localization(**change)


def test_t_min_does_not_bind_the_angle_grid():
    assert localization("angle", t_min=40.0).angles(3).shape == (4,)


@pytest.mark.parametrize("grid", ["angle", "log_t"])
def test_description_is_one_line_with_both_ends(grid):
    line = localization(grid, T=50.0).describe(20)
    assert "\n" not in line
    assert "20 steps" in line
    assert "T = 50" in line
    assert ("t_min = 0.0006" in line) == (grid == "log_t")


def test_a_single_step_reaches_the_end_on_every_grid():
    for grid in ("angle", "log_t"):
        angles = Localization(grid=grid, alpha_max=1.4, T=None, t_min=6e-4).angles(1)
        assert angles.tolist() == pytest.approx([0.0, 1.4], abs=1e-12)


# Every clock against its paper. -------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Clock:
    """A schedule without its grid, and the formulas of its paper, in plain floats.

    times: some of the clock, from the data end to the noise end. first, last: its data end and its noise end.
    """

    make: Callable
    times: tuple
    signal: Callable
    noise: Callable
    drift: Callable
    diffusion: Callable
    first: float
    last: float
    terminal_std: float

    def __call__(self, grid="angle", **change):
        return self.make(grid=grid, **change)


def of(cls, **options):
    return lambda **change: cls(**{**options, **change})


def ou_clock(beta, sigma):
    std = sigma / math.sqrt(2 * beta)
    return Clock(
        of(OU, beta=beta, sigma=sigma, T=5.0, t_min=5e-3),
        (5e-3, 0.1, 1.0, 3.3, 5.0),
        lambda s: math.exp(-beta * s),
        lambda s: std * math.sqrt(-math.expm1(-2 * beta * s)),
        lambda s: -beta,
        lambda s: sigma,
        5e-3,
        5.0,
        std,
    )


def vp_linear_clock(low, high):
    """Song et al. (2021), equations (32) and (33)."""

    def beta(s):
        return low + s * (high - low)

    def integral(s):
        return 0.5 * s**2 * (high - low) + s * low

    return Clock(
        of(VP, beta="linear", beta_min=low, beta_max=high, T=1.0, t_min=1e-3),
        (1e-3, 0.02, 0.3, 0.77, 1.0),
        lambda s: math.exp(-0.5 * integral(s)),
        lambda s: math.sqrt(-math.expm1(-integral(s))),
        lambda s: -0.5 * beta(s),
        lambda s: math.sqrt(beta(s)),
        1e-3,
        1.0,
        1.0,
    )


def vp_cosine_clock():
    """Nichol and Dhariwal (2021), equation (17): abar = f(s)/f(0), f = cos^2; beta = -d log(abar)/ds."""

    def turned(s):
        return (s + 0.008) / 1.008 * math.pi / 2

    def noise(s):
        # cos^2(a) - cos^2(b) = sin(b - a) sin(b + a)
        return math.sqrt(math.sin(turned(s) - turned(0)) * math.sin(turned(s) + turned(0))) / math.cos(turned(0))

    def beta(s):
        return math.pi / 1.008 * math.tan(turned(s))

    return Clock(
        of(VP, beta="cosine", beta_min=0.1, beta_max=20.0, T=0.995, t_min=1e-3),
        (1e-3, 0.02, 0.3, 0.5, 0.77, 0.995),
        lambda s: math.cos(turned(s)) / math.cos(turned(0)),
        noise,
        lambda s: -0.5 * beta(s),
        lambda s: math.sqrt(beta(s)),
        1e-3,
        0.995,
        1.0,
    )


def ve_clock(low, high):
    def sigma(s):
        return low * (high / low) ** s

    return Clock(
        of(VE, sigma_min=low, sigma_max=high),
        (0.0, 0.01, 0.4, 0.9, 1.0),
        lambda s: 1.0,
        sigma,
        lambda s: 0.0,
        lambda s: sigma(s) * math.sqrt(2 * math.log(high / low)),
        0.0,
        1.0,
        high,
    )


def chain_betas(name, timesteps, low, high):
    """beta_1 ... beta_timesteps in plain floats."""
    share = [k / (timesteps - 1) for k in range(timesteps)]
    if name == "linear":
        return [low + (high - low) * u for u in share]
    if name == "quadratic":
        return [(math.sqrt(low) + (math.sqrt(high) - math.sqrt(low)) * u) ** 2 for u in share]
    if name == "sigmoid":
        return [low + (high - low) / (1 + math.exp(6 - 12 * u)) for u in share]
    bar = [math.cos((k / timesteps + 0.008) / 1.008 * math.pi / 2) ** 2 for k in range(timesteps + 1)]
    return [min(1 - after / before, 0.999) for before, after in itertools.pairwise(bar)]


def ddpm_clock(name, timesteps=1000, low=1e-4, high=0.02):
    """Ho, Jain and Abbeel (2020), equation (4); between integers the OU process with the same marginals at both."""
    logs = [math.log1p(-beta) for beta in chain_betas(name, timesteps, low, high)]
    bars = [0.0, *itertools.accumulate(logs)]

    def log_bar(k):
        left = max(math.ceil(k) - 1, 0)
        return bars[left] + (k - left) * logs[left]

    def rate(k):
        return -logs[max(math.ceil(k) - 1, 0)]

    return Clock(
        of(DDPM, timesteps=timesteps, beta=name, beta_min=low, beta_max=high),
        (1.0, 1.25, 2.0, 10.0, 299.0, 299.5, 998.75, 1000.0),
        lambda k: math.exp(0.5 * log_bar(k)),
        lambda k: math.sqrt(-math.expm1(log_bar(k))),
        lambda k: -0.5 * rate(k),
        lambda k: math.sqrt(rate(k)),
        1.0,
        float(timesteps),
        1.0,
    )


CLOCKS = {
    "localization": Clock(
        of(Localization, alpha_max=1.4, T=50.0, t_min=1e-3),
        (50.0, 33.0, 1.0, 0.02, 6e-4),
        lambda t: t,
        math.sqrt,
        lambda t: -1 / t,
        lambda t: 1.0,
        50.0,
        0.0,
        0.0,
    ),
    "ou": ou_clock(1.0, math.sqrt(2)),
    "ou_general": ou_clock(0.7, 2.5),
    "vp_linear": vp_linear_clock(0.1, 20.0),
    "vp_from_zero": vp_linear_clock(0.0, 12.0),
    "vp_constant": vp_linear_clock(3.0, 3.0),
    "vp_cosine": vp_cosine_clock(),
    "ve": ve_clock(0.1, 50.0),
    "edm": Clock(
        of(EDM, sigma_min=0.01, sigma_max=80.0),
        (0.01, 0.3, 1.0, 7.0, 80.0),
        lambda s: 1.0,
        lambda s: s,
        lambda s: 0.0,
        lambda s: math.sqrt(2 * s),
        0.01,
        80.0,
        80.0,
    ),
    "ddpm_linear": ddpm_clock("linear"),
    "ddpm_quadratic": ddpm_clock("quadratic"),
    "ddpm_cosine": ddpm_clock("cosine"),
    "ddpm_sigmoid": ddpm_clock("sigmoid"),
}
CHAINS = [name for name in CLOCKS if name.startswith("ddpm")]
SMOOTH = [name for name in CLOCKS if not name.startswith("ddpm")]
MOMENTS = [(name, time) for name, clock in CLOCKS.items() for time in clock.times]
#: angles over the whole interval, far outside of every grid
ANGLES = (1e-6, 1e-3, 0.2, 0.7, 1.1, 1.5, HALF_PI - 1e-3, HALF_PI - 1e-6)


def float64(values):
    return torch.as_tensor(values, dtype=torch.float64)


def reached(clock, angle):
    """Whether a discrete clock, which has a last noise level, reaches the angle."""
    return not isinstance(clock(), DDPM) or angle >= math.atan2(clock.signal(clock.last), clock.noise(clock.last))


@pytest.mark.parametrize(("name", "time"), MOMENTS)
def test_the_native_state_of_every_clock_maps_to_the_channel(name, time):
    clock, clean, noise = CLOCKS[name], normal(5, 3, seed=1), normal(5, 3, seed=2)
    signal, std = clock.signal(time), clock.noise(time)
    x, angle = clock().to_angle(signal * clean + std * noise, time)
    assert_close(angle, math.atan2(signal, std), rtol=1e-12)
    assert_close(x, mix(clean, noise, math.atan2(signal, std)), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", CLOCKS)
def test_signal_and_noise_are_the_papers(name):
    clock = CLOCKS[name]
    schedule, times = clock(), float64(clock.times)
    assert_close(schedule.signal(times), float64([clock.signal(s) for s in clock.times]), rtol=1e-12)
    assert_close(schedule.noise(times), float64([clock.noise(s) for s in clock.times]), rtol=1e-12)
    assert_close(schedule.variance(times), float64([clock.noise(s) ** 2 for s in clock.times]), rtol=1e-12)


@pytest.mark.parametrize(("name", "time"), MOMENTS)
def test_to_angle_and_back_is_the_identity_for_every_clock(name, time):
    schedule, state = CLOCKS[name](), normal(5, 3, seed=3)
    for same in (time, float64(time), torch.full((5,), time, dtype=torch.float64)):
        x, angle = schedule.to_angle(state, same)
        back, back_time = schedule.from_angle(x, angle)
        assert angle.shape == back_time.shape == float64(same).shape
        assert_close(back, state, rtol=1e-11)
        assert_close(back_time, float64(same), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("name", CLOCKS)
def test_from_angle_and_back_is_the_identity_for_every_clock(name):
    clock, x = CLOCKS[name], normal(5, 3, seed=4)
    for angle in filter(lambda angle: reached(clock, angle), ANGLES):
        for same in (angle, float64(angle), torch.full((5,), angle, dtype=torch.float64)):
            state, time = clock().from_angle(x, same)
            back, back_angle = clock().to_angle(state, time)
            assert time.shape == back_angle.shape == float64(same).shape
            assert_close(back, x, rtol=1e-12)
            assert_close(back_angle, float64(same), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", CLOCKS)
def test_each_sample_has_its_own_time(name):
    clock, x = CLOCKS[name], normal(3, 2, seed=5)
    times = [clock.times[1], clock.times[2], clock.times[-2]]
    angles = float64([math.atan2(clock.signal(s), clock.noise(s)) for s in times])
    state, time = clock().from_angle(x, angles)
    assert_close(time, float64(times), rtol=1e-10, atol=1e-14)
    scale = float64([math.hypot(clock.signal(s), clock.noise(s)) for s in times])
    assert_close(state, scale[:, None] * x, rtol=1e-11)


@pytest.mark.parametrize("name", CLOCKS)
def test_time_inverts_angle_on_the_whole_interval(name):
    clock = CLOCKS[name]
    angles = float64([angle for angle in ANGLES if reached(clock, angle)])
    assert_close(clock().angle(clock().time(angles)), angles, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", CLOCKS)
def test_angle_inverts_time_on_the_whole_clock(name):
    clock = CLOCKS[name]
    times = torch.linspace(clock.first, clock.last, 101, dtype=torch.float64)
    schedule = clock()
    assert_close(schedule.time(schedule.angle(times)), times, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("name", CLOCKS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_clean_data_is_a_state_of_every_clock(name, dtype):
    schedule, x = CLOCKS[name](), normal(3, 2, seed=6)
    end = torch.tensor(HALF_PI, dtype=dtype)
    state, time = schedule.from_angle(x, end)
    assert_close(schedule.angle(time), HALF_PI, rtol=1e-15)
    if name == "localization":
        assert bool(state.isinf().all())
    else:
        assert_close(state, x, rtol=1e-15)


@pytest.mark.parametrize("name", SMOOTH)
def test_pure_noise_is_the_limit_of_every_clock_that_goes_on(name):
    clock = CLOCKS[name]
    time = clock().time(0.0)
    assert_close(clock().angle(time), 0.0, rtol=0, atol=1e-15)
    assert not bool(time.isnan())
    if clock.terminal_std > 0 and name not in ("ve", "edm"):
        state, _ = clock().from_angle(torch.ones(1, 1, dtype=torch.float64), 0.0)
        assert_close(state, float64([[clock.terminal_std]]), rtol=1e-14)


@pytest.mark.parametrize("name", CHAINS)
def test_angles_before_the_chain_have_its_last_k(name):
    clock = CLOCKS[name]
    assert clock().time(float64([0.0, 0.9 * clock().start_angle])).tolist() == [1000.0, 1000.0]


@pytest.mark.parametrize("name", SMOOTH)
def test_the_slope_of_time_is_that_of_the_angle(name):
    """From the SDE: d(noise^2/signal^2)/ds = g^2/signal^2, and angle = atan(signal/noise)."""
    clock = CLOCKS[name]
    for s in clock.times:
        signal, std = clock.signal(s), clock.noise(s)
        slope = -(clock.diffusion(s) ** 2) * signal / (2 * std * (signal**2 + std**2))
        angle = float64(math.atan2(signal, std)).requires_grad_()
        (actual,) = torch.autograd.grad(clock().time(angle), angle)
        assert_close(actual, (-1 if name == "localization" else 1) / slope, rtol=1e-9)


@pytest.mark.parametrize("name", CLOCKS)
def test_the_ends_of_every_clock_are_exact(name):
    clock = CLOCKS[name]
    schedule = clock()
    assert (schedule.start_time, schedule.end_time) == (clock.last, clock.first)
    start, end = (math.atan2(clock.signal(s), clock.noise(s)) for s in (clock.last, clock.first))
    assert_close(schedule.start_angle, start, rtol=1e-12)
    assert_close(schedule.end_angle, end, rtol=1e-14)
    assert_close(schedule.end_snr, (clock.signal(clock.first) / clock.noise(clock.first)) ** 2, rtol=1e-11)
    assert_close(schedule.terminal_std, clock.terminal_std, rtol=1e-15)


@pytest.mark.parametrize("name", [name for name in CLOCKS if name != "localization"])
def test_sampling_starts_from_the_terminal_law_in_units_of_x(name):
    clock = CLOCKS[name]
    expected = clock.terminal_std / math.hypot(clock.signal(clock.last), clock.noise(clock.last))
    assert_close(clock().start_std, expected, rtol=1e-13)


def test_localization_starts_from_pure_noise_although_its_first_state_is_zero():
    assert (localization().terminal_std, localization().start_std, localization().start_angle) == (0.0, 1.0, 0.0)


@pytest.mark.parametrize(("beta", "sigma"), [(1.0, math.sqrt(2)), (0.7, 2.5), (3.0, 1.0)])
def test_the_stationary_law_of_ou_is_standard_only_if_sigma_squared_is_twice_beta(beta, sigma):
    schedule = ou_clock(beta, sigma)(T=60.0)
    late = float(schedule.noise(float64(60.0))) ** 2
    assert_close(late, sigma**2 / (2 * beta), rtol=1e-14)
    assert_close(schedule.terminal_std**2, late, rtol=1e-14)
    assert (abs(late - 1) < 1e-12) == (abs(sigma**2 - 2 * beta) < 1e-12)


@pytest.mark.parametrize(
    ("name", "times"),
    [
        ("localization", (0.0, -1.0, math.inf, math.nan)),
        ("ou", (-1e-3, math.nan)),
        ("vp_linear", (-1e-3, -1.0, math.nan)),
        ("vp_from_zero", (-1e-3, -1.0)),
        ("vp_cosine", (-1e-3, -0.05, -1.0, 1.001, 2.5, math.inf, math.nan)),
        ("ve", (math.inf, math.nan)),
        ("edm", (-1e-3, -1.0, math.inf, math.nan)),
        ("ddpm_linear", (-1e-3, -1.0, 1000.1, math.inf, math.nan)),
    ],
)
def test_times_outside_of_a_clock_are_refused_with_those_inside(name, times):
    schedule = CLOCKS[name]()
    for time in times:
        for bad in (time, float64([CLOCKS[name].times[1], time])):
            with pytest.raises(ValueError, match="time: ") as mistake:
                schedule.to_angle(normal(2, 3, seed=8), bad)
            assert type(schedule).times in str(mistake.value)


# The noising process. -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CLOCKS)
def test_drift_and_diffusion_are_the_papers(name):
    clock = CLOCKS[name]
    schedule, times = clock(), float64(clock.times)
    assert_close(schedule.drift(times), float64([clock.drift(s) for s in clock.times]), rtol=1e-11)
    assert_close(schedule.diffusion(times), float64([clock.diffusion(s) for s in clock.times]), rtol=1e-11)
    assert_close(schedule.drift(clock.times[1]), clock.drift(clock.times[1]), rtol=1e-11)


@pytest.mark.parametrize("name", [name for name in CLOCKS if name != "localization"])
def test_drift_and_diffusion_are_finite_at_clean_data(name):
    clock = CLOCKS[name]
    assert_close(clock().drift(0.0), clock.drift(0.0), rtol=1e-12)
    assert_close(clock().diffusion(0.0), clock.diffusion(0.0), rtol=1e-12)


@pytest.mark.parametrize("name", CHAINS)
def test_the_drift_of_the_chain_is_that_of_the_step_to_an_integer(name):
    """The integral of the drift over (k-1, k], on which it is constant, is log sqrt(1 - beta_k)."""
    schedule = CLOCKS[name]()
    betas = chain_betas(name.removeprefix("ddpm_"), 1000, 1e-4, 0.02)
    for k in (1, 2, 500, 999, 1000):
        inside = schedule.drift(float64([k - 1 + 1e-9, k - 0.5, k]))
        assert_close(inside.exp(), torch.full((3,), math.sqrt(1 - betas[k - 1]), dtype=torch.float64), rtol=1e-11)
        if k < 1000:
            assert abs(float(schedule.drift(k + 1e-9) / inside[-1]) - 1) > 1e-6


@pytest.mark.parametrize("timesteps", [2, 40, 1000])
@pytest.mark.parametrize("name", CHAINS)
def test_the_angles_of_a_chain_have_integer_times_and_the_drift_of_their_own_beta(name, timesteps):
    """The drift jumps at integers, so that a time that is rounded up would have the next beta's."""
    schedule = CLOCKS[name](timesteps=timesteps)
    k = torch.arange(1, timesteps + 1, dtype=torch.float64)
    times = schedule.time(schedule.angle(k))
    assert torch.equal(times, k)
    betas = float64(chain_betas(name.removeprefix("ddpm_"), timesteps, 1e-4, 0.02))
    assert_close(schedule.drift(times), 0.5 * torch.log1p(-betas), rtol=1e-9)


def integrated(schedule, towards_noise, signal, variance):
    """The moments after integrating dm = f m ds, dv = (2 f v + g^2) ds from one native time to a noisier one."""
    first, last = towards_noise
    direction = 1 if last > first else -1
    # A discrete clock's drift is that of the step to the integer on its right.
    inside = math.nextafter(first, last)

    def slopes(elapsed, moments):
        time = float64(first + direction * elapsed if elapsed else inside)
        drift, diffusion = float(schedule.drift(time)), float(schedule.diffusion(time))
        return [drift * moments[0], 2 * drift * moments[1] + diffusion**2]

    solution = scipy.integrate.solve_ivp(
        slopes, (0, abs(last - first)), [signal, variance], method="DOP853", rtol=1e-12, atol=1e-14
    )
    return solution.y[:, -1]


@pytest.mark.parametrize("name", CLOCKS)
def test_the_sde_has_the_moments_of_the_clock(name):
    clock = CLOCKS[name]
    first, last = (clock.times[1], clock.times[-2]) if name in SMOOTH else (298.0, 301.0)
    stops = (first, last) if name in SMOOTH else (298.0, 299.0, 300.0, 301.0)
    moments = clock.signal(first), clock.noise(first) ** 2
    for step in itertools.pairwise(stops):
        moments = integrated(clock(), step, *moments)
    assert_close(float(moments[0]), clock.signal(last), rtol=1e-9)
    assert_close(float(moments[1]), clock.noise(last) ** 2, rtol=1e-9)


@pytest.mark.parametrize("name", CLOCKS)
def test_kernels_compose(name):
    clock = CLOCKS[name]
    early, middle, late = (float64(clock.times[i]) for i in (1, 2, -1))
    factor_1, std_1 = clock().kernel(early, middle)
    factor_2, std_2 = clock().kernel(middle, late)
    factor, std = clock().kernel(early, late)
    assert float(std) > 0
    assert_close(factor_2 * factor_1, factor, rtol=1e-13)
    assert_close((factor_2 * std_1).square() + std_2.square(), std.square(), rtol=1e-12)


@pytest.mark.parametrize("name", CLOCKS)
def test_the_kernel_takes_the_law_of_the_state_to_the_noisier_time(name):
    clock = CLOCKS[name]
    for early, late in itertools.pairwise(clock.times):
        factor, std = (float(value) for value in clock().kernel(early, late))
        assert_close(factor * clock.signal(early), clock.signal(late), rtol=1e-12)
        expected = clock.noise(late) ** 2
        assert_close((factor * clock.noise(early)) ** 2 + std**2, expected, rtol=1e-12)


@pytest.mark.parametrize("name", CLOCKS)
def test_the_kernel_over_no_time_is_the_identity(name):
    factor, std = CLOCKS[name]().kernel(CLOCKS[name].times[1], CLOCKS[name].times[1])
    assert (float(factor), float(std)) == (1.0, 0.0)


@pytest.mark.parametrize("name", CHAINS)
def test_the_kernel_of_one_step_of_the_chain_is_ddpms(name):
    beta = float64(chain_betas(name.removeprefix("ddpm_"), 1000, 1e-4, 0.02))
    k = torch.arange(1, 1001, dtype=torch.float64)
    factor, std = CLOCKS[name]().kernel(k - 1, k)
    assert_close(factor, (1 - beta).sqrt(), rtol=1e-12)
    assert_close(std, beta.sqrt(), rtol=1e-10)


@pytest.mark.parametrize(("time", "noisier"), [(2.0, 1.5), (50.0, 1e-3), (7.0, 0.0)])
def test_localization_goes_back_to_zero_as_a_brownian_bridge(time, noisier):
    factor, std = localization().kernel(time, noisier)
    assert_close(factor, noisier / time, rtol=1e-14)
    assert_close(std**2, noisier * (time - noisier) / time, rtol=1e-13)


@pytest.mark.parametrize("name", [name for name in CLOCKS if name != "localization"])
def test_score_weight_is_the_integral_over_the_step(name):
    """signal' int signal d(noise^2/signal^2), which the noising SDE makes signal' int g^2/signal ds."""
    clock = CLOCKS[name]
    clean, noisy = (clock.times[1], clock.times[2]) if name in SMOOTH else (299.0, 301.0)
    breaks = (clean, noisy) if name in SMOOTH else (299.0, 300.0, 301.0)
    integral = sum(
        scipy.integrate.quad(lambda s: clock.diffusion(s) ** 2 / clock.signal(s), *piece, epsrel=1e-12, epsabs=0)[0]
        for piece in itertools.pairwise(breaks)
    )
    weight = clock().score_weight(float64(noisy), float64(clean))
    assert_close(weight, clock.signal(clean) * integral, rtol=1e-9)


@pytest.mark.parametrize("h", [1e-8, 0.01, 0.3, 2.0])
def test_score_weight_of_ou_is_the_papers(h):
    weight = CLOCKS["ou"]().score_weight(float64(2.5), float64(2.5 - h))
    assert_close(weight, 2 * math.expm1(h), rtol=1e-7 if h < 1e-6 else 1e-12)


# DDPM and EDM against published code. -------------------------------------------------------------------------------


@pytest.mark.parametrize("timesteps", [2, 40, 1000])
@pytest.mark.parametrize("name", ["linear", "quadratic", "cosine", "sigmoid"])
def test_betas_are_the_published_ones(name, timesteps):
    schedule = of(DDPM, grid="native", timesteps=timesteps, beta=name, beta_min=1e-4, beta_max=0.02)()
    betas = chain_betas(name, timesteps, 1e-4, 0.02)
    assert_close(schedule.betas, float64(betas), rtol=1e-11)
    bars = list(itertools.accumulate((1 - beta for beta in betas), lambda a, b: a * b))
    squares = schedule.signal(torch.arange(timesteps + 1, dtype=torch.float64)).square()
    assert_close(squares, float64([1.0, *bars]), rtol=1e-11)


@pytest.mark.parametrize("timesteps", [40, 1000])
@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("linear", "linear"),
        ("quadratic", "scaled_linear"),
        ("cosine", "squaredcos_cap_v2"),
        ("sigmoid", "sigmoid"),
    ],
)
def test_the_chain_is_that_of_diffusers(name, theirs, timesteps):
    diffusers = pytest.importorskip("diffusers")
    reference = diffusers.DDPMScheduler(timesteps, beta_start=1e-4, beta_end=0.02, beta_schedule=theirs)
    schedule = of(DDPM, grid="native", timesteps=timesteps, beta=name, beta_min=1e-4, beta_max=0.02)()
    assert_close(schedule.betas, reference.betas.double(), rtol=2e-6)
    k = torch.arange(1, timesteps + 1, dtype=torch.float64)
    assert_close(schedule.signal(k).square(), reference.alphas_cumprod.double(), rtol=1e-4)


@pytest.mark.parametrize("rho", [1.0, 3.0, 7.0])
@pytest.mark.parametrize("steps", [1, 2, 17])
def test_the_karras_grid_of_edm_is_equation_5(rho, steps):
    low, high = 0.002, 80.0
    schedule = EDM(grid="karras", rho=rho, sigma_min=low, sigma_max=high)
    expected = [
        (high ** (1 / rho) + i / steps * (low ** (1 / rho) - high ** (1 / rho))) ** rho for i in range(steps + 1)
    ]
    assert_close(schedule.time(schedule.angles(steps)), float64(expected), rtol=1e-11)


def test_the_karras_grid_of_edm_is_that_of_diffusers():
    diffusers = pytest.importorskip("diffusers")
    reference = diffusers.EDMEulerScheduler(sigma_min=0.002, sigma_max=80.0, rho=7.0)
    reference.set_timesteps(18)
    schedule = EDM(grid="karras", rho=7.0, sigma_min=0.002, sigma_max=80.0)
    # Their last sigma is 0, one more step.
    assert_close(schedule.time(schedule.angles(17)), reference.sigmas[:-1].double(), rtol=1e-4)


# Grids of every clock. ----------------------------------------------------------------------------------------------

PLAIN_GRIDS = ("native", "angle", "log_snr", "log_t", "karras")
COMBINATIONS = [
    (name, grid)
    for name in CLOCKS
    for grid in (*PLAIN_GRIDS, "adaptive", "adaptive_learned")
    if (name, grid) != ("ve", "log_t")
]


def unit_gaussian_risk(angle):
    """E |X - m|^2 of N(0, 1): 1/(1+t) = cos^2."""
    return torch.cos(angle).square()


@pytest.mark.parametrize("steps", [1, 2, 7, 200])
@pytest.mark.parametrize(("name", "grid"), COMBINATIONS)
def test_every_grid_of_every_clock_increases_and_has_exact_ends(name, grid, steps):
    schedule = CLOCKS[name](grid)
    angles = schedule.angles(steps, unit_gaussian_risk)
    assert angles.shape == (steps + 1,)
    assert angles.dtype == torch.float64
    assert bool((angles.diff() > 0).all())
    assert (float(angles[0]), float(angles[-1])) == (schedule.start_angle, schedule.end_angle)


@pytest.mark.parametrize("steps", [7, 200])
@pytest.mark.parametrize(
    ("name", "grid"), [(name, grid) for name, grid in COMBINATIONS if not grid.startswith("adaptive")]
)
def test_every_grid_is_uniform_in_what_its_name_says(name, grid, steps):
    clock = CLOCKS[name]
    schedule = clock(grid, rho=5.0)
    angles = schedule.angles(steps)
    if clock.last == 0 and grid in ("log_snr", "log_t", "karras"):  # a first step leads from 0 to t_min
        assert_close(torch.tan(angles[1]) ** 2, 1e-3, rtol=1e-13)
        angles = angles[1:]
    coordinate = {
        "native": schedule.time,
        "angle": lambda angle: angle,
        "log_snr": lambda angle: 2 * torch.log(torch.tan(angle)),
        "log_t": lambda angle: torch.log(schedule.time(angle)),
        "karras": lambda angle: torch.tan(angle) ** (-1 / 5.0),
    }[grid](angles)
    count = len(angles) - 1
    even = coordinate[0] + (coordinate[-1] - coordinate[0]) * torch.arange(count + 1).double() / count
    span = float((coordinate[-1] - coordinate[0]).abs())
    if name in CHAINS and grid == "native":  # integers, each the nearest to an even one
        assert_close(coordinate, coordinate.round(), rtol=1e-9)
        assert float((coordinate - even).abs().max()) <= 0.5 + 1e-6
    else:
        assert_close(coordinate, even, rtol=0, atol=1e-10 * span)


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [("localization", "log_t", "log_snr"), ("ve", "native", "log_snr"), ("edm", "log_t", "log_snr")],
)
def test_grids_that_are_the_same_by_definition(name, one, other):
    clock = CLOCKS[name]
    assert_close(clock(one).angles(40), clock(other).angles(40), rtol=1e-12)


@pytest.mark.parametrize("timesteps", [2, 3, 37])
def test_the_native_grid_of_a_chain_visits_integers_once(timesteps):
    schedule = of(DDPM, grid="native", timesteps=timesteps, beta="linear", beta_min=1e-3, beta_max=0.3)()
    for steps in range(1, timesteps):
        times = schedule.native_times(steps)
        assert (float(times[0]), float(times[-1])) == (timesteps, 1)
        assert torch.equal(times, times.round())
        assert bool((times.diff() <= -1).all())
        assert_close(schedule.time(schedule.angles(steps)), times, rtol=1e-10)


# The adaptive grid. -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["localization", "ou", "vp_cosine", "ve", "edm", "ddpm_linear"])
@pytest.mark.parametrize("steps", [5, 60])
def test_for_a_gaussian_the_adaptive_grid_is_uniform_in_log_one_plus_t(name, steps):
    """R = n/(1+t), so sqrt(-dR/dt) dt = sqrt(n) d log(1+t); a hundredth of the grid is uniform otherwise."""
    t = torch.tan(CLOCKS[name]("adaptive").angles(steps, lambda angle: 8 * unit_gaussian_risk(angle))) ** 2
    share = torch.log1p(t) - torch.log1p(t[0])
    even = torch.arange(steps + 1, dtype=torch.float64) / steps
    assert float((share / share[-1] - even).abs().max()) < 0.0102


def test_the_hundredth_is_uniform_in_log_snr():
    t = torch.tan(CLOCKS["edm"]("adaptive").angles(60, unit_gaussian_risk)) ** 2
    adapted, uniform = torch.log1p(t) - torch.log1p(t[0]), torch.log(t) - torch.log(t[0])
    mixed = 0.99 * adapted / adapted[-1] + 0.01 * uniform / uniform[-1]
    assert_close(mixed, torch.arange(61, dtype=torch.float64) / 60, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["localization", "ou", "edm"])
def test_steps_concentrate_where_the_risk_falls(name):
    """A risk that falls evenly in t from t = 1 to t = 2 and nowhere else."""

    def risk(angle):
        return 3 - (torch.tan(angle) ** 2).clamp(1, 2)

    t = torch.tan(CLOCKS[name]("adaptive").angles(100, risk)) ** 2
    assert int(((t > 1) & (t < 2)).sum()) >= 95
    # Evenly, where -dR/dt is constant.
    lengths = t[(t > 1.05) & (t < 1.95)].diff()
    assert float(lengths.max() / lengths.min()) < 1.05


@pytest.mark.parametrize("name", ["localization", "ou", "edm"])
@pytest.mark.parametrize(
    "risk",
    [
        torch.ones_like,
        torch.zeros_like,
        torch.tan,
        lambda angle: 1 + 0.1 * torch.sin(40 * angle),
        lambda angle: (angle < 0.8).double(),
    ],
    ids=["flat", "zero", "rising", "wavy", "jump"],
)
def test_the_adaptive_grid_increases_whatever_the_risk(name, risk):
    schedule = CLOCKS[name]("adaptive_learned")
    angles = schedule.angles(50, risk)
    assert bool((angles.diff() > 0).all())
    assert (float(angles[0]), float(angles[-1])) == (schedule.start_angle, schedule.end_angle)


def test_a_flat_risk_gives_steps_that_are_uniform_in_log_snr():
    angles = CLOCKS["edm"]("adaptive").angles(30, torch.ones_like)
    assert_close(torch.tan(angles), torch.tan(CLOCKS["edm"]("log_snr").angles(30)), rtol=1e-3)


def discretisation_cost(angles, risk, points=12):
    """sum over steps of 1/2 int_{t_k}^{t_k+1} (R(t_k) - R(s)) ds by Gauss-Legendre: path KL with the exact mean."""
    nodes, weights = (float64(values) for values in numpy.polynomial.legendre.leggauss(points))
    t = torch.tan(angles) ** 2
    half = t.diff()[:, None] / 2
    inside = t[:-1, None] + half * (1 + nodes)
    fall = risk(angles[:-1])[:, None] - risk(torch.atan(inside.sqrt()))
    return float(0.5 * (weights * half * fall).sum())


@pytest.mark.parametrize("name", ["localization", "ou", "edm"])
@pytest.mark.parametrize("p", [0.5, 0.7])
def test_the_adaptive_grid_costs_less_path_kl(name, p):
    target, clock = GaussianMixture.two_modes(p=p, n=16), CLOCKS[name]
    cost = {
        grid: discretisation_cost(clock(grid).angles(30, target.bayes_risk), target.bayes_risk)
        for grid in ("adaptive", "angle", "log_snr")
    }
    assert 0 < cost["adaptive"] < 0.8 * min(cost["angle"], cost["log_snr"])


def test_the_adaptive_grid_of_a_gaussian_has_the_least_cost():
    """With equal steps d of log(1+t) each costs n/2 (e^d - 1 - d), and no other grid costs less."""
    n, steps, clock = 8, 50, CLOCKS["ou"]

    def risk(angle):
        return n * unit_gaussian_risk(angle)

    ends = torch.log1p(torch.tan(clock().angles(1)) ** 2)
    d = float(ends[1] - ends[0]) / steps
    least = steps * n / 2 * (math.expm1(d) - d)
    assert_close(discretisation_cost(clock("adaptive").angles(steps, risk), risk), least, rtol=2e-3)
    for other in ("angle", "log_snr", "native", "karras"):
        assert discretisation_cost(clock(other).angles(steps), risk) > 1.05 * least


# Mistakes. ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("localization", {"grid": "karras", "t_min": 60.0}, "t_min = 60.0: the grid karras needs t_min < T = 50"),
        ("localization", {"grid": "log_snr", "t_min": 60.0}, "t_min = 60.0: the grid log_snr needs t_min < T = 50"),
        ("localization", {"alpha_max": 1.6}, "schedule.alpha_max = 1.6: allowed is a number >= 0 and < 1.5708"),
        ("ou", {"t_min": 5.0}, "t_min = 5.0: a time in (0, T) = (0, 5) is needed"),
        ("ou", {"t_min": 0}, "schedule.t_min = 0: allowed is a number > 0"),
        ("ou", {"beta": 0}, "schedule.beta = 0: allowed is a number > 0"),
        ("ou", {"sigma": -1}, "schedule.sigma = -1: allowed is a number > 0"),
        ("ou", {"beta": True}, "schedule.beta = True: a number is needed, not a truth value"),
        ("ou", {"T": math.inf}, "schedule.T = inf"),
        ("ou", {"rho": 0}, "schedule.rho = 0: allowed is a number > 0"),
        ("ou", {"grid": "uniform"}, "schedule.grid = uniform: must be 'native', 'angle', 'log_snr', 'log_t'"),
        ("vp_linear", {"beta_min": 30.0}, "beta_min = 30.0: at most beta_max = 20.0 is allowed"),
        ("vp_linear", {"beta_min": -0.1}, "schedule.beta_min = -0.1: allowed is a number >= 0"),
        ("vp_linear", {"T": 1.5}, "t_min = 0.001, T = 1.5: 0 < t_min < T <= 1 is needed"),
        ("vp_cosine", {"t_min": 0.995}, "t_min = 0.995, T = 0.995: 0 < t_min < T <= 1 is needed"),
        ("vp_linear", {"beta": "quadratic"}, "schedule.beta = quadratic: must be 'linear' or 'cosine'"),
        ("ve", {"sigma_min": 50.0}, "sigma_min = 50.0: a number below sigma_max = 50.0 is needed"),
        ("ve", {"grid": "log_t"}, "grid = log_t: this clock ends at time 0, which has no logarithm; log_snr has one"),
        ("edm", {"sigma_min": 90.0}, "sigma_min = 90.0: a number below sigma_max = 80.0 is needed"),
        ("edm", {"sigma_min": 0}, "schedule.sigma_min = 0: allowed is a number > 0"),
        ("ddpm_linear", {"beta_min": 0.03}, "beta_min = 0.03: at most beta_max = 0.02 is allowed"),
        ("ddpm_linear", {"beta_min": 0}, "schedule.beta_min = 0: allowed is a number > 0 and < 1"),
        ("ddpm_linear", {"beta_max": 1}, "schedule.beta_max = 1: allowed is a number > 0 and < 1"),
        ("ddpm_linear", {"timesteps": 1}, "schedule.timesteps = 1: allowed is an integer >= 2"),
        ("ddpm_linear", {"beta": "geometric"}, "'linear', 'cosine', 'quadratic' or 'sigmoid'"),
        ("ddpm_linear", {"T": 5.0}, "schedule.T: unknown key"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_key_and_what_is_allowed(name, change, says):
    good = CLOCKS[name]()
    node = {"_target_": f"scorelab.schedules.{type(good).__name__}", **good.model_dump()}
    component("schedule", node)
    with pytest.raises(ConfigError) as mistake:
        component("schedule", {**node, **change})
    assert says in str(mistake.value)
    assert "\n" not in str(mistake.value)


def test_bounds_that_belong_to_another_grid_or_beta_do_not_bind():
    CLOCKS["localization"]("angle", t_min=60.0)
    CLOCKS["localization"]("native", t_min=60.0)
    CLOCKS["vp_cosine"](beta_min=30.0)


@pytest.mark.parametrize("ask", ["require_steps", "native_times", "angles"])
def test_a_chain_refuses_more_native_steps_than_it_has(ask):
    schedule = CLOCKS["ddpm_linear"]("native")
    getattr(schedule, ask)(999)
    with pytest.raises(ValueError, match=r"sampler.steps = 1000: .* schedule.timesteps = 1000 at most 999 steps"):
        getattr(schedule, ask)(1000)


def test_other_grids_of_a_chain_have_any_number_of_steps():
    schedule = of(DDPM, timesteps=4, beta="linear", beta_min=0.1, beta_max=0.5)(grid="log_snr")
    schedule.require_steps(50)
    assert schedule.angles(50).shape == (51,)


@pytest.mark.parametrize("grid", ["adaptive", "adaptive_learned"])
def test_an_adaptive_grid_needs_a_risk(grid):
    with pytest.raises(ValueError, match=f"grid = {grid}: the risk that it adapts to is needed"):
        CLOCKS["ou"](grid).angles(10)


def test_steps_too_short_for_double_precision_are_refused():
    schedule = CLOCKS["ou"]("angle", t_min=5.0 - 1e-14)
    with pytest.raises(ValueError, match=r"200 steps on the grid angle between the angles .* do not increase"):
        schedule.angles(200)


@pytest.mark.parametrize("grid", ["log_snr", "log_t", "karras", "adaptive"])
def test_a_clock_that_starts_without_any_signal_is_refused_where_the_grid_needs_some(grid):
    assert CLOCKS["ou"]("angle", T=1000.0).angles(10)[0] == 0
    with pytest.raises(ValueError, match=r"schedule: at time 1000 no signal is left .* an earlier start"):
        CLOCKS["ou"](grid, T=1000.0).angles(10, unit_gaussian_risk)


# Configurations. ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(path.stem for path in (config_folder() / "schedule").glob("*.yaml")))
def test_every_configured_schedule_composes_and_names_both_ends_in_one_line(name):
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        schedule = check(plain(compose("config", overrides=[f"schedule={name}"]))).options("schedule")
    line = schedule.describe(20)
    assert "\n" not in line
    assert line.startswith(f"{schedule.label}, 20 steps")
    assert f"time from {schedule.start_time:g} to {schedule.end_time:g}" in line
    assert f"angle from {schedule.start_angle:.6g} to {schedule.end_angle:.6g}" in line
    angles = schedule.angles(20, unit_gaussian_risk)
    assert (float(angles[0]), float(angles[-1])) == (schedule.start_angle, schedule.end_angle)
    # Sampling stops where little noise is left, and starts where the terminal law is nearly that of x.
    assert schedule.end_snr > 90
    assert 0.99 < schedule.start_std <= 1 + 1e-12
