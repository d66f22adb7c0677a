"""Other grids, schedules and starts, for a sampler that takes them. Each function is a property of `Check`."""

import math
from functools import partial

import torch

from scorelab.conformance.accuracy import LIMIT, extrapolated
from scorelab.conformance.calling import Asked
from scorelab.conformance.conventions import allows, of_rule, schedules_of_ours, takes
from scorelab.samplers import Sampler

#: steps on a grid, and those from which the limit on a schedule is taken
STEPS, DOUBLING = 400, (32, 64, 128)


def grids(check):
    """The law is the same on grids with steps of random lengths, up to three times one another, and of growing ones."""
    if not takes(check.sampler, "angles"):
        return None, "not measured: the sampler takes no angles"
    first, last = _ends(check)
    last, off = min(max(last, 1.5), math.pi / 2 - 1e-3), {}
    generator = torch.Generator().manual_seed(0)
    lengths = 0.5 + torch.rand(STEPS, generator=generator, dtype=torch.float64)
    places = {"uneven": lengths.cumsum(0) / lengths.sum()}
    places["square"] = torch.linspace(0, 1, STEPS + 1, dtype=torch.float64)[1:] ** 2
    for kind, place in places.items():
        angles = first + (last - first) * torch.cat([place.new_zeros(1), place])
        off[kind] = float(_error(check, check.sampler, angles).norm())
    return _judged(f"covariance with {STEPS} steps on other grids is off by", off)


def schedules(check):
    """A rule of ours runs on each schedule that it allows; another sampler gets the grids of these schedules."""
    rule = check.source if isinstance(check.source, Sampler) else None
    if rule is None and not takes(check.sampler, "angles"):
        return None, "not measured: the sampler takes no angles"
    off, refused = {}, []
    for name, schedule in schedules_of_ours().items():
        if rule is not None and not allows(rule, schedule):
            refused.append(name)
            continue
        sampler = check.sampler if rule is None else of_rule(rule, schedule)
        grid = schedule.angles if rule is None else partial(rule.angles, schedule)
        runs = [_error(check, sampler, grid(steps)) for steps in DOUBLING]
        off[name] = float(extrapolated(*runs)[0].norm())
    right, text, numbers = _judged("with many steps the covariance on each schedule is off by", off)
    return right, text + (f"; it refuses {', '.join(refused)}" if refused else ""), numbers


def _error(check, sampler, angles):
    """The covariance on a grid minus that of the law with the noise of the last angle, in units of the law's mean
    variance, (n, n)."""
    found = check.moments(check.gaussian, len(angles) - 1, sampler=sampler, angles=angles)
    exact = check.gaussian.with_noise(1 / math.tan(float(angles[-1])))
    return (found.covariance - exact) / check.gaussian.covariance.diag().mean()


def _judged(what, off):
    text = ", ".join(f"{name} {value:.2g}" for name, value in off.items())
    return max(off.values(), default=0.0) <= 5 * LIMIT, f"{what}: {text}", off


def _ends(check):
    asked = Asked(check.gaussian)
    check.draw(check.gaussian, 32, denoiser=asked)
    angles = [float(torch.as_tensor(angle).flatten()[0]) for *_, angle in asked.calls]
    return min(angles), max(angles)


def middle(check):
    """From a state in the middle of a path the same law is reached."""
    if not (takes(check.sampler, "angles") and takes(check.sampler, "initial")):
        return None, "not measured: the sampler takes no angles and no initial state"
    last, count, n = math.pi / 2 - 0.05, check.options.count, check.n
    angles = torch.linspace(0.7, last, 201, dtype=torch.float64)
    generator = torch.Generator().manual_seed(check.options.seed)
    clean = check.gaussian.sample(count, generator)
    initial = math.sin(0.7) * clean + math.cos(0.7) * torch.randn(count, n, generator=generator)
    x = check.draw(check.gaussian, 200, count, seed=1, angles=angles, initial=initial).double()
    exact = check.gaussian.with_noise(1 / math.tan(last))
    error = (torch.outer(exact.diag(), exact.diag()) + exact**2).sqrt() / math.sqrt(count)
    off = float(((torch.cov(x.T) - exact) / error).abs().max())
    found = f"from the middle of a path: the covariance is off by {off:.2g} standard errors at most"
    return off <= 5, found, {"deviations": off}


PROPERTIES = (grids, schedules, middle)
