"""Z2 synchronization: sampling the signs behind a noisy outer product, beside the best overlap that there is. The
stages are `analyse` and `plot`."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from scorelab.options import Count, Options, Positive, Several, in_order
from scorelab.studies.amp import Amp
from scorelab.studies.base import Number, Study, draw_figures


class Sizes(Options):
    """Matrices of some size. n: signs. matrices: draws of theta and A. samples: for each, >= 3."""

    n: Several
    matrices: Several
    samples: Annotated[Several, Field(ge=3)]


class Small(Sizes):
    """Sizes whose posterior is summed exactly; n is at most 20."""

    n: Annotated[Several, Field(le=20)]


class Synchronization(Study):
    """Signs theta seen through A = (lambda/n) theta theta^T + W, sampled from their posterior by stochastic
    localization with the posterior mean of AMP: CS 224 lecture 24, section 3.

    strengths: lambda, each > 0. T: the end of stochastic localization. steps: on a grid uniform in sqrt(t). exact,
    large, amp: see `Small`, `Sizes` and `Amp`. estimate_iterations: iterations of AMP from the spectral estimator,
    without an observation beside A.
    """

    uses = ()
    stages = {"analyse": ".analyse", "plot": draw_figures}
    figures = {"synchronization": ".figure"}
    sections = ".numbers"
    headline = (
        Number(
            "synchronization.large.gap_largest", "largest gap, overlap with theta and between samples, large n", "gap"
        ),
        Number("synchronization.large.off", "largest error of the overlap with theta", "error"),
        Number("synchronization.exact.gap_largest", "largest gap, small n", "gap, small n"),
    )
    columns = headline
    goal = "synchronization.large.gap_largest"

    strengths: Annotated[list[Positive], BeforeValidator(in_order)] = Field(min_length=1)
    T: Positive
    steps: Count
    amp: Amp
    estimate_iterations: Count
    exact: Small
    large: Sizes
