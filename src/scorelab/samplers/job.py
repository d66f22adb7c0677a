"""The job that samples: how many samples it makes, by which rule, and what it returns."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import InstanceOf

from scorelab.options import Count, Natural, Options, Several
from scorelab.samplers.base import Sampler


class Sampling(Options):
    """How many samples a job makes, in how many steps of which rule.

    count: samples, >= 2. steps: steps on the schedule's grid, >= 1; a grid of K points has K - 1 steps.
    batch_size: samples held in memory at once, rounded to a multiple of 256; no result depends on it.
    output: what the job returns for the last state x at the last angle phi,
        scaled          x / sin(phi), which is Y_T / T: X plus noise of variance 1/T (the paper's)
        posterior_mean  m(x; phi)
        posterior_draw  m(x; phi) plus Gaussian noise with the variance of the posterior (see `loop.posterior_draw`)
    seed: of the noise of the samples, >= 0; None is the seed of the run.
    rule: the sampling rule; in a configuration its `_target_` and its keys stand beside these keys.
    """

    count: Several
    steps: Count
    batch_size: Count
    output: Literal["scaled", "posterior_mean", "posterior_draw"]
    seed: Natural | None = None
    rule: InstanceOf[Sampler]

    added: ClassVar[Mapping[str, Any]] = {"seed": None}

    @property
    def nfe(self) -> int:
        """Denoiser evaluations per sample."""
        return self.rule.nfe(self.steps) + (self.output != "scaled")

    def require(self, schedule, denoiser) -> None:
        """Raise ValueError if the schedule has no grid of so many steps, or the rule cannot run on it or with the
        denoiser; see `Sampler.require`."""
        if self.rule.visits_grid:
            schedule.require_steps(self.steps)
        self.rule.require(schedule, denoiser)

    def angles(self, schedule, risk=None):
        """The angles that the job visits, (steps + 1,). risk: see `Grid.angles`."""
        return self.rule.angles(schedule, self.steps, risk)

    def end_angle(self, schedule) -> float:
        """The last angle that the job visits."""
        return self.rule.end_angle(schedule)


#: the keys of a job, which stand in a configuration beside the keys of its rule
JOB_KEYS = tuple(name for name in Sampling.model_fields if name != "rule")
