"""Gaussian mixtures on R^n, their noisy laws in the channel x = sin X + cos G, and their posteriors, in float64.

Mode k is N(mu_k, C_k), C_k = U_k diag(lambda_k) U_k^T. In the channel it becomes N(sin mu_k, V_k), V_k = sin^2 C_k +
cos^2 I, with the same axes U_k. So the posterior of X given x is again a mixture, whose weights and means are

    gamma_k(x) ~ w_k N(x; sin mu_k, V_k)          m_k(x) = mu_k + sin C_k V_k^-1 (x - sin mu_k)

and E[X | x] = sum_k gamma_k m_k, grad log p(x) = sum_k gamma_k V_k^-1 (sin mu_k - x). For two modes with C_k = I this
is Visconti 2025, section 7.3. The formulas are exact at both ends: gamma_k = w_k at angle 0, and E[X | x] =
x at pi/2.

`x` is (count, n) and an angle is a number or a tensor (count,), in radians. Exponents are computed in float64 for every
dtype of `x`, because they grow like |mu|^2. Results have the dtype of `x`.
"""

import math

import torch

from scorelab.channel import HALF_PI, sin_cos
from scorelab.laws import conditioning
from scorelab.laws.projected_law import ProjectedLaw

#: squared length of a mean, over the variance of a mode, from which on the expansion of a square loses too many digits
_FAR = 1e6


class Mixture:
    """sum_k w_k N(mu_k, C_k) on R^n.

    weights (K,): positive, normalised to sum 1. means (K, n). covariances: (K, n), the variances of the coordinates, or
    (K, n, n), symmetric and positive definite. `IsotropicMixture` is quicker for modes with C_k = s_k^2 I.

    Raises ValueError for weights or variances that are not positive, and for shapes that disagree.
    """

    def __init__(self, weights, means, covariances):
        self._set_modes(weights, means)
        covariances = torch.as_tensor(covariances, dtype=torch.float64)
        modes, n = self.means.shape
        if covariances.shape not in ((modes, n), (modes, n, n)):
            needed = f"({modes}, {n}) or ({modes}, {n}, {n}) is needed"
            raise ValueError(f"covariances have shape {tuple(covariances.shape)}: {needed}")
        # _variances: lambda (K, n). _axes: U (K, n, n), or None if U is the identity.
        self._variances, self._axes = covariances, None
        if not bool(torch.isfinite(covariances).all()):
            raise ValueError("covariances: every entry must be a finite number")
        if covariances.dim() == 3:
            if bool((covariances - covariances.mT).abs().max() > 1e-10 * covariances.abs().max()):
                raise ValueError("covariances: each has to be symmetric")
            self._variances, self._axes = torch.linalg.eigh(covariances)
        if not bool((self._variances > 0).all()):
            raise ValueError("covariances: each has to be positive definite")

    def _set_modes(self, weights, means):
        """Check and keep the weights and the means."""
        means = torch.as_tensor(means, dtype=torch.float64)
        weights = torch.as_tensor(weights, dtype=torch.float64)
        if means.dim() != 2:
            raise ValueError(f"means have shape {tuple(means.shape)}: (K, n) is needed")
        modes, self.n = means.shape
        if weights.shape != (modes,):
            raise ValueError(f"weights have shape {tuple(weights.shape)}: ({modes},) is needed, one per mode")
        if not bool((weights > 0).all() and torch.isfinite(weights).all()):
            raise ValueError(f"weights = {weights.tolist()}: each must be > 0")
        if not bool(torch.isfinite(means).all()):
            raise ValueError("means: every entry must be a finite number")
        self._weights, self.means = weights / weights.sum(), means
        self._log_weights = torch.log(self._weights)

    @property
    def weights(self):
        """The mode weights, shape (K,), float64."""
        return self._weights

    # The law of X. --------------------------------------------------------------------------------------------------

    def sample(self, count, generator, dtype=torch.float32):
        """Draw `count` samples, shape (count, n)."""
        mode = torch.multinomial(self._weights, count, replacement=True, generator=generator)
        x = torch.randn(count, self.n, generator=generator, dtype=dtype) * self._variances.sqrt().to(dtype)[mode]
        if self._axes is not None:
            x = (self._axes.to(dtype)[mode] @ x.unsqueeze(-1)).squeeze(-1)
        return x.add_(self.means.to(dtype)[mode])

    @property
    def variances(self):
        """The variances of a mode along its axes, (K, n) or (K, 1), float64."""
        return self._variances

    @property
    def axes(self):
        """The axes of each mode, (K, n, n) with an axis in each column; None if they are the coordinates."""
        return self._axes

    def total_variances(self):
        """tr C_k, shape (K,), float64."""
        return self._variances.expand(self.means.shape).sum(1)

    @property
    def covariances(self):
        """C_k, shape (K, n, n), float64."""
        if self._axes is None:
            return torch.diag_embed(self._variances.expand(self.means.shape))
        return (self._axes * self._variances.unsqueeze(1)) @ self._axes.mT

    @property
    def mean(self):
        """E X, shape (n,)."""
        return self._weights @ self.means

    @property
    def covariance(self):
        """Cov X, shape (n, n): the covariance within the modes plus the covariance between them."""
        offsets = self.means - self.mean
        return torch.tensordot(self._weights, self.covariances, 1) + (offsets.T * self._weights) @ offsets

    def span(self):
        """An orthonormal basis (r, n) of the span of the differences of the means."""
        _, singular, basis = torch.linalg.svd(self.means - self.mean, full_matrices=False)
        return basis[singular > 1e-12 * self.means.abs().max()]

    def log_prob(self, x):
        """log p(x), shape (count,)."""
        return self.noisy_log_prob(x, HALF_PI)

    def score(self, x):
        """grad log p(x), shape (count, n)."""
        return self.noisy_score(x, HALF_PI)

    def changed(self, f):
        """The covariances with the same axes and the variances f(lambda) along them, as the class takes them."""
        variances = f(self._variances)
        return variances if self._axes is None else (self._axes * variances.unsqueeze(1)) @ self._axes.mT

    def noisy(self, signal, variance):
        """The law of signal X + N(0, variance I), a mixture of the same class; signal and variance are numbers."""
        return Mixture(self._weights, signal * self.means, self.changed(lambda each: signal**2 * each + variance))

    def projection(self, direction):
        """The exact law of <X, d>/|d|^2 for a direction d (n,). Raises ValueError if d is 0 or of another length."""
        direction = torch.as_tensor(direction, dtype=torch.float64)
        if direction.shape != (self.n,):
            raise ValueError(f"direction has shape {tuple(direction.shape)}: ({self.n},) is needed")
        squared = direction.square().sum()
        if squared == 0:
            raise ValueError("direction: a vector other than 0 is needed")
        return ProjectedLaw(self._weights, self.means @ direction / squared, self._stds_along(direction, squared))

    def _stds_along(self, direction, squared):
        """The standard deviation of <X, d>/|d|^2 in each mode, (K,), with squared = |d|^2."""
        parts = direction if self._axes is None else direction @ self._axes
        return (self._variances * parts.square()).sum(1).sqrt() / squared

    # The noisy law at an angle, and the posterior. ------------------------------------------------------------------

    def _standardised(self, x, sin, cos):
        """U_k^T (x - sin mu_k) and the variances of its coordinates, both (count, K, n)."""
        residual = x.unsqueeze(-2) - (sin * self.means if sin.dim() == 0 else sin.unsqueeze(-2) * self.means)
        if self._axes is not None:
            residual = torch.einsum("ckn,knm->ckm", residual, self._axes.to(x.dtype))
        sin, cos = (value if value.dim() == 0 else value.unsqueeze(-1) for value in (sin, cos))
        return residual, self._variances * sin**2 + cos**2

    def _in_coordinates(self, vectors):
        """sum over modes of U_k v_k for v (count, K, n), shape (count, n)."""
        if self._axes is None:
            return vectors.sum(-2)
        return torch.einsum("ckm,knm->cn", vectors, self._axes)

    def _log_joint(self, x, angle):
        """log w_k + log N(x; sin mu_k, V_k), shape (count, K), float64."""
        x = x.double()
        residual, variances = self._standardised(x, *sin_cos(angle, x))
        terms = residual.square() / variances + torch.log(2 * math.pi * variances)
        return self._log_weights - 0.5 * terms.sum(-1)

    def noisy_log_prob(self, x, angle):
        """log p_phi(x), shape (count,), for x (count, n) and an angle that is a number or a tensor (count,)."""
        return torch.logsumexp(self._log_joint(x, angle), -1).to(x.dtype)

    def squared_lengths(self, x, angle):
        """(x - sin mu_k)^T V_k^{-1} (x - sin mu_k) / n, shape (count, K), float64: its mean over mode k is 1."""
        x = x.double()
        residual, variances = self._standardised(x, *sin_cos(angle, x))
        return (residual.square() / variances).mean(-1)

    def posterior_weights(self, x, angle):
        """gamma_k(x) = P(mode k | x_phi = x), shape (count, K); equations (14) and (15) for two modes."""
        return torch.softmax(self._log_joint(x, angle), -1).to(x.dtype)

    def posterior_mean(self, x, angle):
        """E[X | x_phi = x], shape (count, n)."""
        return self.mean_given_weights(self.posterior_weights(x, angle), x, angle)

    def mean_given_weights(self, gamma, x, angle):
        """sum_k gamma_k E[X | x_phi = x, mode k] for any weights gamma (count, K), shape (count, n)."""
        sin, cos = sin_cos(angle, x.double())
        residual, variances = self._standardised(x.double(), sin, cos)
        sin = sin if sin.dim() == 0 else sin.unsqueeze(-1)
        gained = gamma.double().unsqueeze(-1) * (self._variances * sin / variances * residual)
        return (gamma.double() @ self.means + self._in_coordinates(gained)).to(x.dtype)

    def posterior_variance(self, x, angle):
        """tr Cov[X | x_phi = x] = E[|X - E[X | x]|^2 | x], shape (count,): the variance within the modes of the
        posterior plus the variance between their means."""
        sin, cos = sin_cos(angle, x.double())
        residual, variances = self._standardised(x.double(), sin, cos)
        gamma = self.posterior_weights(x.double(), angle)
        sin, cos = (value if value.dim() == 0 else value.unsqueeze(-1) for value in (sin, cos))
        within = (self._variances * cos**2 / variances).expand(residual.shape).sum(-1)
        moved = self._variances * sin / variances * residual
        if self._axes is not None:
            moved = torch.einsum("ckm,knm->ckn", moved, self._axes)
        means = self.means + moved
        between = (means - (gamma.unsqueeze(-1) * means).sum(-2, keepdim=True)).square().sum(-1)
        return (gamma * (within + between)).sum(-1).to(x.dtype)

    # The posterior under other observations; see `laws.conditioning`. -------------------------------------------------

    def tilted_mean(self, linear, precision=None):
        """The mean of the law mu(dx) exp(<b, x> - <x, Q x>/2), shape (count, n); see `Target.tilted_mean`."""
        return conditioning.tilted_mean(self, linear, precision)

    def conditional_mean(self, values, known):
        """E[X | the known coordinates], shape (count, n); see `Target.conditional_mean`."""
        return conditioning.conditional_mean(self, values, known)

    def conditional_draw(self, values, known, noise):
        """A draw of each coordinate given the known ones, shape (count, n); see `Target.conditional_draw`."""
        return conditioning.conditional_draw(self, values, known, noise)

    def noisy_score(self, x, angle):
        """grad log p_phi(x), shape (count, n)."""
        residual, variances = self._standardised(x.double(), *sin_cos(angle, x.double()))
        gamma = self.posterior_weights(x.double(), angle).unsqueeze(-1)
        return self._in_coordinates(-gamma * residual / variances).to(x.dtype)


class IsotropicMixture(Mixture):
    """sum_k w_k N(mu_k, s_k^2 I) on R^n. std: one number > 0, or (K,). See `Mixture`.

    The posterior depends on x through the coordinates of x in the span of the means and the length of x outside this
    span. So no tensor here has the size count K n. |x - sin mu_k|^2 is expanded around the mean of the mixture, where
    rounding errors are smaller; where the modes are `far_apart`, it is computed mode by mode.
    """

    def __init__(self, weights, means, std=1.0):
        self._set_modes(weights, means)
        std = torch.as_tensor(std, dtype=torch.float64)
        modes = len(self.means)
        if std.shape not in ((), (modes,)) or not bool((std > 0).all() and torch.isfinite(std).all()):
            raise ValueError(f"std = {std.tolist()}: one number > 0, or {modes} of them, is needed")
        self.std = std.expand(modes)
        self._variances, self._axes = (self.std**2).unsqueeze(1), None
        self._float_means = self.means.float()
        self._centre = self._weights @ self.means
        self._offsets = self.means - self._centre
        self._far = far_apart(self.means, self.std.min())

    def sample(self, count, generator, dtype=torch.float32):
        mode = torch.multinomial(self._weights, count, replacement=True, generator=generator)
        x = torch.randn(count, self.n, generator=generator, dtype=dtype)
        if not bool((self.std == 1).all()):
            x *= self.std.to(dtype)[mode].unsqueeze(1)
        return x.add_(self.means.to(dtype)[mode])

    def noisy(self, signal, variance):
        return IsotropicMixture(self._weights, signal * self.means, (signal**2 * self.std**2 + variance) ** 0.5)

    def _stds_along(self, direction, squared):
        return self.std / squared.sqrt()

    def _log_joint(self, x, angle):
        x = x.double()
        sin, cos = sin_cos(angle, x)
        variance = self.std**2 * sin**2 + cos**2
        squared = squared_distances(x, sin, self.means) if self._far else self._expanded(x, sin)
        return self._log_weights - 0.5 * (squared / variance + self.n * torch.log(2 * math.pi * variance))

    def _expanded(self, x, sin):
        """|x - sin mu_k|^2, shape (count, K), expanded around the mean of the mixture."""
        residual = x - sin * self._centre
        squared = residual.square().sum(-1, keepdim=True) - 2 * sin * (residual @ self._offsets.T)
        return squared + sin**2 * self._offsets.square().sum(1)

    def mean_given_weights(self, gamma, x, angle):
        """sum_k gamma_k [mu_k cos^2 + s_k^2 sin x] / v_k for any weights gamma (count, K), shape (count, n)."""
        means = self._float_means if x.dtype == torch.float32 else self.means.to(x.dtype)
        return isotropic_mean(gamma, x, *sin_cos(angle, x), means, self.std.to(x.dtype))

    def noisy_score(self, x, angle):
        """grad log p_phi(x) = sum_k gamma_k (sin mu_k - x) / v_k, shape (count, n)."""
        gamma, (sin, cos) = self.posterior_weights(x, angle), sin_cos(angle, x)
        scaled = gamma / (self.std.to(x.dtype) ** 2 * sin**2 + cos**2)
        if self._far:
            return sum(scaled[..., [k]] * (sin * mean - x) for k, mean in enumerate(self.means.to(x.dtype)))
        return sin * (scaled @ self.means.to(x.dtype)) - scaled.sum(-1, keepdim=True) * x


def far_apart(means, std) -> bool:
    """Whether the squares of the means (K, n) are so large, in variances of a mode, that they must not be expanded."""
    return bool(means.square().sum(1).max() > _FAR * std**2)


def squared_distances(x, sin, means):
    """|x - sin mu_k|^2, shape (count, K), one mode after the other: it takes longer than the expansion of the square,
    and loses nothing to a mode that is far away."""
    return torch.stack([(x - sin * mean).square().sum(-1) for mean in means], -1)


def isotropic_mean(gamma, x, sin, cos, means, std):
    """sum_k gamma_k [mu_k cos^2 + s_k^2 sin x] / v_k, v_k = s_k^2 sin^2 + cos^2, shape (count, n), dtype of x.

    gamma (count, K): weights that sum to 1. sin, cos: as `channel.sin_cos` returns them. means (K, n). std: a tensor
    (K,), or a number for all modes. The result is differentiable in every argument.
    """
    variance = std**2 * sin**2 + cos**2
    factor = std**2 * sin / variance
    if isinstance(std, torch.Tensor) and std.dim():
        factor = (gamma * factor).sum(-1, keepdim=True)
    return factor * x + (gamma * (cos**2 / variance)) @ means
