"""When the noisy state of a Gaussian mixture tells its modes apart."""

import math

import torch

from scorelab.laws.mode_pairs import undecided
from scorelab.once import once
from scorelab.targets.bayes_risk import bayes_risk
from scorelab.targets.scale import scale

#: how much of the Bayes risk may lie between the modes, in variances of the narrowest mode, if they do not overlap
_OVERLAP = 0.01


@once
def speciation_angle(target) -> float | None:
    """The angle at which E[1 - sum_k gamma_k^2] has fallen to half of 1 - sum_k w_k^2; None if it never does.

    For two modes E[gamma (1 - gamma)] = p (1 - p)/2 there: the variance of the mode given the state has fallen to half.
    The angle is exact to rounding where the expectation is, otherwise its error follows from the expectation's, and it
    is found to 1e-4 of its time.
    """
    from scipy.optimize import brentq

    if len(target.weights) < 2:
        return None
    half = 0.5 * float(1 - target.weights.square().sum())

    exact = True

    def excess(log_t):
        nonlocal exact
        found, error = undecided(target, torch.as_tensor(log_t, dtype=torch.float64).mul(0.5).exp().atan())
        exact = error is None
        return found - half

    size = float((target.means - target.means[0]).square().sum(1).max() + target.n * target.std.max() ** 2)
    low = math.log(1e-4 / size)
    times = torch.arange(low, 14.0, 1.0, dtype=torch.float64)
    below = (excess(times) < 0).nonzero()
    if not len(below) or below[0] == 0:
        return None
    high = float(times[below[0]])
    ends = [float(excess(log_t)) for log_t in (high - 1, high)]
    tolerance = 1e-9 if exact else 1e-4
    known = dict(zip((high - 1, high), ends, strict=True))
    found = brentq(lambda log_t: known[log_t] if log_t in known else float(excess(log_t)), *known, xtol=tolerance)
    return math.atan(math.exp(0.5 * found))


def overlap(target, angle: float, within: float) -> bool:
    """Whether more of the Bayes risk at an angle lies between the modes of a mixture than a hundredth of the variance
    of the narrowest one. By this part the variance of the posterior mean is below that of its law mode by mode.

    within: the part of the risk within the modes. A risk that is not exact counts less three standard errors.
    """
    risk, error = bayes_risk(target, angle)
    between = float(risk) - within - (0.0 if error is None else 3 * float(error))
    return between > _OVERLAP * scale(target).width ** 2
