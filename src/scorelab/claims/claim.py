"""What a claim is, and the one rule that turns numbers into a verdict.

A claim is declared where its measurement is written:

    @claim(
        "S0-02",
        source="Visconti 2025, section 4.1",
        statement="the score of N(x, sigma^2 I) at x~ is (x~ - x)/sigma^2",
        corrected="it is -(x~ - x)/sigma^2",
        recorded=CORRECTED,
        fault="misprint",
        finding="autograd differs from the printed form by {printed:.2g} and from the other sign by {other:.1g}.",
    )
    def score_of_the_kernel(budget): ...
        return Evidence(stated=[equal(...)], corrected=[equal(...)], numbers={"printed": ..., "other": ...})
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from scorelab.laws.estimate import DEVIATIONS
from scorelab.randomness import stream

#: seed, the source that a claim is of -> the name by which it is cited, and its title; see docs/bibliography.md
SEEDS = {
    "S0": (
        "Visconti 2025",
        "E. T. Visconti, Diffusion Models: background and a case study, semester paper, ETH Zürich, 2025",
    ),
    "S1": ("CS 224 lecture 24", "Diffusion Models, lecture 24 of CS 224, fall 2023"),
    "S2": ("Zhang 2024", "Yi Zhang, The Large and Small Noise Regimes in Diffusion Models, slides, 2024"),
    "S3": (
        "Ge's thesis",
        "Selena Ge, Stochastic Differential Equations for Large-scale Machine Learning, thesis, NYU Shanghai",
    ),
    "S4": (
        "notes on score matching",
        "notes on score matching, denoising score matching and the reverse SDE",
    ),
}
HOLDS, CORRECTED, FAILS = "holds", "holds as corrected", "fails"
#: the verdict where the error bars are too wide to decide
UNDECIDED = "undecided"
VERDICTS = (HOLDS, CORRECTED, FAILS, UNDECIDED)


@dataclass(frozen=True)
class Comparison:
    """One number held against another.

    relation: "=", "<=" or ">=", between `value` and `against`. error: standard error of their difference, 0 for
    quadrature. tolerance: the error that rounding and quadrature may add. resolution: an equality whose error bar is
    wider than this says nothing, and does not count as agreement.
    """

    what: str
    value: float
    relation: Literal["=", "<=", ">="]
    against: float
    error: float = 0.0
    tolerance: float = 0.0
    resolution: float = math.inf

    @property
    def outcome(self) -> bool | None:
        """Whether the relation is true; None where the error bar is too wide to tell."""
        gap, margin = float(self.value) - float(self.against), DEVIATIONS * float(self.error)
        if not (math.isfinite(gap) and math.isfinite(margin)):
            return False if math.isfinite(margin) and self.relation == "=" else None
        if self.relation == "=":
            if abs(gap) > self.tolerance + margin:
                return False
            return True if margin <= self.resolution else None
        gap = gap if self.relation == "<=" else -gap
        if gap + margin <= self.tolerance:
            return True
        return False if gap - margin > self.tolerance else None


def equal(what, value, against, *, error=0.0, tolerance=1e-10, resolution=None) -> Comparison:
    """`value` is `against`, within 4 standard errors and `tolerance`; by default the error bar may be at most a tenth
    of the larger of the two."""
    value, against, error = float(value), float(against), float(error)
    if resolution is None:
        resolution = 0.1 * max(abs(value), abs(against)) if error else 0.0
    return Comparison(what, value, "=", against, error, tolerance, resolution)


def at_most(what, value, against, *, error=0.0, tolerance=0.0) -> Comparison:
    """`value` <= `against`, beyond 4 standard errors."""
    return Comparison(what, float(value), "<=", float(against), float(error), tolerance)


def at_least(what, value, against, *, error=0.0, tolerance=0.0) -> Comparison:
    """`value` >= `against`, beyond 4 standard errors."""
    return Comparison(what, float(value), ">=", float(against), float(error), tolerance)


@dataclass(frozen=True)
class Evidence:
    """What a measurement found.

    stated: comparisons that are all true if the statement is true as printed. corrected: comparisons that are all true
    if the corrected statement is true. numbers: what `finding` quotes. counterexample: the smallest one that was found,
    if the statement fails. figures: name of a figure -> the arrays that it draws.
    """

    stated: list[Comparison]
    corrected: list[Comparison] = field(default_factory=list)
    numbers: dict[str, float] = field(default_factory=dict)
    counterexample: str | None = None
    figures: dict[str, dict] = field(default_factory=dict)


def judge(evidence: Evidence) -> str:
    """The verdict that follows from the comparisons: HOLDS, CORRECTED, FAILS or UNDECIDED."""
    stated, corrected = ([each.outcome for each in part] for part in (evidence.stated, evidence.corrected))
    if stated and all(stated):
        return HOLDS
    if False not in stated:
        return UNDECIDED
    if corrected and all(corrected):
        return CORRECTED
    return UNDECIDED if corrected and False not in corrected else FAILS


@dataclass(frozen=True)
class Budget:
    """What a measurement may spend.

    quick: whether a share of the draws is taken, as in the test suite. seed: the seed of the run. claim: the id of the
    claim.
    """

    quick: bool
    seed: int
    claim: str

    def of(self, full, quick):
        """`quick` for a quick measurement, else `full`."""
        return quick if self.quick else full

    def stream(self, *name):
        """A `torch.Generator` of the claim's own."""
        return stream(self.seed, "claim", self.claim, *name)


@dataclass(frozen=True)
class Claim:
    """One statement of a seed.

    id: as in "S2-03"; it starts with the seed. source: the seed as it is cited, section, equation. statement: in words
    and symbols, as printed. measure: Budget -> Evidence. recorded: the verdict that is known. corrected: the statement
    that holds in its place. fault: what is wrong with the printed statement: a `misprint` (its own source uses the
    right form elsewhere, or nothing follows from it) or an `error`. finding: a paragraph, a format string over the
    numbers of the evidence. cost: rough seconds on one core; the costliest claims start first.
    """

    id: str
    source: str
    statement: str
    measure: Callable[[Budget], Evidence] = field(repr=False)
    recorded: str
    finding: str
    corrected: str | None = None
    fault: Literal["misprint", "error"] | None = None
    cost: float = 1.0

    def __post_init__(self):
        if self.recorded not in VERDICTS:
            raise ValueError(f"{self.id}: recorded = {self.recorded}: allowed are {', '.join(VERDICTS)}")
        if (self.recorded == CORRECTED) != (self.corrected is not None):
            raise ValueError(f"{self.id}: a corrected statement goes with the verdict {CORRECTED!r}, and only with it")
        if (self.recorded in (CORRECTED, FAILS)) != (self.fault is not None):
            raise ValueError(
                f"{self.id}: a fault goes with the verdicts {CORRECTED!r} and {FAILS!r}, and only with them"
            )

    @property
    def seed(self) -> str:
        """The seed, the source of the claim: "S2" of "S2-03"."""
        return self.id.partition("-")[0]


#: id -> Claim, of every module that has been imported
REGISTRY: dict[str, Claim] = {}


def claim(id, **declared):
    """Declare the function below as the measurement of a claim; see `Claim` for the keys.

    Raises ValueError if another module has declared the id.
    """

    def register(measure):
        known = REGISTRY.get(id)
        if known is not None and known.measure.__module__ != measure.__module__:
            raise ValueError(f"{id}: declared in {known.measure.__module__} and in {measure.__module__}")
        REGISTRY[id] = Claim(id=id, measure=measure, **declared)
        return measure

    return register
