"""The target that is a Gaussian mixture whose modes have any covariances."""

import math

import torch

from scorelab.channel import sin_cos
from scorelab.laws.mixture import Mixture
from scorelab.targets.base import Target
from scorelab.targets.gaussian_mixture import signal_direction


class AnisotropicMixture(Mixture, Target):
    """sum_k w_k N(mu_k, C_k) on R^n, with the exact posterior mean, densities and projections; see `Mixture`.

    weights (K,): positive, normalised to sum 1. means (K, n). covariances: (K, n), the variances of the coordinates, or
    (K, n, n). The Bayes risk and the speciation angle, which `GaussianMixture` has by quadrature in the span of the
    means, have no such form here: the Bayes risk is measured, and there is no speciation angle.
    """

    def __init__(self, weights, means, covariances):
        super().__init__(weights, means, covariances)
        self.direction = signal_direction(self.means)

    def restricted(self, side_of, side):
        """The weight and the mixture of the modes whose means lie on one side; see `Target.restricted`."""
        here = side_of(self.means) == side
        if not bool(here.any()) or bool(here.all()):
            return super().restricted(side_of, side)
        return float(self.weights[here].sum()), self._with(here, self.covariances[here])

    def orthogonal_variance(self, direction):
        """The mean variance a coordinate in the space orthogonal to a direction d (n,); 0 where there is none."""
        if self.n == 1:
            return 0.0
        unit = torch.as_tensor(direction, dtype=torch.float64)
        unit = unit / unit.norm()
        return float(self.covariance.trace() - unit @ self.covariance @ unit) / (self.n - 1)

    def output_law(self, angle, output):
        """The law of what a sampler returns of an exact state at `angle`; see `Target.output_law`.

        For `posterior_mean` each mode is N(mu_k, sin^2 C_k V_k^-1 C_k), exact up to the overlap of the modes there.
        """
        sin, cos = (float(value) for value in sin_cos(angle, torch.zeros((), dtype=torch.float64)))
        if output == "posterior_draw":
            return self
        every = torch.ones_like(self.weights, dtype=torch.bool)
        covariances = self.covariances
        noisy = covariances + (cos / sin) ** 2 * torch.eye(self.n, dtype=torch.float64)
        if output == "posterior_mean":
            kept = covariances @ torch.linalg.solve(noisy, covariances)
            return self._with(every, 0.5 * (kept + kept.mT))
        return self._with(every, noisy)

    def noisy_projection(self, direction, angle):
        """The law of <x_phi, d>/|d|^2 as a `ProjectedLaw`; see `Target.noisy_projection`."""
        length = float(torch.as_tensor(direction, dtype=torch.float64).norm())
        return self.projection(direction).noisy(math.sin(angle), (math.cos(angle) / length) ** 2)

    def _with(self, here, covariances):
        """Some of the modes, (K,), with these covariances; the signal direction stays."""
        law = AnisotropicMixture(self.weights[here], self.means[here], covariances)
        law.direction = self.direction
        return law
