"""Schedulers of diffusers."""

import copy
import math

import diffusers
import torch

from scorelab.conformance.conventions import PREDICTIONS, takes
from scorelab.denoisers.convention import of_prediction


def sampler(scheduler):
    """A plain sampler of a scheduler of diffusers with `set_timesteps`, `scale_model_input` and `step`.

    The noise level of a timestep is that of `alphas_cumprod`, between two timesteps in log sigma, as the schedulers
    with `sigmas` interpolate it. Its samples keep noise of standard deviation `end_noise(scheduler)`. A flow matching
    scheduler is not meant.
    """
    kept = scheduler.alphas_cumprod.double()
    levels = ((1 - kept) / kept.clamp_min(1e-300)).sqrt().log()

    def angle_of(timestep):
        low = min(int(timestep), len(levels) - 1)
        high, share = min(low + 1, len(levels) - 1), float(timestep) - low
        return math.atan(math.exp(-float(levels[low] + share * (levels[high] - levels[low]))))

    def plain(denoiser, count, n, steps, generator):
        own = copy.deepcopy(scheduler)
        own.set_timesteps(steps)
        x = torch.randn(count, n, generator=generator) * own.init_noise_sigma
        asks = {"generator": generator} if takes(own.step, "generator") else {}
        for timestep in own.timesteps:
            angle, seen = angle_of(timestep), own.scale_model_input(x, timestep)
            answer = PREDICTIONS[of_prediction(own.config.prediction_type)](denoiser(seen, angle), seen, angle)
            x = own.step(answer, timestep, x, **asks).prev_sample
        return x

    plain.__name__ = f"diffusers {type(scheduler).__name__}"
    return plain


def end_noise(scheduler) -> float:
    """The last level of a scheduler that stops there; 0 for others."""
    if scheduler.config.get("final_sigmas_type") != "sigma_min":
        return 0.0
    return float((1 / scheduler.alphas_cumprod[0].double() - 1).sqrt())


def named(kind: str, **options):
    """See the package. options: of the scheduler's class."""
    scheduler = getattr(diffusers, kind)(**options)
    return sampler(scheduler), end_noise(scheduler)
