"""The contract of a sampler."""

import abc
from typing import ClassVar, Literal

from scorelab.options import Count, Options, Several


class Sampler(Options):
    """A rule for one step between two angles, and how much is sampled with it.

    count: samples, >= 2. steps: steps on the schedule's grid, >= 1; a grid of K points has K - 1 steps.
    batch_size: samples held in memory at once, rounded to a multiple of 256; no result depends on it.
    output: what is returned of the last state x at the grid's last angle phi,
        scaled          x / sin(phi), which is Y_T / T: X plus noise of variance 1/T (the paper's)
        posterior_mean  m(x; phi)
        posterior_draw  m(x; phi) plus Gaussian noise of the posterior's own variance (see `loop.posterior_draw`)
    """

    count: Several
    steps: Count
    batch_size: Count
    output: Literal["scaled", "posterior_mean", "posterior_draw"]

    #: order of the global error as the grid is refined, weak for rules that draw noise
    order: ClassVar[int]
    #: denoiser evaluations a step
    evaluations: ClassVar[int] = 1
    #: what may help where the state diverges
    remedy: ClassVar[str] = "more sampler.steps, or a denoiser trained at this angle, may help"

    @property
    def nfe(self) -> int:
        """Denoiser evaluations a sample."""
        return self.steps * self.evaluations + (self.output != "scaled")

    def require(self, schedule, denoiser) -> None:
        """Raise ValueError if this rule cannot run on the schedule, or with the denoiser.

        denoiser: anything with the attribute `exact`, whether it is the exact posterior mean of its target.
        """
        schedule.require_steps(self.steps)

    def angles(self, schedule, risk=None):
        """The angles that the rule visits, (steps + 1,): the schedule's grid."""
        return schedule.angles(self.steps, risk)

    def end_angle(self, schedule) -> float:
        """The last of them."""
        return schedule.end_angle

    def begin(self, schedule, angles):
        """What the first step finds in `memory`; `angles`: the grid, as floats."""
        return None

    @abc.abstractmethod
    def step(self, denoiser, x, angle, next_angle, noise, memory):
        """Take x (count, n) from `angle` to `next_angle`; return the new x and the memory for the next step.

        angle, next_angle: floats, in radians. noise: a function of no argument that returns standard normal draws
        (count, n), valid until its next call. memory: whatever this rule returned for the last step, at first what
        `begin` returned. The rule may overwrite x.
        """
