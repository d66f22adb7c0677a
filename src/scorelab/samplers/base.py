"""The contract of a sampling rule."""

import abc
from typing import Any, ClassVar, NamedTuple

from scorelab.options import Options


class Step(NamedTuple):
    """What a rule makes of one step.

    x: the new state (count, n). state: what the rule wants to find at its next step. info: what the step found out,
    name -> tensor (count,); its mean over the steps goes into metrics.json under that name.
    """

    x: Any
    state: Any = None
    info: dict[str, Any] | None = None


class Sampler(Options):
    """A rule for one step between two angles. Its fields are the options of the rule alone; how many samples and steps
    are made belongs to the job that samples, a `scorelab.samplers.job.Sampling`."""

    #: order of the global error as the grid is refined, weak for rules that draw noise
    order: ClassVar[int]
    #: denoiser evaluations a step
    evaluations: ClassVar[int] = 1
    #: whether the rule visits the grid of the schedule; one that does not has its own `angles` and `end_angle`
    visits_grid: ClassVar[bool] = True
    #: what may help where the state diverges
    remedy: ClassVar[str] = "more sampler.steps, or a denoiser trained at this angle, may help"

    def nfe(self, steps: int) -> int:
        """Denoiser evaluations a sample in so many steps."""
        return steps * self.evaluations

    def require(self, schedule, denoiser) -> None:
        """Raise ValueError if this rule cannot run on the schedule, or with the denoiser.

        denoiser: anything with the attribute `exact`, whether it is the exact posterior mean of its target.
        """

    def angles(self, schedule, steps: int, risk=None):
        """The angles that the rule visits, (steps + 1,): the schedule's grid. risk: see `Grid.angles`."""
        return schedule.angles(steps, risk)

    def end_angle(self, schedule) -> float:
        """The last angle that the rule visits."""
        return schedule.end_angle

    def begin(self, schedule, angles):
        """The `state` of the first step; `angles`: the grid, as floats."""
        return None

    @abc.abstractmethod
    def step(self, denoiser, x, angle, next_angle, noise, state) -> Step:
        """Take x (count, n) from `angle` to `next_angle`.

        angle, next_angle: floats, in radians. noise: a function of no argument that returns standard normal draws
        (count, n), valid until its next call. state: what this rule returned as the state of the last step, at first
        what `begin` returned. The rule may overwrite x. A pair (x, state) stands for a `Step` without info.
        """
