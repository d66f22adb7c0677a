"""The ODE solver of flow_matching (Meta), on the path x_t = t X + (1 - t) G."""

import math

import torch
from flow_matching.solver import ODESolver


def sampler(method: str):
    """A plain sampler of a method of `ODESolver.sample` with fixed steps, equal ones from t = 0 to 1.

    The velocity is E[X - G | x_t]; at t = 1 it is x_t, as G has then the mean 0.
    """

    def plain(denoiser, count, n, steps, generator):
        def velocity(x, t):
            t = float(t)
            mean = denoiser(x / math.hypot(t, 1 - t), math.atan2(t, 1 - t))
            return x if t == 1 else (mean - x) / (1 - t)

        x = torch.randn(count, n, generator=generator)
        grid = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
        return ODESolver(velocity).sample(x, step_size=None, method=method, time_grid=grid)

    plain.__name__ = f"flow_matching {method}"
    return plain


def named(kind: str):
    """See the package."""
    return sampler(kind), 0.0
