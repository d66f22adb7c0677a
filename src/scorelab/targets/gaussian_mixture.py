"""Gaussian mixtures with isotropic modes, and every exact answer about them."""

import math

import torch

from scorelab.channel import HALF_PI, sin_cos
from scorelab.laws.projected_law import ProjectedLaw
from scorelab.quadrature import expectation_nodes
from scorelab.targets.base import Target
from scorelab.targets.signal import along, between_modes


class GaussianMixture(Target):
    """sum_k w_k N(mu_k, s_k^2 I) on R^n.

    weights (K,): positive, normalised to sum 1. means (K, n). std: one number > 0, or (K,).

    In the channel x = sin X + cos G mode k becomes N(sin mu_k, v_k I) with v_k = s_k^2 sin^2 + cos^2, so the posterior
    of X given x is again a mixture, with weights gamma_k(x), means mu_k + c_k (x - sin mu_k), c_k = s_k^2 sin / v_k,
    and variances s_k^2 cos^2 / v_k. For two modes with s = 1 this is 000_6c70dbc10a1c9c83.txt, section 7.3.

    Mode weights are computed in float64 whatever the dtype of `x`: their exponents grow like |mu|^2. All results have
    the dtype of `x`. Raises ValueError for weights that are not positive, a std that is not, or shapes that disagree.
    """

    def __init__(self, weights, means, std=1.0):
        means = torch.as_tensor(means, dtype=torch.float64)
        weights = torch.as_tensor(weights, dtype=torch.float64)
        std = torch.as_tensor(std, dtype=torch.float64)
        if means.dim() != 2:
            raise ValueError(f"means have shape {tuple(means.shape)}: (K, n) is needed")
        modes, self.n = means.shape
        if weights.shape != (modes,):
            raise ValueError(f"weights have shape {tuple(weights.shape)}: ({modes},) is needed, one a mode")
        if not bool((weights > 0).all() and torch.isfinite(weights).all()):
            raise ValueError(f"weights = {weights.tolist()}: each must be > 0")
        if std.shape not in ((), (modes,)) or not bool((std > 0).all() and torch.isfinite(std).all()):
            raise ValueError(f"std = {std.tolist()}: one number > 0, or {modes} of them, is needed")
        if not bool(torch.isfinite(means).all()):
            raise ValueError("means: every entry must be a finite number")
        self._weights, self.means, self.std = weights / weights.sum(), means, std.expand(modes)
        self._log_weights = torch.log(self._weights)
        self._float_means = means.float()
        self._centre = self._weights @ means
        self._offsets = means - self._centre
        difference = means[0] - means[1] if modes > 1 else means[0]
        self.direction = difference if bool(difference.any()) else torch.ones(self.n, dtype=torch.float64)

    @classmethod
    def two_modes(cls, p=0.7, a=None, n=128):
        """p N((1-p) a, I) + (1-p) N(-p a, I), equation (12); `a` (n,) defaults to ones(n)."""
        if not 0 < p < 1:
            raise ValueError(f"p = {p}: a weight strictly between 0 and 1 is needed")
        a = torch.ones(n, dtype=torch.float64) if a is None else torch.as_tensor(a, dtype=torch.float64)
        return cls([p, 1 - p], torch.stack([(1 - p) * a, -p * a]))

    @property
    def weights(self):
        """The mode weights, shape (K,), float64."""
        return self._weights

    def sample(self, count, generator, dtype=torch.float32):
        """Draw `count` samples, shape (count, n)."""
        mode = torch.multinomial(self._weights, count, replacement=True, generator=generator)
        x = torch.randn(count, self.n, generator=generator, dtype=dtype)
        if not bool((self.std == 1).all()):
            x *= self.std.to(dtype)[mode].unsqueeze(1)
        return x.add_(self.means.to(dtype)[mode])

    # The noisy law at an angle, and the posterior. ------------------------------------------------------------------

    def _log_joint(self, x, angle):
        """log w_k + log N(x; sin mu_k, v_k I), shape (count, K), float64."""
        sin, cos = sin_cos(angle, x.double())
        variance = self.std**2 * sin**2 + cos**2
        residual = x.double() - sin * self._centre  # |x - sin mu|^2 cancels less from the middle of the modes
        squared = residual.square().sum(-1, keepdim=True) - 2 * sin * (residual @ self._offsets.T)
        squared = squared + sin**2 * self._offsets.square().sum(1)
        return self._log_weights - 0.5 * (squared / variance + self.n * torch.log(2 * math.pi * variance))

    def noisy_log_prob(self, x, angle):
        """log p_phi(x), shape (count,), for x (count, n) and an angle that is a number or a tensor (count,)."""
        return torch.logsumexp(self._log_joint(x, angle), -1).to(x.dtype)

    def posterior_weights(self, x, angle):
        """gamma_k(x) = P(mode k | x_phi = x), shape (count, K); equations (14) and (15) for two modes."""
        return torch.softmax(self._log_joint(x, angle), -1).to(x.dtype)

    def posterior_mean(self, x, angle):
        """E[X | x_phi = x] = sum_k gamma_k [mu_k cos^2 + s_k^2 sin x] / v_k, shape (count, n)."""
        gamma, (sin, cos) = self.posterior_weights(x, angle), sin_cos(angle, x)
        std = self.std.to(x.dtype)
        variance = std**2 * sin**2 + cos**2
        of_means, of_x = gamma * (cos**2 / variance), (gamma * (std**2 * sin / variance)).sum(-1, keepdim=True)
        means = self._float_means if x.dtype == torch.float32 else self.means.to(x.dtype)
        return of_x * x + of_means @ means

    def noisy_score(self, x, angle):
        """grad log p_phi(x) = sum_k gamma_k (sin mu_k - x) / v_k, shape (count, n)."""
        gamma, (sin, cos) = self.posterior_weights(x, angle), sin_cos(angle, x)
        scaled = gamma / (self.std.to(x.dtype) ** 2 * sin**2 + cos**2)
        return sin * (scaled @ self.means.to(x.dtype)) - scaled.sum(-1, keepdim=True) * x

    def log_prob(self, x):
        """log p(x), shape (count,)."""
        return self.noisy_log_prob(x, HALF_PI)

    def score(self, x):
        """grad log p(x), shape (count, n)."""
        return self.noisy_score(x, HALF_PI)

    # Expectations, by quadrature in the few coordinates that the posterior depends on. ------------------------------

    def bayes_risk(self, angle):
        """E |X - E[X | x_phi]|^2, with the shape of `angle`, float64.

        The variance of the posterior, a mixture, is that within its modes plus that between them, so

            risk = sum_k w_k { n s_k^2 cos^2 / v_k + E_k sum_{l after k} gamma_l |m_l - m_k|^2 }

        with m_k = mu_k + c_k (x - sin mu_k), E_k over x in mode k, and the modes in the order of their v: each pair is
        integrated over the narrower of the two, where its integrand is smooth. The integrand depends on x through its
        coordinates in the span of the mode means and, when the standard deviations differ, its length outside of it.
        In one or two such coordinates the trapezoidal rule is exact to rounding for two modes and for equal standard
        deviations; in more, 2^16 scrambled Sobol points are used, with a relative error of about 1e-5.
        """
        angle = angle if isinstance(angle, torch.Tensor) else torch.as_tensor(angle, dtype=torch.float64)
        sines, cosines = (value.flatten().tolist() for value in sin_cos(angle.flatten(), self.means))
        modes = self._modes_in_their_span()
        risks = [self._risk(sin, cos, modes) for sin, cos in zip(sines, cosines, strict=True)]
        return torch.tensor(risks, dtype=torch.float64).reshape(angle.shape)

    def _modes_in_their_span(self):
        """The coordinates (K, r) of mu_k - mu_1 in an orthonormal basis of their span, r <= min(K - 1, n)."""
        offsets = self.means - self.means[0]
        if not bool(offsets.any()):
            return offsets[:, :0]
        _, singular, basis = torch.linalg.svd(offsets, full_matrices=False)
        return offsets @ basis[singular > 1e-12 * singular[0]].T

    def _risk(self, sin, cos, modes):
        order = torch.argsort(self.std)
        std, modes, log_weights = self.std[order], modes[order], self._log_weights[order]
        variance = std**2 * sin**2 + cos**2
        outside = self.n - modes.shape[1] if bool((std != std[0]).any()) else 0
        total = 0.0
        for k in range(len(modes)):
            within = float(self.n * std[k] ** 2 * cos**2 / variance[k])
            between = 0.0
            if k + 1 < len(modes):
                distance = (modes[k + 1 :] - modes[k]).square().sum(1).sqrt()
                slope = float((sin * distance * variance[k].sqrt() / variance[k + 1 :]).max())
                unequal = float(1 - variance[k] / variance[-1])
                for z, unit_radius2, weights in expectation_nodes(modes.shape[1], outside, slope + 6 * unequal):
                    inside = sin * modes[k] + variance[k].sqrt() * z
                    radius2 = variance[k] * unit_radius2
                    values = self._between(k, inside, radius2, modes, std, variance, log_weights, sin, cos)
                    between += float(weights @ values)
            total += math.exp(float(log_weights[k])) * (within + between)
        return total

    def _between(self, k, inside, radius2, modes, std, variance, log_weights, sin, cos):
        """sum_{l after k} gamma_l |m_l - m_k|^2 at points given by the coordinates `inside` (points, r) of
        x - sin mu_1 in the modes' span and its squared length `radius2` (points,) outside of it."""
        squared = (inside.unsqueeze(1) - sin * modes).square().sum(-1) + radius2.unsqueeze(1)
        gamma = torch.softmax(log_weights - 0.5 * (squared / variance + self.n * torch.log(variance)), -1)
        shrink = std**2 * sin / variance
        centres = (cos**2 / variance).unsqueeze(1) * modes + shrink.unsqueeze(1) * inside.unsqueeze(1)
        apart = (centres[:, k + 1 :] - centres[:, k : k + 1]).square().sum(2)
        apart = apart + radius2.unsqueeze(1) * (shrink[k + 1 :] - shrink[k]) ** 2
        return (gamma[:, k + 1 :] * apart).sum(1)

    def speciation_angle(self):
        """See `scorelab.targets.speciation`."""
        from scorelab.targets.speciation import speciation_angle

        return speciation_angle(self)

    def restricted(self, side_of, side):
        """The weight and the mixture of the modes whose means lie on one side; see `Target.restricted`."""
        here = side_of(self.means) == side
        if not bool(here.any()) or bool(here.all()):
            return super().restricted(side_of, side)
        law = GaussianMixture(self._weights[here], self.means[here], self.std[here])
        law.direction = self.direction
        return float(self._weights[here].sum()), law

    def projection(self, direction):
        """The exact law of <X, d>/|d|^2 for a direction d (n,). Raises ValueError if d is 0 or of another length."""
        direction = torch.as_tensor(direction, dtype=torch.float64)
        if direction.shape != (self.n,):
            raise ValueError(f"direction has shape {tuple(direction.shape)}: ({self.n},) is needed")
        squared = direction.square().sum()
        if squared == 0:
            raise ValueError("direction: a vector other than 0 is needed")
        return ProjectedLaw(self._weights, self.means @ direction / squared, self.std / squared.sqrt())

    def noisy_projection(self, direction, angle):
        """The law of <x_phi, d>/|d|^2 as a `ProjectedLaw`; see `Target.noisy_projection`."""
        law, length = self.projection(direction), float(torch.as_tensor(direction, dtype=torch.float64).norm())
        sin, cos = math.sin(angle), math.cos(angle)
        return ProjectedLaw(law.weights, sin * law.means, ((sin * law.stds) ** 2 + (cos / length) ** 2).sqrt())

    def signal_risk(self, angles):
        """The Bayes risk of <X, a>/|a| given its own noisy version, by quadrature, and its part between the modes.

        Where the modes lie on one line along `a`, as two always do, it is the risk given the whole noisy state.
        """
        law = along(self)
        line = GaussianMixture(law.weights, law.means.unsqueeze(1), law.stds)
        return self.signal_risk_between(angles, line.bayes_risk(angles))

    def signal_risk_between(self, angles, risk):
        """See `Target.signal_risk_between`."""
        return between_modes(along(self), angles, risk)

    def orthogonal_variance(self, direction):
        """The mean variance a coordinate in the space orthogonal to a direction d (n,); 0 where there is none."""
        if self.n == 1:
            return 0.0
        unit = torch.as_tensor(direction, dtype=torch.float64)
        unit = unit / unit.norm()
        offsets = self.means - self._weights @ self.means
        offsets = offsets - torch.outer(offsets @ unit, unit)
        between = float(self._weights @ offsets.square().sum(1)) / (self.n - 1)
        return float(self._weights @ self.std**2) + between

    def output_law(self, angle, output):
        """The law of what a sampler returns of an exact state at `angle`; see `Target.output_law`.

        For `posterior_mean` each mode is N(mu_k, s_k^4 sin^2 / v_k), exact up to the overlap of the modes at `angle`.
        """
        sin, cos = (float(value) for value in sin_cos(angle, torch.zeros((), dtype=torch.float64)))
        if output == "posterior_draw":
            return self
        variance = self.std**2 + (cos / sin) ** 2
        if output == "posterior_mean":
            variance = self.std**4 / variance
        law = GaussianMixture(self._weights, self.means, torch.sqrt(variance))
        law.direction = self.direction
        return law
