"""Every clock with the formulas of its paper, in plain floats."""

import dataclasses
import itertools
import math
from collections.abc import Callable

import torch

from scorelab.schedules import DDPM, EDM, OU, VE, VP, Localization


@dataclasses.dataclass(frozen=True)
class Clock:
    """A schedule without its grid, and the formulas of its paper, in plain floats.

    times: some of the clock, from the data end to the noise end. first, last: its data end and its noise end.
    """

    make: Callable
    times: tuple
    signal: Callable
    noise: Callable
    drift: Callable
    diffusion: Callable
    first: float
    last: float
    terminal_std: float

    def __call__(self, grid="angle", **change):
        return self.make(grid=grid, **change)


def of(cls, **options):
    return lambda **change: cls(**{**options, **change})


def ou_clock(beta, sigma):
    std = sigma / math.sqrt(2 * beta)
    return Clock(
        of(OU, beta=beta, sigma=sigma, T=5.0, t_min=5e-3),
        (5e-3, 0.1, 1.0, 3.3, 5.0),
        lambda s: math.exp(-beta * s),
        lambda s: std * math.sqrt(-math.expm1(-2 * beta * s)),
        lambda s: -beta,
        lambda s: sigma,
        5e-3,
        5.0,
        std,
    )


def vp_linear_clock(low, high):
    """Song et al. (2021), equations (32) and (33)."""

    def beta(s):
        return low + s * (high - low)

    def integral(s):
        return 0.5 * s**2 * (high - low) + s * low

    return Clock(
        of(VP, beta="linear", beta_min=low, beta_max=high, T=1.0, t_min=1e-3),
        (1e-3, 0.02, 0.3, 0.77, 1.0),
        lambda s: math.exp(-0.5 * integral(s)),
        lambda s: math.sqrt(-math.expm1(-integral(s))),
        lambda s: -0.5 * beta(s),
        lambda s: math.sqrt(beta(s)),
        1e-3,
        1.0,
        1.0,
    )


def vp_cosine_clock():
    """Nichol and Dhariwal (2021), equation (17): abar = f(s)/f(0), f = cos^2; beta = -d log(abar)/ds."""

    def turned(s):
        return (s + 0.008) / 1.008 * math.pi / 2

    def noise(s):
        # cos^2(a) - cos^2(b) = sin(b - a) sin(b + a)
        return math.sqrt(math.sin(turned(s) - turned(0)) * math.sin(turned(s) + turned(0))) / math.cos(turned(0))

    def beta(s):
        return math.pi / 1.008 * math.tan(turned(s))

    return Clock(
        of(VP, beta="cosine", beta_min=0.1, beta_max=20.0, T=0.995, t_min=1e-3),
        (1e-3, 0.02, 0.3, 0.5, 0.77, 0.995),
        lambda s: math.cos(turned(s)) / math.cos(turned(0)),
        noise,
        lambda s: -0.5 * beta(s),
        lambda s: math.sqrt(beta(s)),
        1e-3,
        0.995,
        1.0,
    )


def ve_clock(low, high):
    def sigma(s):
        return low * (high / low) ** s

    return Clock(
        of(VE, sigma_min=low, sigma_max=high),
        (0.0, 0.01, 0.4, 0.9, 1.0),
        lambda s: 1.0,
        sigma,
        lambda s: 0.0,
        lambda s: sigma(s) * math.sqrt(2 * math.log(high / low)),
        0.0,
        1.0,
        high,
    )


def chain_betas(name, timesteps, low, high):
    """beta_1 ... beta_timesteps in plain floats."""
    share = [k / (timesteps - 1) for k in range(timesteps)]
    if name == "linear":
        return [low + (high - low) * u for u in share]
    if name == "quadratic":
        return [(math.sqrt(low) + (math.sqrt(high) - math.sqrt(low)) * u) ** 2 for u in share]
    if name == "sigmoid":
        return [low + (high - low) / (1 + math.exp(6 - 12 * u)) for u in share]
    bar = [math.cos((k / timesteps + 0.008) / 1.008 * math.pi / 2) ** 2 for k in range(timesteps + 1)]
    return [min(1 - after / before, 0.999) for before, after in itertools.pairwise(bar)]


def ddpm_clock(name, timesteps=1000, low=1e-4, high=0.02):
    """Ho, Jain and Abbeel (2020), equation (4); between integers the OU process with the same marginals at both."""
    logs = [math.log1p(-beta) for beta in chain_betas(name, timesteps, low, high)]
    bars = [0.0, *itertools.accumulate(logs)]

    def log_bar(k):
        left = max(math.ceil(k) - 1, 0)
        return bars[left] + (k - left) * logs[left]

    def rate(k):
        return -logs[max(math.ceil(k) - 1, 0)]

    return Clock(
        of(DDPM, timesteps=timesteps, beta=name, beta_min=low, beta_max=high),
        (1.0, 1.25, 2.0, 10.0, 299.0, 299.5, 998.75, 1000.0),
        lambda k: math.exp(0.5 * log_bar(k)),
        lambda k: math.sqrt(-math.expm1(log_bar(k))),
        lambda k: -0.5 * rate(k),
        lambda k: math.sqrt(rate(k)),
        1.0,
        float(timesteps),
        1.0,
    )


CLOCKS = {
    "localization": Clock(
        of(Localization, alpha_max=1.4, T=50.0, t_min=1e-3),
        (50.0, 33.0, 1.0, 0.02, 6e-4),
        lambda t: t,
        math.sqrt,
        lambda t: -1 / t,
        lambda t: 1.0,
        50.0,
        0.0,
        0.0,
    ),
    "ou": ou_clock(1.0, math.sqrt(2)),
    "ou_general": ou_clock(0.7, 2.5),
    "vp_linear": vp_linear_clock(0.1, 20.0),
    "vp_from_zero": vp_linear_clock(0.0, 12.0),
    "vp_constant": vp_linear_clock(3.0, 3.0),
    "vp_cosine": vp_cosine_clock(),
    "ve": ve_clock(0.1, 50.0),
    "edm": Clock(
        of(EDM, sigma_min=0.01, sigma_max=80.0),
        (0.01, 0.3, 1.0, 7.0, 80.0),
        lambda s: 1.0,
        lambda s: s,
        lambda s: 0.0,
        lambda s: math.sqrt(2 * s),
        0.01,
        80.0,
        80.0,
    ),
    "ddpm_linear": ddpm_clock("linear"),
    "ddpm_quadratic": ddpm_clock("quadratic"),
    "ddpm_cosine": ddpm_clock("cosine"),
    "ddpm_sigmoid": ddpm_clock("sigmoid"),
}
CHAINS = [name for name in CLOCKS if name.startswith("ddpm")]
SMOOTH = [name for name in CLOCKS if not name.startswith("ddpm")]


def float64(values):
    return torch.as_tensor(values, dtype=torch.float64)


def localization(grid="angle", alpha_max=1.4, T=None, t_min=6e-4):
    return Localization(grid=grid, alpha_max=alpha_max, T=T, t_min=t_min)
