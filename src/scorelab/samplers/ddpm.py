"""DDPM's ancestral sampling."""

import math
from typing import ClassVar, Literal

from scorelab.samplers.base import Sampler, Step


def reverse_kernel(bar, left, next_bar, next_left):
    """The law of x' given x and X = m, in the noising chain x = sqrt(alpha) x' + sqrt(1 - alpha) z: a Gaussian.

    Ho, Jain and Abbeel, Denoising Diffusion Probabilistic Models (2020), equations (6) and (7), with alpha = abar/abar'
    and beta = 1 - alpha:

        mean = sqrt(alpha) (1 - abar') / (1 - abar) x + sqrt(abar') beta / (1 - abar) m

    bar, left: abar = sin^2(phi) and 1 - abar = cos^2(phi) of x; next_bar, next_left: those of x'. Numbers or tensors.
    Returns the factors of x and of m, the variance beta (1 - abar') / (1 - abar), and beta.
    """
    alpha, beta = bar / next_bar, 1 - bar / next_bar
    return alpha**0.5 * next_left / left, next_bar**0.5 * beta / left, beta * next_left / left, beta


class DDPMAncestral(Sampler):
    """x' ~ N(E[x' | x, X = m], variance), the sampling step of DDPM; see `reverse_kernel`.

    variance: `posterior`, beta (1 - abar') / (1 - abar), exact for a frozen m, or `beta`, the larger of the two.
    """

    variance: Literal["posterior", "beta"]
    order: ClassVar[int] = 1

    def step(self, denoiser, x, angle, next_angle, noise, state):
        here, there = ((math.sin(phi) ** 2, math.cos(phi) ** 2) for phi in (angle, next_angle))
        of_state, of_mean, posterior, beta = reverse_kernel(*here, *there)
        posterior_mean = denoiser(x, angle)
        variance = posterior if self.variance == "posterior" else beta
        x = x.mul_(of_state).add_(posterior_mean, alpha=of_mean)
        return Step(x.add_(noise(), alpha=math.sqrt(variance)))
