"""Gaussian mixtures on the line: the law of a mixture in R^n along a direction, or a law that lives on the line."""

import math

import torch

from scorelab.laws.quantile import probabilities, quantile
from scorelab.movable import Movable

_SQRT_2PI = math.sqrt(2 * math.pi)


def _ndtr(z):
    """P(N(0, 1) <= z), with full relative accuracy in the left tail, which torch.special.ndtr does not have."""
    return 0.5 * torch.special.erfc(-z / math.sqrt(2))


def log_odds(x, p, first, second, variance=1.0):
    """log of P(first mode | X = x)/P(second mode | X = x) for p N(first, variance) + (1-p) N(second, variance).

    A linear function of x. x, first, second and variance are numbers, or arrays of numpy or torch that broadcast.
    """
    return (first - second) * (x - (first + second) / 2) / variance + math.log(p / (1 - p))


class ProjectedLaw(Movable):
    """The mixture sum_k w_k N(mean_k, std_k^2) on the line, in float64.

    weights, means, stds: (K,). All methods are elementwise and take numbers, lists or tensors of any shape. Densities,
    the score and the posterior weights are differentiable. They also accept a law that differs from point to point,
    with means and stds (points, K) and x (points,).
    """

    def __init__(self, weights, means, stds):
        weights, means, stds = (torch.as_tensor(value, dtype=torch.float64) for value in (weights, means, stds))
        self.weights, self.means, self.stds = weights / weights.sum(), means, stds

    def _standardised(self, x):
        x = torch.as_tensor(x, dtype=torch.float64)
        return (x.unsqueeze(-1) - self.means) / self.stds

    def pdf(self, x):
        """The density at x."""
        z = self._standardised(x)
        return (self.weights * torch.exp(-0.5 * z**2) / (self.stds * _SQRT_2PI)).sum(-1)

    def _log_joint(self, x):
        """log(weight_k times the density of mode k at x) + log(2 pi)/2, shape (..., K)."""
        return torch.log(self.weights / self.stds) - 0.5 * self._standardised(x) ** 2

    def log_pdf(self, x):
        """The logarithm of the density at x; it is finite also where the density rounds to 0."""
        return torch.logsumexp(self._log_joint(x), -1) - 0.5 * math.log(2 * math.pi)

    def posterior_weights(self, x):
        """P(mode k | X = x), shape (..., K)."""
        return torch.softmax(self._log_joint(x), -1)

    def score(self, x):
        """The derivative of the log density at x."""
        return (self.posterior_weights(x) * -self._standardised(x) / self.stds).sum(-1)

    def noisy(self, signal, variance) -> "ProjectedLaw":
        """The law of signal X + N(0, variance), for a signal of either sign."""
        return ProjectedLaw(self.weights, signal * self.means, ((signal * self.stds) ** 2 + variance) ** 0.5)

    def cdf(self, x):
        """P(X <= x)."""
        return (self.weights * _ndtr(self._standardised(x))).sum(-1)

    def integrated_cdf(self, x):
        """int_{-inf}^x P(X <= s) ds = E max(x - X, 0)."""
        z = self._standardised(x)
        return (self.weights * self.stds * (z * _ndtr(z) + torch.exp(-0.5 * z**2) / _SQRT_2PI)).sum(-1)

    def integrated_survival(self, x):
        """int_x^inf P(X > s) ds = E max(X - x, 0)."""
        z = self._standardised(x)
        return (self.weights * self.stds * (torch.exp(-0.5 * z**2) / _SQRT_2PI - z * _ndtr(-z))).sum(-1)

    def quantile(self, u):
        """The x with P(X <= x) = u. Raises ValueError for u outside [0, 1]."""
        u, inside = probabilities(u)
        by_mode = self.means + self.stds * torch.special.ndtri(inside).unsqueeze(-1)
        slack = 1e-8 * (self.stds.max() + by_mode.abs().max(-1).values)
        # The quantile lies between the quantiles of the modes.
        low, high = by_mode.min(-1).values - slack, by_mode.max(-1).values + slack
        x = quantile(inside, low, high, self.cdf, self.pdf)
        return torch.where(u == 0, -math.inf, torch.where(u == 1, math.inf, x))

    def sample(self, count: int, generator: torch.Generator):
        """Exact draws, shape (count,), float64."""
        mode = torch.multinomial(self.weights, count, replacement=True, generator=generator)
        normal = torch.randn(count, generator=generator, dtype=torch.float64)
        return self.means[mode] + self.stds[mode] * normal

    @property
    def mean(self):
        """E X; 0 where it is no more than the rounding of its terms."""
        terms = self.weights * self.means
        mean, rounding = float(terms.sum()), 1e-14 * float(terms.abs().sum())
        return mean if abs(mean) > rounding else 0.0

    @property
    def variance(self):
        """Var X."""
        return float((self.weights * (self.stds**2 + (self.means - self.mean) ** 2)).sum())
