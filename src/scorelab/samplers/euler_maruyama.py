"""Euler-Maruyama on the stochastic-localization SDE."""

import math
from typing import ClassVar

from scorelab.samplers.base import Sampler, Step


class EulerMaruyama(Sampler):
    """dY = m(Y; t) dt + dW with the drift frozen over a step (Visconti 2025, equation 10 and section 7.1).

    Y_{t'} = Y_t + (t' - t) m + sqrt(t' - t) Z is exact for a frozen m. `step` takes it in x = Y / sqrt(t (t + 1)).
    """

    order: ClassVar[int] = 1

    def step(self, denoiser, x, angle, next_angle, noise, state):
        posterior_mean = denoiser(x, angle)
        time, next_time = math.tan(angle) ** 2, math.tan(next_angle) ** 2
        scale, next_scale = math.sqrt(time * (time + 1)), math.sqrt(next_time * (next_time + 1))
        x = x.mul_(scale / next_scale).add_(posterior_mean, alpha=(next_time - time) / next_scale)
        return Step(x.add_(noise(), alpha=math.sqrt(next_time - time) / next_scale))
