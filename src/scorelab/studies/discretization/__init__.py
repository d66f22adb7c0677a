"""The three terms of the discretization theorem, each measured by itself. The stages are `analyse` and `plot`."""

from typing import Annotated

from pydantic import BeforeValidator, Field, field_validator

from scorelab.options import Angle, Count, NonNegative, OpenUnit, Options, Positive, Several, in_order
from scorelab.studies.base import Number, Study, draw_figures

#: where the numbers of a target stand in metrics.json
_AT = "discretization.targets.TARGET"

#: a number in (0, 1]
Share = Annotated[Positive, Field(le=1)]


class Target(Options):
    """p N((1-p) a + b, I) + (1-p) N(-p a + b, I) in n dimensions, b parallel to a.

    label: name in the figure. distance: |a|. mean: mean of <x, a>/|a|.
    """

    label: str
    n: Count
    p: OpenUnit
    distance: NonNegative
    mean: float

    def modes(self):
        """The mixture as a `scorelab.studies.discretization.theory.Modes`."""
        from scorelab.studies.discretization.theory import Modes

        return Modes(self.n, self.p, self.distance, self.mean)


class PaperSetting(Options):
    """The setting of the semester paper. steps: numbers of steps of Euler-Maruyama. alpha_max: the last angle."""

    steps: Annotated[list[Several], BeforeValidator(in_order)] = Field(min_length=1)
    alpha_max: Angle


class Discretization(Study):
    """Total variation between the law of the discretized reverse OU process and the target, CS 224 lecture 24,
    section 2.2: what the start, the steps and the score add to it, each compared with its term of theorem 1.

    targets: name -> see `Target`. times: T of the initialisation. horizon: T of all other measurements. shares: step
    sizes as h L. errors: L2 norms eps of the score's error. error_share: h L of the steps with an error of the score.
    localization: see `PaperSetting`.
    """

    uses = ()
    stages = {"analyse": ".analyse", "plot": draw_figures}
    figures = {"discretization": ".figure"}
    sections = ".numbers"
    headline = (
        Number(f"{_AT}.initialisation.rate", "TARGET: slope of log TV in T (theorem: -1)", "rate in T, TARGET"),
        Number(f"{_AT}.discretization.rate", "TARGET: order in the step h (theorem: 1/2)", "order in h, TARGET"),
        Number(f"{_AT}.score.weight.rate", "TARGET: order in the score error eps (theorem: 1)", "order in eps, TARGET"),
        Number(f"{_AT}.total.ratio_max", "TARGET: largest TV over the bound", "share of bound, TARGET"),
    )
    columns = (headline[1], headline[3])

    targets: dict[str, Target] = Field(min_length=1)
    times: list[Positive] = Field(min_length=4)
    horizon: Positive
    shares: list[Share] = Field(min_length=4)
    errors: list[Positive] = Field(min_length=4)
    error_share: Share
    localization: PaperSetting

    @field_validator("times", "shares", "errors")
    @classmethod
    def _distinct(cls, values):
        values = in_order(values)
        if len(values) < 4:
            raise ValueError("at least 4 values that differ are needed for a rate")
        return values
