"""The exact posterior mean of a Gaussian mixture with an error of known size put into it."""

import math

import torch

from scorelab.channel import HALF_PI, sin_cos
from scorelab.denoisers.base import Denoiser
from scorelab.targets.gaussian_mixture import GaussianMixture

#: standard deviation of a mode so narrow that it stands for a point of data
_POINT = 1e-4
#: angles of a grid that are this near to an end of the band count as the end
_ROUNDING = 1e-9


class Flawed(Denoiser):
    """m + error between two angles, m elsewhere.

    target: a `GaussianMixture`. band: (low, high) in radians; the error is there from low on and up to high. kind:

    shrink           -size cos sum_k gamma_k (s_k/v_k) (x - sin mu_k): towards the means of the modes
    bias_along       size cos sum_k gamma_k s_k sqrt(n/v_k), along the signal direction
    bias_orthogonal  the same in a direction orthogonal to it, where n > 1
    sharpen          gamma_k^(1 + size), normalised, in the place of gamma_k
    empirical        the posterior mean of the points `data` (N, n) of equal weight, in the place of m; `size` is unused

    If all modes have one s, the first three kinds have E|m_hat - m|^2 = size^2 n s^2 cos^2/v, which is size^2 times the
    Bayes risk within the modes, at every angle where the modes lie apart.
    """

    def __init__(self, target: GaussianMixture, kind: str, size: float = 0.0, band=(0.0, HALF_PI), data=None):
        super().__init__()
        self.target, self.kind, self.size, self.band = target, kind, size, band
        self.change = getattr(self, f"_{kind}")
        if kind == "empirical":
            self.points = empirical(data)

    def forward(self, x, angle):
        angle = torch.as_tensor(angle, dtype=torch.float64)
        low, high = self.band
        inside = (angle >= low - _ROUNDING) & (angle < high - _ROUNDING)
        if not bool(inside.any()):
            return self.target.posterior_mean(x, angle)
        changed = self.change(x, angle)
        if bool(inside.all()):
            return changed
        return torch.where(inside.unsqueeze(-1), changed, self.target.posterior_mean(x, angle))

    def _parts(self, x, angle):
        """gamma (count, K), s (K,), v (..., K), sin, cos."""
        sin, cos = sin_cos(angle, x)
        std = self.target.std.to(x.dtype)
        return self.target.posterior_weights(x, angle), std, std**2 * sin**2 + cos**2, sin, cos

    def _shrink(self, x, angle):
        gamma, std, variance, sin, cos = self._parts(x, angle)
        share = gamma * std / variance
        towards = share.sum(-1, keepdim=True) * x - sin * (share @ self.target.means.to(x.dtype))
        return self.target.posterior_mean(x, angle) - self.size * cos * towards

    def _bias_along(self, x, angle):
        return self._shifted(x, angle, self.target.direction)

    def _bias_orthogonal(self, x, angle):
        direction = self.target.direction
        across = torch.zeros_like(direction)
        across[0], across[-1] = -direction[-1], direction[0]
        if not bool(across.any()):
            across[1] = 1.0
        return self._shifted(x, angle, across)

    def _shifted(self, x, angle, direction):
        gamma, std, variance, _, cos = self._parts(x, angle)
        length = self.size * math.sqrt(x.shape[-1]) * cos * (gamma * std / variance.sqrt()).sum(-1, keepdim=True)
        return self.target.posterior_mean(x, angle) + length * (direction / direction.norm()).to(x.dtype)

    def _sharpen(self, x, angle):
        gamma = self.target.posterior_weights(x, angle)
        gamma = torch.softmax((1 + self.size) * gamma.double().clamp_min(1e-300).log(), -1).to(x.dtype)
        return self.target.mean_given_weights(gamma, x, angle)

    def _empirical(self, x, angle):
        return self.points.posterior_mean(x, angle)


def empirical(data) -> GaussianMixture:
    """The law of a row of data (N, n) that is chosen at random, as a mixture of N points."""
    return GaussianMixture(torch.ones(len(data)), data.double(), _POINT)
