"""Samplers of azula."""

import math

import torch
from azula.denoise import Denoiser, DiracPosterior
from azula.noise import VPSchedule

from scorelab.randomness import default_stream


class _Exact(Denoiser):
    """A denoiser of azula, of a function of (x_phi, angle): x_t = alpha X + sigma G = sqrt(alpha^2 + sigma^2) x_phi."""

    def __init__(self, denoiser, schedule):
        super().__init__()
        self.of_angle, self.schedule = denoiser, schedule

    def forward(self, x_t, t, **kwargs):
        alpha, sigma = (float(each) for each in self.schedule(t))
        return DiracPosterior(mean=self.of_angle(x_t / math.hypot(alpha, sigma), math.atan2(alpha, sigma)))


def sampler(kind, schedule=None, **options):
    """A plain sampler of a class of `azula.sample`, from the start of its schedule to the end.

    schedule: of `azula.noise`, by default VP. options: of the class. Its samples keep noise of standard deviation
    `end_noise(schedule)`.
    """
    schedule = VPSchedule() if schedule is None else schedule

    def plain(denoiser, count, n, steps, generator):
        with default_stream(generator.initial_seed()):  # azula draws from torch's global state
            theirs = kind(_Exact(denoiser, schedule), steps=steps, silent=True, dtype=torch.float64, **options)
            dtype = torch.get_default_dtype()
            x = theirs(theirs.init((count, n), dtype=dtype)).to(dtype)
        return x / schedule(torch.zeros((), dtype=torch.float64))[0].to(dtype)

    plain.__name__ = f"azula {kind.__name__}"
    return plain


def end_noise(schedule=None) -> float:
    """sigma / alpha at the end of a schedule."""
    alpha, sigma = (VPSchedule() if schedule is None else schedule)(torch.zeros((), dtype=torch.float64))
    return float(sigma / alpha)
