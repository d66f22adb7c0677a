"""Stochastic localization: its measures in closed form; wrong formulas change the verdicts."""

import pytest
import torch
from helpers import assert_close, measure

from scorelab.claims import FAILS, HOLDS
from scorelab.laws.projected_law import ProjectedLaw
from scorelab.studies.localization import theory as localization

FIRST, SECOND, TILT = localization.first_output, localization.second_output, localization.log_tilt_8
CHANGE = localization.change_of_variables


def twice_as_fast(time):
    """The change of variables with twice the OU time."""
    ou_time, scale = CHANGE(time)
    return 2 * ou_time, scale


MUTATIONS = [
    ("S0-07", "first_output", lambda *given: 2 * FIRST(*given), FAILS),
    ("S0-07", "second_output", lambda *given: -SECOND(*given), FAILS),
    ("S0-08", "printed_log_tilt_9", localization.log_tilt_9, HOLDS),
    ("S0-08", "log_tilt_8", lambda *given: 2 * TILT(*given), FAILS),
    ("S0-08", "log_tilt_9", lambda y, time, x: y * x - time * x**2, FAILS),
    ("S0-09", "change_of_variables", twice_as_fast, FAILS),
]


@pytest.mark.parametrize(
    ("claim", "name", "other", "verdict"), MUTATIONS, ids=[f"{claim}-{name}" for claim, name, *_ in MUTATIONS]
)
def test_a_wrong_formula_changes_the_verdict(claim, name, other, verdict, monkeypatch):
    monkeypatch.setattr(localization, name, other)
    assert measure(claim) == verdict


def test_the_posterior_of_localization_is_that_of_one_normal_law():
    """X ~ N(0.4, 1): given Y_t = y it is N((0.4 + y)/(1 + t), 1/(1 + t)); equation (9) as printed has 1/t for t."""
    one_normal_law = localization.LocalizingMeasure(ProjectedLaw([1.0], [0.4], [1.0]), 801)
    y, time = torch.tensor([-3.0, 0.5, 20.0], dtype=torch.float64), 4.0
    for tilt, strength in ((localization.log_tilt_8, time), (localization.printed_log_tilt_9, 1 / time)):
        mean, square = one_normal_law.means(tilt, [lambda x: x, lambda x: x**2], y, time)
        assert_close(mean, (0.4 + y) / (1 + strength), rtol=1e-11)
        assert_close(square - mean**2, torch.full_like(y, 1 / (1 + strength)), rtol=1e-9)
