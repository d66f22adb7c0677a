"""Stochastic gradient descent on least squares, and the stochastic differential equations that model it. The stages are
`analyse` and `plot`."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from scorelab.options import Count, Fraction, Options, Positive, Several, in_order, with_identifiers
from scorelab.studies.base import Number, Study, draw_figures

#: protocol -> law of the step -> its number where the study gives none
STEP = {"text": {"constant": 0.01, "decreasing": 0.1}, "author": {"constant": 0.01, "decreasing": 0.5}}
#: protocol -> the factor of the step in front of x (<theta, x> - y)
FACTOR = {"text": 1.0, "author": 2.0}

#: a step size; the moments of the equations stay in double precision for some steps
StepSize = Annotated[Positive, Field(le=10)]
Steps = Annotated[Count, Field(le=10**5)]
Coordinate = Annotated[float, Field(ge=-1e6, le=1e6)]

_AT = "sgd.stationary.STEP"


class Stationary(Options):
    """Steps of one size whose limit is measured. steps: name -> gamma. most: no more steps are simulated."""

    steps: dict[str, StepSize]
    most: Count

    @field_validator("steps")
    @classmethod
    def _named(cls, steps):
        return with_identifiers(steps)


class Distance(Options):
    """SGD and the equations at one time. T: the time. counts: numbers of steps of SGD until T."""

    T: Annotated[Positive, Field(le=100)]
    counts: Annotated[list[Steps], BeforeValidator(in_order)]

    @field_validator("counts")
    @classmethod
    def _enough(cls, counts):
        if len(counts) < 4:
            raise ValueError("at least 4 values that differ are needed for an order")
        return counts


class Sgd(Study):
    """SGD on least squares beside the equations of section 4: Ge's thesis, sections 3.3 and 4.

    protocol: `text` (inputs N(0, I), step gamma x (<theta, x> - y), squared distance) or `author` (the published code:
    inputs uniform on [0, 5], 2 gamma x (<theta, x> - y), half the distance). optimum: theta*. start: theta_0. sigma:
    standard deviation of the noise. law: `constant`, or `decreasing` for step/t at t = 1, 2, .... step: gamma; None for
    the protocol's. steps: number of steps. runs: runs that are drawn. replicas: runs that are measured, the drawn ones
    among them. measured_at: steps at which they are measured; the last step is. average_from: share of the steps
    that the average of Polyak and Ruppert leaves out, at the beginning. stationary, distance: see `Stationary` and
    `Distance`.
    """

    uses = ()
    stages = {"analyse": ".analyse", "plot": draw_figures}
    figures = {"descent": ".figures.descent", "models": ".figures.models"}
    sections = ".numbers"
    headline = (
        Number("sgd.end.mean_square", "E|theta - theta*|^2 at the end", "E|delta|^2", "exact", scale="log"),
        Number("sgd.end.average", "the same of the average", "of the average", "exact", scale="log"),
        Number("sgd.diverged.share", "share of runs that diverged", "diverged"),
        Number("sgd.threshold", "gamma from which on it explodes", "threshold"),
        Number(f"{_AT}.mean_square", "its limit, STEP", "limit, STEP", "exact"),
        Number(f"{_AT}.worst", "furthest entry of its covariance, STEP (s.e.)", "worst, STEP"),
        Number("sgd.distance.modified.gelbrich_order", "order of W2 to the modified equation", "order"),
        Number("sgd.distance.second_order.gelbrich_order", "order of W2 to that of second order", "order, second"),
        Number("sgd.distance.ou.gelbrich_order", "order of W2 to the OU process", "order, OU"),
    )
    columns = (headline[0], headline[2])
    goal = "sgd.end.mean_square_exact"

    protocol: Literal["text", "author"]
    optimum: Annotated[list[Coordinate], Field(min_length=2, max_length=10)]
    start: Annotated[list[Coordinate], Field(min_length=2, max_length=10)] | None
    sigma: Annotated[float, Field(ge=1e-6, le=1e6)]
    law: Literal["constant", "decreasing"]
    step: StepSize | None
    steps: Steps
    runs: Annotated[Count, Field(le=100)]
    replicas: Several
    measured_at: Annotated[list[Count], BeforeValidator(in_order)]
    average_from: Fraction
    stationary: Stationary
    distance: Distance

    @model_validator(mode="after")
    def _check(self):
        if self.start is not None and len(self.start) != len(self.optimum):
            raise ValueError(f"start = {self.start}: {len(self.optimum)} coordinates are needed, as optimum has")
        if self.runs > self.replicas:
            raise ValueError(f"runs = {self.runs}: at most replicas = {self.replicas} are drawn")
        return self

    def memory_needed(self, n):
        """The replicas, with their inputs; the drawn runs are few."""
        return {"replicas": 8.0 * 8 * len(self.optimum) * self.replicas, "runs": 32.0 * self.runs * self.steps}

    @property
    def gamma(self) -> float:
        """The step, or its number c in c/t."""
        return self.step or STEP[self.protocol][self.law]

    @property
    def factor(self) -> float:
        """g over gamma: what the update has in front of gamma x (<theta, x> - y)."""
        return FACTOR[self.protocol]

    @property
    def after(self) -> int:
        """The last step that is left out of the average."""
        return int(self.average_from * self.steps)

    @property
    def inputs(self):
        """The law of x."""
        from scorelab.studies.sgd.moments import Inputs

        return Inputs.normal() if self.protocol == "text" else Inputs.uniform(5.0)

    @property
    def moments(self):
        """The exact moments of delta."""
        from scorelab.studies.sgd.moments import Moments

        return Moments(self.inputs, self.sigma, len(self.optimum))

    @property
    def sizes(self):
        """g of each step, (steps,)."""
        import numpy

        t = numpy.arange(1, self.steps + 1)
        return self.factor * self.gamma / (t if self.law == "decreasing" else numpy.ones(self.steps))

    @property
    def away(self):
        """theta_0 - theta* (d,)."""
        import numpy

        start = numpy.zeros(len(self.optimum)) if self.start is None else numpy.array(self.start)
        return start - numpy.array(self.optimum)

    def error(self, squares):
        """The error that the figures show, of squared distances."""
        return squares if self.protocol == "text" else 0.5 * squares**0.5
