"""Which steps of a descent are recorded."""

import numpy

#: rows of a curve: half of them linearly, half geometrically spaced
_POINTS = 80


def recorded_steps(steps: int) -> list[int]:
    """Steps 0 ... steps that a curve has rows for."""
    half = _POINTS // 2
    rows = numpy.r_[0, numpy.geomspace(1, steps, half), numpy.linspace(0, steps, half)]
    return numpy.unique(numpy.rint(rows)).astype(int).tolist()
