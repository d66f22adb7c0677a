"""Every standard error and every noise floor against the spread of the number over repetitions of the measurement.

The mean of what is printed, over the standard deviation of the numbers, has to lie between 0.8 and 1.25. With 200
repetitions this ratio is known to 5 per cent, with the 100 of the longest measurements to 7.
"""

import numpy
import pytest
from repetitions import repetitions

from scorelab.lab.pages import sections

REPETITIONS = 200
LONG = ("conformance", "several modes", "risk of many modes", "lost", "accuracy", "chains", "descents", "bound")
LONG += ("path, two widths", "two modes", "concentration, two widths far apart", "concentration, many dimensions")
LONG += ("floors of concentration, two widths far apart",)

RATIOS = (
    *("descents", "schemes", "images"),
    *("projection, two widths", "projection, three modes off a line"),
    *("floors, one width", "floors, three modes off a line"),
    *(
        "path, two widths",
        "posterior mean, one width",
        "excess risk",
        "measured risk",
        "training risk",
        "risk of many modes",
    ),
    *("concentration, two widths far apart", "concentration, many dimensions"),
    *("floors of concentration, two widths far apart", "shrinkage, shrink", "shrinkage, bias_along", "lost", "trade"),
    *(
        "means",
        "spins",
        "commitment",
        "chains",
        "slopes",
        "paths",
        "accuracy",
        "bound",
        "two modes",
        "several modes",
        "two stages",
        "conformance",
    ),
)


@pytest.mark.parametrize("name", RATIOS)
def test_what_is_printed_is_the_spread_over_repetitions(name, monkeypatch, tmp_path):
    repeat = repetitions(name, monkeypatch, tmp_path)
    rows = [repeat(seed) for seed in range(REPETITIONS // 2 if name in LONG else REPETITIONS)]
    ratios = {}
    for key in rows[0]:
        values, errors = numpy.array([row[key] for row in rows], float).T
        ratios[key] = errors.mean() / values.std(ddof=1)
    assert all(0.8 < ratio < 1.25 for ratio in ratios.values()), ratios


#: the beginning of a declared name -> the repetitions that its standard error is held against
CHECKED = {
    "training.bayes_risk": "training risk",
    "training.excess_risk": "excess risk",
    "training.parts.PART.bayes_risk": "training risk",
    "training.parts.PART.excess_risk": "excess risk",
    "projection": "projection",
    "orthogonal": "projection",
    "path_kl": "path",
    "posterior_mean.bayes_risk": "measured risk",
    "posterior_mean": "posterior mean",
    "collapse.bands": "lost",
    "collapse.shrinkage": "shrinkage",
    "collapse.trade": "trade",
    **dict.fromkeys(("collapse.exact", "collapse.learned", "collapse.kinds", "collapse.memory"), "concentration"),
    "discretization": "slopes",  # of a regression: its values have no errors of their own
    "trajectories.law_w1": "projection",
    "trajectories": "commitment",
    "langevin.methods.METHOD.w1": "projection",
    "langevin": "chains",
    "likelihood": "bound",
    "likelihood.flow": "means",
    "peers.PEER.order": "slopes",  # of numbers that have no errors of their own
    "peers.PEER.strong_order": "paths",
    "learning.levels": "two modes",
    "learning.modes": "several modes",
    "two_stage": "two stages",
    "process_training": "excess risk",
    "processes": "means",
    "sampling.residual": "means",
    **dict.fromkeys(("images.memorised", "data.memorised"), "means"),  # a share
    "data": "images",
    "images": "images",
    "generalisation": "means",
    "sde": "schemes",
    "sgd.distance": "slopes",  # of numbers that have no errors of their own
    "sgd": "descents",
    "spin_glass": "spins",
    "spin_glass.iterates": "means",
    "synchronization": "means",
}


def test_every_standard_error_that_is_declared_is_in_the_table():
    held = {name.partition(",")[0] for name in RATIOS}
    declared = [key for section in sections() for key in section.keys if key.endswith("standard_error")]
    assert declared
    for key in declared:
        assert held.intersection(check for name, check in CHECKED.items() if f"{key}.".startswith(name)), key
