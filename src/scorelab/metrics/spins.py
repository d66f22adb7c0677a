"""Statistics of samples of spins: energy, overlaps, pair correlations, and the distance of coupled samples."""

import math
from dataclasses import replace

import numpy
import torch

from scorelab.laws.estimate import Estimate

#: at most so many rows are compared with all others at once
_ROWS = 1024
#: parts of the samples for the jackknife
_PARTS = 20


def energy(target, x) -> Estimate:
    """E <x, A x>/n over independent samples x (count, n); exact where the target can be summed."""
    exact = target.mean_energy() if target.can("posterior_mean") else None
    return replace(Estimate.mean(target.energy(x).double().numpy()), exact=exact)


def squared_overlap(x, exact: float | None = None) -> Estimate:
    """n E R^2, R = <x, x'>/n, over all pairs of independent samples (count, n); the standard error is that of the
    jackknife over samples."""
    x = torch.as_tensor(x).float()
    count, n = x.shape
    squares = torch.cat([(block @ x.T).double().square().sum(1) for block in x.split(_ROWS)])
    rows = squares / n - n  # without the pair of a sample with itself
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
    split = x.tensor_split(_PARTS)
    parts = torch.stack([part.T @ part for part in split])[:, above[0], above[1]]
    exact, count, sizes = exact[above[0], above[1]], len(x), [len(part) for part in split]

    def rms(products, number):
        return float((products / number - exact).square().mean().sqrt())

    whole = parts.sum(0)
    without = numpy.array([rms(whole - part, count - size) for part, size in zip(parts, sizes, strict=True)])
    error = math.sqrt((_PARTS - 1) / _PARTS * ((without - without.mean()) ** 2).sum())
    return Estimate(rms(whole, count), error, floor=float(((1 - exact.square()) / count).mean().sqrt()))


def distance(means, other) -> Estimate:
    """E |x - x'|^2/n of signs x, x' that are drawn with the same random numbers from posterior means (count, n) of
    coupled runs, 2 E|m - m'|: an upper bound of W2^2/n between the two laws of samples."""
    return Estimate.mean(2 * (means.double() - other.double()).abs().mean(1).numpy())
