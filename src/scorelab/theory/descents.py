"""What descents of several subjects share."""

import numpy


def recorded_steps(steps: int, points: int) -> numpy.ndarray:
    """Those of the steps 0 ... steps that a curve has rows for, (at most points + 1,): half of `points` evenly spaced,
    half evenly in the logarithm."""
    half = points // 2
    rows = numpy.r_[0, numpy.geomspace(1, steps, half), numpy.linspace(0, steps, half)]
    return numpy.unique(numpy.rint(rows)).astype(int)
