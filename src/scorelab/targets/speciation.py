"""When the noisy state of a Gaussian mixture tells its modes apart."""

import math

import numpy
import torch

from scorelab.quadrature import expectation_nodes


def coordinates(target):
    """The coordinates (K, r) of mu_k - mu_1 in an orthonormal basis of a space that holds them, r = min(K - 1, n)."""
    offsets = target.means[1:] - target.means[0]
    return torch.cat([offsets.new_zeros(1, min(offsets.shape)), torch.linalg.qr(offsets.T).R.T])


def undecided(target, angle: float) -> float:
    """E[1 - sum_k gamma_k^2] at an angle, for a Gaussian mixture: 1 - sum_k w_k^2 at angle 0, by quadrature.

    As E[gamma_k gamma_l] = w_k E_k[gamma_l] it is 2 sum_k w_k E_k sum_{l after k} gamma_l, the modes in the order of
    their widths; see `GaussianMixture.bayes_risk`, which integrates the same weights.
    """
    order = torch.argsort(target.std)
    std, modes, weights = target.std[order], coordinates(target)[order], target.weights[order]
    sin, cos = math.sin(angle), math.cos(angle)
    variance = std**2 * sin**2 + cos**2
    rank = modes.shape[1]
    outside = target.n - rank if bool((std != std[0]).any()) else 0
    total = 0.0
    for k in range(len(modes) - 1):
        distance = (modes[k + 1 :] - modes[k]).norm(dim=1)
        slope = float((sin * distance * variance[k].sqrt() / variance[k + 1 :]).max())
        for z, radius2, mass in expectation_nodes(rank, outside, slope + 6 * float(1 - variance[k] / variance[-1])):
            x = sin * modes[k] + variance[k].sqrt() * z
            squared = (x.unsqueeze(1) - sin * modes).square().sum(-1) + (variance[k] * radius2).unsqueeze(1)
            gamma = torch.softmax(weights.log() - 0.5 * (squared / variance + target.n * variance.log()), -1)
            total += 2 * float(weights[k] * (mass @ gamma[:, k + 1 :].sum(1)))
    return total


def speciation_angle(target) -> float | None:
    """The angle at which E[1 - sum_k gamma_k^2] has fallen to half of 1 - sum_k w_k^2; None if it never does.

    For two modes E[gamma (1 - gamma)] = p (1 - p)/2: the posterior weight has half the variance of a known mode.
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
