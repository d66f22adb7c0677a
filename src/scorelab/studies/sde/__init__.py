"""Stochastic differential equations and the schemes that solve them, on equations whose solution is known. The stages
are `analyse` and `plot`."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from scorelab.options import Count, Options, Positive, Several, in_order
from scorelab.studies.base import Number, Study, draw_figures

#: protocol -> kappa, and the square of the volatility over gamma sigma^2
OU = {"text": (1.0, 1.0), "author": (0.1, 0.5)}
#: protocol -> the end of the paths
END = {"text": 10.0, "author": 100.0}

Coordinate = Annotated[float, Field(ge=-1e6, le=1e6)]
#: a coefficient of an equation; the moments of its solution stay in double precision
Coefficient = Annotated[Positive, Field(le=5)]

_AT = "sde.schemes.SCHEME"


class Schemes(Options):
    """Geometric Brownian motion and OU by both schemes. mu, sigma, start: of both equations. T: the end. counts:
    numbers of steps, each a divisor of the largest. paths: Brownian motions. batches: parts of them,
    for standard errors."""

    mu: Coefficient
    sigma: Coefficient
    start: Annotated[Positive, Field(le=1e6)]
    T: Annotated[Positive, Field(le=10)]
    counts: Annotated[list[Annotated[Count, Field(le=2**16)]], BeforeValidator(in_order)]
    paths: Annotated[Several, Field(ge=100)]
    batches: Annotated[Several, Field(ge=10, le=100)]

    @field_validator("counts")
    @classmethod
    def _nested(cls, counts):
        if len(counts) < 4:
            raise ValueError("at least 4 values that differ are needed for an order")
        odd = [count for count in counts if counts[-1] % count]
        if odd:
            raise ValueError(f"{odd[0]} does not divide {counts[-1]}: all paths follow the increments of the largest")
        return counts


class Ornstein(Options):
    """The OU process that models SGD. optimum: theta*, a path for each. start: where all begin. gamma, sigma: of SGD.
    dt: step of Euler-Maruyama. t_max: the end; None for the protocol's. replicas: sets of paths that are measured."""

    optimum: Annotated[list[Coordinate], Field(min_length=1, max_length=10)]
    start: Coordinate
    gamma: Annotated[Positive, Field(le=10)]
    sigma: Annotated[Positive, Field(le=1e6)]
    dt: Positive
    t_max: Positive | None
    replicas: Several


class Sde(Study):
    """Strong and weak errors of Euler-Maruyama and Milstein, and the OU process of figure 16: Ge's thesis,
    sections 4.3, 8.2 and 8.5.

    protocol: of the OU process, `text` (kappa = 1, volatility sqrt(gamma) sigma) or `author` (the published code: kappa
    = 0.1, volatility sqrt(gamma/2) sigma). schemes, ou: see `Schemes` and `Ornstein`.
    """

    uses = ()
    stages = {"analyse": ".analyse", "plot": draw_figures}
    figures = {"orders": ".figures.orders", "ou": ".figures.ou"}
    sections = ".numbers"
    headline = (
        Number(f"{_AT}.strong_order", "strong order, SCHEME", "strong order, SCHEME", "exact"),
        Number(f"{_AT}.weak_order", "weak order of the mean, SCHEME", "weak order, SCHEME", "exact"),
        Number("sde.ou.end.variance", "variance of the OU process at the end", "variance of OU", "exact"),
        Number("sde.ou.inside", "share of paths within 2 s.d. at the end", "inside", "exact"),
    )
    columns = headline
    goal = "sde.ou.end.variance"

    protocol: Literal["text", "author"]
    schemes: Schemes
    ou: Ornstein

    @model_validator(mode="after")
    def _check(self):
        if self.kappa * self.ou.dt >= 2:
            raise ValueError(f"ou.dt = {self.ou.dt:g}: allowed is a number below 2/kappa = {2 / self.kappa:g}")
        if not 1 <= self.steps <= 10**5:
            raise ValueError(f"ou.dt = {self.ou.dt:g}: from 1 to 100000 steps are needed until t = {self.end:g}")
        return self

    def memory_needed(self, n):
        """One batch of increments, and the states of the OU paths."""
        whole = self.schemes
        increments = 8.0 * 3 * whole.counts[-1] * whole.paths / whole.batches
        return {"schemes.paths": increments, "ou.replicas": 8.0 * 20 * self.ou.replicas * len(self.ou.optimum)}

    @property
    def kappa(self) -> float:
        """The rate at which the OU process reverts."""
        return OU[self.protocol][0]

    @property
    def volatility(self) -> float:
        """The factor of dB of the OU process."""
        return (OU[self.protocol][1] * self.ou.gamma) ** 0.5 * self.ou.sigma

    @property
    def end(self) -> float:
        """The end of the OU paths."""
        return self.ou.t_max or END[self.protocol]

    @property
    def steps(self) -> int:
        """Steps of Euler-Maruyama until the end."""
        return round(self.end / self.ou.dt)
