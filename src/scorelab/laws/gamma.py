"""Mixtures of Gamma laws on the line, in float64."""

import torch

from scorelab.laws.quantile import probabilities, quantile
from scorelab.movable import Movable


class GammaLaw(Movable):
    """The mixture sum_k w_k Gamma(shape_k, rate_k) on (0, inf), whose mode k has the mean shape_k/rate_k.

    weights, shapes, rates: (K,), > 0. Methods are elementwise and take numbers, lists or tensors of any shape, as those
    of `ProjectedLaw`, for which this law may stand.
    """

    def __init__(self, weights, shapes, rates):
        weights, shapes, rates = (torch.as_tensor(part, dtype=torch.float64) for part in (weights, shapes, rates))
        self.weights, self.shapes, self.rates = weights / weights.sum(), shapes, rates

    def _scaled(self, x):
        return torch.as_tensor(x, dtype=torch.float64).unsqueeze(-1).clamp_min(0) * self.rates

    def pdf(self, x):
        """The density at x."""
        z = self._scaled(x)
        logs = torch.special.xlogy(self.shapes - 1, z) - z - torch.lgamma(self.shapes) + self.rates.log()
        density = (self.weights * logs.exp()).sum(-1)
        return torch.where(torch.as_tensor(x, dtype=torch.float64) >= 0, density, 0.0)

    def cdf(self, x):
        """P(X <= x)."""
        return (self.weights * torch.special.gammainc(self.shapes, self._scaled(x))).sum(-1)

    def integrated_cdf(self, x):
        """int_{-inf}^x P(X <= s) ds = E max(x - X, 0)."""
        z = self._scaled(x)
        first, second = (torch.special.gammainc(self.shapes + more, z) for more in (0, 1))
        return (self.weights / self.rates * (z * first - self.shapes * second)).sum(-1)

    def integrated_survival(self, x):
        """int_x^inf P(X > s) ds = E max(X - x, 0)."""
        z = self._scaled(x)
        first, second = (torch.special.gammaincc(self.shapes + more, z) for more in (0, 1))
        above = (self.weights / self.rates * (self.shapes * second - z * first)).sum(-1)
        return above + (-torch.as_tensor(x, dtype=torch.float64)).clamp_min(0)

    def quantile(self, u):
        """The x with P(X <= x) = u. Raises ValueError for u outside [0, 1]."""
        from scipy.special import gammaincinv

        u, inside = probabilities(u)
        by_mode = torch.from_numpy(gammaincinv(self.shapes.numpy(), inside.unsqueeze(-1).numpy())) / self.rates
        slack = 1e-8 * by_mode.max(-1).values
        # The quantile lies between the quantiles of the modes.
        low, high = (by_mode.min(-1).values - slack).clamp_min(0), by_mode.max(-1).values + slack
        x = quantile(inside, low, high, self.cdf, self.pdf)
        return torch.where(u == 0, 0.0, torch.where(u == 1, torch.inf, x))

    def sample(self, count: int, generator: torch.Generator):
        """Exact draws, shape (count,), float64."""
        mode = torch.multinomial(self.weights, count, replacement=True, generator=generator)
        return gamma_draws(self.shapes[mode], generator) / self.rates[mode]

    @property
    def mean(self):
        """E X."""
        return float((self.weights * self.shapes / self.rates).sum())

    @property
    def variance(self):
        """Var X."""
        second = self.shapes * (self.shapes + 1) / self.rates**2
        return float((self.weights * second).sum()) - self.mean**2


def gamma_draws(shapes, generator):
    """Draws of Gamma(shape, 1) for a tensor of shapes > 0, float64."""
    # torch.distributions draws from the global stream only; this is the function below it
    return torch._standard_gamma(shapes.double(), generator=generator)
