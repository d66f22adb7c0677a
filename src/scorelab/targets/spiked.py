"""Spiked matrices: a vector theta seen through A = (strength/n) theta theta^T + W, and its exact posterior.

W is symmetric, with N(0, 1/n) off the diagonal and N(0, 2/n) on it. Bayes' rule for the densities of A's entries is

    P(theta = x | A) ~ prior(x) exp(strength/2 <x, A x> - strength^2/(4 n) |x|^4),

where the last term is constant for signs.
"""

import math

import numpy
import torch

from scorelab.laws.spin_sums import SpinSums
from scorelab.targets.base import Target
from scorelab.targets.couplings import Couplings
from scorelab.targets.finite import FiniteTarget, leading_direction
from scorelab.targets.gaussian_spike import GaussianPosterior
from scorelab.targets.ising import sherrington_kirkpatrick, symmetric
from scorelab.targets.priors import Gaussian, Prior, prior_named


class SpikedModel(Target):
    """The posterior of theta given A; the class is chosen by the prior.

    A (n, n): the observed symmetric matrix. strength: lambda >= 0. prior: a `Prior`, or the name rademacher or
    gaussian. theta (n,): the planted vector, if it is known. direction (n,): theta, or else the leading eigenvector of
    A with |d|^2 = n; so a projection is an overlap.

    For Rademacher signs (n <= 22) and sparse ones (n <= 13) all is an exact sum over the states; for the Gaussian prior
    it is an integral on a line, for any n. Raises ValueError for an A that is not symmetric, and for numbers that are
    not allowed.
    """

    def __new__(cls, A=None, strength=None, prior="rademacher", theta=None):
        if cls is SpikedModel:
            cls = GaussianSpike if prior == "gaussian" or isinstance(prior, Gaussian) else FiniteSpike
        return super().__new__(cls)

    def __init__(self, A, strength, prior="rademacher", theta=None):
        self.A, self.strength = symmetric(A), float(strength)
        if not 0 <= self.strength < math.inf:
            raise ValueError(f"strength = {self.strength:g}: a finite number >= 0 is needed")
        self.prior: Prior = prior_named(prior) if isinstance(prior, str) else prior
        self.n, self.theta = len(self.A), None
        if theta is not None:
            self.theta = torch.as_tensor(theta, dtype=torch.float64)
            if self.theta.shape != (self.n,) or not bool(torch.isfinite(self.theta).all()):
                raise ValueError(f"theta: {self.n} finite numbers are needed")
        known = self.theta is not None and bool(self.theta.any())
        self.direction = self.theta if known else leading_direction(self.A)

    @classmethod
    def draw(cls, n: int, strength: float, prior, generator: torch.Generator) -> "SpikedModel":
        """A model with theta from the prior and A from theta."""
        prior = prior_named(prior) if isinstance(prior, str) else prior
        theta = prior.sample((n,), generator)
        A = strength / n * torch.outer(theta, theta) + sherrington_kirkpatrick(n, generator)
        return cls(A, strength, prior, theta)

    @property
    def beta(self) -> float:
        """The strength, which is the inverse temperature of the couplings A."""
        return self.strength

    @property
    def h(self) -> torch.Tensor:
        """The field, which is 0, (n,)."""
        return torch.zeros(self.n, dtype=torch.float64)

    @property
    def couplings(self):
        return Couplings(self.A, self.strength, self.h, self.prior)

    def overlap(self, x) -> torch.Tensor:
        """<x, theta>/n for states x (count, n), (count,). Raises ValueError if theta is not known."""
        if self.theta is None:
            raise ValueError("theta: the planted vector is needed for an overlap with it")
        x = torch.as_tensor(x)
        return x @ self.theta.to(x.dtype) / self.n

    def spectral_estimator(self) -> torch.Tensor:
        """The leading eigenvector of A (n,), with the size sqrt(n) of theta; its sign is arbitrary."""
        return leading_direction(self.A)

    def spectral_overlap(self) -> float:
        """The limit of the squared overlap of the spectral estimator with theta as n grows; see `spectral_limit`."""
        return float(spectral_limit(self.strength))

    def bayes_overlap(self) -> float:
        """The limit of E|E[theta | A]|^2/n as n grows; see `Prior.bayes_overlap`. It is 0 up to the strength 1 for the
        Rademacher and the Gaussian prior."""
        return self.prior.bayes_overlap(self.strength)


def spectral_limit(strength):
    """The limit of <v, theta>^2/n^2 for the leading eigenvector v of A with |v|^2 = n: 1 - 1/strength^2 above the
    threshold 1, and 0 below (Benaych-Georges and Nadakuditi 2011). strength: a number or an array."""
    return numpy.maximum(0.0, 1 - 1 / numpy.maximum(strength, 1.0) ** 2)


class FiniteSpike(FiniteTarget, SpikedModel):
    """A spiked model whose prior has finitely many values, by exact sums over the states."""

    @property
    def alphabet(self):
        return self.prior.alphabet

    def make_sums(self):
        sums = SpinSums.quadratic(self.strength * self.A, alphabet=self.alphabet)
        letters, chances = sums.alphabet, torch.tensor(self.prior.log_weights, dtype=torch.float64)
        above, beside = (chances[torch.searchsorted(letters, each)].sum(1) for each in (sums.rows, sums.columns))
        quartic = self.strength**2 / (4 * self.n) * sums.squares.square()
        return sums.reweighted(above.unsqueeze(1) + beside - quartic)


class GaussianSpike(SpikedModel, GaussianPosterior):
    """A spiked model with the prior N(0, I), by an integral on a line."""

    def __init__(self, A, strength, prior="gaussian", theta=None):
        SpikedModel.__init__(self, A, strength, prior, theta)
        GaussianPosterior.__init__(self, self.A, self.strength)
