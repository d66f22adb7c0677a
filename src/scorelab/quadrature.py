"""Nodes and weights for expectations and integrals, in float64.

For expectations over a standard normal vector Z and an independent chi-squared squared radius R^2, each rule returns
nodes z (points, rank), squared radii (points,) and weights (points,) that sum to 1. `outside` is the number of degrees
of freedom of R^2; with 0 the radius is 0.
"""

import math

import numpy
import torch

_REACH = 9.5  # standard deviations on each side; a normal variable is beyond them with probability 2e-21
_CHUNK = 2**17  # nodes at a time, so that memory stays bounded


def expectation_nodes(rank: int, outside: int, steepness: float):
    """Yield nodes, a chunk at a time: trapezoidal for one or two coordinates, Sobol points for more.

    `steepness`: largest slope of a log-odds per standard deviation, which sets the step.
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
    weights = torch.exp(-0.5 * line**2)
    axes = [(line, weights / weights.sum())] * rank + ([_chi_squared(outside)] if outside else [])
    if not axes:
        return torch.zeros(1, 0).double(), torch.zeros(1).double(), torch.ones(1).double()
    points = torch.cartesian_prod(*(nodes for nodes, _ in axes)).reshape(-1, len(axes))
    weights = axes[0][1] if len(axes) == 1 else torch.outer(axes[0][1], axes[1][1]).flatten()
    radius2 = points[:, -1] if outside else points.new_zeros(len(points))
    return points[:, :rank], radius2, weights


def _chi_squared(degrees: int):
    """Trapezoidal nodes in log R^2, whose density is analytic and falls off on both sides."""
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


def gauss_legendre(low: float, high: float, points: int):
    """Nodes and weights (points,), float64, for the integral of a smooth function over [low, high]."""
    nodes, weights = numpy.polynomial.legendre.leggauss(points)
    half = 0.5 * (high - low)
    return torch.from_numpy(0.5 * (low + high) + half * nodes), torch.from_numpy(half * weights)
