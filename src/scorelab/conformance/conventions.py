"""Models in a convention of their own, and samplers of such models and rules of ours as plain samplers."""

import inspect
import math

import torch

from scorelab import channel
from scorelab.denoisers.convention import Convention
from scorelab.errors import ScorelabError
from scorelab.samplers import Sampler
from scorelab.samplers.loop import simulate
from scorelab.schedules import DDPM, EDM, OU, VE, VP, Localization

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


def schedules_of_ours() -> dict:
    """name -> each of our schedules, with its usual options, and a grid of steps of log(signal/noise) for most."""
    ends = {"T": None, "t_min": None}
    variance_preserving = {"beta_min": 0.1, "beta_max": 20.0, "grid": "log_snr", **ends}
    exploding = {"sigma_min": None, "sigma_max": None}
    return {
        "localization": Localization(grid="log_snr", alpha_max=None, **ends),
        "ou": OU(grid="log_snr", beta=1.0, sigma=math.sqrt(2), **ends),
        "vp": VP(beta="linear", **variance_preserving),
        "vp_cosine": VP(beta="cosine", **variance_preserving),
        "ve": VE(grid="log_snr", **exploding),
        "edm": EDM(grid="karras", **exploding),
        "ddpm": DDPM(grid="native", timesteps=1000, beta="linear", beta_min=1e-4, beta_max=0.02),
    }


def allows(rule: Sampler, schedule) -> bool:
    """Whether a rule of ours runs on a schedule."""
    try:
        rule.require(schedule, _Exact)
    except ValueError:
        return False
    return True


class _Exact:
    """What a rule asks of a denoiser before it runs."""

    exact = True


def usual_schedule(rule: Sampler):
    """The schedule that a rule of ours is checked on: the angle in even steps up to 1.54, or the first that it allows.

    Raises ScorelabError for a rule that allows none.
    """
    even = Localization(grid="angle", alpha_max=1.54, T=None, t_min=None)
    for schedule in (even, *schedules_of_ours().values()):
        if allows(rule, schedule):
            return schedule
    raise ScorelabError(f"sampler {type(rule).__name__}: runs on none of our schedules")


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
