"""The exact posterior mean as a denoiser."""

from scorelab.denoisers.base import Denoiser


class ExactDenoiser(Denoiser):
    """The target's own posterior mean: what a perfectly trained network computes. Nothing is trained."""

    exact = True

    def __init__(self, target):
        super().__init__()
        self.target = target

    def forward(self, x, angle):
        """E[X | x_phi = x], shape of x."""
        return self.target.posterior_mean(x, angle)
