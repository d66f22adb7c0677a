"""Claims on Langevin dynamics: a wrong formula gets another verdict."""

import pytest

from scorelab.claims import CORRECTED, FAILS, HOLDS, Budget, judge
from scorelab.claims.registry import every_claim
from scorelab.studies.langevin import claims as langevin

WRONG = {
    "steps that shrink with the noise, not with its square": (
        "S0-05",
        "printed_step_size",
        lambda sigma, last, c: c * sigma / last,
        FAILS,
    ),
    "the printed order as the right one": ("S0-05", "corrected_levels", langevin.printed_levels, FAILS),
    "the right order as the printed one": ("S0-05", "printed_levels", langevin.corrected_levels, HOLDS),
    "twice the drift": ("S1-05", "corrected_drift", lambda score: 2 * score, FAILS),
    "the right sign as the printed one": ("S1-05", "printed_drift", langevin.corrected_drift, HOLDS),
    "modes that are not apart": ("S0-04", "DISTANCE", 2.0, FAILS),
}


@pytest.mark.parametrize("name", WRONG)
def test_another_formula_gets_another_verdict(name, monkeypatch):
    claim, formula, mutated, verdict = WRONG[name]
    monkeypatch.setattr(langevin, formula, mutated)
    assert judge(every_claim()[claim].measure(Budget(quick=True, seed=0, claim=claim))) == verdict
    assert every_claim()[claim].recorded in (HOLDS, CORRECTED)
    assert every_claim()[claim].recorded != verdict
