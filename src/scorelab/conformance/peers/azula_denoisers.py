"""Denoisers of azula, both ways: x_t = alpha_t X + sigma_t G = sqrt(alpha_t^2 + sigma_t^2) x_phi."""

import math

import torch
from azula.denoise import Denoiser, DiracPosterior


class InAzula(Denoiser):
    """A denoiser of azula, of a function of (x_phi, angle); schedule: of `azula.noise`."""

    def __init__(self, denoiser, schedule):
        super().__init__()
        self.of_angle, self.schedule = denoiser, schedule

    def forward(self, x_t, t, **kwargs):
        alpha, sigma = (float(each) for each in self.schedule(t))
        return DiracPosterior(mean=self.of_angle(x_t / math.hypot(alpha, sigma), math.atan2(alpha, sigma)))


def of_azula(denoiser):
    """A function of (x_phi, angle), of a denoiser of azula; x (count, n), angle in radians, a number.

    An angle beyond the schedule's ends is taken as the nearest end.
    """

    def of_angle(x, angle):
        noisy, clean = (torch.full((), time, dtype=torch.float64) for time in (1.0, 0.0))
        for _ in range(60):  # the angle falls in the time
            time = (noisy + clean) / 2
            noisy, clean = (time, clean) if math.atan2(*map(float, denoiser.schedule(time))) < angle else (noisy, time)
        return denoiser(torch.hypot(*denoiser.schedule(time)).to(x) * x, time.to(x)).mean

    return of_angle
