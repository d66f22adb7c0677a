"""Clocks against the formulas of their papers: the maps to and from the angle, and the noising process."""

import itertools
import math

import pytest
import scipy.integrate
import torch
from clocks import CHAINS, CLOCKS, SMOOTH, chain_betas, float64, localization, of, ou_clock
from helpers import assert_close, normal, over

from scorelab.channel import HALF_PI, mix
from scorelab.errors import ConfigError
from scorelab.nodes import component
from scorelab.schedules import DDPM

#: angles over the whole interval, far outside of every grid
ANGLES = (1e-6, 1e-3, 0.2, 0.7, 1.1, 1.5, HALF_PI - 1e-3, HALF_PI - 1e-6)
EXCEPT_LOCALIZATION = [name for name in CLOCKS if name != "localization"]


MOMENTS = [(name, time) for name, clock in CLOCKS.items() for time in clock.times]
every_clock = over("name", CLOCKS)
every_smooth_clock = over("name", SMOOTH)
every_chain = over("name", CHAINS)


def shapes(value):
    """A number as such, as a tensor without axes, and as one a sample."""
    return value, float64(value), torch.full((5,), value, dtype=torch.float64)


def reached(clock, angle):
    """Whether a discrete clock, which has a last noise level, reaches the angle."""
    return not isinstance(clock(), DDPM) or angle >= math.atan2(clock.signal(clock.last), clock.noise(clock.last))


# The angle. ---------------------------------------------------------------------------------------------------------


@over(("name", "time"), MOMENTS)
def test_the_native_state_of_every_clock_maps_to_the_channel(name, time):
    clean, noise = normal(5, 3, seed=1), normal(5, 3, seed=2)
    clock = CLOCKS[name]
    signal, std = clock.signal(time), clock.noise(time)
    x, angle = clock().to_angle(signal * clean + std * noise, time)
    assert_close(angle, math.atan2(signal, std), rtol=1e-12)
    assert_close(x, mix(clean, noise, math.atan2(signal, std)), rtol=1e-12, atol=1e-14)


def test_localization_keeps_its_digits_at_both_ends():
    clean, noise, y = normal(5, 3, seed=1), normal(5, 3, seed=2), normal(5, 3, seed=3)
    for t in (1e-8, 6e-4, 0.5, 1.0, 33.0, 1e4, 1e8):
        x, angle = localization().to_angle(t * clean + math.sqrt(t) * noise, t)
        assert_close(torch.tan(angle) ** 2, t, rtol=1e-7 if t > 1e6 else 1e-10)
        assert_close(x, mix(clean, noise, angle), rtol=1e-9 if t > 1e6 else 1e-12, atol=1e-15)
        if t <= 1e4:
            state, back = localization().from_angle(*localization().to_angle(y, t))
            assert_close(state, y, rtol=1e-11)
            assert_close(back, t, rtol=1e-11)


@every_clock
def test_signal_and_noise_are_the_papers(name):
    clock = CLOCKS[name]
    schedule, times = clock(), float64(clock.times)
    assert_close(schedule.signal(times), float64([clock.signal(s) for s in clock.times]), rtol=1e-12)
    assert_close(schedule.noise(times), float64([clock.noise(s) for s in clock.times]), rtol=1e-12)
    assert_close(schedule.variance(times), float64([clock.noise(s) ** 2 for s in clock.times]), rtol=1e-12)


@over(("name", "time"), MOMENTS)
def test_to_angle_and_back_is_the_identity(name, time):
    state = normal(5, 3, seed=3)
    clock = CLOCKS[name]
    for same in shapes(time):
        x, angle = clock().to_angle(state, same)
        back, back_time = clock().from_angle(x, angle)
        assert angle.shape == back_time.shape == float64(same).shape
        assert_close(back, state, rtol=1e-11)
        assert_close(back_time, float64(same), rtol=1e-10, atol=1e-14)


@every_clock
def test_from_angle_and_back_is_the_identity(name):
    x = normal(5, 3, seed=4)
    clock = CLOCKS[name]
    for angle in (angle for angle in ANGLES if reached(clock, angle)):
        for same in shapes(angle):
            state, time = clock().from_angle(x, same)
            back, back_angle = clock().to_angle(state, time)
            assert time.shape == back_angle.shape == float64(same).shape
            assert_close(back, x, rtol=1e-12)
            assert_close(back_angle, float64(same), rtol=1e-12, atol=1e-15)


@every_clock
def test_each_sample_has_its_own_time(name):
    x = normal(3, 2, seed=5)
    clock = CLOCKS[name]
    times = [clock.times[1], clock.times[2], clock.times[-2]]
    angles = float64([math.atan2(clock.signal(s), clock.noise(s)) for s in times])
    state, time = clock().from_angle(x, angles)
    assert_close(time, float64(times), rtol=1e-10, atol=1e-14)
    scale = float64([math.hypot(clock.signal(s), clock.noise(s)) for s in times])
    assert_close(state, scale[:, None] * x, rtol=1e-11)


@every_clock
def test_time_and_angle_invert_each_other_on_the_whole_clock(name):
    clock = CLOCKS[name]
    schedule = clock()
    angles = float64([angle for angle in ANGLES if reached(clock, angle)])
    assert_close(schedule.angle(schedule.time(angles)), angles, rtol=1e-12, atol=1e-15)
    times = torch.linspace(clock.first, clock.last, 101, dtype=torch.float64)
    assert_close(schedule.time(schedule.angle(times)), times, rtol=1e-9, atol=1e-14)


def test_states_keep_their_dtype():
    for dtype in (torch.float32, torch.float64):
        x, angle = localization().to_angle(normal(3, 2, seed=7, dtype=dtype), torch.tensor([0.1, 1.0, 10.0]))
        assert x.dtype == dtype
        assert angle.dtype == torch.float64
        assert localization().from_angle(x, angle)[0].dtype == dtype


@every_clock
@over("dtype", (torch.float32, torch.float64))
def test_clean_data_is_a_state_of_every_clock(name, dtype):
    x = normal(3, 2, seed=6)
    clock = CLOCKS[name]
    state, time = clock().from_angle(x, torch.tensor(HALF_PI, dtype=dtype))
    assert_close(clock().angle(time), HALF_PI, rtol=1e-15)
    if name == "localization":
        assert bool(state.isinf().all())
    else:
        assert_close(state, x, rtol=1e-15)


@every_smooth_clock
def test_pure_noise_is_the_limit_of_every_clock_that_goes_on(name):
    clock = CLOCKS[name]
    time = clock().time(0.0)
    assert_close(clock().angle(time), 0.0, rtol=0, atol=1e-15)
    assert not bool(time.isnan())
    if clock.terminal_std > 0 and name not in ("ve", "edm"):
        state, _ = clock().from_angle(torch.ones(1, 1, dtype=torch.float64), 0.0)
        assert_close(state, float64([[clock.terminal_std]]), rtol=1e-14)


def test_the_native_state_of_localization_at_pure_noise_is_zero():
    state, time = localization().from_angle(normal(3, 2, seed=6), 0.0)
    assert torch.equal(state, torch.zeros(3, 2, dtype=torch.float64))
    assert time == 0


@every_chain
def test_angles_before_a_chain_have_its_last_k(name):
    clock = CLOCKS[name]
    assert clock().time(float64([0.0, 0.9 * clock().start_angle])).tolist() == [1000.0, 1000.0]


@every_smooth_clock
def test_the_slope_of_time_is_the_slope_of_the_angle(name):
    """From the SDE: d(noise^2/signal^2)/ds = g^2/signal^2, and angle = atan(signal/noise)."""
    clock = CLOCKS[name]
    for s in clock.times:
        signal, std = clock.signal(s), clock.noise(s)
        slope = -(clock.diffusion(s) ** 2) * signal / (2 * std * (signal**2 + std**2))
        angle = float64(math.atan2(signal, std)).requires_grad_()
        (actual,) = torch.autograd.grad(clock().time(angle), angle)
        assert_close(actual, (-1 if name == "localization" else 1) / slope, rtol=1e-9)


@every_clock
def test_the_ends_of_every_clock_are_exact(name):
    clock = CLOCKS[name]
    schedule = clock()
    assert (schedule.start_time, schedule.end_time) == (clock.last, clock.first)
    start, end = (math.atan2(clock.signal(s), clock.noise(s)) for s in (clock.last, clock.first))
    assert_close(schedule.start_angle, start, rtol=1e-12)
    assert_close(schedule.end_angle, end, rtol=1e-14)
    assert_close(schedule.end_snr, (clock.signal(clock.first) / clock.noise(clock.first)) ** 2, rtol=1e-11)
    assert_close(schedule.terminal_std, clock.terminal_std, rtol=1e-15)


def test_T_replaces_alpha_max():
    assert localization(alpha_max=1.4).end_angle == 1.4
    schedule = localization(alpha_max=0.3, T=50.0)
    assert_close(schedule.end_angle, math.atan(math.sqrt(50)), rtol=1e-15)
    assert_close(schedule.end_snr, 50.0, rtol=1e-12)


@over("name", EXCEPT_LOCALIZATION)
def test_sampling_starts_from_the_terminal_law_in_units_of_x(name):
    clock = CLOCKS[name]
    expected = clock.terminal_std / math.hypot(clock.signal(clock.last), clock.noise(clock.last))
    assert_close(clock().start_std, expected, rtol=1e-13)


def test_localization_starts_from_pure_noise_although_its_first_state_is_zero():
    assert (localization().terminal_std, localization().start_std, localization().start_angle) == (0.0, 1.0, 0.0)


def test_the_stationary_law_of_ou_is_standard_only_if_sigma_squared_is_twice_beta():
    for beta, sigma in ((1.0, math.sqrt(2)), (0.7, 2.5), (3.0, 1.0)):
        schedule = ou_clock(beta, sigma)(T=60.0)
        late = float(schedule.noise(float64(60.0))) ** 2
        assert_close(late, sigma**2 / (2 * beta), rtol=1e-14)
        assert_close(schedule.terminal_std**2, late, rtol=1e-14)
        assert (abs(late - 1) < 1e-12) == (abs(sigma**2 - 2 * beta) < 1e-12)


OUTSIDE = {
    "localization": (0.0, -1.0, math.inf, math.nan),
    "ou": (-1e-3, math.nan),
    "vp_linear": (-1e-3, -1.0, math.nan),
    "vp_from_zero": (-1e-3, -1.0),
    "vp_cosine": (-1e-3, -0.05, -1.0, 1.001, 2.5, math.inf, math.nan),
    "ve": (math.inf, math.nan),
    "edm": (-1e-3, -1.0, math.inf, math.nan),
    "ddpm_linear": (-1e-3, -1.0, 1000.1, math.inf, math.nan),
}


@over("name", OUTSIDE)
def test_times_outside_of_a_clock_are_refused_with_those_inside(name):
    clock = CLOCKS[name]
    for time in OUTSIDE[name]:
        for bad in (time, float64([clock.times[1], time])):
            with pytest.raises(ValueError, match="time: ") as mistake:
                clock().to_angle(normal(2, 3, seed=8), bad)
            assert type(clock()).times in str(mistake.value)


# The noising process. -----------------------------------------------------------------------------------------------


@every_clock
def test_drift_and_diffusion_are_the_papers(name):
    clock = CLOCKS[name]
    schedule, times = clock(), float64(clock.times)
    assert_close(schedule.drift(times), float64([clock.drift(s) for s in clock.times]), rtol=1e-11)
    assert_close(schedule.diffusion(times), float64([clock.diffusion(s) for s in clock.times]), rtol=1e-11)
    assert_close(schedule.drift(clock.times[1]), clock.drift(clock.times[1]), rtol=1e-11)
    if name != "localization":  # finite at clean data
        assert_close(schedule.drift(0.0), clock.drift(0.0), rtol=1e-12)
        assert_close(schedule.diffusion(0.0), clock.diffusion(0.0), rtol=1e-12)


@every_chain
def test_the_drift_of_a_chain_belongs_to_the_step_to_an_integer(name):
    """The integral of the drift over (k-1, k], on which it is constant, is log sqrt(1 - beta_k)."""
    clock = CLOCKS[name]
    schedule, betas = clock(), chain_betas(name.removeprefix("ddpm_"), 1000, 1e-4, 0.02)
    for k in (1, 2, 500, 999, 1000):
        inside = schedule.drift(float64([k - 1 + 1e-9, k - 0.5, k]))
        assert_close(inside.exp(), torch.full((3,), math.sqrt(1 - betas[k - 1]), dtype=torch.float64), rtol=1e-11)
        if k < 1000:
            assert abs(float(schedule.drift(k + 1e-9) / inside[-1]) - 1) > 1e-6


@every_chain
@over("timesteps", (2, 40, 1000))
def test_the_angles_of_a_chain_have_integer_times_and_the_drift_of_their_own_beta(name, timesteps):
    """The drift jumps at integers, so that a time that is rounded up would have the next beta's."""
    clock = CLOCKS[name]
    schedule = clock(timesteps=timesteps)
    k = torch.arange(1, timesteps + 1, dtype=torch.float64)
    times = schedule.time(schedule.angle(k))
    assert torch.equal(times, k)
    betas = float64(chain_betas(name.removeprefix("ddpm_"), timesteps, 1e-4, 0.02))
    assert_close(schedule.drift(times), 0.5 * torch.log1p(-betas), rtol=1e-9)


def integrated(schedule, towards_noise, signal, variance):
    """The moments after integrating dm = f m ds, dv = (2 f v + g^2) ds from one native time to a noisier one."""
    first, last = towards_noise
    direction = 1 if last > first else -1
    # A discrete clock's drift belongs to the step to the integer on its right.
    inside = math.nextafter(first, last)

    def slopes(elapsed, moments):
        time = float64(first + direction * elapsed if elapsed else inside)
        drift, diffusion = float(schedule.drift(time)), float(schedule.diffusion(time))
        return [drift * moments[0], 2 * drift * moments[1] + diffusion**2]

    solution = scipy.integrate.solve_ivp(
        slopes, (0, abs(last - first)), [signal, variance], method="DOP853", rtol=1e-12, atol=1e-14
    )
    return solution.y[:, -1]


@every_clock
def test_the_sde_has_the_moments_of_the_clock(name):
    clock = CLOCKS[name]
    stops = (clock.times[1], clock.times[-2]) if name in SMOOTH else (298.0, 299.0, 300.0, 301.0)
    found = clock.signal(stops[0]), clock.noise(stops[0]) ** 2
    for step in itertools.pairwise(stops):
        found = integrated(clock(), step, *found)
    assert_close(float(found[0]), clock.signal(stops[-1]), rtol=1e-9)
    assert_close(float(found[1]), clock.noise(stops[-1]) ** 2, rtol=1e-9)


@every_clock
def test_kernels_compose_and_take_the_law_of_the_state_to_the_noisier_time(name):
    clock = CLOCKS[name]
    kernel = clock().kernel
    early, middle, late = (float64(clock.times[i]) for i in (1, 2, -1))
    (factor_1, std_1), (factor_2, std_2) = kernel(early, middle), kernel(middle, late)
    factor, std = kernel(early, late)
    assert float(std) > 0
    assert_close(factor_2 * factor_1, factor, rtol=1e-13)
    assert_close((factor_2 * std_1).square() + std_2.square(), std.square(), rtol=1e-12)
    for clean, noisy in itertools.pairwise(clock.times):
        factor, std = (float(value) for value in kernel(clean, noisy))
        assert_close(factor * clock.signal(clean), clock.signal(noisy), rtol=1e-12)
        assert_close((factor * clock.noise(clean)) ** 2 + std**2, clock.noise(noisy) ** 2, rtol=1e-12)
    assert [float(value) for value in kernel(early, early)] == [1.0, 0.0]


@every_chain
def test_the_kernel_of_one_step_of_a_chain_is_ddpms(name):
    clock = CLOCKS[name]
    beta = float64(chain_betas(name.removeprefix("ddpm_"), 1000, 1e-4, 0.02))
    k = torch.arange(1, 1001, dtype=torch.float64)
    factor, std = clock().kernel(k - 1, k)
    assert_close(factor, (1 - beta).sqrt(), rtol=1e-12)
    assert_close(std, beta.sqrt(), rtol=1e-10)


def test_localization_goes_back_to_zero_as_a_brownian_bridge():
    for time, noisier in ((2.0, 1.5), (50.0, 1e-3), (7.0, 0.0)):
        factor, std = localization().kernel(time, noisier)
        assert_close(factor, noisier / time, rtol=1e-14)
        assert_close(std**2, noisier * (time - noisier) / time, rtol=1e-13)


@over("name", EXCEPT_LOCALIZATION)
def test_score_weight_is_the_integral_over_the_step(name):
    """signal' int signal d(noise^2/signal^2), which the noising SDE makes signal' int g^2/signal ds."""
    clock = CLOCKS[name]
    breaks = clock.times[1:3] if name in SMOOTH else (299.0, 300.0, 301.0)
    integral = sum(
        scipy.integrate.quad(lambda s: clock.diffusion(s) ** 2 / clock.signal(s), *piece, epsrel=1e-12, epsabs=0)[0]
        for piece in itertools.pairwise(breaks)
    )
    weight = clock().score_weight(float64(breaks[-1]), float64(breaks[0]))
    assert_close(weight, clock.signal(breaks[0]) * integral, rtol=1e-9)


def test_the_score_weight_of_ou_is_the_papers():
    for h in (1e-8, 0.01, 0.3, 2.0):
        weight = CLOCKS["ou"]().score_weight(float64(2.5), float64(2.5 - h))
        assert_close(weight, 2 * math.expm1(h), rtol=1e-7 if h < 1e-6 else 1e-12)


# DDPM against published code, and mistakes. -------------------------------------------------------------------------


def test_betas_are_the_published_ones():
    for name, timesteps in itertools.product(("linear", "quadratic", "cosine", "sigmoid"), (2, 40, 1000)):
        schedule = of(DDPM, grid="native", timesteps=timesteps, beta=name, beta_min=1e-4, beta_max=0.02)()
        betas = chain_betas(name, timesteps, 1e-4, 0.02)
        assert_close(schedule.betas, float64(betas), rtol=1e-11)
        bars = list(itertools.accumulate((1 - beta for beta in betas), lambda a, b: a * b))
        squares = schedule.signal(torch.arange(timesteps + 1, dtype=torch.float64)).square()
        assert_close(squares, float64([1.0, *bars]), rtol=1e-11)


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("localization", {"grid": "karras", "t_min": 60.0}, "t_min = 60.0: the grid karras needs t_min < T = 50"),
        ("localization", {"grid": "log_snr", "t_min": 60.0}, "t_min = 60.0: the grid log_snr needs t_min < T = 50"),
        ("localization", {"alpha_max": 1.6}, "schedule.alpha_max = 1.6: allowed is a number >= 0 and < 1.5708"),
        ("localization", {"alpha_max": 0.0, "T": None}, "alpha_max = 0.0: an angle in (0, pi/2) is needed"),
        ("localization", {"T": math.inf}, "schedule.T = inf"),
        ("ou", {"t_min": 5.0}, "t_min = 5.0: a time in (0, T) = (0, 5) is needed"),
        ("ou", {"beta": 0}, "schedule.beta = 0: allowed is a number > 0"),
        ("ou", {"beta": True}, "schedule.beta = True: a number is needed, not a truth value"),
        ("ou", {"rho": 5.0}, "schedule.rho: unknown key"),
        ("ou", {"grid": "log_snt"}, "schedule.grid = log_snt: did you mean log_snr? valid names: adaptive"),
        ("vp_linear", {"beta_min": 30.0}, "beta_min = 30.0: at most beta_max = 20.0 is allowed"),
        ("vp_linear", {"beta_min": -0.1}, "schedule.beta_min = -0.1: allowed is a number >= 0"),
        ("vp_cosine", {"T": 1.5}, "t_min = 0.001, T = 1.5: 0 < t_min < T <= 1 is needed"),
        ("vp_linear", {"T": 1e-3}, "t_min = 0.001, T = 0.001: 0 < t_min < T is needed"),
        ("vp_cosine", {"t_min": 0.995}, "t_min = 0.995, T = 0.995: 0 < t_min < T <= 1 is needed"),
        ("vp_linear", {"beta": "quadratic"}, "schedule.beta = quadratic: must be 'linear' or 'cosine'"),
        ("ve", {"sigma_min": 50.0}, "sigma_min = 50.0: a number below sigma_max = 50.0 is needed"),
        ("ve", {"grid": "log_t"}, "grid = log_t: this clock ends at time 0, which has no logarithm; log_snr has one"),
        ("edm", {"sigma_min": 0}, "schedule.sigma_min = 0: allowed is a number > 0"),
        ("ddpm_linear", {"beta_min": 0.03}, "beta_min = 0.03: at most beta_max = 0.02 is allowed"),
        ("ddpm_linear", {"beta_max": 1}, "schedule.beta_max = 1: allowed is a number > 0 and < 1"),
        ("ddpm_linear", {"timesteps": 1}, "schedule.timesteps = 1: allowed is an integer >= 2"),
        ("ddpm_linear", {"beta": "geometric"}, "'linear', 'cosine', 'quadratic' or 'sigmoid'"),
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
    assert CLOCKS["localization"]("angle", t_min=60.0).angles(3).shape == (4,)
    assert CLOCKS["localization"]("native", t_min=60.0).angles(3).shape == (4,)
    assert CLOCKS["vp_cosine"](beta_min=30.0).beta_min == 30.0
