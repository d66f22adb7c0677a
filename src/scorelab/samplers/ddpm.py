"""DDPM's ancestral sampling."""

import math
from typing import ClassVar, Literal

from scorelab.samplers.base import Sampler, Step


class DDPMAncestral(Sampler):
    """x' ~ N(E[x' | x, X = m], variance) for the noising chain x = sqrt(alpha) x' + sqrt(1 - alpha) z.

    Ho, Jain and Abbeel, Denoising Diffusion Probabilistic Models (2020), equations (6) and (7) and section 3.2, with
    abar = sin^2(phi), alpha = abar/abar' and beta = 1 - alpha:

        mean = sqrt(abar') beta / (1 - abar) m + sqrt(alpha) (1 - abar') / (1 - abar) x

    variance: `posterior`, beta (1 - abar') / (1 - abar), exact for a frozen m, or `beta`, the larger of the two.
    """

    variance: Literal["posterior", "beta"]
    order: ClassVar[int] = 1

    def step(self, denoiser, x, angle, next_angle, noise, state):
        bar, next_bar = math.sin(angle) ** 2, math.sin(next_angle) ** 2
        left, next_left = math.cos(angle) ** 2, math.cos(next_angle) ** 2
        alpha, beta = bar / next_bar, 1 - bar / next_bar
        posterior_mean = denoiser(x, angle)
        variance = beta * next_left / left if self.variance == "posterior" else beta
        x = x.mul_(math.sqrt(alpha) * next_left / left).add_(posterior_mean, alpha=math.sqrt(next_bar) * beta / left)
        return Step(x.add_(noise(), alpha=math.sqrt(variance)))
