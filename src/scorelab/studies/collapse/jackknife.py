"""The distances to the nearest neighbours and the participation, with the jackknife's standard errors."""

import math

import torch

from scorelab.metrics.jackknife import corrected_error, interactions

#: number of groups of samples that are left out, one or two at a time
_GROUPS = 20
#: number of rows of a matrix of pairs of samples that are computed at a time
ROWS = 1024


def participation(scaled, mode) -> tuple[float, float]:
    """tr(C)^2/(n tr(C^2)) of the second moments C of each mode, averaged with the shares of the modes, and its standard
    error from twenty groups of samples.

    scaled: (count, n). mode: (count,). For groups g, h of the samples of a mode tr(C^2) is the sum of |X_g X_h^T|^2, so
    that the statistic without one or two groups is a sum over fewer of them.
    """
    groups = min(_GROUPS, len(scaled))
    group = torch.arange(len(scaled)) % groups
    sums = [torch.zeros(shape, dtype=torch.float64) for shape in ((), (groups,), (groups, groups))]
    for k in mode.unique().tolist():
        rows = scaled[mode == k]
        belongs = torch.nn.functional.one_hot(group[mode == k], groups).double()
        count, trace = belongs.sum(0), belongs.T @ rows.double().square().sum(1)
        squares = sum(
            some.T @ ((block @ rows.T).double().square() @ belongs)
            for some, block in zip(belongs.split(ROWS), rows.split(ROWS), strict=True)
        )
        for total, *parts in zip(sums, *(_without(x) for x in (count, trace)), _without_squares(squares), strict=True):
            number, first, second = parts
            total += torch.where(second > 0, number * first**2 / (scaled.shape[1] * second), 0.0)
    whole, one, two = (total / number for total, number in zip(sums, _without(torch.bincount(group)), strict=True))
    if groups < 3:
        return float(whole), math.nan
    return float(whole), corrected_error(one, interactions(whole, one, two))


def _without(sums):
    """The sum of `sums` (groups,), the sum without each of them (groups,), and without each pair (groups, groups)."""
    one = sums.sum() - sums
    return sums.sum(), one, one - sums.unsqueeze(1)


def _without_squares(squares):
    """The sum of a symmetric matrix, and its sum without the row and the column of each, and of each pair of groups."""
    row, own = squares.sum(1), squares.diagonal()
    one = row.sum() - 2 * row + own
    return row.sum(), one, one + one.unsqueeze(1) - row.sum() + 2 * squares


def neighbour(samples) -> tuple[float, float]:
    """The mean distance of samples (count, n) to the nearest other one, and its standard error.

    Without sample i the distances of the samples whose nearest one it is are those to their second; without i and j
    those of samples whose two nearest ones they are, to the third. So each Q_ij is known from the three nearest ones,
    and is 0 for nearly all pairs.
    """
    count = len(samples)
    distance, place = _three_nearest(samples)
    own, nearest, second = torch.arange(count), place[:, 0], place[:, 1]
    first, further, last = distance.T
    left = (first.sum() - first).index_add(0, nearest, further - first) / (count - 1)
    if count < 4:
        return float(first.mean()), math.nan
    pairs = torch.cat([_pair(nearest, second, count), _pair(own, nearest, count)])
    pairs, index = pairs.unique(return_inverse=True)
    paired = torch.zeros(len(pairs), dtype=torch.float64)
    paired.index_add_(0, index, torch.cat([last - further, first - further]))
    squared = paired.square().sum() - paired.sum() ** 2 / (count * (count - 1) / 2)
    return float(first.mean()), corrected_error(left, float(squared))


def _three_nearest(samples):
    """The distances (count, 3) to the three nearest other samples, float64, and which ones they are.

    Of three samples or fewer the last distance is repeated."""
    found, size = [], min(3, len(samples) - 1)
    for first in range(0, len(samples), ROWS):
        block = samples[first : first + ROWS]
        distance = torch.cdist(block, samples)
        rows = torch.arange(len(block))
        distance[rows, first + rows] = math.inf
        found.append(distance.topk(size, largest=False))
    values, places = (torch.cat(each)[:, [0, min(1, size - 1), size - 1]] for each in zip(*found, strict=True))
    return values.double(), places


def _pair(one, other, count):
    """One number for each unordered pair of samples."""
    return torch.minimum(one, other) * count + torch.maximum(one, other)
