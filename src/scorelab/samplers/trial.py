"""A trial of a rule on a grid: what a small job with the exact posterior mean makes of the modes of a mixture."""

import math
from typing import NamedTuple

import torch

from scorelab.denoisers.exact import ExactDenoiser
from scorelab.errors import ScorelabError
from scorelab.laws.mixture import IsotropicMixture
from scorelab.randomness import BLOCK, stream_seed
from scorelab.samplers.loop import draw_samples
from scorelab.targets.gaussian_mixture import GaussianMixture

#: a trial has about so many numbers in its state, or in a sample's path, and at least and at most so many samples
_NUMBERS, _LEAST, _MOST = 2**18, 1024, 8192
#: a weight is wrong beyond so many standard errors, if it misses by this share of itself or of the other weights
_ERRORS, _SHARE = 4.0, 0.1
#: a variance is wrong beyond this factor, after so many standard errors in its favour
_FACTOR, _FAVOUR = 1.2, 2.0


class Fault(NamedTuple):
    """The mode that comes out worst, in words, and what was found and is exact: its weight, or its variance over the
    exact one."""

    words: str
    found: float
    exact: float


def fault(job, schedule, angles, target) -> Fault | None:
    """The worst mode of a trial on the grid `angles` (steps + 1,), or None if all are right within the errors.

    With gamma_k = P(mode k | x) and D_k the squared length of x in mode k, over its mean, exact samples have
    E gamma_k = w_k and E gamma_k D_k = w_k at every angle. Wrong is a weight that misses by 4 standard errors and by a
    tenth of w_k or 1 - w_k, and else a variance that is 1.2 times too large or too small, after 2 standard errors in
    its favour. A job that diverges has an infinite variance.
    """
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
    gamma = small.posterior_weights(x, angle)
    return _weight(small, gamma) or _variance(small, gamma * small.squared_lengths(x, angle), gamma)


def _weight(target, gamma):
    """The fault of the weight that is furthest off, in standard errors; gamma (count, K)."""
    weights, found = target.weights, gamma.mean(0)
    missed = (found - weights).abs()
    errors = missed / (weights * (1 - weights) / len(gamma)).sqrt()
    wrong = (errors > _ERRORS) & (missed > _SHARE * torch.minimum(weights, 1 - weights))
    if len(weights) == 1 or not bool(wrong.any()):
        return None
    worst = int(torch.where(wrong, errors, 0.0).argmax())
    share, exact = float(found[worst]), float(weights[worst])
    return Fault(f"mode {worst + 1} has the weight {share:.3g} instead of {exact:.3g}", share, exact)


def _variance(target, lengths, gamma):
    """The fault of the variance that is furthest off, as a factor; lengths = gamma_k D_k and gamma (count, K)."""
    found = lengths.sum(0) / gamma.sum(0).clamp_min(1e-12)
    favour = _FAVOUR * (2 / (len(gamma) * target.weights * target.n)).sqrt()
    nearer = 1 + (found - 1).sign() * ((found - 1).abs() - favour).clamp_min(0)
    factors = nearer.clamp_min(1e-12).log().abs()
    worst = int(factors.argmax())
    if factors[worst] <= math.log(_FACTOR):
        return None
    return Fault(
        f"the variance within mode {worst + 1} is {found[worst]:.3g} times the exact one", float(found[worst]), 1.0
    )


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
