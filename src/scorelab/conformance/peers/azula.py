"""Samplers of azula."""

import azula.noise
import azula.sample
import torch

from scorelab.conformance.peers.azula_denoisers import InAzula
from scorelab.randomness import default_stream

_END = torch.zeros((), dtype=torch.float64)


def sampler(kind, schedule=None, **options):
    """A plain sampler of a class of `azula.sample`, from the start of its schedule to the end.

    schedule: of `azula.noise`, by default VP. options: of the class. Its samples keep noise of standard deviation
    `end_noise(schedule)`.
    """
    schedule = azula.noise.VPSchedule() if schedule is None else schedule

    def plain(denoiser, count, n, steps, generator):
        with default_stream(generator.initial_seed()):  # azula draws from torch's global state
            theirs = kind(InAzula(denoiser, schedule), steps=steps, silent=True, dtype=torch.float64, **options)
            dtype = torch.get_default_dtype()
            x = theirs(theirs.init((count, n), dtype=dtype)).to(dtype)
        return x / schedule(_END)[0].to(dtype)

    plain.__name__ = f"azula {kind.__name__}"
    return plain


def end_noise(schedule=None) -> float:
    """sigma / alpha at the end of a schedule."""
    alpha, sigma = (azula.noise.VPSchedule() if schedule is None else schedule)(_END)
    return float(sigma / alpha)


def named(kind: str, schedule: str = "VPSchedule", **options):
    """See the package. schedule: the name of a class of `azula.noise`."""
    schedule = getattr(azula.noise, schedule)()
    return sampler(getattr(azula.sample, kind), schedule, **options), end_noise(schedule)
