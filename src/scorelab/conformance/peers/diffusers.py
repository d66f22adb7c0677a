"""Schedulers of diffusers."""

import copy
import inspect
import math

import torch

from scorelab import channel

#: prediction type of a scheduler -> function from (posterior mean, x, angle) to what the network has to return
_PREDICTION = {
    "epsilon": channel.posterior_mean_to_noise,
    "sample": lambda mean, x, angle: mean,
    "v_prediction": lambda mean, x, angle: -channel.posterior_mean_to_velocity(mean, x, angle),
}


def sampler(scheduler):
    """A plain sampler of a scheduler of diffusers with `set_timesteps`, `scale_model_input` and `step`.

    The noise level of a timestep is that of `alphas_cumprod`, between two timesteps in log sigma, as the schedulers
    with `sigmas` interpolate it. A flow matching scheduler is not meant.
    """
    levels = ((1 - scheduler.alphas_cumprod) / scheduler.alphas_cumprod).sqrt().double().log()

    def angle_of(timestep):
        low = min(int(timestep), len(levels) - 1)
        high, share = min(low + 1, len(levels) - 1), float(timestep) - low
        return math.atan(math.exp(-float(levels[low] + share * (levels[high] - levels[low]))))

    def plain(denoiser, count, n, steps, generator):
        own = copy.deepcopy(scheduler)
        own.set_timesteps(steps)
        x = torch.randn(count, n, generator=generator) * own.init_noise_sigma
        asks = {"generator": generator} if "generator" in inspect.signature(own.step).parameters else {}
        for timestep in own.timesteps:
            angle, seen = angle_of(timestep), own.scale_model_input(x, timestep)
            answer = _PREDICTION[own.config.prediction_type](denoiser(seen, angle), seen, angle)
            x = own.step(answer, timestep, x, **asks).prev_sample
        return x

    plain.__name__ = f"diffusers {type(scheduler).__name__}"
    return plain
