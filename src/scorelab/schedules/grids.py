"""Grids: where the steps lie between the noise end and the data end of a schedule.

This module does not import torch: a grid imports it where it makes its angles.
"""

import abc
import math
import sys
from typing import Annotated, ClassVar, Literal

from pydantic import PlainSerializer, PlainValidator

from scorelab.nodes import Node
from scorelab.options import Options, Positive, nearest


class Grid(Options):
    """Where the steps of a sampler lie between the two ends of a clock. A subclass gives `points`."""

    #: what the steps are uniform in
    label: ClassVar[str]
    #: whether the coordinate is infinite at angle 0; on a clock that starts at 0 the first step then goes from 0 to the
    #: schedule's `first_angle`
    infinite_at_noise: ClassVar[bool] = False
    #: the posterior mean to whose risk the grid adapts; None for a grid that does not adapt
    adapts_to: ClassVar[Literal["exact", "learned"] | None] = None

    @abc.abstractmethod
    def points(self, schedule, steps: int, risk):
        """`steps + 1` increasing angles, float64; `angles` makes the two ends exact."""

    @property
    def name(self) -> str:
        """The grid's name in `NAMES`, or the name of its class."""
        return next((name for name, cls in NAMES.items() if cls is type(self)), type(self).__name__)

    def require(self, schedule) -> None:
        """Raise ValueError if the schedule cannot have this grid."""

    def angles(self, schedule, steps: int, risk=None):
        """`steps + 1` increasing angles, float64, from the noise end to the data end of the schedule, both exact.

        risk: function of angles (points,) that returns what is left of the variance of the signal, as
        `scorelab.samplers.risk` makes it; an adaptive grid needs it. Raises ValueError if an adaptive grid gets no
        risk, if the grid makes another number of angles, and if the angles do not increase.
        """
        if self.adapts_to is not None and risk is None:
            raise ValueError(f"grid = {self.name}: the risk that it adapts to is needed")
        angles = self.points(schedule, steps, risk)
        if angles.shape != (steps + 1,):
            raise ValueError(
                f"grid {self.name}: {tuple(angles.shape)} angles for {steps} steps: {steps + 1} are needed"
            )
        angles[0], angles[-1] = schedule.start_angle, schedule.end_angle
        if not bool((angles.diff() > 0).all()):
            raise ValueError(
                f"schedule: {steps} steps on the grid {self.name} between the angles {schedule.start_angle:.6g} and "
                f"{schedule.end_angle:.6g} do not increase"
            )
        return angles

    def require_signal(self, schedule) -> None:
        """Raise ValueError if the signal at the first angle > 0 of the clock is below the rounding of the noise."""
        if not schedule.first_angle > sys.float_info.epsilon:
            raise ValueError(
                f"schedule: at time {schedule.start_time:g} no signal is left in double precision, and the grid "
                f"{self.name} cannot start there; an earlier start or a smaller beta is needed"
            )


class Native(Grid):
    """Uniform in the native time of the schedule; on a discrete clock integers, as even as they can be."""

    label: ClassVar[str] = "native time"

    def points(self, schedule, steps, risk):
        return schedule.angle(schedule.native_times(steps))


class Angle(Grid):
    """Uniform in the angle phi."""

    label: ClassVar[str] = "angle"

    def points(self, schedule, steps, risk):
        return _linspace(schedule.start_angle, schedule.end_angle, steps)


class _Logarithmic(Grid):
    """Base of the grids whose coordinate is infinite at angle 0. A subclass gives `between`."""

    infinite_at_noise: ClassVar[bool] = True

    def points(self, schedule, steps, risk):
        import torch

        self.require_signal(schedule)
        if schedule.start_angle > 0:
            return self.between(schedule, schedule.start_angle, steps)
        first = torch.zeros(1, dtype=torch.float64)
        return torch.cat([first, self.between(schedule, schedule.first_angle, steps - 1)])

    @abc.abstractmethod
    def between(self, schedule, first: float, steps: int):
        """`steps + 1` angles from `first` > 0 to the end of the schedule, float64."""


class LogSNR(_Logarithmic):
    """Uniform in the logarithm of the signal-to-noise ratio tan^2(phi)."""

    label: ClassVar[str] = "log SNR"

    def between(self, schedule, first, steps):
        low, high = (math.log(math.tan(angle)) for angle in (first, schedule.end_angle))
        return _linspace(low, high, steps).exp().atan()


class LogT(_Logarithmic):
    """Uniform in the logarithm of the native time; under stochastic localization the same as `LogSNR`."""

    label: ClassVar[str] = "log t"

    def require(self, schedule):
        if schedule.end_time <= 0:
            raise ValueError("grid = log_t: this clock ends at time 0, which has no logarithm; log_snr has one")

    def between(self, schedule, first, steps):
        low, high = float(schedule.time(first).log()), math.log(schedule.end_time)
        return schedule.angle(_linspace(low, high, steps).exp())


class Karras(_Logarithmic):
    """Uniform in sigma^(1/rho), sigma = cot(phi) (Karras et al. 2022, equation 5).

    rho: the exponent; with 1 the grid is uniform in sigma, and with a larger rho the steps at the data end are shorter.
    """

    rho: Positive = 7.0

    label: ClassVar[str] = "sigma^(1/rho)"

    def between(self, schedule, first, steps):
        low, high = (math.tan(angle) ** (-1 / self.rho) for angle in (first, schedule.end_angle))
        return (_linspace(low, high, steps) ** -self.rho).atan()


class Adaptive(Grid):
    """Uniform in int sqrt(-dR/dt) dt, see `equidistribute`. Half of the steps are for the Bayes risk R along the
    signal, half for the part of this risk between the modes, which falls around the speciation time."""

    label: ClassVar[str] = "the change of the exact posterior mean"
    adapts_to: ClassVar[str] = "exact"

    def needs_of_target(self):
        return ("signal_risk",)

    def points(self, schedule, steps, risk):
        self.require_signal(schedule)
        return equidistribute(risk, schedule.start_angle, schedule.first_angle, schedule.end_angle, steps)


class AdaptiveLearned(Adaptive):
    """The grid `Adaptive` with the risk of the learned posterior mean."""

    label: ClassVar[str] = "the change of the learned posterior mean"
    adapts_to: ClassVar[str] = "learned"

    def needs_of_target(self):
        return ("direction",)


#: name -> grid, as in conf/grid
NAMES = {
    "native": Native,
    "angle": Angle,
    "log_snr": LogSNR,
    "log_t": LogT,
    "karras": Karras,
    "adaptive": Adaptive,
    "adaptive_learned": AdaptiveLearned,
}


def require_name(name: str) -> str:
    """Return the name of a grid unchanged. Raises ValueError for a name that is not in `NAMES`."""
    if name not in NAMES:
        raise ValueError(nearest(name, NAMES))
    return name


def _checked(value, info) -> Grid:
    if isinstance(value, Grid):
        return value
    if isinstance(value, str):
        return NAMES[require_name(value)]()
    return Node("grid").check(value, info).options


def _plain(grid: Grid):
    """The name of a grid if all its values are the defaults of its class, else the node of the grid."""
    if NAMES.get(grid.name) is type(grid) and grid == type(grid)():
        return grid.name
    cls = type(grid)
    return {"_target_": f"{cls.__module__}.{cls.__qualname__}", **grid.model_dump(mode="json")}


#: the type of an option that is a grid: given as a name, as a node of conf/grid or as a `Grid`
GridOption = Annotated[Grid, PlainValidator(_checked), PlainSerializer(_plain)]


def _linspace(first, last, steps):
    """`steps + 1` numbers from `first` to `last`; `last` is exact."""
    import torch

    return torch.linspace(last, first, steps + 1, dtype=torch.float64).flip(0)


#: the steps of an adaptive grid grow by at most this factor: a multistep rule extrapolates over a longer step what
#: changed in a shorter one, and throws samples far off where a long step follows the short ones of the speciation time
GROWTH = 1.5


def equidistribute(risk, start: float, first: float, end: float, steps: int, points: int = 600):
    """The grid that is uniform in int sqrt(-dR/dt) dt, with t = tan^2(phi) and R(t) = E |X - m|^2 along the path.

    m(Y_t; t) is a martingale, so freezing it over a step of length h costs, in path KL,

        1/2 int_0^h E |m_{t+s} - m_t|^2 ds = 1/2 int_0^h (R(t) - R(t+s)) ds = h^2 |dR/dt| / 4 + O(h^3),

    and the sum of h^2 |dR/dt| over a given number of steps is least if sqrt(|dR/dt|) h is the same for all steps.

    risk: function of angles (points,) that returns R, or several risks (parts, points), each of which gets the same
    share of the steps. A risk that rises somewhere counts as flat there; a risk that never falls gets no steps. Steps
    in log tan(phi) that would grow by more than `GROWTH` are shortened.
    start, first, end: the first angle, the first angle > 0 and the last angle. points: where the integral is evaluated.
    """
    import torch

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
    angles = _uniform_in(cost, fine, steps)
    place = torch.log(torch.tan(angles[angles > 0]))
    if bool((place.diff()[1:] <= GROWTH * place.diff()[:-1]).all()):
        return angles
    return _uniform_in(_graded(cost, fine, steps), fine, steps)


def _uniform_in(cost, fine, steps):
    """The angles (steps + 1,) at which a cost (points,), known at the angles `fine`, takes equidistant values."""
    import torch

    wanted = torch.linspace(0, float(cost[-1]), steps + 1, dtype=torch.float64)
    right = torch.searchsorted(cost, wanted).clamp(1, len(cost) - 1)
    share = (wanted - cost[right - 1]) / (cost[right] - cost[right - 1])
    return fine[right - 1] + share * (fine[right] - fine[right - 1])


def _graded(cost, fine, steps):
    """A cost for which the steps in log tan(phi) grow by a factor of at most `GROWTH`.

    A step of length h = scale/density grows in this way where dh/d(log tan) <= log GROWTH. The lengths are cut to the
    largest ones that do, and the scale is the one for which there are as many as before.
    """
    import torch
    from scipy.optimize import brentq

    rate, place = math.log(GROWTH), torch.log(torch.tan(fine[fine > 0]))
    shares, widths, middle = cost.diff(), place.diff(), 0.5 * (place[1:] + place[:-1])
    density = shares[-len(widths) :] / widths

    def counts(log_scale):
        lengths = math.exp(log_scale) / density
        lengths = torch.cummin(lengths - rate * middle, 0).values + rate * middle
        return torch.cat([shares[: -len(widths)] / math.exp(log_scale), widths / lengths])

    least = math.log(float(cost[-1]) / steps)
    scale = brentq(lambda value: float(counts(value).sum()) - steps, least - 1, least + 40)
    return torch.cat([cost[:1], counts(scale).cumsum(0)])
