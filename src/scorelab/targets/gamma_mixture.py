"""A mixture of products of Gamma laws: a target on (0, inf)^n with a closed posterior given Poisson counts."""

import torch

from scorelab.laws.gamma import GammaLaw, gamma_draws
from scorelab.targets.base import Target
from scorelab.targets.signal import orthogonal_variance


class GammaMixture(Target):
    """sum_k w_k prod_i Gamma(alpha_ki, beta_k) on (0, inf)^n: coordinate i of mode k has the mean alpha_ki/beta_k.

    Given Poisson counts Y_i with means t x_i, mode k is again a product of Gamma laws, with alpha_ki + Y_i and
    beta_k + t, and has a weight in proportion to

        w_k beta_k^{sum_i alpha_ki} (beta_k + t)^{-sum_i (alpha_ki + Y_i)} prod_i Gamma(alpha_ki + Y_i)/Gamma(alpha_ki).

    weights (K,): > 0, normalised to sum 1. shapes: alpha (K, n), > 0. rates: beta (K,), > 0. direction: (1, ..., 1), as
    a sum of Gamma variables with one rate has a Gamma law again. Raises ValueError for numbers that are not positive,
    and for shapes that disagree.
    """

    def __init__(self, weights, shapes, rates):
        weights, shapes, rates = (torch.as_tensor(part, dtype=torch.float64) for part in (weights, shapes, rates))
        if shapes.dim() != 2 or weights.shape != rates.shape or weights.shape != shapes.shape[:1]:
            raise ValueError(
                f"weights, shapes and rates have the shapes {tuple(weights.shape)}, {tuple(shapes.shape)} and "
                f"{tuple(rates.shape)}: (K,), (K, n) and (K,) are needed"
            )
        for name, part in (("weights", weights), ("shapes", shapes), ("rates", rates)):
            if not bool((part > 0).all() and torch.isfinite(part).all()):
                raise ValueError(f"{name} = {part.tolist()}: each must be > 0")
        self.mode_weights, self.alpha, self.beta = weights / weights.sum(), shapes, rates
        self.n = shapes.shape[1]
        self.direction = torch.ones(self.n, dtype=torch.float64)

    def sample(self, count, generator, dtype=torch.float32):
        mode = torch.multinomial(self.mode_weights, count, replacement=True, generator=generator)
        return (gamma_draws(self.alpha[mode], generator) / self.beta[mode].unsqueeze(1)).to(dtype)

    def log_prob(self, x):
        """The logarithm of the density at x > 0, (count,), float64."""
        x = x.double().unsqueeze(1)
        each = torch.special.xlogy(self.alpha - 1, x) - self.beta.unsqueeze(1) * x - torch.lgamma(self.alpha)
        modes = each.sum(2) + self.alpha.sum(1) * self.beta.log() + self.mode_weights.log()
        return torch.logsumexp(modes, 1)

    @property
    def mean(self):
        """E X, (n,)."""
        return self.mode_weights @ (self.alpha / self.beta.unsqueeze(1))

    @property
    def covariance(self):
        """Cov X, (n, n): the variances within the modes plus the covariance between them."""
        offsets = self.alpha / self.beta.unsqueeze(1) - self.mean
        within = self.mode_weights @ (self.alpha / self.beta.unsqueeze(1) ** 2)
        return torch.diag(within) + (offsets.T * self.mode_weights) @ offsets

    def mode_weights_given(self, counts, time):
        """P(mode k | Y), (count, K), float64; counts and time as in `count_mean`."""
        counts, time = counts.double(), torch.as_tensor(time, dtype=torch.float64).reshape(-1, 1)
        grown = self.alpha + counts.unsqueeze(1)
        gained = (torch.lgamma(grown) - torch.lgamma(self.alpha)).sum(2)
        rates = self.alpha.sum(1) * self.beta.log() - grown.sum(2) * (self.beta + time).log()
        return torch.softmax(self.mode_weights.log() + gained + rates, 1)

    def count_mean(self, counts, time):
        gamma = self.mode_weights_given(counts, time) / (
            self.beta + torch.as_tensor(time, dtype=torch.float64).reshape(-1, 1)
        )
        return (gamma @ self.alpha + gamma.sum(1, keepdim=True) * counts.double()).to(counts.dtype)

    def projection(self, direction):
        """The exact law of <X, d>/|d|^2 for a direction whose entries are 0 or one and the same number > 0. Raises
        ValueError for any other, along which the law has no closed form."""
        direction = torch.as_tensor(direction, dtype=torch.float64)
        some, length = direction != 0, direction.max()
        if not bool(some.any()) or length <= 0 or bool((direction[some] != length).any()):
            raise ValueError("direction: entries that are 0 or one number > 0 are needed")
        return GammaLaw(self.mode_weights, self.alpha[:, some].sum(1), self.beta * length * some.sum())

    def orthogonal_variance(self, direction):
        return orthogonal_variance(self.covariance, direction)
