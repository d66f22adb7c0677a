"""Gradient descent on the denoising objective, compared with power iteration and EM. Each stage has a module."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from scorelab.options import Angle, Count, OpenUnit, Options, Positive, Several, in_order, with_identifiers
from scorelab.studies.base import Number, Study, draw_figures

ERROR = Number(
    "learning.levels.LEVEL.samples.RULE.error",
    "two modes, LEVEL: |mu - mu*| of RULE",
    held="floor",
    reference="learning.floor",
    scale="log",
)
COSINE = Number("learning.levels.LEVEL.samples.ddpm.cosine", "cosine of ddpm, LEVEL", "cosine, LEVEL")
WARM = Number(
    "learning.modes.warm.RULE.error",
    "K modes, warm start: error of RULE",
    "warm error, RULE",
    "floor",
    reference="learning.modes.floor_fisher",
    scale="log",
)
WARM_FLOOR = Number("learning.modes.floor_fisher", "error of a mean by the Cramer-Rao bound", "error floor")
RECOVERED = Number(
    "learning.modes.cold.RULE.recovered", "K modes, cold start: share recovered by RULE", "cold recovered, RULE"
)

#: the least and the largest value of an axis
Ends = Annotated[list[Positive], BeforeValidator(in_order), Field(min_length=2, max_length=2)]


class Level(Options):
    """A noise level.

    t: signal-to-noise ratio, the time of stochastic localization. rate: factor of half the gradient in a step. steps:
    number of steps of the descent.
    """

    t: Positive
    rate: Positive
    steps: Count


def _distinct(values):
    if len(set(values)) < len(values):
        raise ValueError("distinct numbers are needed")
    return values


class Regimes(Options):
    """The map of which approximation of a step holds.

    norms: values of |mu*|. times, ratios: ends of the axes t and |mu|/|mu*|. points: number of points on each axis.
    angle: angle between mu and mu*, in radians. tolerance: an approximation holds where the relative error of its step
    is at most this.
    """

    norms: Annotated[list[Positive], Field(min_length=1), AfterValidator(_distinct)]
    times: Ends
    ratios: Ends
    points: Several
    angle: Angle
    tolerance: OpenUnit


class Modes(Options):
    """K modes N(mu_k, I) in n dimensions; any two means are `separation` apart.

    samples: N. repeats: number of independent sets of N samples. cold: number of these sets for each of `separations`.
    t: noise level of the descent. annealed: noise levels of the annealed descent, which takes an equal share of the
    steps at each level. rate: factor of K/2 times the gradient in a step. steps: number of steps over all levels. warm:
    distance of each mean of a warm start from the true mean, over `separation`; the means of a cold start are K of the
    samples. tolerance: largest error of the worst mean with which a start still recovers the means, over `separation`.
    sizes: values of N at which the decay of the error is measured. separations: distances of the modes at which
    recoveries from cold starts are counted.
    """

    K: Several
    n: Several
    separation: Positive
    samples: Several
    repeats: Several
    cold: Several
    t: Positive
    annealed: list[Positive] = Field(min_length=1)
    rate: Positive
    steps: Count
    warm: OpenUnit
    tolerance: OpenUnit
    sizes: Annotated[list[Several], BeforeValidator(in_order)] = Field(min_length=1)
    separations: Annotated[list[Positive], BeforeValidator(in_order)] = Field(min_length=1)

    @model_validator(mode="after")
    def _check(self):
        if self.n < self.K:
            raise ValueError(f"n = {self.n}: K = {self.K} means at equal distances need n >= K")
        if self.steps < len(self.annealed):
            raise ValueError(f"steps = {self.steps}: at least one for each of the {len(self.annealed)} noise levels")
        if min(self.samples, *self.sizes) < self.K:
            raise ValueError(f"samples, sizes: at least K = {self.K} are needed for a cold start")
        return self

    @property
    def times(self) -> dict[str, list[float]]:
        """Name of a descent -> its noise levels."""
        return {"ddpm": [self.t], "annealed": self.annealed}


class Learning(Study):
    """Gradient descent on the denoising objective: Zhang 2024; CS 224 lecture 24, section 3.

    n: dimension. norm: |mu*| of the mixture 1/2 N(mu*, I) + 1/2 N(-mu*, I). initial_norm: |mu_0|/|mu*|. samples: N of a
    start. starts: number of independent starts. objectives: losses that are descended. levels: name -> `Level`.
    regimes: see `Regimes`. modes: see `Modes`.
    """

    uses = ()
    stages = {"train": ".train", "analyse": ".analyse", "plot": draw_figures}
    figures = {
        "learning": ".figures.learning",
        "learning_regimes": ".figures.regimes",
        "learning_modes": ".figures.modes",
    }
    sections = ".numbers"
    headline = (ERROR, WARM, RECOVERED)
    columns = (COSINE, WARM, WARM_FLOOR, RECOVERED)
    compared = (WARM, RECOVERED)
    goal = "learning.modes.warm.ddpm.error"

    n: Several
    norm: Positive
    initial_norm: Positive
    samples: Several
    starts: Several
    objectives: list[Literal["ddpm", "stochastic_localization"]] = Field(min_length=1)
    levels: dict[str, Level] = Field(min_length=1)
    regimes: Regimes
    modes: Modes

    _names = field_validator("levels")(with_identifiers)

    @field_validator("objectives")
    @classmethod
    def _once(cls, objectives):
        return list(dict.fromkeys(objectives))
