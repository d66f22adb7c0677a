"""A Gaussian mixture with isotropic modes as a target."""

import math

import torch

from scorelab.channel import sin_cos
from scorelab.laws.mixture import IsotropicMixture
from scorelab.laws.mode_pairs import bayes_risk
from scorelab.targets.base import Target
from scorelab.targets.signal import along, between_modes
from scorelab.targets.speciation import overlap, speciation_angle


def signal_direction(means):
    """The signal direction (n,) of modes with the means (K, n).

    It is the difference of the first two means, or the mean itself if there is only one. If this vector is 0, the
    direction is (1, ..., 1).
    """
    difference = means[0] - means[1] if len(means) > 1 else means[0]
    return difference if bool(difference.any()) else torch.ones_like(difference)


class GaussianMixture(IsotropicMixture, Target):
    """sum_k w_k N(mu_k, s_k^2 I) on R^n, a target with every capability; see also `IsotropicMixture`.

    weights (K,): positive, normalised to sum 1. means (K, n). std: one number > 0, or (K,). direction: see
    `signal_direction`.

    Raises ValueError for weights or a std that are not positive, and for shapes that disagree.
    """

    def __init__(self, weights, means, std=1.0):
        super().__init__(weights, means, std)
        self.direction = signal_direction(self.means)

    @classmethod
    def two_modes(cls, p=0.7, a=None, n=128):
        """p N((1-p) a, I) + (1-p) N(-p a, I), equation (12); `a` (n,) defaults to ones(n)."""
        if not 0 < p < 1:
            raise ValueError(f"p = {p}: a weight strictly between 0 and 1 is needed")
        a = torch.ones(n, dtype=torch.float64) if a is None else torch.as_tensor(a, dtype=torch.float64)
        return cls([p, 1 - p], torch.stack([(1 - p) * a, -p * a]))

    def bayes_risk(self, angle):
        return bayes_risk(self, angle)[0]

    def bayes_risk_and_error(self, angle):
        """The Bayes risk and its standard error, which is None where the risk is exact; see `laws.mode_pairs`."""
        if type(self).bayes_risk is not GaussianMixture.bayes_risk:  # a subclass has its own
            return super().bayes_risk_and_error(angle)
        return bayes_risk(self, angle)

    def speciation_angle(self):
        if "_speciation" not in vars(self):  # it takes long for many modes
            self._speciation = speciation_angle(self)
        return self._speciation

    def restricted(self, side_of, side):
        """The weight and the mixture of the modes whose means lie on the side, if some lie there and some do not."""
        here = side_of(self.means) == side
        if not bool(here.any()) or bool(here.all()):
            return super().restricted(side_of, side)
        law = GaussianMixture(self._weights[here], self.means[here], self.std[here])
        law.direction = self.direction
        return float(self._weights[here].sum()), law

    def noisy_projection(self, direction, angle):
        length = float(torch.as_tensor(direction, dtype=torch.float64).norm())
        return self.projection(direction).noisy(math.sin(angle), (math.cos(angle) / length) ** 2)

    def signal_risk(self, angles):
        """The Bayes risk of <X, a>/|a| given the noisy version of this number alone, and its part between the modes.

        If all modes lie on one line along `a`, as two modes always do, this is the risk given the whole noisy state.
        """
        law = along(self)
        line = GaussianMixture(law.weights, law.means.unsqueeze(1), law.stds)
        return self.signal_risk_between(angles, line.bayes_risk(angles))

    def signal_risk_between(self, angles, risk):
        return between_modes(along(self), angles, risk)

    def orthogonal_variance(self, direction):
        if self.n == 1:
            return 0.0
        unit = torch.as_tensor(direction, dtype=torch.float64)
        unit = unit / unit.norm()
        offsets = self.means - self._weights @ self.means
        offsets = offsets - torch.outer(offsets @ unit, unit)
        between = float(self._weights @ offsets.square().sum(1)) / (self.n - 1)
        return float(self._weights @ self.std**2) + between

    def output_law(self, angle, output):
        """See `Target.output_law`; None where the modes `overlap` at the angle, for outputs other than `scaled`.

        Without overlap the noise of a draw has the variance of the posterior, so that its law is the target, and mode k
        of the law of posterior means is N(mu_k, s_k^4 sin^2 / v_k I).
        """
        sin, cos = (float(value) for value in sin_cos(angle, torch.zeros((), dtype=torch.float64)))
        variance = self.std**2 + (cos / sin) ** 2
        if output != "scaled":
            kept = self.std**4 / variance
            if overlap(self, angle, self.n * float(self._weights @ (self.std**2 - kept))):
                return None
            if output == "posterior_draw":
                return self
            variance = kept
        law = GaussianMixture(self._weights, self.means, torch.sqrt(variance))
        law.direction = self.direction
        return law
