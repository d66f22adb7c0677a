"""Libraries that draw from torch's global random state."""

import contextlib

import torch


@contextlib.contextmanager
def global_state_of(generator):
    """Within it, torch's global random state follows from the seed of a generator; afterwards it is as before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator.initial_seed())
        yield
