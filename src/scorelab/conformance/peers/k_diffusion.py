"""Samplers of k-diffusion: functions (model, x, sigmas), where model(x, sigma) is the posterior mean of X + sigma G."""

import math

import torch
from k_diffusion import sampling

from scorelab.conformance.conventions import takes
from scorelab.randomness import default_stream


def sampler(kind, sigma_min=0.01, sigma_max=80.0, rho=7.0, **options):
    """A plain sampler of a function of `k_diffusion.sampling`, on the grid `get_sigmas_karras`, which ends at 0.

    options: of the function. The noise of a stochastic one is drawn anew in each step, in place of a Brownian tree.
    """

    def plain(denoiser, count, n, steps, generator):
        def model(x, sigma):
            sigma = float(sigma.flatten()[0])
            return denoiser(x / math.hypot(1, sigma), math.atan2(1, sigma))

        with default_stream(generator.initial_seed()):  # k-diffusion draws from torch's global state
            x = sigma_max * torch.randn(count, n, generator=torch.default_generator)
            noise = {"noise_sampler": lambda *_: torch.randn_like(x)} if takes(kind, "noise_sampler") else {}
            sigmas = sampling.get_sigmas_karras(steps, sigma_min, sigma_max, rho)
            return kind(model, x, sigmas, disable=True, **noise, **options)

    plain.__name__ = f"k-diffusion {kind.__name__}"
    return plain


def named(kind: str, **options):
    """See the package. options: the grid's, and those of the function."""
    return sampler(getattr(sampling, kind), **options), 0.0
