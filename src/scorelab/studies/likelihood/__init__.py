"""The variational bound of a chain and the likelihood of the probability flow, beside the exact likelihood."""

import math
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from scorelab.errors import ConfigError
from scorelab.options import Options, Positive, Several, in_order
from scorelab.studies.base import Number, Study, draw_figures

#: lengths of chains and of paths beyond it would take days
_MOST_STEPS = 100_000
_VARIANCES = ("beta", "posterior", "optimal")


class Bins(Options):
    """Data on the values low, low + width, ..., high, which the decoder p(x_0 | x_1) gives the mass of their bins, the
    first and the last bin without end (Ho, Jain and Abbeel 2020, equation 13)."""

    width: Positive
    low: float
    high: float

    @model_validator(mode="after")
    def _whole(self):
        bins = (self.high - self.low) / self.width
        if not (bins > 0.5 and abs(bins - round(bins)) < 1e-6):
            raise ValueError(
                f"width = {self.width:g}: a whole number of bins between {self.low:g} and {self.high:g} is needed"
            )
        return self


class Flow(Options):
    """The probability flow. trace: of its derivative, `exact`, `hutchinson` (random directions) or `none`, for no flow
    at all. probes: random directions of each sample. steps: of the fourth-order rule, uniform in log SNR. count: number
    of samples."""

    trace: Literal["exact", "hutchinson", "none"]
    probes: Several
    steps: Annotated[Several, Field(le=_MOST_STEPS)]
    count: Several


class Likelihood(Study):
    """The negative log-likelihood of exact samples: exact, bounded by chains of several lengths, and by the flow.

    The chains visit the grid of the run's schedule. steps: lengths T of chains. variances: of the reverse steps; see
    `theory.Chain.variances`. variance: the one of the closing table. bins: see `Bins`; null for a Gaussian decoder.
    count: samples that errors and likelihoods are measured on. flow: see `Flow`.
    """

    uses = ("target", "denoiser", "schedule", "training")
    stages = {"train": ".train", "sample": None, "analyse": ".analyse", "plot": draw_figures}
    figures = {"likelihood": ".figure", "training": "scorelab.figures.training"}
    sections = ".numbers"
    headline = (
        Number("likelihood.nll", "negative log-likelihood (nats)", "NLL", "exact"),
        Number("likelihood.bound", "bound of the chain (nats)", "bound", "exact"),
        Number("likelihood.gap", "bound minus NLL (nats)", "gap", "exact"),
        Number("likelihood.flow", "by the probability flow (nats)", "flow", "exact"),
        Number("likelihood.flow_gap", "flow minus NLL (nats)", "flow gap", "exact"),
        Number("likelihood.nll_bits_per_dimension", "negative log-likelihood (bits/dim)", "NLL, bits/dim", "exact"),
        Number("likelihood.bound_bits_per_dimension", "bound of the chain (bits/dim)", "bound, bits/dim", "exact"),
        Number("likelihood.flow_bits_per_dimension", "by the probability flow (bits/dim)", "flow, bits/dim", "exact"),
    )
    columns = headline[:5]
    compared = (headline[2], headline[4])
    goal = "likelihood.bound"

    steps: Annotated[list[Annotated[Several, Field(le=_MOST_STEPS)]], BeforeValidator(in_order)] = Field(min_length=1)
    variances: list[Literal[_VARIANCES]] = Field(min_length=1)
    variance: Literal[_VARIANCES]
    bins: Bins | None
    count: Several
    flow: Flow

    @model_validator(mode="after")
    def _known(self):
        if self.variance not in self.variances:
            raise ConfigError(f"study.variance = {self.variance}: one of study.variances is needed")
        if self.flow.trace != "none" and self.flow.count > self.count:
            raise ConfigError(f"study.flow.count = {self.flow.count}: at most study.count = {self.count} is allowed")
        return self

    def require(self, config):
        """Raise ConfigError for a length that the schedule's grid does not have."""
        for steps in self.steps:
            try:
                config["schedule"].options.require_steps(steps - 1)
            except ValueError as error:
                raise ConfigError(f"study.steps = {steps}: {error}") from None

    def memory_needed(self, n: int) -> dict[str, float]:
        """The errors of each sample at each angle, and the states and directions of the flow."""
        probes = self.flow.probes if self.flow.trace == "hutchinson" else 0
        return {
            "count": 8.0 * self.count * (sum(self.steps) + 4 * n),
            "steps": 400.0 * sum(self.steps) * len(self.variances),
            "flow.count": 8.0 * self.flow.count * n * (10 + 4 * probes) if self.flow.trace != "none" else 0.0,
        }


def bits_per_dimension(nats: float, n: int) -> float:
    """Nats a sample as bits a coordinate."""
    return nats / (n * math.log(2))
