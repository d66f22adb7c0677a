"""Nodes and weights for integrals and expectations, in float64: the one place of every rule of the package.

trapezoid(low, high, points)            the line; error exp(-2 pi d/h) for a function that is analytic in a strip of
                                        half-width d around the line and vanishes at both ends, with the step h
plane_trapezoid(low, high, points)      the same in the square [low, high]^2
integral(y, values)                     the same for values on an even grid, of numpy or torch
normal_trapezoid(rank, points)          N(0, I) in one, two or few coordinates; exact to rounding for a function
                                        that is analytic in a strip of half-width 6 h, h = 19/(points - 1)
normal_interval(low, high, points)      the part of N(0, 1) between two ends, which are tensors
gauss_legendre(low, high, points)       an interval; exact for polynomials of a degree below 2 points
gauss_hermite(points)                   the whole line against exp(-z^2/2); exact for the same polynomials
normal_gauss(rank, points)              N(0, I); exact for the same polynomials in each coordinate
lattice(low, high, step, ...)           the trapezoidal rule in a box of any dimension, a chunk at a time
Scrambles(dimensions)                   quasi-random points for any number of coordinates, with a standard error
converged(rule, step, tolerance)        the value of a rule and its error, by two resolutions that agree
"""

import functools
import math

import numpy
import torch

from scorelab.errors import ScorelabError

REACH = 9.5  # standard deviations on each side; a normal variable is beyond them with probability 2e-21


# The trapezoidal rule. ----------------------------------------------------------------------------------------------


def trapezoid(low: float, high: float, points: int):
    """Return nodes (points,) from low to high and the weight of each node, a number.

    The integrand has to vanish at both ends to rounding, because the weight is not halved there.
    """
    return torch.linspace(low, high, points, dtype=torch.float64), (high - low) / (points - 1)


def plane_trapezoid(low: float, high: float, points: int):
    """Return nodes (points^2, 2) in the square [low, high]^2 and the weight of each node, a number."""
    line, step = trapezoid(low, high, points)
    return torch.cartesian_prod(line, line), step**2


def integral(y, values):
    """The integral of `values` (..., points) on the even grid y (points,), shape (...,); arrays of numpy or torch."""
    return (y[1] - y[0]) * values.sum(-1)


def normal_trapezoid(rank: int = 1, points: int = 191, reach: float = REACH):
    """Nodes and weights of N(0, I) by the trapezoidal rule with `points` nodes per axis, from -reach to reach.

    Nodes are (points,) for rank 1 and (points^rank, rank) for more; weights (nodes,) sum to 1. With 191 points the step
    is 0.1: the error is below rounding for a function that is analytic in a strip of half-width 0.65, as tanh is.
    """
    line, _ = trapezoid(-reach, reach, points)
    nodes = line if rank == 1 else torch.cartesian_prod(*[line] * rank)
    return nodes, _normal_weights(nodes.square() if rank == 1 else nodes.square().sum(-1))


def normal_pieces(points: int, width: float):
    """Nodes and weights of N(0, 1) for a function that changes within `width` around 0: Gauss-Legendre rules with
    `points` nodes on pieces that end at 0, at width, 4 width, 16 width and so on, and at the same places below 0."""
    ends = width * 4.0 ** torch.arange(max(math.ceil(math.log(REACH / width, 4)), 0), dtype=torch.float64)
    ends = torch.cat([torch.zeros(1, dtype=torch.float64), ends, torch.tensor([REACH], dtype=torch.float64)])
    line, weights = gauss_legendre(0.0, 1.0, points)
    nodes = (ends[:-1, None] + ends.diff()[:, None] * line).flatten()
    weights = (ends.diff()[:, None] * weights).flatten() * torch.exp(-0.5 * nodes**2) / math.sqrt(2 * math.pi)
    return torch.cat([-nodes.flip(0), nodes]), torch.cat([weights.flip(0), weights])


def normal_interval(low, high, points: int):
    """Nodes and weights (..., points) for the integral over [low, high] against the density of N(0, 1).

    low, high: tensors (...,). The integrand or the density has to vanish at both ends.
    """
    low, high = low.unsqueeze(-1), high.unsqueeze(-1)
    nodes = low + (high - low) * torch.linspace(0, 1, points, dtype=low.dtype)
    return nodes, torch.exp(-0.5 * nodes**2) * ((high - low) / ((points - 1) * math.sqrt(2 * math.pi)))


def _normal_weights(squared):
    """exp(-|z|^2/2), normalised, for squared lengths (points,)."""
    weights = torch.exp(-0.5 * squared)
    return weights / weights.sum()


# Gauss's rules. -----------------------------------------------------------------------------------------------------


def gauss_legendre(low: float, high: float, points: int):
    """Nodes and weights (points,), float64, for the integral of a smooth function over [low, high]."""
    nodes, weights = numpy.polynomial.legendre.leggauss(points)
    half = 0.5 * (high - low)
    return torch.from_numpy(0.5 * (low + high) + half * nodes), torch.from_numpy(half * weights)


def gauss_hermite(points: int):
    """Nodes and weights (points,) for the integral over the whole line against exp(-z^2/2): they sum to sqrt(2 pi)."""
    from scipy import special

    nodes, weights = special.roots_hermitenorm(points)
    return torch.from_numpy(nodes), torch.from_numpy(weights)


def normal_gauss(rank: int, points: int):
    """Nodes (points^rank, rank) and weights (points^rank,) of N(0, I), by the Gauss-Hermite rule in each coordinate."""
    nodes, weights = gauss_hermite(points)
    return product_rule(nodes, weights / weights.sum(), rank)


def product_rule(nodes, weights, rank: int):
    """The rule with nodes and weights (points,) in each of `rank` coordinates: (points^rank, rank), (points^rank,)."""
    grid, masses = (torch.cartesian_prod(*[each] * rank).reshape(-1, rank) for each in (nodes, weights))
    return grid, masses.prod(1)


# Several coordinates. -----------------------------------------------------------------------------------------------


def lattice(low, high, step: float, largest: int, chunk: int):
    """Yield the points (points, d) of a lattice with a step in a box, a chunk at a time; low, high (d,): the ends.

    A logistic function of slope s has its poles at distance pi/s from the real line, so a step h leaves an error of
    exp(-2 pi^2 / (s h)). Raises NotResolved if there are more than `largest` points.
    """
    lines = [
        step * torch.arange(math.floor(first / step), math.ceil(last / step) + 1, dtype=torch.float64)
        for first, last in zip(low.tolist(), high.tolist(), strict=True)
    ]
    count = math.prod(map(len, lines))
    if count > largest:
        raise NotResolved(f"{count} points are needed with the step {step:g}; {largest} are allowed")
    points = torch.cartesian_prod(*lines).reshape(count, -1) if lines else torch.zeros(1, 0, dtype=torch.float64)
    yield from points.split(chunk)


def log_chi_squared_range(degrees: int) -> tuple[float, float, float]:
    """The ends of log R^2 for a chi-squared R^2, and the length that is a standard deviation of its law.

    With y = log(degrees/R^2) the density is exp(-degrees (exp(-y) - 1 + y)/2) times its largest value: exp(-40) at most
    below the first end.
    """
    width, middle, tail = math.sqrt(2 / degrees), math.log(degrees), 80 / degrees
    left, right = tail + math.sqrt(2 * tail), 2 * math.log(1 + 12 / math.sqrt(degrees))
    return middle - left, middle + right, min(1.0, width)


class Scrambles:
    """Independent scrambles of one Sobol sequence, which is drawn on and on; the same points in every object.

    The spread of a mean over the scrambles is its standard error. count: number of scrambles.
    """

    def __init__(self, dimensions: int, count: int = 8):
        engine = torch.quasirandom.SobolEngine
        self.engines = [engine(dimensions, scramble=True, seed=seed) for seed in range(count)]

    def __len__(self):
        return len(self.engines)

    def draw(self, points: int):
        """The next points of every scramble, (scrambles * points, dimensions), inside (0, 1)."""
        drawn = torch.cat([engine.draw(points, dtype=torch.float64) for engine in self.engines])
        return drawn.clamp(1e-12, 1 - 1e-12)


def chi_squared_quantile(uniform, degrees: int):
    """Squared radii (points,) from uniform numbers (points,) in [1e-12, 1 - 1e-12], by a spline that is exact to 12
    digits; 0 without degrees of freedom."""
    if not degrees:
        return torch.zeros_like(uniform)
    normal = torch.special.ndtri(uniform).numpy()
    return torch.from_numpy(numpy.exp(_log_chi_squared_of_normal(degrees)(normal)))


@functools.cache
def _log_chi_squared_of_normal(degrees: int):
    """The smooth function that makes the logarithm of a chi-squared variable of a normal one, as a spline."""
    from scipy import interpolate, special

    normal = numpy.linspace(-7.1, 7.1, 4001)
    below, above = special.ndtr(normal), special.ndtr(-normal)
    inverses = (special.gammaincinv(0.5 * degrees, below), special.gammainccinv(0.5 * degrees, above))
    return interpolate.CubicSpline(normal, numpy.log(2 * numpy.where(normal < 0, *inverses)))


# The error of a rule. -----------------------------------------------------------------------------------------------


class NotResolved(ScorelabError):
    """An integral that a rule does not resolve to the accuracy that is needed."""


def converged(rule, step: float, tolerance, halvings: int = 12):
    """Halve the step of a rule until two values agree. Returns the last value and how far it is from the one before.

    rule: function of a step that returns a number or a tensor. tolerance: a number, or a function of the value. The
    error of the trapezoidal rule for an analytic function is about squared by each halving, so that the difference of
    two values bounds the error of the second. Raises NotResolved if two values do not agree after all halvings.
    """
    value = rule(step)
    for _ in range(halvings):
        step, coarse = 0.5 * step, value
        value = rule(step)
        error = float(torch.as_tensor(value - coarse).detach().abs().max())
        if error <= (tolerance(value) if callable(tolerance) else tolerance):
            return value, error
    raise NotResolved(f"two resolutions of an integral differ by {error:.1e} after {halvings} halvings of the step")
