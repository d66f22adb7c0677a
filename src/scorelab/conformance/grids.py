"""Other grids, schedules and starts, for a sampler that takes them. Each function is a property of `Check`."""

import math

import torch

from scorelab.conformance.accuracy import LIMIT
from scorelab.conformance.calling import Asked
from scorelab.conformance.conventions import of_rule, takes
from scorelab.errors import one_line
from scorelab.samplers import Sampler
from scorelab.schedules import DDPM, EDM, OU, VE, VP, Localization

#: steps on each grid of one's own, and on each schedule
STEPS, FEWER = 400, 256


def schedules_of_ours() -> dict:
    """name -> each of our schedules, with its usual options, and a grid of steps of log(signal/noise) for most."""
    ends = {"T": None, "t_min": None}
    variance_preserving = {"beta_min": 0.1, "beta_max": 20.0, "grid": "log_snr", **ends}
    exploding = {"sigma_min": None, "sigma_max": None}
    return {
        "localization": Localization(grid="log_snr", alpha_max=None, **ends),
        "ou": OU(grid="log_snr", beta=1.0, sigma=math.sqrt(2), **ends),
        "vp": VP(beta="linear", **variance_preserving),
        "vp_cosine": VP(beta="cosine", **variance_preserving),
        "ve": VE(grid="log_snr", **exploding),
        "edm": EDM(grid="karras", **exploding),
        "ddpm": DDPM(grid="native", timesteps=1000, beta="linear", beta_min=1e-4, beta_max=0.02),
    }


def grids(check):
    """The law is the same on grids with uneven steps."""
    if not takes(check.sampler, "angles"):
        return None, "not measured: the sampler takes no angles"
    first, last = _ends(check)
    last, off = min(max(last, 1.5), math.pi / 2 - 1e-3), {}
    generator = torch.Generator().manual_seed(0)
    for kind, u in (
        ("uneven", torch.rand(STEPS, generator=generator).sort().values),
        ("square", torch.linspace(0, 1, STEPS + 1)[1:-1] ** 2),
    ):
        inner = first + (last - first) * u.double()
        angles = torch.cat([inner.new_tensor([first]), inner, inner.new_tensor([last])])
        off[kind] = _off(check, check.sampler, angles)
    return _judged(f"covariance with {STEPS} steps on other grids is off by", off)


def schedules(check):
    """A rule of ours runs on each schedule that it allows; another sampler gets the grids of these schedules."""
    rule = check.source if isinstance(check.source, Sampler) else None
    if rule is None and not takes(check.sampler, "angles"):
        return None, "not measured: the sampler takes no angles"
    off, refused = {}, []
    for name, schedule in schedules_of_ours().items():
        if rule is not None:
            try:
                rule.require(schedule, _Exact)
            except ValueError as why:
                refused.append(f"{name} ({one_line(why)})")
                continue
        sampler = check.sampler if rule is None else of_rule(rule, schedule)
        angles = (schedule if rule is None else rule).angles(*([] if rule is None else [schedule]), FEWER)
        off[name] = _off(check, sampler, angles)
    right, text, *rest = _judged(f"covariance with {FEWER} steps on each schedule is off by", off)
    return right, text + (f"; it refuses {', '.join(refused)}" if refused else ""), *rest


class _Exact:
    """What a rule asks of a denoiser before it runs."""

    exact = True


def _off(check, sampler, angles) -> float:
    """How far the covariance on a grid is from that of the law with the noise of the last angle, in units of the law's
    mean variance."""
    found = check.moments(check.gaussian, len(angles) - 1, sampler=sampler, angles=angles)
    exact = check.gaussian.with_noise(1 / math.tan(float(angles[-1])))
    return float((found.covariance - exact).norm() / check.gaussian.covariance.diag().mean())


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
