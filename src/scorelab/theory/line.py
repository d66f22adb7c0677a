"""Laws on the real line, in float64: quadrature, derivatives, laws with noise."""

import math

import torch

from scorelab.laws.projected_law import ProjectedLaw


def trapezoid(low: float, high: float, points: int):
    """Nodes (points,) and the weight of each, for integrands that vanish at both ends to rounding."""
    return torch.linspace(low, high, points, dtype=torch.float64), (high - low) / (points - 1)


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


def noisy(law: ProjectedLaw, signal, variance) -> ProjectedLaw:
    """The law of signal X + N(0, variance)."""
    return ProjectedLaw(law.weights, signal * law.means, ((signal * law.stds) ** 2 + variance) ** 0.5)


def two_modes(p=0.7, a=3.0):
    """p N((1-p) a, 1) + (1-p) N(-p a, 1)."""
    return ProjectedLaw([p, 1 - p], [(1 - p) * a, -p * a], [1.0, 1.0])


def score(law, x):
    """(log density)' by autograd."""
    return derivatives(lambda x: law.pdf(x).log(), x, 1)[1]


def in_time(function, x, time):
    """d/dt function(x, t) at a time, shape of x."""

    def of_times(times):
        return function(x, times)

    return derivatives(of_times, torch.full_like(x, time), 1)[1]


class Mixture:
    """A mixture on the line whose parameters are functions of time: signal(t) X + N(0, variance(t)), differentiable."""

    def __init__(self, law, signal, variance):
        self.law, self.signal, self.variance = law, signal, variance

    def at(self, time):
        """The law at a time."""
        return noisy(self.law, self.signal(time), self.variance(time))

    def pdf(self, x, time):
        """The density at x and a tensor of times, shape (points,)."""
        signal, variance = self.signal(time).unsqueeze(-1), self.variance(time).unsqueeze(-1)
        of_modes = normal_density(x.unsqueeze(-1) - signal * self.law.means, (signal * self.law.stds) ** 2 + variance)
        return (self.law.weights * of_modes).sum(-1)


def largest_gap(one, other) -> float:
    """The largest |one - other|."""
    return float((one - other).abs().max())
