"""Solvers of torchdiffeq, on the probability flow dx/dphi = E[cos(phi) X - sin(phi) G | x]."""

import math

import torch
import torchdiffeq

from scorelab.channel import posterior_mean_to_velocity

#: the last angle by default
END = 1.54


def sampler(method: str, end: float = END, **options):
    """A plain sampler of a method of `odeint` with fixed steps, equal ones from 0 to the angle `end`.

    options: of the method. Its samples keep noise of standard deviation cot(end).
    """

    def plain(denoiser, count, n, steps, generator):
        def velocity(angle, x):
            angle = float(angle)
            return posterior_mean_to_velocity(denoiser(x, angle), x, angle)

        x = torch.randn(count, n, generator=generator)
        angles = torch.linspace(0, end, steps + 1, dtype=torch.float64)
        return torchdiffeq.odeint(velocity, x, angles, method=method, options=options)[-1] / math.sin(end)

    plain.__name__ = f"torchdiffeq {method}"
    return plain


def named(kind: str, end: float = END, **options):
    """See the package."""
    return sampler(kind, end, **options), 1 / math.tan(end)
