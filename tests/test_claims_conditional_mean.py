"""Claims on the conditional mean: a wrong formula gets another verdict."""

import math

import pytest
import torch

from scorelab.claims import CORRECTED, FAILS, HOLDS, Budget, judge
from scorelab.claims.registry import every_claim
from scorelab.studies.conditional_mean import claims as conditional_mean

P, A = conditional_mean.P, conditional_mean.A
WRONG = {
    "half of the log-odds in (15)": (
        "S0-10",
        "printed_weight_15",
        lambda y, t: torch.tanh(conditional_mean.printed_weight_14(y, t)),
        FAILS,
    ),
    "another sign of the prior in (14)": (
        "S0-10",
        "printed_weight_14",
        lambda y, t: conditional_mean.printed_weight_15(y, t, 1 - P) * 1.0,
        FAILS,
    ),
    "the other power of t made right": (
        "S0-12",
        "printed_early_weight",
        conditional_mean.corrected_early_weight,
        HOLDS,
    ),
    "twice the exponent at small t": (
        "S0-12",
        "corrected_early_weight",
        lambda noise, t: conditional_mean.printed_early_weight(2 * noise * t, t),
        FAILS,
    ),
    "half the slope of clean data": (
        "S0-13",
        "corrected_late_weight",
        lambda u: torch.sigmoid(math.log(P / (1 - P)) + A**2 * (u - 0.5 + P) / 2),
        FAILS,
    ),
    "twice the slope in the state": ("S0-14", "corrected_state_slope", lambda t: 0.5 / (t + 1), FAILS),
    "a sign in t_sharp": ("S0-15", "corrected_sharp_time", lambda h: 4 * h / (A**2 + 4 * h), FAILS),
}


@pytest.mark.parametrize("name", WRONG)
def test_another_formula_gets_another_verdict(name, monkeypatch):
    claim, formula, mutated, verdict = WRONG[name]
    measured = every_claim()[claim]
    budget = Budget(quick=True, seed=0, claim=claim)
    assert judge(measured.measure(budget)) in (HOLDS, CORRECTED)
    monkeypatch.setattr(conditional_mean, formula, mutated)
    assert judge(measured.measure(budget)) == verdict
