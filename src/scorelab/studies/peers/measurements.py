"""What is measured of a sampler. Each takes a plain sampler, see `scorelab.conformance.check_sampler`."""

import itertools
import math
import statistics
import time

import numpy
import torch

from scorelab.conformance import laws
from scorelab.conformance.calling import Asked
from scorelab.conformance.noise import ORDINARY, ChosenDraws, Moments, NotAffine, moments_on
from scorelab.laws.estimate import Estimate
from scorelab.metrics.rates import rate

#: gaps between numbers of steps that a slope is fitted to
GAPS = 3
#: a sampler that is further from affine cuts its samples or does something else that moments do not tell
AFFINE = 1e-3
#: samples of a run that is timed
_TIMED = 256


def exact_moments(sampler, law, steps: int) -> Moments:
    """Mean and covariance of the samples of a Gaussian law, without sampling error.

    Raises NotAffine where they cannot be had, as of a sampler that clips.
    """
    found = moments_on(law, lambda denoiser, count: sampler(denoiser, count, law.n, steps, _generator()))
    if found.defects[ORDINARY] > AFFINE:
        raise NotAffine("it is not affine on a Gaussian, as where samples are clipped")
    return found


def errors(found: Moments, law, end_noise: float) -> dict[str, float]:
    """mean |b - mu|/s, variance tr(C - C*)/tr C*, signed, covariance |C - C*|/|C*| (Frobenius), where C* has the noise
    that the samples keep and s^2 = tr C*/n."""
    exact = law.with_noise(end_noise)
    size = float(exact.diag().mean().sqrt())
    return {
        "mean": float((found.mean - law.mean).norm()) / size,
        "variance": float((found.covariance - exact).trace() / exact.trace()),
        "covariance": float((found.covariance - exact).norm() / exact.norm()),
    }


def order(found: list[Moments], law, steps) -> Estimate:
    """The slope of the differences between the moments of successive numbers of steps, which do not depend on the
    limit; its standard error is that of the regression over the last three: the differences have no sampling error."""
    size = float(law.covariance.diag().mean())
    vectors = [torch.cat([each.mean / math.sqrt(size), each.covariance.flatten() / size]) for each in found]
    gaps = [float((after - before).norm()) for before, after in itertools.pairwise(vectors)]
    least = 10 * max(1e-10, 4 * max(each.defects[ORDINARY] for each in found))
    return _slope(steps, gaps, least)


def _slope(steps, gaps, least) -> Estimate:
    seen = [(step, gap) for step, gap in zip(steps, gaps, strict=False) if gap > least][-GAPS:]
    if len(seen) < GAPS:
        return Estimate.missing("the samples hardly depend on the number of steps")
    x, values = numpy.array(seen).T
    slope, error = rate(-numpy.log(x), values)
    return Estimate(slope, error)


def strong_order(sampler, steps, paths: int, batches: int, seed: int) -> Estimate:
    """The slope of sqrt(E|x_N - x_2N|^2) over the last three gaps, on a mixture, from one noise; its standard error is
    the jackknife's over batches of the paths. Missing for a sampler whose samples depend on later draws. In double
    precision, or in single precision for a sampler that refuses it."""
    before = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float64)
        return _strong_order(sampler, steps, paths, batches, seed)
    except Exception:  # its own error is raised below
        torch.set_default_dtype(before)
        return _strong_order(sampler, steps, paths, batches, seed)
    finally:
        torch.set_default_dtype(before)


def _strong_order(sampler, steps, paths, batches, seed):
    law = laws.mixture()
    start = torch.randn(paths, law.n, generator=_generator(seed), dtype=torch.float64)

    def run(count, later):
        def source(number, shape):
            return start if number == 0 else torch.full(shape, later)

        with ChosenDraws(source):
            x = sampler(lambda x, angle: law.posterior_mean(x, angle).to(x), paths, law.n, count, _generator(seed))
        return x.double()

    if not torch.equal(run(steps[0], 0.0), run(steps[0], 1.0)):
        return Estimate.missing("it draws noise in its steps, and that of different numbers of steps cannot be coupled")
    ends = [run(count, 0.0) for count in steps[-GAPS - 1 :]]
    squares = numpy.stack([(after - before).square().sum(1).numpy() for before, after in itertools.pairwise(ends)])
    parts = squares[:, : paths // batches * batches].reshape(GAPS, batches, -1).mean(2)
    return path_order(steps[-GAPS - 1 : -1], parts)


def path_order(steps, parts) -> Estimate:
    """The slope of the root of the mean of `parts` (gaps, batches) on the number of steps; the jackknife's error."""
    x, batches = -numpy.log(numpy.array(steps, float)), parts.shape[1]
    if parts.mean(1).min() < 1e-18:
        return Estimate.missing("the paths hardly depend on the number of steps")
    left = (parts.sum(1, keepdims=True) - parts) / (batches - 1)
    slopes = numpy.array([rate(x, numpy.sqrt(one))[0] for one in left.T])
    spread = math.sqrt((batches - 1) / batches * float(((slopes - slopes.mean()) ** 2).sum()))
    return Estimate(rate(x, numpy.sqrt(parts.mean(1)))[0], spread)


def steps_for(sampler, law, evaluations: int) -> int | None:
    """The most steps that ask the denoiser at most `evaluations` times; None if a single step asks more often."""
    steps = evaluations
    while steps >= 1:
        asked = _asked(sampler, law, steps)
        if asked is not None and asked <= evaluations:
            return steps
        steps = steps - 1 if asked is None or steps < 3 else max(min(steps - 1, steps * evaluations // asked + 1), 1)
    return None


def _asked(sampler, law, steps):
    """How often the denoiser is asked; None where the sampler refuses this number of steps."""
    denoiser = Asked(law)
    try:
        sampler(denoiser, 2, law.n, steps, _generator())
    except ValueError:
        return None
    return len(denoiser.calls)


def cost(sampler, law, repeats: int, steps: int = 32) -> tuple[float, float]:
    """Microseconds of processor time a step beyond the denoiser, of 256 samples in three dimensions on this machine:
    the median of the repeats, and half the distance between their quartiles."""
    found = []
    for _ in range(repeats + 1):
        inside = []

        def denoiser(x, angle, inside=inside):
            began = time.process_time()
            answer = law.posterior_mean(x, angle).to(x)
            inside.append(time.process_time() - began)
            return answer

        began = time.process_time()
        sampler(denoiser, _TIMED, law.n, steps, _generator())
        found.append((time.process_time() - began - sum(inside)) / steps * 1e6)
    low, middle, high = statistics.quantiles(found[1:], n=4)  # the first is for warming up
    return middle, (high - low) / 2


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


__all__ = ["NotAffine", "cost", "errors", "exact_moments", "order", "path_order", "steps_for", "strong_order"]
