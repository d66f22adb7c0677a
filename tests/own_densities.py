"""Densities of somebody else's, for `target.function`."""

import math

import torch

from scorelab.targets import GaussianMixture

THREE = GaussianMixture([0.5, 0.3, 0.2], torch.tensor([[1.0, 0.5], [-1.0, 0.2], [0.0, -1.0]]), [0.2, 0.3, 0.15])


def three(x):
    """Three Gaussian modes."""
    return THREE.log_prob(x) + 3.0  # up to a constant


def square(x):
    """Uniform on a square: a density that jumps."""
    return torch.where(x.abs().amax(1) < 1, 0.0, -math.inf).double()


def flat(x):
    """A density without an end."""
    return x.sum(1) * 0


def pairs(x):
    """Not a number for each point."""
    return x


def undefined(x):
    """No number at all."""
    return x.sum(1) / 0 * 0


def in_numpy(x):
    """A density of which torch knows no derivative."""
    return torch.from_numpy(THREE.log_prob(x.detach()).numpy())


number = 3.0
