"""Models in a convention of their own, and samplers of such models and rules of ours as plain samplers."""

import inspect

import torch

from scorelab import channel
from scorelab.denoisers.convention import Convention
from scorelab.samplers import Sampler
from scorelab.samplers.loop import simulate

#: prediction -> function from (posterior mean, x, angle) to what a network of this prediction returns
PREDICTIONS = {
    "posterior_mean": lambda mean, x, angle: mean,
    "noise": channel.posterior_mean_to_noise,
    "velocity": channel.posterior_mean_to_velocity,
    "v_prediction": lambda mean, x, angle: -channel.posterior_mean_to_velocity(mean, x, angle),
    "score": channel.posterior_mean_to_score,
}


def model_of(denoiser, convention: Convention):
    """A function model(state, time) that answers in a convention, made of a denoiser(x, angle).

    state (count, n); time: a number, or a tensor () or (count,). It is the other way round of `ModuleDenoiser`.
    """

    def model(state, time):
        native = torch.as_tensor(time, dtype=torch.float64)
        angle = convention.angle(native)
        scale = convention.scale(angle).to(state)
        scale = scale.unsqueeze(-1) if scale.dim() else scale
        x = state / scale
        angle = float(angle) if angle.dim() == 0 else angle.to(state.dtype)
        found = PREDICTIONS[convention.prediction](denoiser(x, angle), x, angle)
        return found / scale if convention.prediction == "score" else found

    return model


def in_convention(sampler, convention: Convention):
    """A plain sampler, of a sampler(model, count, n, steps, generator) whose model(state, time) has a convention."""

    def plain(denoiser, count, n, steps, generator, **given):
        return sampler(model_of(denoiser, convention), count, n, steps, generator, **given)

    return named(plain, sampler)


def of_rule(rule: Sampler, schedule):
    """A plain sampler, of a rule of ours on a schedule; it also takes `angles` and `initial`."""

    def plain(denoiser, count, n, steps, generator, angles=None, initial=None):
        angles = rule.angles(schedule, steps) if angles is None else angles

        def noise():
            return torch.randn(count, n, generator=generator)

        x = noise() * schedule.start_std if initial is None else initial.clone()
        x = simulate(rule, denoiser, angles, x, noise, schedule=schedule)
        return x / torch.sin(torch.as_tensor(float(angles[-1]))).to(x)

    return named(plain, rule)


def takes(function, name: str) -> bool:
    """Whether a function has a named argument."""
    return name in inspect.signature(function).parameters


def named(function, source):
    """A function with the name of what it was made of."""
    function.__name__ = getattr(source, "__name__", type(source).__name__)
    return function
