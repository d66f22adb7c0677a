"""Statements of the seeds, each with the measurement that decides on it. One module a subject."""

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
