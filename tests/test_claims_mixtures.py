"""The claim on learning mixtures: other formulas change its verdict."""

import pytest

from scorelab.claims import CORRECTED, FAILS, Budget, judge
from scorelab.claims.claim import REGISTRY, UNDECIDED
from scorelab.studies.learning.claims import mixtures

STUDENT, OBJECTIVE, POWER = mixtures.printed_student, mixtures.printed_objective, mixtures.power_direction


def verdict():
    return judge(REGISTRY["S1-06"].measure(Budget(quick=True, seed=0, claim="S1-06")))


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("printed_student", lambda x, means: STUDENT(x, 2 * means)),
        ("printed_student", lambda x, means: STUDENT(x, means) + 2 * x),
        ("printed_objective", lambda means, clean, noise, s: OBJECTIVE(means, clean, -noise, s + 1)),
        ("printed_objective", lambda *given: -OBJECTIVE(*given)),
        ("power_direction", lambda mu, star: 0.5 * POWER(mu, star)),
        ("em_update", lambda mu, star: 2 * star),
    ],
)
def test_another_formula_changes_the_verdict(name, other, monkeypatch):
    monkeypatch.setattr(mixtures, name, other)
    assert verdict() in (FAILS, UNDECIDED)
    monkeypatch.undo()
    assert REGISTRY["S1-06"].recorded == CORRECTED
