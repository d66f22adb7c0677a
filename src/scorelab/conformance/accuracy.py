"""What a sampler computes on a Gaussian and on a point, exactly. Each function is a property of `Check`."""

import itertools
import math

import torch

from scorelab.conformance.noise import LARGE, ORDINARY
from scorelab.conformance.slopes import order_of_gaps

#: how far the limit of many steps may be from the law, in standard deviations of the law
LIMIT = 0.01
#: how far the first state may be from noise alone, as where a chain keeps a little of the sample
START = 0.02
#: how far from affine a sampler may be that computes in single precision
PRECISION = 2e-4


def start(check):
    """The first state is that of the first angle: noise alone, but for a little of the sample."""
    off, angle = _noise_of_states(check, 32)[0]
    found = f"the first state, at {angle:.4g} rad, is off by {off:.2g} of what the angle says"
    return off <= START, found, {"off": off, "angle": angle}


def times(check):
    """At each evaluation the state has the noise of the angle: exactly, where the target is one point and the rule
    freezes the posterior mean, and up to an error that falls with the number of steps for other rules."""
    coarse, fine = (_noise_of_states(check, steps) for steps in (32, 128))
    (off, angle), before = max(fine), max(coarse)[0]
    first = max(coarse[0][0], fine[0][0])  # what is missing at the start is judged by `start`
    exact = sorted(coarse)[len(coarse) // 4][0] <= 1e-5 + first  # the rule makes no error here
    right = max(off, before) <= 1e-3 + 2 * first if exact else off <= 0.7 * before
    found = f"states have the noise that their angles say, to {off:.2g}"
    if not right:
        found = f"at {angle:.4g} rad the noise of the state is off by {off:.2g}"
    return right, found, {"off": off, "off_with_fewer_steps": before}


def _noise_of_states(check, steps):
    """(how far mean and width of the state are from those of its angle, the angle) at each evaluation, where the
    target is one point."""
    found = []
    for angle, mean, covariance in check.moments(check.point, steps).asked:
        angle = float(torch.as_tensor(angle).flatten()[0])
        sin, cos = math.sin(angle), math.cos(angle)
        off = float((mean - sin * check.point.mean).norm() / check.point.mean.norm())
        width = float(covariance.diag().mean().clamp_min(0).sqrt())
        found.append((max(off, abs(width - cos) / max(cos, 0.05)), angle))
    return found


def precision(check):
    """The sampler is affine on a Gaussian, as far as single precision lets it be."""
    defect = check.curve[0].defects[ORDINARY]
    right = defect <= PRECISION
    found = f"affine on a Gaussian to {defect:.1g}, relative"
    return right, found + ("" if right else ": not what single precision gives"), {"defect": defect}


def unclipped(check):
    """It stays affine for draws a hundred times as large."""
    moment = check.curve[0]
    defect, ordinary = moment.defects[LARGE], moment.defects[ORDINARY]
    right = defect <= max(1e-3, 10 * ordinary)
    found = "large samples stay as large as they are"
    cut = f"samples are cut: off by {defect:.2g} where draws are {LARGE:g} times as large"
    return right, found if right else cut, {"defect": defect}


def order(check):
    """The slope of the differences between successive numbers of steps, which do not depend on the limit."""
    gaps = [float((after - before).norm()) for before, after in itertools.pairwise(check.errors)]
    return order_of_gaps("mean and covariance on a Gaussian", gaps, 10 * rounding(check), check.options.order)


def limit(check):
    """The moments of infinitely many steps, from the last three numbers of steps."""
    off, unsure = extrapolated(*check.errors[-3:], least=10 * rounding(check))
    off = float(off.norm())
    found = f"with many steps mean and covariance are off by {off:.2g} of the law's size"
    return off <= LIMIT + unsure, found, {"off": off, "unsure": unsure}


def extrapolated(first, second, third, least: float = 1e-9):
    """The limit of three values at doubling numbers of steps, and how unsure it is: half of what is added to the third.

    The steps from one to the next shrink by a constant ratio, at most 3/4; below `least` they are rounding.
    """
    before, after = float((second - first).norm()), float((third - second).norm())
    ratio = min(after / before, 0.75) if before > least else 0.0
    limit = third + (third - second) * (ratio / (1 - ratio))
    return limit, float((limit - third).norm()) / 2


def moments(check):
    """What is left of the error with each number of steps; whether it falls as it should is judged by `order`."""
    first, last = (moment_errors(check, check.curve[k]) for k in (0, -1))
    names = ("mean_error", "variance_error", "correlation_error")
    text = ", ".join(f"{name.removesuffix('_error')} {first[name]:.2g} and {last[name]:.2g}" for name in names)
    ends = f"{check.options.steps[0]} and {check.options.steps[-1]}"
    return None, f"largest error on a Gaussian with {ends} steps: {text}", last


def moment_errors(check, found) -> dict:
    """How far the moments of a sampler are from the closed form.

    mean_error: largest, in standard deviations. variance_error: largest, relative. correlation_error: largest.
    covariance_error: Frobenius norm, in units of the mean variance.
    """
    mean, covariance = check.exact
    correlations = [_correlations(each) for each in (found.covariance, covariance)]
    variances = found.covariance.diag() / covariance.diag()
    return {
        "mean_error": float(((found.mean - mean).abs() / covariance.diag().sqrt()).max()),
        "variance_error": float((variances - 1).abs().max()),
        "correlation_error": float((correlations[0] - correlations[1]).abs().max()),
        "covariance_error": float((found.covariance - covariance).norm() / covariance.diag().mean()),
    }


def _correlations(covariance):
    widths = covariance.diag().clamp_min(1e-300).sqrt()
    return covariance / torch.outer(widths, widths)


def rounding(check):
    """What is no more than rounding: as far as the sampler is from affine, and no less than double precision."""
    return max(1e-10, 4 * check.curve[0].defects[ORDINARY])


PROPERTIES = (start, times, precision, unclipped, order, limit, moments)
