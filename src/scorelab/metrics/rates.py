"""The rate at which an error falls, as a slope between logarithms."""

import math

import numpy


def rate(x, values) -> tuple[float, float]:
    """Slope of log(values) (points,) on x (points,), with its standard error from the residuals."""
    x, log = numpy.asarray(x, float), numpy.log(numpy.asarray(values, float))
    offset = x - x.mean()
    slope = float(offset @ log / (offset @ offset))
    left = log - log.mean() - slope * offset
    return slope, math.sqrt(float(left @ left) / max(len(x) - 2, 1) / float(offset @ offset))
