"""The contract of a schedule."""

import abc
import math
from typing import ClassVar

from pydantic import model_validator

from scorelab.options import Options
from scorelab.schedules.grids import GridOption


class Schedule(Options):
    """A clock: the native state `signal(time) X + noise(time) G` of one formulation, and a grid for sampling.

    A subclass gives `signal`, `noise`, `time_of`, both ends of the clock and the deviation of the law that sampling
    starts from. The map to the angle, the noising SDE, its transition kernel and the grids follow from them.

    An option that says where the clock ends may be null: the end is then the usual one of the class, or lies beyond it
    where the scale of the target needs it; see `reaching`.

    grid: where the steps lie between the noise end and the data end: the name of a grid, a node as in conf/grid, or a
    `Grid`; see `scorelab.schedules.grids`.

    This module does not import torch at its head: methods that need torch import it when they are called.
    """

    grid: GridOption

    #: the formulation, for the log
    label: ClassVar[str] = ""
    #: the options that say where the clock ends, at the noise and at the data; None where no option does
    ends: ClassVar[tuple[str | None, str | None]] = (None, None)
    #: the times at which the native state determines x, for messages
    times: ClassVar[str] = "finite times"

    @model_validator(mode="after")
    def _grid(self):
        self.grid.require(self)
        return self

    @abc.abstractmethod
    def signal(self, time):
        """The factor of the clean sample in the native state; `time`: float64 tensor of any shape."""

    @abc.abstractmethod
    def noise(self, time):
        """The standard deviation of the noise in the native state."""

    def variance(self, time):
        """noise^2. A clock without noise at its data end overrides this method, as the slope of the square root is
        infinite there."""
        return self.noise(time).square()

    @abc.abstractmethod
    def time_of(self, ratio):
        """The native time at which noise/signal = `ratio` in [0, inf], a float64 tensor of any shape."""

    @property
    @abc.abstractmethod
    def start_time(self) -> float:
        """The native time of the noise end, where sampling starts."""

    @property
    @abc.abstractmethod
    def end_time(self) -> float:
        """The native time of the data end, where sampling stops."""

    @property
    @abc.abstractmethod
    def terminal_std(self) -> float:
        """The standard deviation of the native state that sampling starts from, whose law is stationary or terminal."""

    # The ends. ------------------------------------------------------------------------------------------------------

    @property
    def usual(self) -> dict[str, float]:
        """The values of the options in `ends` where they are null."""
        return {}

    def end(self, name: str) -> float:
        """The value of an option in `ends`."""
        value = getattr(self, name)
        return self.usual[name] if value is None else value

    @property
    def open_ends(self) -> tuple[str | None, str | None]:
        """The options in `ends` that are null."""
        return tuple(name if name and getattr(self, name) is None else None for name in self.ends)

    def end_at(self, snr: float) -> float:
        """The value of an option in `ends` for an end at a signal-to-noise ratio: a native time."""
        return float(self.time(math.atan(math.sqrt(snr))))

    def reaching(self, low: float, high: float) -> "Schedule":
        """This schedule from a signal-to-noise ratio of at most `low` to one of at least `high`, as far as its ends are
        null; this schedule itself if they reach so far, or are given."""
        noise, data = self.open_ends
        moved = {}
        if noise and self.first_snr > low:
            moved[noise] = self.end_at(low)
        if data and self.end_snr < high:
            moved[data] = self.end_at(high)
        return type(self)(**{**dict(self), **moved}) if moved else self

    # The angle. -----------------------------------------------------------------------------------------------------

    def angle(self, time):
        """The angle atan(signal/noise) of native times, float64."""
        time = _tensor(time)
        return self.signal(time).atan2(self.noise(time))

    def time(self, angle):
        """The native time of angles in [0, pi/2], float64."""
        import torch

        from scorelab.channel import sin_cos

        # A tensor keeps its precision, by which `sin_cos` decides which angles stand for pi/2.
        angle = angle if isinstance(angle, torch.Tensor) else _tensor(angle)
        sin, cos = sin_cos(angle, angle.new_zeros((), dtype=torch.float64))
        return self.time_of(cos / sin)

    def scale(self, time):
        """The factor sqrt(signal^2 + noise^2) between x_phi and the native state."""
        time = _tensor(time)
        return self.signal(time).hypot(self.noise(time))

    def to_angle(self, state, time):
        """Map the native `state` (count, ...) at `time` (number, or tensor (count,)) to `(x, angle)`.

        Raises ValueError for a time at which the state does not determine x.
        """
        from scorelab.channel import aligned

        time = _tensor(time)
        scale = self.scale(time)
        if not bool(((scale > 0) & scale.isfinite()).all()):
            raise ValueError(f"time: {self.times} is needed; at other times the native state says nothing about x")
        scale = scale.to(state.dtype)
        return state / aligned(scale, state), self.angle(time)

    def from_angle(self, x, angle):
        """Map `x` (count, ...) at `angle` to the native `(state, time)`."""
        from scorelab.channel import aligned

        time = self.time(angle)
        scale = self.scale(time).to(x.dtype)
        return x * aligned(scale, x), time

    @property
    def start_angle(self) -> float:
        """The first angle of every grid."""
        return float(self.angle(self.start_time))

    @property
    def end_angle(self) -> float:
        """The last angle of every grid, below pi/2."""
        return float(self.angle(self.end_time))

    @property
    def first_angle(self) -> float:
        """The first angle > 0 of the grids whose coordinate is infinite at angle 0."""
        return self.start_angle

    @property
    def first_snr(self) -> float:
        """The signal-to-noise ratio tan^2(phi) at the first angle > 0."""
        return math.tan(self.first_angle) ** 2

    @property
    def end_snr(self) -> float:
        """The signal-to-noise ratio tan^2(phi) at the last angle: T of stochastic localization."""
        return math.tan(self.end_angle) ** 2

    @property
    def start_std(self) -> float:
        """The standard deviation of the x that sampling starts from."""
        return self.terminal_std / float(self.scale(self.start_time))

    def needs_of_target(self):
        return self.grid.needs_of_target()

    # The noising process. -------------------------------------------------------------------------------------------

    def _noising(self, time):
        """d log(signal)/ds, noise^2 and d noise^2/ds, with s the native time counted towards the noise."""
        import torch

        with torch.enable_grad():
            time = _tensor(time).detach().clone().requires_grad_()
            signal, variance = self.signal(time), self.variance(time)
            growth, spread = (
                torch.autograd.grad(value.sum(), time)[0] if value.requires_grad else torch.zeros_like(time)
                for value in (signal, variance)
            )
        sign = 1.0 if self.start_time > self.end_time else -1.0
        return sign * growth / signal.detach(), variance.detach(), sign * spread

    def drift(self, time):
        """f of the noising SDE dX = f X ds + g dW: d log(signal)/ds, with ds > 0 towards the noise."""
        return self._noising(time)[0]

    def diffusion(self, time):
        """g of the noising SDE: g^2 = d noise^2/ds - 2 f noise^2."""
        growth, variance, spread = self._noising(time)
        return (spread - 2 * growth * variance).clamp_min(0).sqrt()

    def rates(self, times):
        """f and g at both ends of each step between the native times (steps + 1,), start and end: (2, steps) each.

        A clock whose f and g jump overrides this method by their means over a step.
        """
        import torch

        return tuple(torch.stack([rate[:-1], rate[1:]]) for rate in (self.drift(times), self.diffusion(times)))

    def kernel(self, time, noisier_time):
        """Return factor and std of the law N(factor * state, std^2 I) at `noisier_time`, given the state at `time`."""
        time, noisier = _tensor(time), _tensor(noisier_time)
        factor = self.signal(noisier) / self.signal(time)
        variance = self.variance(noisier) - factor.square() * self.variance(time)
        return factor, variance.clamp_min(0).sqrt()

    # Grids. ---------------------------------------------------------------------------------------------------------

    def angles(self, steps: int, risk=None):
        """The sampling grid: `steps + 1` increasing angles from the noise end to the data end, float64.

        risk: function of angles, which an adaptive grid needs; see `Grid.angles`.
        Raises ValueError for a grid that does not increase.
        """
        return self.grid.angles(self, steps, risk)

    def native_times(self, steps: int):
        """`steps + 1` times of the native grid, uniform, float64; a discrete clock overrides this method."""
        import torch

        return torch.linspace(self.start_time, self.end_time, steps + 1, dtype=torch.float64)

    def require_steps(self, steps: int) -> None:
        """Raise ValueError if the grid cannot have that many steps."""

    def describe(self, steps: int) -> str:
        """One line with both ends of the grid, for the log."""
        start, end = self.start_angle, self.end_angle
        return (
            f"{self.label}, {steps} steps on a grid uniform in {self.grid.label}: "
            f"time from {self.start_time:g} to {self.end_time:g}, angle from {start:.6g} to {end:.6g}, "
            f"SNR from {math.tan(start) ** 2:.3g} to {self.end_snr:.6g}"
        )


def _tensor(value):
    import torch

    return torch.as_tensor(value, dtype=torch.float64)
