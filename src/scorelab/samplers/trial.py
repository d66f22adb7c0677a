"""A trial of a rule on a grid: what a small job with the exact posterior mean makes of the modes of a mixture."""

import math
from typing import NamedTuple

import numpy
import torch
from scipy.special import betainc, betaincc, gammainc, gammaincc

from scorelab.denoisers.exact import ExactDenoiser
from scorelab.errors import ScorelabError
from scorelab.laws.mixture import IsotropicMixture
from scorelab.randomness import BLOCK, stream_seed
from scorelab.samplers.loop import draw_samples
from scorelab.targets.gaussian_mixture import GaussianMixture

#: a trial has about so many numbers in its state, or in a sample's path, and at least and at most so many samples
_NUMBERS, _LEAST, _MOST = 2**18, 1024, 8192
#: chance that exact samples show any fault, over all that is compared; a mode in which fewer samples are expected is
#: not compared by itself
_ALARM, _FEW = 1e-4, 10.0
#: a weight is wrong if it misses by this share of itself or of the other weights, a variance beyond this factor
_SHARE, _FACTOR = 0.1, 1.2


class Fault(NamedTuple):
    """The mode that comes out worst, in words, and what was found and is exact: its weight, or its variance over the
    exact one."""

    words: str
    found: float
    exact: float


def fault(job, schedule, angles, target) -> Fault | None:
    """The worst mode of a trial on the grid `angles` (steps + 1,), or None if all are right within the errors; see
    `judged`. A job that diverges has an infinite variance."""
    small = _in_span(target)
    count = max(_LEAST, min(_MOST, _NUMBERS // max(small.n, job.steps)))
    tried = job.model_copy(update={"count": count, "batch_size": count + BLOCK, "output": "scaled"})
    seed, angle = stream_seed(0, "trial"), float(angles[-1])
    where = {"dtype": torch.float64, "angles": angles}
    try:
        x = torch.cat(list(draw_samples(tried, schedule, ExactDenoiser(small), small.n, seed, **where)))
    except ScorelabError:
        return Fault("the samples diverge", math.inf, 1.0)
    x *= math.sin(angle)
    return judged(small, x, angle)


def judged(target, x, angle: float) -> Fault | None:
    """The worst mode of states x (count, n) that are to have the noisy law of a mixture at an angle, or None.

    With gamma_k = P(mode k | x) and D_k the squared length of x in mode k, over its mean, exact samples have
    E gamma_k = w_k and E gamma_k D_k = w_k at every angle. Let G and S be the sums of gamma_k and gamma_k D_k. For
    modes that lie apart G is binomial, and n S is chi-squared with n G degrees of freedom; modes that overlap spread
    less. Wrong is a weight that misses by a tenth of w_k or 1 - w_k and by more than the quantile of the binomial law,
    and else a variance S/G that is 1.2 times too large or too small, and beyond the quantile of a mode for which this
    is exact; that of all modes together is compared as well. The quantiles allow for the number of modes, so that exact
    samples show a fault with a probability of 1e-4.
    """
    gamma = target.posterior_weights(x, angle)
    lengths = (gamma * target.squared_lengths(x, angle)).sum(0).numpy()
    modes = (len(x) * target.weights >= _FEW).nonzero().flatten().numpy()
    level = _ALARM / (4 * len(modes) + 2)  # of each number, which may be too large or too small
    shares, found = target.weights.numpy()[modes], gamma.sum(0).numpy()[modes]
    return _weight(modes, len(x), shares, found, level) or _variance(
        [*(f"mode {mode}" for mode in modes), "the modes"],
        0.5 * target.n * numpy.append(found, len(x)),
        0.5 * target.n * numpy.append(lengths[modes], lengths.sum()),
        level,
    )


def _weight(modes, count, shares, found, level):
    """The fault of the weight that is furthest off, in standard errors; found: the sums of gamma_k."""
    expected = count * shares
    missed = numpy.abs(found - expected)
    inside = found.clip(1e-9, count - 1e-9)
    above, below = betainc(inside, count - inside + 1, shares), betaincc(inside + 1, count - inside, shares)
    wrong = (missed > _SHARE * numpy.minimum(expected, count - expected)) & (numpy.minimum(above, below) < level)
    if not wrong.any():
        return None
    worst = numpy.where(wrong, missed**2 / (expected * (1 - shares)).clip(1e-9), -1.0).argmax()
    share, exact = float(found[worst] / count), float(shares[worst])
    return Fault(f"mode {modes[worst]} has the weight {share:.3g} instead of {exact:.3g}", share, exact)


def _variance(names, halves, lengths, level):
    """The fault of the variance that is furthest off, as a factor; halves: half of the degrees of freedom of each name,
    the last of which is that of all modes together, and lengths: half of the sums of squares."""
    halves = halves.clip(1e-9)
    above, below = gammaincc(halves, lengths / _FACTOR), gammainc(halves, lengths * _FACTOR)
    (wrong,) = (numpy.minimum(above, below) < level).nonzero()
    if not len(wrong):
        return None
    factors = lengths / halves
    worst = max(wrong[:-1] if len(wrong) > 1 else wrong, key=lambda place: abs(math.log(max(factors[place], 1e-12))))
    factor = float(factors[worst])
    return Fault(f"the variance within {names[worst]} is {factor:.3g} times the exact one", factor, 1.0)


def _in_span(target):
    """The same mixture in the span of its means and one more dimension, where all modes are equally wide: the other
    dimensions are independent and like this one. Other mixtures stay as they are."""
    if not isinstance(target, IsotropicMixture) or bool((target.std != target.std[0]).any()):
        return target
    _, lengths, axes = torch.linalg.svd(target.means, full_matrices=False)
    spanned = axes[lengths > 1e-12 * lengths.max().clamp_min(1e-300)]
    means = target.means @ spanned.T
    if len(spanned) < target.n:
        means = torch.nn.functional.pad(means, (0, 1))
    return GaussianMixture(target.weights, means, target.std)
