"""Statistics of samples of spins: energy, overlaps, pair correlations, and the distance of coupled samples."""

from dataclasses import replace

import torch

from scorelab.laws.estimate import Estimate
from scorelab.metrics.jackknife import corrected_error, interactions

#: at most so many rows are compared with all others at once
_ROWS = 1024
#: parts of the samples for the jackknife
_PARTS = 20


def energy(target, x) -> Estimate:
    """E <x, A x>/n over independent samples x (count, n); exact where the target can be summed."""
    exact = target.mean_energy() if target.can("posterior_mean") else None
    return replace(Estimate.mean(target.energy(x).double().numpy()), exact=exact)


def squared_overlap(x, exact: float | None = None) -> Estimate:
    """n E R^2, R = <x, x'>/n, over all pairs of independent samples (count, n), count >= 2; the standard error is that
    of the jackknife over samples, corrected, for four samples or more.

    With k_ij = n R_ij^2 and r_i = sum_j k_ij the Q_ij of `corrected_error` is linear in k_ij and r_i + r_j.
    """
    x = torch.as_tensor(x).float()
    count, n = x.shape
    rows, squares = [], -float(count * n**2)  # without the pairs of a sample with itself
    for block in x.split(_ROWS):
        overlaps = (block @ x.T).double().square() / n
        rows.append(overlaps.sum(1) - n)
        squares += float(overlaps.square().sum())
    rows = torch.cat(rows)
    total, of_rows = float(rows.sum()), float(rows.square().sum())
    value = total / (count * (count - 1))
    if count < 4:
        return Estimate(value, exact=exact)
    without = (total - 2 * rows) / ((count - 1) * (count - 2))
    a, b = 2 / (count - 2) - 2 / (count - 3), 2 / (count - 3)  # Q_ij = a (r_i + r_j) + b k_ij + a constant
    first = a * (count - 1) * total + b * total / 2
    second = a**2 * ((count - 2) * of_rows + total**2) + 2 * a * b * of_rows + b**2 * squares / 2
    return Estimate(value, corrected_error(without, second - first**2 / (count * (count - 1) / 2)), exact=exact)


def correlation_error(x, exact) -> Estimate:
    """The root mean square error over pairs of E[x_i x_j] as measured on samples x (count, n).

    exact (n, n): the correlations. The floor is that of as many exact samples, sqrt of the mean of (1 - exact^2)/count.
    The standard error is over twenty parts of the samples, by the jackknife, corrected.
    """
    x, n = torch.as_tensor(x).double(), x.shape[1]
    above = torch.triu_indices(n, n, 1)
    split = x.tensor_split(_PARTS)
    parts = torch.stack([part.T @ part for part in split])[:, above[0], above[1]]
    exact, count = exact[above[0], above[1]], len(x)
    sizes = torch.tensor([len(part) for part in split], dtype=torch.float64)

    def rms(products, number):
        return (products / number.unsqueeze(-1) - exact).square().mean(-1).sqrt()

    whole = rms(parts.sum(0), torch.tensor(float(count)))
    left, sizes_left = parts.sum(0) - parts, count - sizes
    one = rms(left, sizes_left)
    two = torch.stack([rms(left - part, sizes_left - size) for part, size in zip(parts, sizes, strict=True)])
    error = corrected_error(one, interactions(whole, one, two))
    return Estimate(float(whole), error, floor=float(((1 - exact.square()) / count).mean().sqrt()))


def distance(means, other) -> Estimate:
    """E |x - x'|^2/n of signs x, x' that are drawn with the same random numbers from posterior means (count, n) of
    coupled runs, 2 E|m - m'|: an upper bound of W2^2/n between the two laws of samples."""
    return Estimate.mean(2 * (means.double() - other.double()).abs().mean(1).numpy())
