"""The reversed OU process on the line: the Fokker-Planck equation, solved and checked, and a step of the sampler."""

import math

import torch

from scorelab.theory.line import Mixture, derivatives, two_modes


def solve_fokker_planck(initial, drift, time: float, steps: int, x):
    """The density at `time` that solves dq/dt = -(q v)' + q'', q(0) = initial, on the even grid x (cells,).

    drift: function of x and t. Crank and Nicolson's scheme with central fluxes and none through the ends: of second
    order in the step and in the width of the cells, and sum q stays what it is.
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

    The trapezoidal rule, exact to rounding while the step's standard deviation is above 1.3 widths of the grid.
    """
    width = float(x[1] - x[0])
    kernel = torch.exp(-((x.unsqueeze(1) - mean) ** 2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)
    return width * (kernel @ density)


def flux_slope(law, drift, x):
    """(q v)' at x by autograd, for the density q of a law and v = drift(x, (log q)')."""

    def flux(x):
        density = law.pdf(x)
        (slope,) = torch.autograd.grad(density.sum(), x, create_graph=True)
        return density * drift(x, slope / density)

    return derivatives(flux, x, 1)[1]


def ou_mixture():
    """The law of the OU process dX = -X dt + sqrt(2) dB started from two modes."""
    return Mixture(two_modes(), lambda t: torch.exp(-t), lambda t: -torch.expm1(-2 * t))
