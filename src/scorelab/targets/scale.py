"""The scale of a target: at which noise it is no more than noise, and at which its narrowest mode is resolved."""

import math
from typing import NamedTuple

import torch

from scorelab.laws.mixture import Mixture
from scorelab.randomness import stream

_DRAWS = 512
#: the share of the standard deviation of a coordinate that is a detail of data
_RESOLVED = 0.1


class Scale(NamedTuple):
    """The size of a target in the units of X^2, and the width of its narrowest mode.

    spread: the larger of |Cov X|, the Frobenius norm, and of max_k |mu_k - E X|^2. A sampler that freezes the posterior
    mean at E X up to the signal-to-noise ratio t pays t^2 |Cov X|^2 / 4 nats of path KL, and t |mu_k - E X|^2 / 2 nats
    on the paths to mode k. offset: |E X|^2. width: the least standard deviation of a mode; None where it is not known.
    For the law of a data set, mu_k is a point of it, and width is the standard deviation of a coordinate, root mean
    square. resolved: the width that the last noise is held against, which is that of the narrowest mode; for a data set
    it is a tenth of the width, or that of its kernel if this is larger, as points have no width of their own.
    """

    spread: float
    offset: float
    width: float | None
    resolved: float | None


def scale(target) -> Scale:
    """The scale of a target: closed forms for mixtures, a measurement for any other target that has samples, and for
    the rest that of independent coordinates of variance 1."""
    if target.can("gaussian_modes"):
        weights, n = target.weights, target.n
        mean, within = weights @ target.means, float(weights @ target.std**2)
        gram = (target.means - mean) @ (target.means - mean).T
        lengths = gram.diag()
        squared = n * within**2 + 2 * within * float(weights @ lengths) + float(weights @ gram.square() @ weights)
        spread = max(math.sqrt(squared), float(lengths.max()))
        width = float(target.std.min())
        return Scale(spread, float(mean.square().sum()), width, width)
    if isinstance(target, Mixture):
        lengths = (target.means - target.mean).square().sum(1)
        width = float(target.variances.min().sqrt())
        spread = max(float(target.covariance.norm()), float(lengths.max()))
        return Scale(spread, float(target.mean.square().sum()), width, width)
    if target.can("points"):
        return _of_points(target)
    return measured(target) if target.can("samples") else Scale(math.sqrt(target.n), 0.0, None, None)


def _of_points(target) -> Scale:
    """The scale of the law of a data set; |Cov X| is measured, the rest is exact."""
    lengths = target.squared_lengths()
    width = math.sqrt(float(lengths.mean()) / target.n + target.std**2)
    found = measured(target)
    resolved = max(_RESOLVED * width, target.std)
    return Scale(max(found.spread, float(lengths.max())), float(target.mean.square().sum()), width, resolved)


def entry_std(target) -> float:
    """The standard deviation of the entries of a sample, all entries together, from 512 exact samples; 1 for a target
    that has no samples, or whose entries are all the same."""
    if not target.can("samples"):
        return 1.0
    return float(target.sample(_DRAWS, stream(0, "scale"), torch.float64).std()) or 1.0


def measured(target) -> Scale:
    """The scale from 512 exact samples: for independent X and X' the mean of <X - E X, X' - E X>^2 is |Cov X|^2."""
    x = target.sample(_DRAWS, stream(0, "scale"), torch.float64).flatten(1)
    mean = x.mean(0)
    squares = ((x - mean) @ (x - mean).T).square()
    squared = (squares.sum() - squares.trace()) / (_DRAWS * (_DRAWS - 1))
    return Scale(math.sqrt(squared), float(mean.square().sum()), None, None)
