"""A Gaussian mixture with arbitrary covariances as a target."""

import math

import torch

from scorelab.channel import sin_cos
from scorelab.laws.mixture import Mixture
from scorelab.targets.base import Target
from scorelab.targets.gaussian_mixture import signal_direction
from scorelab.targets.signal import orthogonal_variance
from scorelab.targets.speciation import overlap


class AnisotropicMixture(Mixture, Target):
    """sum_k w_k N(mu_k, C_k) on R^n, with the exact posterior mean, densities and projections; see `Mixture`.

    weights (K,): positive, normalised to sum 1. means (K, n). covariances: (K, n), the variances of the coordinates, or
    (K, n, n). `GaussianMixture` computes the Bayes risk and the speciation angle by quadrature in the span of the
    means. This quadrature is not possible here: the Bayes risk is measured, and there is no speciation angle.
    """

    def __init__(self, weights, means, covariances):
        super().__init__(weights, means, covariances)
        self.direction = signal_direction(self.means)

    def restricted(self, side_of, side):
        """The weight and the mixture of the modes whose means lie on the side, if some lie there and some do not."""
        here = side_of(self.means) == side
        if not bool(here.any()) or bool(here.all()):
            return super().restricted(side_of, side)
        return float(self.weights[here].sum()), self._with(here, self.covariances[here])

    def orthogonal_variance(self, direction):
        return orthogonal_variance(self.covariance, direction)

    def output_law(self, angle, output):
        """See `Target.output_law`; None for `posterior_mean` where the modes `overlap` at the angle, and for
        `posterior_draw`, whose noise is isotropic.

        Without overlap mode k of the law of posterior means is N(mu_k, sin^2 C_k V_k^-1 C_k).
        """
        sin, cos = (float(value) for value in sin_cos(angle, torch.zeros((), dtype=torch.float64)))
        if output == "posterior_draw":
            return super().output_law(angle, output)
        every = torch.ones_like(self.weights, dtype=torch.bool)
        covariances = self.covariances
        noisy = covariances + (cos / sin) ** 2 * torch.eye(self.n, dtype=torch.float64)
        if output == "posterior_mean":
            kept = covariances @ torch.linalg.solve(noisy, covariances)
            within = (covariances - kept).diagonal(dim1=1, dim2=2).sum(1)
            if overlap(self, angle, float(self.weights @ within)):
                return None
            return self._with(every, 0.5 * (kept + kept.mT))
        return self._with(every, noisy)

    def noisy_projection(self, direction, angle):
        length = float(torch.as_tensor(direction, dtype=torch.float64).norm())
        return self.projection(direction).noisy(math.sin(angle), (math.cos(angle) / length) ** 2)

    def _with(self, here, covariances):
        """The mixture of the modes that the mask `here` (K,) selects, with new covariances and the same direction."""
        law = AnisotropicMixture(self.weights[here], self.means[here], covariances)
        law.direction = self.direction
        return law
