"""Grids: where the steps lie between the noise end and the data end of a schedule."""

import math

import torch


def make_grid(schedule, steps: int, risk=None) -> torch.Tensor:
    """`steps + 1` increasing angles, float64, uniform in

        native            the native time
        angle             the angle
        log_snr           log tan^2(phi)
        log_t             the logarithm of the native time; under stochastic localization the same as log_snr
        karras            sigma^(1/rho), sigma = cot(phi) (Karras et al. 2022, equation 5)
        adaptive          int sqrt(-dR/dt) dt, see `equidistribute`: half of the steps for R the Bayes risk along the
                          signal, half for its part between the modes, which falls around the speciation time
        adaptive_learned  the same with the risk of the learned posterior mean

    Where the clock starts at angle 0, at which the coordinates of log_snr, log_t and karras are infinite, their first
    step goes from 0 to the schedule's `first_angle`.
    """
    if schedule.grid not in ("native", "angle") and not schedule.first_angle > 0:
        raise ValueError(
            f"schedule: at time {schedule.start_time:g} no signal is left in double precision, and the grid "
            f"{schedule.grid} cannot start there; an earlier start or a smaller beta is needed"
        )
    if schedule.grid in ("adaptive", "adaptive_learned"):
        if risk is None:
            raise ValueError(f"grid = {schedule.grid}: the risk that it adapts to is needed")
        angles = equidistribute(risk, schedule.start_angle, schedule.first_angle, schedule.end_angle, steps)
    else:
        angles = _GRIDS[schedule.grid](schedule, steps)
    angles[0], angles[-1] = schedule.start_angle, schedule.end_angle
    if not bool((angles.diff() > 0).all()):
        raise ValueError(
            f"schedule: {steps} steps on the grid {schedule.grid} between the angles {schedule.start_angle:.6g} and "
            f"{schedule.end_angle:.6g} do not increase"
        )
    return angles


def _linspace(first, last, steps):
    """`steps + 1` numbers, made from the last, which is exact."""
    return torch.linspace(last, first, steps + 1, dtype=torch.float64).flip(0)


def _from_zero(schedule, steps, points):
    """`points(first, steps)` from the schedule's first angle, after a step from 0 where the clock starts there."""
    if schedule.start_angle > 0:
        return points(schedule.start_angle, steps)
    return torch.cat([torch.zeros(1, dtype=torch.float64), points(schedule.first_angle, steps - 1)])


def _native(schedule, steps):
    return schedule.angle(schedule.native_times(steps))


def _angle(schedule, steps):
    return _linspace(schedule.start_angle, schedule.end_angle, steps)


def _log_snr(schedule, steps):
    end = math.log(math.tan(schedule.end_angle))
    return _from_zero(
        schedule, steps, lambda first, count: torch.atan(torch.exp(_linspace(math.log(math.tan(first)), end, count)))
    )


def _log_t(schedule, steps):
    end = math.log(schedule.end_time)

    def points(first, count):
        start = float(schedule.time(first).log())
        return schedule.angle(torch.exp(_linspace(start, end, count)))

    return _from_zero(schedule, steps, points)


def _karras(schedule, steps):
    def root(angle):
        return math.tan(angle) ** (-1 / schedule.rho)

    end = root(schedule.end_angle)
    return _from_zero(
        schedule,
        steps,
        lambda first, count: torch.atan(_linspace(root(first), end, count) ** -schedule.rho),
    )


_GRIDS = {"native": _native, "angle": _angle, "log_snr": _log_snr, "log_t": _log_t, "karras": _karras}


def equidistribute(risk, start: float, first: float, end: float, steps: int, points: int = 600) -> torch.Tensor:
    """The grid that is uniform in int sqrt(-dR/dt) dt, with t = tan^2(phi) and R(t) = E |X - m|^2 along the path.

    m(Y_t; t) is a martingale, so freezing it over a step of length h costs, in path KL,

        1/2 int_0^h E |m_{t+s} - m_t|^2 ds = 1/2 int_0^h (R(t) - R(t+s)) ds = h^2 |dR/dt| / 4 + O(h^3),

    and the sum of h^2 |dR/dt| over a given number of steps is least where sqrt(|dR/dt|) h is the same for all of them.
    risk: function of angles (points,) that returns R, or several risks (parts, points) that get the same share of the
    steps each. A risk that rises somewhere counts as flat there, and one that never falls counts for nothing.
    """
    low = math.log(math.tan(max(start, first * 0.05)))
    fine = torch.atan(torch.exp(torch.linspace(low, math.log(math.tan(end)), points, dtype=torch.float64)))
    if start == 0:
        fine = torch.cat([torch.zeros(1, dtype=torch.float64), fine])
    fall = -torch.cummin(risk(fine).double().reshape(-1, len(fine)), 1).values.diff(dim=1)
    cost = torch.cumsum((fall * torch.tan(fine).square().diff()).sqrt(), 1)
    falling = cost[:, -1] > 1e-6 * cost[:, -1].max()
    cost = (cost[falling] / cost[falling, -1:]).sum(0) / falling.sum().clamp_min(1)
    # A little of the uniform grid keeps steps finite where the posterior mean does not change at all.
    cost = 0.99 * cost + 0.01 * torch.linspace(0, 1, len(cost) + 1).double()[1:]
    cost = torch.cat([torch.zeros(1, dtype=torch.float64), cost])
    wanted = torch.linspace(0, float(cost[-1]), steps + 1, dtype=torch.float64)
    right = torch.searchsorted(cost, wanted).clamp(1, len(cost) - 1)
    share = (wanted - cost[right - 1]) / (cost[right] - cost[right - 1])
    return fine[right - 1] + share * (fine[right] - fine[right - 1])
