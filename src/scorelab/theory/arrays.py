"""Small arrays in float64."""

import torch


def vector(*values) -> torch.Tensor:
    """Numbers as a vector (count,)."""
    return torch.tensor(values, dtype=torch.float64)


def evenly(start: float, end: float, count: int) -> torch.Tensor:
    """Evenly spaced numbers from start to end, shape (count,)."""
    return torch.linspace(start, end, count, dtype=torch.float64)


def evenly_in_log(start: float, end: float, count: int) -> torch.Tensor:
    """Numbers from 10^start to 10^end with evenly spaced exponents, shape (count,)."""
    return 10 ** evenly(start, end, count)


def largest_of(values) -> float:
    """The largest absolute value of the entries."""
    return float(values.abs().max())
