"""Bases of R^n whose rows go from coarse to fine, in float64."""

import math

import torch


def rows_and_levels(name: str, n: int):
    """The rows (m, n), each of length 1, and their levels (m,), integers from 0, the coarsest one.

    name: `coordinates` (all on level 0), `haar` (the Haar wavelets; a level for each length), `dct` (the cosines of the
    DCT-II; a level for each octave) or `pooling` (the sums over blocks of each length n, n/2, ..., 1: 2n - 1 rows).
    Raises ValueError for `haar` and `pooling` unless n is a power of 2.
    """
    if name in ("haar", "pooling") and n & (n - 1):
        raise ValueError(f"{name}: n = {n}: a power of 2 is needed")
    return {"coordinates": _coordinates, "haar": _haar, "dct": _dct, "pooling": _pooling}[name](n)


def _coordinates(n):
    return torch.eye(n, dtype=torch.float64), torch.zeros(n, dtype=torch.long)


def _blocks(n, length):
    """The indicators of the n/length blocks, each divided by its norm."""
    whole = torch.eye(n // length, dtype=torch.float64).repeat_interleave(length, 1)
    return whole / math.sqrt(length)


def _haar(n):
    rows, levels, length = [_blocks(n, n)], [0], n
    while length > 1:
        signs = torch.ones(length, dtype=torch.float64)
        signs[length // 2 :] = -1
        rows.append(_blocks(n, length) * signs.repeat(n // length))
        levels += [levels[-1] + 1] * (n // length)
        length //= 2
    return torch.cat(rows), torch.tensor(levels)


def _dct(n):
    frequency, place = torch.arange(n, dtype=torch.float64), torch.arange(n, dtype=torch.float64) + 0.5
    rows = torch.cos(math.pi / n * torch.outer(frequency, place)) * math.sqrt(2 / n)
    rows[0] /= math.sqrt(2)
    return rows, torch.tensor([k.bit_length() for k in range(n)])


def _pooling(n):
    lengths = [n >> level for level in range(n.bit_length())]
    rows = [_blocks(n, length) for length in lengths]
    return torch.cat(rows), torch.cat([torch.full((len(each),), level) for level, each in enumerate(rows)])
