"""The clock of stochastic localization."""

import math

import pytest
import torch
from helpers import assert_close, normal

from scorelab.channel import HALF_PI, mix
from scorelab.schedules import Localization


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
