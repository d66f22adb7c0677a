"""The contract of a sampling rule."""

import abc
from typing import Any, ClassVar, NamedTuple

from scorelab.options import Options


class Step(NamedTuple):
    """The result of one step of a rule.

    x: the new state (count, n). state: what the rule gives to its own next step. info: what the step measured,
    name -> tensor (count,); its mean over the steps goes into metrics.json under that name.
    """

    x: Any
    state: Any = None
    info: dict[str, Any] | None = None


class Sampler(Options):
    """A rule for one step between two angles. Its fields are the options of the rule alone; the numbers of samples and
    steps belong to the job that samples, a `scorelab.samplers.job.Sampling`."""

    #: order of the global error as the grid is refined; the weak order for rules that draw noise
    order: ClassVar[int]
    #: denoiser evaluations per step
    evaluations: ClassVar[int] = 1
    #: whether the rule visits the grid of the schedule; any other rule has its own `angles` and `end_angle`
    visits_grid: ClassVar[bool] = True
    #: a state this many times as long as the first has diverged
    growth: ClassVar[float] = 1e6
    #: advice for the error message when the state diverges
    remedy: ClassVar[str] = "more sampler.steps, or a denoiser trained at this angle, may help"

    def nfe(self, steps: int) -> int:
        """Denoiser evaluations per sample in so many steps."""
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

    def prepare(self, pilot) -> "Sampler":
        """The rule for all batches of a job; by default this rule.

        A rule whose step depends on the other samples of its batch measures here what it needs of them, so that no
        result depends on the batches. pilot: a function that runs a rule over the job's whole grid, on a batch of
        `scorelab.randomness.BLOCK` samples of their own.
        """
        return self

    def begin(self, schedule, angles):
        """The `state` that the first step gets; angles: the grid, a list of floats."""
        return None

    @abc.abstractmethod
    def step(self, denoiser, x, angle, next_angle, noise, state) -> Step:
        """Take x (count, n) from `angle` to `next_angle`.

        angle, next_angle: floats, in radians. noise: a function of no argument that returns standard normal draws
        (count, n), valid until its next call. state: what this rule returned as the state of the last step, at first
        what `begin` returned. The rule may overwrite x. A pair (x, state) stands for a `Step` without info.
        """
