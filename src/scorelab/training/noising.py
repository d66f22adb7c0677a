"""How a training makes noisy states of its samples."""

import torch

from scorelab.channel import aligned, mix
from scorelab.randomness import normal, shares


def flipped(images, generator):
    """Images (count, channels, height, width), each mirrored left to right with probability 1/2."""
    chosen = shares((len(images),), generator, device=images.device) < 0.5
    return torch.where(aligned(chosen, images), images.flip(-1), images)


class GaussianChannel:
    """x_phi = sin(phi) X + cos(phi) G, for samples of any shape.

    A `scorelab.processes.Process` of another kind may stand here: it has the same three methods and `needs`, the
    capabilities of a target whose posterior mean it knows.
    """

    needs = ("posterior_mean",)

    def observe(self, clean, angle, generator):
        """The state given samples (count, *shape) at angles (count,)."""
        return mix(clean, normal(clean.shape, generator, device=clean.device), angle)

    def seen(self, state, angle):
        """What a network sees of the state."""
        return state

    def posterior_mean(self, target, state, angle):
        """E[X | state], the shape of the samples."""
        return target.posterior_mean(state, angle)
