"""Small arrays in float64, and the nodes of a normal law in the plane."""

import torch


def vector(*values) -> torch.Tensor:
    """Numbers as a vector (count,)."""
    return torch.tensor(values, dtype=torch.float64)


def evenly(start: float, end: float, count: int) -> torch.Tensor:
    """Evenly spaced from start to end, (count,)."""
    return torch.linspace(start, end, count, dtype=torch.float64)


def evenly_in_log(start: float, end: float, count: int) -> torch.Tensor:
    """From 10^start to 10^end, evenly in the exponent, (count,)."""
    return 10 ** evenly(start, end, count)


def largest_of(values) -> float:
    """The largest absolute value."""
    return float(values.abs().max())


def normal_plane(points: int = 191):
    """Nodes (count, 2) and weights (count,) of N(0, I) in the plane: the trapezoidal rule with so many points an axis,
    exact to rounding for what is analytic in a strip of half-width 1."""
    line = evenly(-9.5, 9.5, points)
    nodes = torch.cartesian_prod(line, line)
    weights = torch.exp(-0.5 * nodes.square().sum(-1))
    return nodes, weights / weights.sum()
