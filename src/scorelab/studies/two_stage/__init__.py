"""Two-stage recovery of the mean of a symmetric two-mode mixture by its own posterior mean. Each stage has a module."""

from dataclasses import dataclass
from typing import Literal

from pydantic import model_validator

from scorelab.options import Count, Options, Positive, Several
from scorelab.studies.base import Number, Study, draw_figures

#: protocol -> (learning rate, steps) of the two stages; None stands for the study's own rate
OWN = {
    "exact": ((None, 1000), (None, 1000)),
    "text": ((0.1, 500), (1.0, 1_000_000)),  # the text prints no rates; these are of the published code
    "author": ((0.1, 1500), (1.0, 20_000)),
}
#: share of the distance that one step at the study's own learning rate takes away once tanh is saturated
CONTRACTION = 0.01


DISTANCE = Number(
    "two_stage.stage2_distance_mean",
    "|mu - mu*| after stage 2",
    "|mu - mu*|",
    "floor",
    error="two_stage.stage2_distance_standard_error",
    reference="two_stage.floor",
    scale="log",
)
NORM = Number(
    "two_stage.stage2_norm_mean",
    "|mu| after stage 2",
    "|mu|",
    "exact",
    error="two_stage.stage2_norm_standard_error",
    reference="two_stage.norm_exact",
)
COSINE = Number(
    "two_stage.stage1_cosine_mean",
    "|cos| of the angle to mu* after stage 1",
    "cosine",
    error="two_stage.stage1_cosine_standard_error",
)
FLOOR = Number("two_stage.floor", "|mu - mu*| with known signs", "floor")
POPULATION = Number(
    "two_stage.population.stage2_distance_mean",
    "|mu - mu*| over the population",
    error="two_stage.population.stage2_distance_standard_error",
)
DIVERGED = Number("two_stage.diverged_count", "starts that diverged", "diverged")


class Stage(Options):
    """A stage.

    t: signal-to-noise ratio, the time of stochastic localization. lr: learning rate of the loss per coordinate. steps:
    number of steps of gradient descent. Where lr or steps is null, the protocol gives its value.
    """

    t: Positive
    lr: Positive | None
    steps: Count | None


@dataclass(frozen=True)
class Plan:
    """A stage with its numbers filled in. number: 1 or 2."""

    number: int
    t: float
    lr: float
    steps: int


class TwoStage(Study):
    """Gradient descent on mu for 1/2 N(mu*, I) + 1/2 N(-mu*, I), mu* = constant (1, ..., 1), first at high, then at low
    noise: Visconti 2025, sections 8.1 and 8.2, figure 9.

    n: dimension. constant: each coordinate of mu*. samples: N of a start. starts: independent repetitions, each with a
    random start mu_0 ~ N(0, initial_std^2 I), samples and noise of its own.
    stage1, stage2: see `Stage`. objective: the loss that is descended, |X - m(Y_t)|^2 of stochastic localization or
    |score + Z/cos|^2 of DDPM at the same signal-to-noise ratio.
    protocol: `exact` (gradients of the objective), `text` (the approximate gradients printed in section 8) or `author`
    (the published code: noise drawn once, and dropped from the loss of the second stage).
    loss: whether the loss is a mean over `samples` or over the `population`. noise: whether a loss over samples takes
    the expectation over the noise (`averaged`), or the noise is `drawn` once for each sample and stage; the protocol
    `author` does not use this key.
    """

    uses = ()
    stages = {"train": ".train", "analyse": ".analyse", "plot": draw_figures}
    figures = {"two_stage": ".figure"}
    sections = ".numbers"
    headline = (COSINE, NORM, DISTANCE, POPULATION, DIVERGED)
    columns = (COSINE, NORM, DISTANCE, FLOOR, DIVERGED)
    compared = (DISTANCE, COSINE)
    goal = "two_stage.stage2_distance_mean"

    n: Several
    constant: Positive
    samples: Several
    starts: Several
    initial_std: Positive
    stage1: Stage
    stage2: Stage
    objective: Literal["stochastic_localization", "ddpm"]
    protocol: Literal["exact", "text", "author"]
    loss: Literal["samples", "population"]
    noise: Literal["averaged", "drawn"]

    @model_validator(mode="after")
    def _check(self):
        if not self.stage1.t < self.stage2.t:
            given = f"stage1.t = {self.stage1.t:g}, stage2.t = {self.stage2.t:g}"
            raise ValueError(f"{given}: the first stage has more noise, that is, a smaller t")
        if self.protocol == "author" and self.objective == "ddpm":
            raise ValueError("objective = ddpm: protocol=author has stochastic_localization alone")
        return self

    def star(self):
        """mu*, a tensor (n,)."""
        import torch

        return torch.full((self.n,), self.constant, dtype=torch.float64)

    @property
    def plans(self) -> tuple[Plan, Plan]:
        """The plans of the first and of the second stage."""
        return tuple(self._plan(number, stage) for number, stage in enumerate((self.stage1, self.stage2), 1))

    def _plan(self, number: int, stage: Stage) -> Plan:
        lr, steps = OWN[self.protocol][number - 1]
        if lr is None:  # where tanh = +-1, the second derivative in every direction is 2 cos^4/n; for ddpm 2 sin^2/n
            sin2, cos2 = stage.t / (1 + stage.t), 1 / (1 + stage.t)
            lr = CONTRACTION * self.n / (2 * sin2 if self.objective == "ddpm" else 2 * cos2**2)
        return Plan(number, stage.t, stage.lr or lr, stage.steps or steps)
