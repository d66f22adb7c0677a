"""Sampling the model of Sherrington and Kirkpatrick by AMP and stochastic localization. The stages are `analyse` and
`plot`."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from scorelab.options import Count, Options, Positive, Several, in_order
from scorelab.studies.amp import Amp
from scorelab.studies.base import Number, Study, draw_figures

#: n of the model, whose couplings join at least two spins; exact sums end at 22
Size = Several
Small = Annotated[Several, Field(le=20)]


class Exact(Options):
    """Sizes where the samples are compared with sums over all states.

    sizes: n, each at most 20. matrices: for each n. samples: for each matrix, at least 40.
    """

    sizes: Annotated[list[Small], BeforeValidator(in_order)] = Field(min_length=1)
    matrices: Several
    samples: Annotated[Several, Field(ge=40)]


class Large(Options):
    """Sizes where the samples are compared with the limits as n grows. sizes: n. samples: for each n, >= 3."""

    sizes: Annotated[list[Size], BeforeValidator(in_order)] = Field(min_length=1)
    samples: Annotated[Several, Field(ge=3)]


class Chains(Options):
    """Markov chains beside the diffusion, at equal cost. n: spins. betas: inverse temperatures. count: chains, and
    samples of the diffusion, >= 3. levels: temperatures of parallel tempering. steps: numbers of steps of the
    diffusion."""

    n: Size
    betas: Annotated[list[Positive], BeforeValidator(in_order)] = Field(min_length=1)
    count: Annotated[Several, Field(ge=3)]
    levels: Several
    steps: Annotated[list[Count], BeforeValidator(in_order)] = Field(min_length=1)


class SpinGlass(Study):
    """P(x) ~ exp(beta/2 <x, A x>) on {-1, 1}^n with a random matrix A, sampled with the posterior mean of AMP:
    CS 224 lecture 24, section 3.

    betas: inverse temperatures, each > 0. T: the end of stochastic localization. steps: on a grid uniform in sqrt(t),
    an even number. exact, large, amp, chains: see `Exact`, `Large`, `Amp` and `Chains`. iterates_at: the precisions t
    at which the iterates of AMP are laid beside state evolution.
    """

    uses = ()
    stages = {"analyse": ".analyse", "plot": draw_figures}
    figures = {"spin_glass": ".figure"}
    sections = ".numbers"
    headline = (
        Number("spin_glass.exact.error_over_floor", "error of pair correlations over that of exact samples, beta < 1"),
        Number("spin_glass.large.energy_off", "largest error of the energy over beta, beta < 1, largest n"),
        Number("spin_glass.large.overlap_off", "largest error of n E R^2 over 1/(1 - beta^2), the same"),
        Number("spin_glass.iterates.off", "largest error of state evolution for |m|^2/n, largest n, beta < 1"),
    )
    columns = headline
    goal = "spin_glass.exact.error_over_floor"

    betas: Annotated[list[Positive], BeforeValidator(in_order)] = Field(min_length=1)
    T: Positive
    steps: Annotated[int, Field(ge=2, multiple_of=2)]
    amp: Amp
    exact: Exact
    large: Large
    iterates_at: Annotated[list[Positive], BeforeValidator(in_order)] = Field(min_length=1)
    chains: Chains
