"""What `conf/process` may say."""

import abc
import math
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from scorelab.options import Count, Fraction, NonNegative, Options, Positive
from scorelab.schedules.grids import Angle, GridOption

#: the last angle of a path, in (0, pi/2)
EndAngle = Annotated[float, Field(gt=0, lt=math.pi / 2)]
#: the last angle of the isotropic process where none is given: the time 10^4
_LAST_ANGLE = math.pi / 2 - 0.01
#: a factor >= 1
Factor = Annotated[float, Field(ge=1)]


class ProcessOptions(Options):
    """Base of the options that build a `Process`. `needs_of_target` names what building needs of the target; what the
    exact posterior needs is `Process.needs`."""

    #: whether the process is the Gaussian channel of a run's schedule, which the main job follows with the run's grid
    #: and sampler
    of_schedule: ClassVar[bool] = False

    @abc.abstractmethod
    def build(self, n: int, target, generator):
        """The process for vectors of dimension n; `generator` draws what the options leave to chance."""


class _Timed(ProcessOptions):
    """Base of the processes that stop at a finite time t = tan^2(alpha_max), on a grid of angles."""

    alpha_max: EndAngle
    grid: GridOption

    @field_validator("grid")
    @classmethod
    def _plain(cls, grid):
        if grid is not None and grid.name not in ("angle", "log_snr", "karras"):
            raise ValueError("a process has the grids angle, log_snr and karras, which need no clock and no risk")
        return grid


class Isotropic(_Timed):
    """Y_t = t x + B_t, the Gaussian channel.

    alpha_max: last angle; t = tan^2. grid: where the steps lie. With null the path ends at t = 10^4, on a grid that is
    uniform in the angle; in the main job, which has both from the schedule, they stay null.
    """

    of_schedule: ClassVar[bool] = True

    alpha_max: EndAngle | None = None
    grid: GridOption | None = None

    def build(self, n):
        from scorelab.processes.gaussian import Isotropic as Made

        return Made(n, self.alpha_max or _LAST_ANGLE, self.grid or Angle())


class Anisotropic(_Timed):
    """dY = Q' m dt + Q'^{1/2} dB along a path Q of positive matrices with fixed axes.

    axes: `coordinates`, `haar`, `dct`, or `principal`, the axes of the target's covariance, largest variance first.
    path: `powers`, q_j = t^p_j with p_j from `powers[0]` on the first axis to `powers[1]` on the last one, evenly;
    `in_order`, one axis after the other in windows that share `overlap`.
    """

    axes: Literal["coordinates", "haar", "dct", "principal"]
    path: Literal["powers", "in_order"]
    powers: tuple[Positive, Positive]
    overlap: Fraction

    def needs_of_target(self):
        """The covariance, if its axes are taken."""
        return ("covariance",) if self.axes == "principal" else ()

    def build(self, n, target):
        import torch

        from scorelab.processes.gaussian import InOrder, Powers, principal_axes
        from scorelab.processes.transforms import rows_and_levels

        rows = principal_axes(target.covariance) if self.axes == "principal" else rows_and_levels(self.axes, n)[0]
        if self.path == "in_order":
            return InOrder(rows, self.overlap, self.alpha_max, self.grid)
        powers = torch.linspace(*self.powers, n, dtype=torch.float64)
        return Powers(rows, torch.ones(n, dtype=torch.float64), powers, self.alpha_max, self.grid)


class Linear(_Timed):
    """Y_t = t A x + B_t, coarse to fine.

    transform: the rows of A before their gains, `coordinates`, `haar`, `dct` or `pooling`; see
    `processes.transforms.rows_and_levels`. coarse_gain: >= 1, the gain of a level over that of the next finer one; the
    finest level has the gain 1.
    """

    transform: Literal["coordinates", "haar", "dct", "pooling"]
    coarse_gain: Factor

    def build(self, n):
        import torch

        from scorelab.processes.gaussian import Powers, gains
        from scorelab.processes.transforms import rows_and_levels

        rows, levels = rows_and_levels(self.transform, n)
        ones = torch.ones(len(rows), dtype=torch.float64)
        return Powers(rows, gains(levels, self.coarse_gain).square(), ones, self.alpha_max, self.grid)


class Erasure(ProcessOptions):
    """Coordinates are revealed one by one, or several in one step.

    order: `in_order`, or `random`, an order of its own for each sample. leap: whether there are as many steps as asked
    for, instead of one for each coordinate.
    """

    order: Literal["in_order", "random"]
    leap: bool

    def build(self, n):
        from scorelab.processes.erasure import Erasure as Made

        return Made(n, self.order, self.leap)


class BinarySymmetric(ProcessOptions):
    """Spins through a channel whose flip probability falls from 1/2 to 0.

    leap: whether the posterior mean is frozen over a step; else each flip is drawn at its time. first, last: exact
    paths go from the correlation `first` to 1 - `last`.
    """

    leap: bool
    first: Annotated[float, Field(gt=0, le=0.2)]
    last: Annotated[float, Field(gt=0, le=0.2)]

    def build(self, n):
        from scorelab.processes.binary_symmetric import BinarySymmetric as Made

        return Made(n, self.leap, self.first, self.last)


class Poisson(_Timed):
    """Counts with the intensity x, for targets with coordinates >= 0.

    leap: whether the rates are frozen over a step; else each jump is drawn at its time.
    """

    leap: bool

    def build(self, n):
        from scorelab.processes.poisson import Poisson as Made

        return Made(n, self.leap, self.alpha_max, self.grid)


class HalfSpace(ProcessOptions):
    """Sides of random hyperplanes {<g, x> = level}, for targets on finitely many states.

    count: hyperplanes; the entries of their normals g are standard normal. level_std: standard deviation of the levels,
    normal too; with 0 all of them contain the point 0.
    """

    count: Count
    level_std: NonNegative

    def build(self, n, generator):
        import torch

        from scorelab.processes.half_space import HalfSpace as Made

        normals = torch.randn(self.count, n, generator=generator, dtype=torch.float64)
        levels = torch.randn(self.count, generator=generator, dtype=torch.float64) * self.level_std
        return Made(normals, levels)
