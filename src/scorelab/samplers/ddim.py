"""DDIM, from the deterministic flow to ancestral sampling."""

import math
from typing import Annotated, ClassVar

from pydantic import Field

from scorelab.samplers.base import Sampler, Step


class DDIM(Sampler):
    """x' = sin' m + sqrt(cos'^2 - sigma^2) eps + sigma z,  sigma = eta (cos'/cos) sqrt(1 - sin^2/sin'^2).

    Song, Meng and Ermon, Denoising Diffusion Implicit Models (2020), equations (12) and (16), with abar = sin^2(phi).
    eta = 0 is a rotation in the plane of x and its velocity, the probability-flow ODE with m frozen over a step;
    eta = 1 is DDPM's ancestral sampling with the posterior variance, which is `EulerMaruyama` on the same grid.

    eta: share of the posterior's noise, in [0, 1].
    """

    eta: Annotated[float, Field(ge=0, le=1)]
    order: ClassVar[int] = 1

    def step(self, denoiser, x, angle, next_angle, noise, state):
        sin, cos, next_sin, next_cos = math.sin(angle), math.cos(angle), math.sin(next_angle), math.cos(next_angle)
        posterior_mean = denoiser(x, angle)
        sigma = self.eta * (next_cos / cos) * math.sqrt(1 - (sin / next_sin) ** 2)
        of_noise = math.sqrt(max(next_cos**2 - sigma**2, 0.0)) / cos  # eps = (x - sin m) / cos
        x = x.mul_(of_noise).add_(posterior_mean, alpha=next_sin - sin * of_noise)
        return Step(x.add_(noise(), alpha=sigma) if sigma else x)
