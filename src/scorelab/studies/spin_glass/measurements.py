"""What is measured of samples of spins, and the sampler: stochastic localization, driven by a denoiser."""

import math
from dataclasses import replace

import numpy
import torch

from scorelab.denoisers import state_evolution
from scorelab.laws.estimate import Estimate
from scorelab.randomness import stream
from scorelab.samplers.euler_maruyama import EulerMaruyama
from scorelab.samplers.loop import simulate
from scorelab.targets.ising import Ising, sherrington_kirkpatrick

#: at most so many rows are compared with all others at once
_ROWS = 1024


# Sampling. ----------------------------------------------------------------------------------------------------------


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
    (1 + m_i)/2: 001_4ca3c1340e19a977.txt, section 3, after El Alaoui, Montanari and Sellke 2022.
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


# Statistics. --------------------------------------------------------------------------------------------------------


def energy(target, x) -> Estimate:
    """E <x, A x>/n over independent samples x (count, n); exact where the target can be summed."""
    exact = target.mean_energy() if target.can("posterior_mean") else None
    return replace(Estimate.mean(target.energy(x).double().numpy()), exact=exact)


def squared_overlap(x, exact: float | None = None) -> Estimate:
    """n E R^2, R = <x, x'>/n, over all pairs of independent samples (count, n); the standard error is that of the
    jackknife over samples."""
    x = torch.as_tensor(x).float()
    count, n = x.shape
    rows = (
        torch.cat([(block @ x.T).double().square().sum(1) for block in x.split(_ROWS)]) / n - n
    )  # without the pair (x, x)
    total = float(rows.sum())
    value = total / (count * (count - 1))
    without = (total - 2 * rows) / ((count - 1) * (count - 2))
    error = math.sqrt((count - 1) / count * float((without - without.mean()).square().sum()))
    return Estimate(value, error, exact=exact)


def correlation_error(x, exact) -> Estimate:
    """The root mean square error over pairs of E[x_i x_j] as measured on samples x (count, n).

    exact (n, n): the correlations. The floor is that of as many exact samples, sqrt of the mean of (1 - exact^2)/count.
    The standard error is over twenty parts of the samples, by the jackknife.
    """
    x, n = torch.as_tensor(x).double(), x.shape[1]
    above = torch.triu_indices(n, n, 1)
    parts = torch.stack([part.T @ part for part in x.tensor_split(20)])[:, above[0], above[1]]
    exact, count = exact[above[0], above[1]], len(x)
    sizes = torch.tensor([len(part) for part in x.tensor_split(20)], dtype=torch.float64)

    def rms(products, number):
        return float((products / number - exact).square().mean().sqrt())

    whole = parts.sum(0)
    without = numpy.array([rms(whole - part, count - size) for part, size in zip(parts, sizes, strict=True)])
    error = math.sqrt(19 / 20 * ((without - without.mean()) ** 2).sum())
    return Estimate(rms(whole, count), error, floor=float(((1 - exact.square()) / count).mean().sqrt()))


def distance(means, other) -> Estimate:
    """E |x - x'|^2/n of signs x, x' that are drawn with the same random numbers from posterior means (count, n) of
    coupled runs, 2 E|m - m'|: an upper bound of W2^2/n between the two laws of samples."""
    return Estimate.mean(2 * (means.double() - other.double()).abs().mean(1).numpy())


# The posterior mean. ------------------------------------------------------------------------------------------------


def iterates(amp, n: int, beta: float, t: float, matrices: int, draws: int, seed: int) -> list[dict]:
    """|m^k|^2/n of the iterates of AMP on SK, a row for each k with the value that state evolution predicts.

    For beta < 1 the matrix and a draw X of its law are as good as a matrix A = (beta/n) theta theta^T + W and theta:
    the two laws of pairs are contiguous (El Alaoui, Montanari and Sellke 2022). So theta = X is drawn first, and it is
    an exact sample for the matrix. amp: what makes the denoiser, with `on(target)` and `iterations`.
    """
    overlaps = []
    for matrix in range(matrices):
        generator = stream(seed, n, matrix)
        target, theta = planted(n, beta, generator)
        noise = torch.randn(draws, n, generator=generator, dtype=torch.float64)
        own = []
        amp.on(target).solve(t * theta + math.sqrt(t) * noise, t, observe=own.append)
        overlaps.append([float(m.square().mean()) for m in own[: amp.iterations]])
    measured, predicted = numpy.array(overlaps), state_evolution.overlaps(beta, t, amp.iterations)
    return [
        {"k": k + 1, "overlap": Estimate.mean(measured[:, k]), "predicted": float(predicted[k])}
        for k in range(amp.iterations)
    ]


def planted(n: int, beta: float, generator):
    """The model of A = (beta/n) theta theta^T + W with theta of fair signs, and theta (n,): an exact sample of the
    model."""
    theta = 2.0 * torch.randint(2, (n,), generator=generator).double() - 1
    return Ising(beta / n * torch.outer(theta, theta) + sherrington_kirkpatrick(n, generator), beta), theta
