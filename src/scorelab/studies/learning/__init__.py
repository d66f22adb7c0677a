"""How the denoising objective is learned by gradient descent, beside power iteration and EM. One module a stage."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

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
    """t: signal-to-noise ratio, the time of stochastic localization. rate: of half the gradient. steps: of descent."""

    t: Positive
    rate: Positive
    steps: Count


class Regimes(Options):
    """The map. norms: |mu*|. times, ratios: ends of the axes t and |mu|/|mu*|. points: along either. angle: between mu
    and mu*. tolerance: relative error of the step up to which an approximation holds."""

    norms: list[Positive] = Field(min_length=1)
    times: Ends
    ratios: Ends
    points: Several
    angle: Angle
    tolerance: OpenUnit


class Modes(Options):
    """K modes of N(mu_k, I) in n dimensions, any two means `separation` apart.

    samples, repeats: N and the number of independent sets of them; cold: that number where recoveries are counted.
    t, annealed: the noise level of the descent, and those of the annealed one, which takes an equal share of the steps
    at each. rate: of K/2 times the gradient. steps: in all. warm: how far the means of a warm start are off; those of a
    cold one are K samples. tolerance: how far off the worst mean of a recovery may be; both over `separation`. sizes: N
    of the error's decay. separations: of the recoveries from cold starts.
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
    """Gradient descent on the denoising objective: 002_d471936793a219f4.txt; 001_4ca3c1340e19a977.txt, section 3.

    n, norm: dimension, and |mu*|, of 1/2 N(mu*, I) + 1/2 N(-mu*, I). initial_norm: |mu_0|/|mu*|. samples, starts: N and
    the number of independent starts. objectives: what is descended. levels: name -> see `Level`. regimes, modes: see
    there.
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
