"""Gaussian mixtures with arbitrary covariances as targets."""

import math

import torch

from scorelab.channel import sin_cos
from scorelab.laws.low_rank import LowRank
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
        return float(self.weights[here].sum()), self._with(here, lambda each: each)

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
        noise = (cos / sin) ** 2
        if output == "posterior_mean":
            mean = self._with(every, lambda each: each**2 / (each + noise))
            within = self.weights @ (self.total_variances() - mean.total_variances())
            return None if overlap(self, angle, float(within)) else mean
        return self._with(every, lambda each: each + noise)

    def posterior_risk(self, clean, x, angle):
        """The posterior variance, which has the mean of the squared error and less noise, (count,)."""
        return self.posterior_variance(x, angle)

    def noisy_projection(self, direction, angle):
        length = float(torch.as_tensor(direction, dtype=torch.float64).norm())
        return self.projection(direction).noisy(math.sin(angle), (math.cos(angle) / length) ** 2)

    def _with(self, here, f):
        """The mixture of the modes that the mask `here` (K,) selects, with the variances f(lambda) along the same axes,
        and the same direction."""
        law = AnisotropicMixture(self.weights[here], self.means[here], self.changed(f)[here])
        law.direction = self.direction
        return law


class LowRankMixture(LowRank, AnisotropicMixture):
    """sum_k w_k N(mu_k, s_k^2 I + U_k U_k^T), as `AnisotropicMixture`, but nothing that a run needs has n x n entries;
    see `laws.low_rank.LowRank`.

    weights (K,). means (K, n). std: one number > 0, or (K,). factors: U^T, (K, r, n); a mode of a smaller rank has rows
    of zeros.
    """

    def __init__(self, weights, means, std, factors):
        LowRank.__init__(self, weights, means, std, factors)
        self.direction = signal_direction(self.means)

    def _with(self, here, f):
        std, factors = self.changed(f)
        law = LowRankMixture(self.weights[here], self.means[here], std[here], factors[here])
        law.direction = self.direction
        return law
