"""What the study measures of AMP itself."""

import math

import numpy
import torch

from scorelab.denoisers import state_evolution
from scorelab.laws.estimate import Estimate
from scorelab.randomness import stream
from scorelab.targets.spiked import SpikedModel


def iterates(amp, n: int, beta: float, t: float, matrices: int, draws: int, seed: int) -> list[dict]:
    """|m^k|^2/n of the iterates of AMP on SK, a row for each k with the value that state evolution predicts.

    For beta < 1 the matrix and a draw X of its law are as good as a matrix A = (beta/n) theta theta^T + W and theta:
    the two laws of pairs are contiguous (El Alaoui, Montanari and Sellke 2022). So theta = X is drawn first, and it is
    an exact sample for the matrix. amp: what makes the denoiser, with `on(target)` and `iterations`.
    """
    overlaps = []
    for matrix in range(matrices):
        generator = stream(seed, n, matrix)
        target = SpikedModel.draw(n, beta, "rademacher", generator)
        noise = torch.randn(draws, n, generator=generator, dtype=torch.float64)
        own = []
        amp.on(target).solve(t * target.theta + math.sqrt(t) * noise, t, observe=own.append)
        overlaps.append([float(m.square().mean()) for m in own[: amp.iterations]])
    measured, predicted = numpy.array(overlaps), state_evolution.overlaps(beta, t, amp.iterations)
    return [
        {"k": k + 1, "overlap": Estimate.mean(measured[:, k]), "predicted": float(predicted[k])}
        for k in range(amp.iterations)
    ]
