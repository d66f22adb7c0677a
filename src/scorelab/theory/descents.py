"""Functions that the gradient descents of several studies share."""

import numpy


def recorded_steps(steps: int, points: int) -> numpy.ndarray:
    """The steps among 0 ... steps at which a curve has rows, shape (at most points + 1,).

    Half of the `points` are evenly spaced, and half are evenly spaced in the logarithm.
    """
    half = points // 2
    rows = numpy.r_[0, numpy.geomspace(1, steps, half), numpy.linspace(0, steps, half)]
    return numpy.unique(numpy.rint(rows)).astype(int)
