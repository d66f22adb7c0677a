"""Claims: statements of the literature, each with a measurement that gives a verdict on it.

The claims of a subject are in its folder below `scorelab.studies`.
"""

from scorelab.claims.claim import (
    CORRECTED,
    FAILS,
    HOLDS,
    Budget,
    Claim,
    Comparison,
    Evidence,
    at_least,
    at_most,
    claim,
    equal,
    judge,
)

__all__ = [
    "CORRECTED",
    "FAILS",
    "HOLDS",
    "Budget",
    "Claim",
    "Comparison",
    "Evidence",
    "at_least",
    "at_most",
    "claim",
    "equal",
    "judge",
]
