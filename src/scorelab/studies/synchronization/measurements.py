"""What the study measures of one matrix: overlaps of samples, of the spectral estimator and of AMP."""

import math

import torch

from scorelab.metrics.spins import squared_overlap
from scorelab.randomness import stream
from scorelab.samplers.spins import Paths, localize, signs
from scorelab.targets.spiked import SpikedModel


def model(n: int, strength: float, seed: int, matrix: int) -> SpikedModel:
    """Draw number `matrix` of theta and A. One number has the same theta and W at every strength."""
    return SpikedModel.draw(n, strength, "rademacher", stream(seed, "matrix", n, matrix))


def sampled(target, denoiser, grid, samples: int, seed: int, dtype=torch.float32) -> dict[str, float]:
    """Squared overlaps of samples with theta and with each other, E <x, theta>^2/n^2 and E <x, x'>^2/n^2.

    Where the posterior is sampled exactly both have one mean over theta and A: theta is a sample as well.
    """
    means = localize(denoiser, Paths(grid, (samples, target.n), seed, dtype))
    x = signs(means, stream(seed, "signs"))
    return {
        "with_theta": float(target.overlap(x).double().square().mean()),
        "among": squared_overlap(x).value / target.n,
    }


def summed(target) -> dict[str, float]:
    """The same two numbers by sums over all states."""
    correlations, n = target.correlations(), target.n
    return {
        "with_theta": float(target.theta @ correlations @ target.theta) / n**2,
        "among": float(correlations.square().sum()) / n**2,
    }


def spectral(target) -> float:
    """The squared overlap of the leading eigenvector with theta, <v, theta>^2/n^2 for |v|^2 = n."""
    return float(target.overlap(target.spectral_estimator().unsqueeze(0)).square())


def estimated(target, denoiser) -> dict[str, float]:
    """AMP for A alone, from the spectral estimator v: of its last iterate m the squared cosine with theta, <m,
    theta>^2/(n |m|^2), and the size |m|^2/n, which both tend to the Bayes overlap q.

    The start is tanh(sqrt(s) v), where s is the precision that v stands for: v = r theta + sqrt(1 - r^2) G with r^2 = 1
    - 1/lambda^2, so that s = lambda^2 r^2. Below the threshold v says nothing, and a small start is taken.
    """
    v = target.spectral_estimator().unsqueeze(0)
    precision = target.strength**2 * target.spectral_overlap()
    start = torch.tanh(max(math.sqrt(precision), 0.1) * v)
    m = denoiser.solve(torch.zeros_like(v), 0.0, start).mean
    size = float(m.square().mean())
    return {"estimate": float(target.overlap(m).square()) / max(size, 1e-300), "estimate_size": size}
