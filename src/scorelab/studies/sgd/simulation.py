"""Runs of SGD on least squares, many at once, in float64."""

import numpy

from scorelab.studies.sgd.moments import LARGEST, Inputs


def descents(inputs: Inputs, noise: float, delta, sizes, generator: numpy.random.Generator):
    """Yield delta = theta - theta* (replicas, d) after each step: delta' = delta - g x (<delta, x> - xi).

    delta: where the runs start (replicas, d); it is not changed, and each yield gives a new array. sizes: g of each
    step. A run that leaves double precision is infinite from then on.
    """
    count, d = delta.shape
    for g in sizes:
        x = inputs.draw(count, d, generator)
        residual = numpy.einsum("ij,ij->i", delta, x) - noise * generator.standard_normal(count)
        with numpy.errstate(invalid="ignore", over="ignore"):
            delta = delta - (g * residual)[:, None] * x
            lost = ~(numpy.einsum("ij,ij->i", delta, delta) < LARGEST)  # also nan
        if lost.any():
            delta[lost] = numpy.inf
        yield delta
