"""How fast Langevin dynamics forgets which mode it started in, computed in one dimension.

For modes on a line with one variance v the score along the line depends only on the coordinate y along the line. So y
is itself a Langevin diffusion in any dimension: dy = (log pi)'(y) dt + sqrt(2) dB, where pi is the marginal law of y.
Its generator

    L f = f'' + (log pi)' f' = (pi f')'/pi

has eigenvalues 0 = -lambda_0 > -lambda_1 > ..., and an expectation relaxes as

    E f(y_t) = sum_j exp(-lambda_j t) <mu_0, phi_j> <f, phi_j>_pi.

1/lambda_1 is the relaxation time. It is exponential in the height of the barrier between the modes (Eyring, Kramers).
"""

import math
from functools import cached_property

import numpy

_REACH, _CELLS, _MODES = 8.0, 40, 160  # standard deviations on each side; cells a standard deviation; eigenfunctions


class Relaxation:
    """Langevin dynamics in pi = sum_k w_k N(m_k, v), by finite differences that keep it reversible.

    weights, means: (K,). variance: v. With cells of width d, (L f)_i = [pi_{i+1/2} (f_{i+1} - f_i) -
    pi_{i-1/2} (f_i - f_{i-1})] / (d^2 pi_i), which has a relative error of order d^2/v, here about 1e-4.
    """

    def __init__(self, weights, means, variance: float):
        self.weights, self.means = numpy.asarray(weights, float), numpy.asarray(means, float)
        self.variance, std = float(variance), math.sqrt(variance)
        low, high = min(self.means.min(), 0.0) - _REACH * std, max(self.means.max(), 0.0) + _REACH * std
        cells = math.ceil((high - low) / std * _CELLS)
        self.width = (high - low) / cells
        self.grid = low + self.width * (numpy.arange(cells) + 0.5)
        log_joint = self._log_joint(self.grid)
        log_pi = numpy.logaddexp.reduce(log_joint, axis=1)
        shift = log_pi.max()
        total = numpy.exp(log_pi - shift).sum()
        self.pi = numpy.exp(log_pi - shift) / total
        between = numpy.logaddexp.reduce(self._log_joint(0.5 * (self.grid[1:] + self.grid[:-1])), axis=1)
        self.links = numpy.exp(between - shift) / total / self.width**2
        #: posterior weight of the first mode given y
        self.first = numpy.exp(log_joint[:, 0] - log_pi)
        self.rate, self._slow = self._slowest()

    def _log_joint(self, y):
        return numpy.log(self.weights) - 0.5 * (y[:, None] - self.means) ** 2 / self.variance

    def _slowest(self):
        """lambda_1 and its eigenfunction by inverse iteration, with full relative accuracy however small lambda_1 is.

        -L f = g is solved by two sums: pi_{i+1/2} (f_{i+1} - f_i)/d^2 = -sum_{j <= i} pi_j g_j. In the right half the
        sum is taken from the right, so that no digits cancel.
        """
        g = self.grid - self.pi @ self.grid
        left = numpy.cumsum(self.pi)[:-1] < 0.5
        for _ in range(80):
            mass = self.pi * g
            flux = numpy.where(left, numpy.cumsum(mass)[:-1], -numpy.cumsum(mass[::-1])[::-1][1:])
            f = numpy.concatenate([[0.0], numpy.cumsum(-flux / self.links)])
            f -= self.pi @ f
            rate = (self.pi @ g**2) / (self.pi @ (g * f))
            g = f / math.sqrt(self.pi @ f**2)
        return float(rate), g

    @cached_property
    def spectrum(self):
        """Eigenvalues (modes,) and eigenvectors (cells, modes) of -sqrt(pi) L / sqrt(pi); the first two are known."""
        from scipy.linalg import eigh_tridiagonal

        links = numpy.concatenate([[0.0], self.links, [0.0]])
        diagonal = (links[1:] + links[:-1]) / self.pi
        beside = -self.links / numpy.sqrt(self.pi[1:] * self.pi[:-1])
        modes = min(_MODES, len(self.pi))
        values, vectors = eigh_tridiagonal(diagonal, beside, select="i", select_range=(0, modes - 1))
        values[:2] = 0.0, self.rate
        vectors[:, 0], vectors[:, 1] = numpy.sqrt(self.pi), numpy.sqrt(self.pi) * self._slow
        return values, vectors

    @property
    def time(self) -> float:
        """The relaxation time 1/lambda_1."""
        return 1.0 / self.rate

    def weight(self, mean: float, variance: float, times):
        """E[posterior weight of the first mode] at `times` (any shape), from y_0 ~ N(mean, variance).

        It is nan if the start lies so deep between the modes that double precision does not resolve it.
        """
        start = numpy.exp(-0.5 * (self.grid - mean) ** 2 / variance)
        start /= start.sum()
        scaled = start / numpy.sqrt(self.pi)
        times = numpy.asarray(times, float)
        if 1e-16 * numpy.linalg.norm(scaled) > 1e-4:
            return numpy.full(times.shape, numpy.nan)
        values, vectors = self.spectrum
        coefficients = (scaled @ vectors) * ((numpy.sqrt(self.pi) * self.first) @ vectors)
        return numpy.exp(-numpy.multiply.outer(times, values)) @ coefficients

    def passage(self, mean: float, variance: float, tolerance: float) -> float:
        """The time from which on `weight` is within `tolerance` of the exact weight; 0 if it always is."""
        times = numpy.geomspace(1e-3 * self.variance, max(30.0 * self.time, self.variance), 20000)
        error = numpy.abs(self.weight(mean, variance, times) - self.weights[0])
        outside = numpy.flatnonzero(~(error <= tolerance))
        return 0.0 if not len(outside) else float(times[min(outside[-1] + 1, len(times) - 1)])


def relaxation_of(target, noise_level: float) -> Relaxation | None:
    """The relaxation for the law of X + noise_level G. It is None for a target that cannot be reduced to one dimension,
    which needs at least two modes of one standard deviation whose means lie on a line."""
    if target.lacks("gaussian_modes") or len(target.weights) < 2 or bool((target.std != target.std[0]).any()):
        return None
    along = target.means @ (target.direction / target.direction.norm())
    offsets = target.means - target.means[0]
    across = offsets.square().sum(1) - (along - along[0]).square()
    if bool((across > 1e-9 * offsets.square().sum(1).max()).any()):
        return None
    return Relaxation(target.weights.numpy(), along.numpy(), float(target.std[0]) ** 2 + noise_level**2)
