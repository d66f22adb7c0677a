"""Quantiles of a law on the line from its distribution function and its density, in float64."""

import torch


def quantile(u, low, high, cdf, pdf):
    """The x with P(X <= x) = u, for probabilities u in (0, 1) and a bracket [low, high] of x, tensors of one shape.

    Newton's method is applied to log P(X <= x), which is nearly quadratic in the tail. It stays inside the bracket,
    which every third step halves.
    """
    x = 0.5 * (low + high)
    for step in range(240):
        below = cdf(x)
        low, high = torch.where(below < u, x, low), torch.where(below > u, x, high)
        newton = x - below * (torch.log(below.clamp_min(1e-320)) - torch.log(u)) / pdf(x).clamp_min(1e-320)
        usable = (newton > low) & (newton < high) & (step % 3 != 2)
        new = torch.where(below == u, x, torch.where(usable, newton, 0.5 * (low + high)))
        settled = (new - x).abs() <= 4e-16 * new.abs()
        x = new
        if bool(settled.all()):
            break
    return x


def probabilities(u):
    """u as a float64 tensor, and u without 0 and 1. Raises ValueError for u outside [0, 1]."""
    u = torch.as_tensor(u, dtype=torch.float64)
    if not bool(((u >= 0) & (u <= 1)).all()):
        raise ValueError("quantile: probabilities must be in [0, 1]")
    return u, u.clamp(1e-300, 1 - 2**-53)
