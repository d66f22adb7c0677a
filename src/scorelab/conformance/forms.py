"""Samplers of every form as one: a function sampler(denoiser, count, n, steps, generator) -> samples (count, n)."""

import copy

import torch

from scorelab.conformance.conventions import in_convention, model_of, named, of_rule, takes
from scorelab.denoisers.convention import Convention
from scorelab.errors import ScorelabError
from scorelab.samplers import Sampler


def plain_sampler(sampler, convention=None, schedule=None):
    """A plain sampler of anything that `check_sampler` takes. Raises ScorelabError for anything else."""
    if isinstance(sampler, Sampler):
        return of_rule(sampler, schedule)
    if is_scheduler(sampler):
        return of_scheduler(sampler, convention)
    if not callable(sampler):
        raise ScorelabError(
            f"sampler: a function sampler(denoiser, count, n, steps, generator) or a scheduler is needed, not"
            f" {sampler!r}"
        )
    return sampler if convention is None else in_convention(sampler, convention)


def is_scheduler(thing) -> bool:
    """Whether something has the interface of a scheduler of diffusers."""
    return all(callable(getattr(thing, name, None)) for name in ("set_timesteps", "step"))


def of_scheduler(scheduler, convention: Convention | None):
    """A plain sampler, of an object with the interface of a scheduler of diffusers.

    It needs `set_timesteps(steps)`, then `timesteps`, and `step(output, timestep, x)`, which returns the next state
    itself, as `prev_sample` or as the first entry; `init_noise_sigma` is 1 and `scale_model_input(x, timestep)` is x
    where they are missing. `step` gets `generator` where it takes one. Each run works with a copy of its own.

    convention: what the model sees, is told and returns, for the scaled state and the timestep. None takes all of it
    from `alphas_cumprod` and `config.prediction_type`. Raises ScorelabError where neither is given.
    """
    if convention is None:
        if not hasattr(scheduler, "alphas_cumprod"):
            raise ScorelabError(
                f"convention: {type(scheduler).__name__} has no alphas_cumprod; declare what its model returns, sees "
                "and is told, as Convention('eps', state='scaled', time='sigma')"
            )
        from scorelab.conformance.peers.diffusers import sampler

        return sampler(scheduler)

    def plain(denoiser, count, n, steps, generator):
        own, model = copy.deepcopy(scheduler), model_of(denoiser, convention)
        own.set_timesteps(steps)
        x = torch.randn(count, n, generator=generator) * getattr(own, "init_noise_sigma", 1.0)
        asks = {"generator": generator} if takes(own.step, "generator") else {}
        scaled = getattr(own, "scale_model_input", lambda x, timestep: x)
        for timestep in own.timesteps:
            x = own.step(model(scaled(x, timestep), timestep), timestep, x, **asks)
            if not isinstance(x, torch.Tensor):
                x = x.prev_sample if hasattr(x, "prev_sample") else x[0]
        return x

    return named(plain, scheduler)
