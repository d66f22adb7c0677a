"""Laws on the real line, in float64: derivatives, monotone transport, the Fokker-Planck equation."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch

from scorelab.laws.projected_law import ProjectedLaw


def normal_density(x, variance):
    """The density of N(0, variance) at x."""
    return torch.exp(-0.5 * x.square() / variance) / (2 * math.pi * variance) ** 0.5


def derivatives(function, x, order: int):
    """[f, f', ..., f^(order)] at x (points,) by autograd, for a function that acts on each point alone."""
    x = x.detach().clone().requires_grad_()
    found = [function(x)]
    for _ in range(order):
        value = found[-1]
        if value.requires_grad:
            (value,) = torch.autograd.grad(value.sum(), x, create_graph=True)
        else:
            value = torch.zeros_like(x)
        found.append(value)
    return [value.detach() for value in found]


def monotone_map(source: ProjectedLaw, target: ProjectedLaw, x):
    """The increasing function that maps `source` to `target`, at x: the target's quantile of the source's P(X <= x).

    Above the median of `source` both laws are reflected, so that a right tail is as accurate as a left tail.
    """
    left = x <= source.quantile(0.5)
    ends = ((1.0, x[left]), (-1.0, x[~left]))
    parts = [side * target.noisy(side, 0.0).quantile(source.noisy(side, 0.0).cdf(side * end)) for side, end in ends]
    result = torch.empty_like(x)
    result[left], result[~left] = parts
    return result


def solve_fokker_planck(initial, drift, time: float, steps: int, x):
    """The density at `time` that solves dq/dt = -(q v)' + q'', q(0) = initial, on the even grid x (cells,).

    drift: function v of x and t. The Crank-Nicolson scheme is used with central fluxes and no flux through the ends. It
    has second order in the step and in the width of the cells, and it keeps sum q.
    """
    from scipy.linalg import solve_banded

    width, step = float(x[1] - x[0]), time / steps
    faces, density = 0.5 * (x[1:] + x[:-1]), initial.clone().numpy()
    bands = torch.zeros(3, len(x), dtype=torch.float64)
    for number in range(steps):
        velocity = drift(faces, (number + 0.5) * step)
        # flux through a face: v (q_left + q_right)/2 - (q_right - q_left)/width
        of_left, of_right = (0.5 * velocity + 1 / width) / width, (0.5 * velocity - 1 / width) / width
        upper, lower = -of_right, of_left
        middle = torch.zeros_like(x)
        middle[:-1] -= of_left
        middle[1:] += of_right
        bands[0, 1:], bands[1], bands[2, :-1] = -0.5 * step * upper, 1 - 0.5 * step * middle, -0.5 * step * lower
        right = (1 + 0.5 * step * middle.numpy()) * density
        right[:-1] += 0.5 * step * upper.numpy() * density[1:]
        right[1:] += 0.5 * step * lower.numpy() * density[:-1]
        density = solve_banded((1, 1), bands.numpy(), right)
    return torch.from_numpy(density)


def push(density, mean, variance: float, x):
    """The density on the even grid x (points,) after a step x -> N(mean(x), variance); mean (points,).

    The trapezoidal rule is exact to rounding if the step's standard deviation is above 1.3 widths of the grid.
    """
    width = float(x[1] - x[0])
    kernel = torch.exp(-((x.unsqueeze(1) - mean) ** 2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)
    return width * (kernel @ density)


def two_modes(p=0.7, a=3.0):
    """The law p N((1-p) a, 1) + (1-p) N(-p a, 1)."""
    return ProjectedLaw([p, 1 - p], [(1 - p) * a, -p * a], [1.0, 1.0])


def score(law, x):
    """The derivative of the log density of a law at x, by autograd."""
    return derivatives(lambda x: law.pdf(x).log(), x, 1)[1]


def in_time(function, x, time):
    """The derivative of function(x, t) with respect to t at a time, shape of x."""

    def of_times(times):
        return function(x, times)

    return derivatives(of_times, torch.full_like(x, time), 1)[1]


def flux_slope(law, drift, x):
    """(q v)' at x by autograd, for the density q of a law and v = drift(x, (log q)')."""

    def flux(x):
        density = law.pdf(x)
        (slope,) = torch.autograd.grad(density.sum(), x, create_graph=True)
        return density * drift(x, slope / density)

    return derivatives(flux, x, 1)[1]


class Process(NamedTuple):
    """The law of signal(t) X + N(0, variance(t)) for a law of X on the line; signal and variance are functions of t."""

    law: ProjectedLaw
    signal: Callable
    variance: Callable

    def at(self, time) -> ProjectedLaw:
        """The law at a time, a tensor without axes."""
        return self.law.noisy(self.signal(time), self.variance(time))

    def pdf(self, x, time):
        """The density at x (points,) and as many times (points,), shape (points,); differentiable in both."""
        signal, variance = self.signal(time).unsqueeze(-1), self.variance(time).unsqueeze(-1)
        return self.law.noisy(signal, variance).pdf(x)


def ou_process():
    """The law of the OU process dX = -X dt + sqrt(2) dB started from two modes."""
    return Process(two_modes(), lambda t: torch.exp(-t), lambda t: -torch.expm1(-2 * t))


def largest_gap(one, other) -> float:
    """The largest entry of |one - other|."""
    return float((one - other).abs().max())
