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
    expectation_nodes(rank, outside, steepness)
                                            a standard normal vector and a chi-squared squared radius beside it: the
                                            trapezoidal rule for two coordinates in all, Sobol points for more

`expectation_nodes`, `trapezoidal_nodes` and `sobol_nodes` are for expectations over a standard normal vector Z and an
independent chi-squared squared radius R^2. Each returns nodes z (points, rank), squared radii (points,) and weights
(points,) that sum to 1. `outside` is the number of degrees of freedom of R^2; with 0 the radius is 0.
"""

import math

import numpy
import torch

_REACH = 9.5  # standard deviations on each side; a normal variable is beyond them with probability 2e-21
_CHUNK = 2**17  # nodes in a chunk, so that memory stays bounded


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


def normal_trapezoid(rank: int = 1, points: int = 191, reach: float = _REACH):
    """Nodes and weights of N(0, I) by the trapezoidal rule with `points` nodes per axis, from -reach to reach.

    Nodes are (points,) for rank 1 and (points^rank, rank) for more; weights (nodes,) sum to 1. With 191 points the step
    is 0.1: the error is below rounding for a function that is analytic in a strip of half-width 0.65, as tanh is.
    """
    line, _ = trapezoid(-reach, reach, points)
    nodes = line if rank == 1 else torch.cartesian_prod(*[line] * rank)
    return nodes, _normal_weights(nodes.square() if rank == 1 else nodes.square().sum(-1))


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


# A normal vector and a radius. --------------------------------------------------------------------------------------


def expectation_nodes(rank: int, outside: int, steepness: float):
    """Yield nodes, squared radii and weights in chunks: trapezoidal for up to two coordinates, Sobol points for more.

    steepness: largest slope of a log-odds per standard deviation, which sets the step.
    """
    if rank + (outside > 0) > 2:
        z, radius2, weights = sobol_nodes(rank, outside)
    else:
        z, radius2, weights = trapezoidal_nodes(rank, outside, steepness)
    yield from zip(z.split(_CHUNK), radius2.split(_CHUNK), weights.split(_CHUNK), strict=True)


def trapezoidal_nodes(rank: int, outside: int, steepness: float):
    """The trapezoidal rule for rank + (outside > 0) <= 2 coordinates, exact to rounding for mode weights.

    A logistic function of slope s has its poles at distance pi/s from the real line, so a step h leaves an error of
    exp(-2 pi^2 / (s h)). Modes steeper than the cap are so far apart that they overlap by less than e^-70.
    """
    step = 0.55 / min(max(steepness, 3.0), 24.0)
    line = torch.arange(-round(_REACH / step), round(_REACH / step) + 1, dtype=torch.float64) * step
    axes = [(line, _normal_weights(line**2))] * rank + ([_chi_squared(outside)] if outside else [])
    if not axes:
        return torch.zeros(1, 0).double(), torch.zeros(1).double(), torch.ones(1).double()
    points = torch.cartesian_prod(*(nodes for nodes, _ in axes)).reshape(-1, len(axes))
    weights = axes[0][1] if len(axes) == 1 else torch.outer(axes[0][1], axes[1][1]).flatten()
    radius2 = points[:, -1] if outside else points.new_zeros(len(points))
    return points[:, :rank], radius2, weights


def _chi_squared(degrees: int):
    """Trapezoidal nodes R^2 and weights in log R^2, whose density is analytic and falls off on both sides."""
    half, width = degrees / 2, math.sqrt(2 / degrees)
    left = -min(40 / half, 14 * width) if degrees > 20 else -40 / half  # few degrees of freedom have a long left tail
    right, step = 2 * math.log(1 + 12 / math.sqrt(degrees)), min(0.02, width / 20)
    log_ratio = torch.arange(round(left / step), round(right / step) + 1, dtype=torch.float64) * step
    radius2 = degrees * torch.exp(log_ratio)
    weights = torch.exp(half * log_ratio - 0.5 * (radius2 - degrees))
    return radius2, weights / weights.sum()


def sobol_nodes(rank: int, outside: int, log2_points: int = 16):
    """Scrambled Sobol points for any number of coordinates; the same points at every call."""
    from scipy import special

    engine = torch.quasirandom.SobolEngine(rank + (outside > 0), scramble=True, seed=0)
    uniform = engine.draw(2**log2_points, dtype=torch.float64).clamp(1e-15, 1 - 1e-15)
    radius2 = torch.zeros(len(uniform), dtype=torch.float64)
    if outside:
        radius2 = torch.from_numpy(special.chdtri(outside, 1 - uniform[:, rank].numpy()))
    return torch.special.ndtri(uniform[:, :rank]), radius2, torch.full_like(radius2, 1 / len(uniform))
