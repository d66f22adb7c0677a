"""When the noisy state of a Gaussian mixture tells its modes apart."""

import math

import numpy
import torch

from scorelab.laws import mode_pairs


def coordinates(target):
    """The coordinates (K, r) of mu_k - mu_1 in an orthonormal basis of a space that holds them, r = min(K - 1, n)."""
    offsets = target.means[1:] - target.means[0]
    return torch.cat([offsets.new_zeros(1, min(offsets.shape)), torch.linalg.qr(offsets.T).R.T])


def undecided(target, angle: float) -> float:
    """E[1 - sum_k gamma_k^2] of a Gaussian mixture at an angle; see `laws.mode_pairs.undecided`."""
    return mode_pairs.undecided(target, coordinates(target), angle)


def speciation_angle(target) -> float | None:
    """The angle at which E[1 - sum_k gamma_k^2] has fallen to half of 1 - sum_k w_k^2; None if it never does.

    For two modes E[gamma (1 - gamma)] = p (1 - p)/2 there: the variance of the mode given the state has fallen to half.
    """
    from scipy.optimize import brentq

    if len(target.weights) < 2:
        return None
    half = 0.5 * float(1 - target.weights.square().sum())

    def excess(log_t):
        return undecided(target, math.atan(math.exp(0.5 * log_t))) - half

    size = float(coordinates(target).square().sum(1).max() + target.n * target.std.max() ** 2)
    low = math.log(1e-4 / size)
    for high in numpy.arange(low + 1, 14.0, 1.0):
        if excess(high) < 0:
            return math.atan(math.exp(0.5 * brentq(excess, high - 1, high, xtol=1e-9)))
    return None
