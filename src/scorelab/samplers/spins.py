"""Samples of spins by stochastic localization with a denoiser, on Brownian paths that several runs share."""

import math

import torch

from scorelab.randomness import stream
from scorelab.samplers.euler_maruyama import EulerMaruyama
from scorelab.samplers.loop import simulate


def times(T: float, steps: int) -> torch.Tensor:
    """The grid of the sampler, uniform in sqrt(t) from 0 to T, (steps + 1,)."""
    return T * torch.linspace(0, 1, steps + 1, dtype=torch.float64).square()


class Paths:
    """Brownian paths on a grid of times, so that samplers with other steps or denoisers run on the same paths.

    grid (steps + 1,): increasing times from 0. shape: (count, n). seed: the paths are a function of it.
    """

    def __init__(self, grid, shape, seed: int, dtype=torch.float32):
        self.grid, self.shape, self.seed, self.dtype = grid, shape, seed, dtype

    def noise(self, stride: int):
        """A function that returns the increment of each step of `stride` intervals, over its standard deviation."""
        generator, gaps = stream(self.seed, "paths"), iter(self.grid.diff().split(stride))

        def draw():
            shares = next(gaps)
            parts = (gap.sqrt().item() * self._normal(generator) for gap in shares)
            return sum(parts) / math.sqrt(float(shares.sum()))

        return draw

    def _normal(self, generator):
        return torch.randn(self.shape, generator=generator, dtype=self.dtype)


def localize(denoiser, paths: Paths, stride: int = 1) -> torch.Tensor:
    """Y += m dt + dB until the end of the grid, and the posterior mean m there, (count, n).

    stride: intervals of the grid in a step; it divides their number. A sample is a sign x_i = 1 with the probability
    (1 + m_i)/2: CS 224 lecture 24, section 3, after El Alaoui, Montanari and Sellke 2022.
    """
    angles = paths.grid[::stride].sqrt().atan()
    start = torch.zeros(paths.shape, dtype=paths.dtype)  # at angle 0 the state says nothing
    x = simulate(EulerMaruyama(), denoiser, angles, start, paths.noise(stride))
    with torch.no_grad():
        return denoiser(x, float(angles[-1]))


def signs(means, generator) -> torch.Tensor:
    """Independent signs with these means, (count, n)."""
    chance = torch.rand(means.shape, generator=generator, dtype=means.dtype)
    return torch.where(2 * chance - 1 < means, 1.0, -1.0).to(means.dtype)
