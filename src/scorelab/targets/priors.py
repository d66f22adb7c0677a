"""Laws of one coordinate with mean 0 and variance 1: the priors of spiked models.

Of a coordinate that is seen through Gaussian noise, whether of a channel or of approximate message passing, the
posterior is P(x) ~ prior(x) exp(b x - q x^2/2) with a field b and a precision q. A prior knows its mean and variance,
the mean being differentiable in b with the variance as its derivative, and its normalisation. For a coordinate that
is seen as theta + N(0, 1/r) = z they are taken at b = r z, q = r.
"""

import abc
import math
from functools import cached_property

import torch

from scorelab.laws.spin_sums import SPINS
from scorelab.movable import Movable
from scorelab.quadrature import normal_trapezoid


class Prior(Movable, abc.ABC):
    """A law of one coordinate with mean 0 and variance 1.

    field, precision: numbers or tensors that broadcast; results have the dtype of the field. name: as options have it.
    alphabet: the values of the coordinate in increasing order, or None for a density.
    """

    name: str
    alphabet: tuple[float, ...] | None = None

    @abc.abstractmethod
    def mean(self, field, precision=0.0) -> torch.Tensor:
        """E x under prior(x) exp(field x - precision x^2/2)."""

    @abc.abstractmethod
    def variance(self, field, precision=0.0) -> torch.Tensor:
        """Var x under the same law: the derivative of `mean` in the field."""

    @abc.abstractmethod
    def log_partition(self, field, precision=0.0) -> torch.Tensor:
        """log E exp(field X - precision X^2/2) for X from the prior."""

    @abc.abstractmethod
    def sample(self, shape, generator: torch.Generator) -> torch.Tensor:
        """Independent draws of a shape, float64."""

    @abc.abstractmethod
    def _cases(self):
        """The values (cases,) that stand for theta in expectations, and their weights (cases,)."""

    # The scalar channel. --------------------------------------------------------------------------------------------

    @cached_property
    def _states(self):
        """theta (cases, 1), G (1, points) and their weights (cases, points)."""
        (theta, weights), (noise, chances) = self._cases(), normal_trapezoid()
        return theta.unsqueeze(1), noise.unsqueeze(0), torch.outer(weights, chances)

    def next_overlap(self, precision) -> torch.Tensor:
        """E[theta E[theta | r theta + sqrt(r) G]], the squared size of the posterior mean at precisions r (...,)."""
        r = torch.as_tensor(precision, dtype=torch.float64)[..., None, None]
        theta, noise, weights = self._states
        return (weights * theta * self.mean(r * theta + r.sqrt() * noise, r)).sum((-2, -1))

    def potential(self, q, strength: float) -> torch.Tensor:
        """The free energy a coordinate at an overlap q (...,): E log_partition(r theta + sqrt(r) G, r) - r q/4 with
        r = strength^2 q. It is stationary where q = next_overlap(strength^2 q), and the Bayes overlap maximises it."""
        q = torch.as_tensor(q, dtype=torch.float64)
        r = (strength**2 * q)[..., None, None]
        theta, noise, weights = self._states
        inside = (weights * self.log_partition(r * theta + r.sqrt() * noise, r)).sum((-2, -1))
        return inside - 0.25 * strength**2 * q.square()

    def overlaps(self, strength: float) -> list[float]:
        """All solutions q of q = next_overlap(strength^2 q), in increasing order; the first is 0."""
        from scipy.optimize import brentq

        grid = torch.cat([torch.logspace(-8, -2, 120, dtype=torch.float64), torch.linspace(0.01, 1, 400).double()[1:]])
        gap = self.next_overlap(strength**2 * grid) - grid
        found = [0.0]
        for k in torch.nonzero((gap[:-1] > 0) != (gap[1:] > 0)).flatten().tolist():
            ends = float(grid[k]), float(grid[k + 1])
            found.append(brentq(lambda q: float(self.next_overlap(strength**2 * q)) - q, *ends, xtol=1e-14))
        return found

    def bayes_overlap(self, strength: float) -> float:
        """The limit of E|E[theta | A]|^2/n as n grows, for A = strength/n theta theta^T + W, for n large after a
        vanishing part of theta is told: the solution of the scalar equation with the largest `potential`.

        Lelarge and Miolane (2019), theorem 1.
        """
        solutions = self.overlaps(strength)
        return solutions[int(self.potential(torch.tensor(solutions, dtype=torch.float64), strength).argmax())]


def _pair(field, precision):
    """The field and the precision as tensors of the field's dtype; numbers are float64."""
    if not isinstance(field, torch.Tensor):
        field = torch.as_tensor(field, dtype=torch.float64)
    return field, torch.as_tensor(precision, dtype=field.dtype, device=field.device)


class Rademacher(Prior):
    """x = 1 or -1 with probability 1/2 each."""

    name = "rademacher"
    alphabet = SPINS
    log_weights = (math.log(0.5), math.log(0.5))

    def mean(self, field, precision=0.0):
        return torch.tanh(_pair(field, precision)[0])

    def variance(self, field, precision=0.0):
        size = _pair(field, precision)[0].abs()
        return 4 * torch.exp(-2 * size) / (1 + torch.exp(-2 * size)) ** 2

    def log_partition(self, field, precision=0.0):
        field, precision = _pair(field, precision)
        return _log_cosh(field) - 0.5 * precision

    def sample(self, shape, generator):
        return 2.0 * torch.randint(2, shape, generator=generator).double() - 1

    def _cases(self):
        return torch.ones(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)  # theta = -1 is its mirror image


class SparseRademacher(Prior):
    """x = 0 with probability 1 - rho, and 1/sqrt(rho) or -1/sqrt(rho) with probability rho/2 each.

    sparsity: rho, in (0, 1). Raises ValueError for any other.
    """

    name = "sparse_rademacher"

    def __init__(self, sparsity: float):
        if not 0 < sparsity < 1:
            raise ValueError(f"sparsity = {sparsity:g}: a number strictly between 0 and 1 is needed")
        self.sparsity, self.size = float(sparsity), 1 / math.sqrt(sparsity)
        self.alphabet = (-self.size, 0.0, self.size)
        self.log_weights = (math.log(sparsity / 2), math.log1p(-sparsity), math.log(sparsity / 2))

    def _present(self, field, precision):
        """log of the odds of x != 0, and field/sqrt(rho)."""
        field, precision = _pair(field, precision)
        scaled = self.size * field
        odds = math.log(self.sparsity / (1 - self.sparsity))
        return odds + _log_cosh(scaled) - 0.5 * precision * self.size**2, scaled

    def mean(self, field, precision=0.0):
        odds, scaled = self._present(field, precision)
        return self.size * torch.sigmoid(odds) * torch.tanh(scaled)

    def variance(self, field, precision=0.0):
        odds, scaled = self._present(field, precision)
        present, absent = torch.sigmoid(odds), torch.sigmoid(-odds)
        within = Rademacher().variance(scaled)
        return self.size**2 * present * (within + absent * torch.tanh(scaled) ** 2)

    def log_partition(self, field, precision=0.0):
        odds, _ = self._present(field, precision)
        return math.log1p(-self.sparsity) + torch.nn.functional.softplus(odds)

    def sample(self, shape, generator):
        sign = Rademacher().sample(shape, generator)
        present = torch.rand(shape, generator=generator, dtype=torch.float64) < self.sparsity
        return self.size * sign * present

    def _cases(self):
        values = torch.tensor([0.0, self.size], dtype=torch.float64)  # -1/sqrt(rho) is a mirror image
        return values, torch.tensor([1 - self.sparsity, self.sparsity], dtype=torch.float64)


class Gaussian(Prior):
    """x ~ N(0, 1); a precision > -1 is needed."""

    name = "gaussian"

    def mean(self, field, precision=0.0):
        field, precision = _pair(field, precision)
        return field / (1 + precision)

    def variance(self, field, precision=0.0):
        field, precision = _pair(field, precision)
        return (1 / (1 + precision)).expand(torch.broadcast_shapes(field.shape, precision.shape))

    def log_partition(self, field, precision=0.0):
        field, precision = _pair(field, precision)
        return 0.5 * field**2 / (1 + precision) - 0.5 * torch.log1p(precision)

    def sample(self, shape, generator):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    def _cases(self):
        return normal_trapezoid()


def _log_cosh(x):
    """log cosh x, which does not overflow."""
    size = x.abs()
    return size + torch.log1p(torch.exp(-2 * size)) - math.log(2)


def prior_named(name: str, sparsity: float | None = None) -> Prior:
    """The prior with a name: rademacher, sparse_rademacher (which needs a sparsity) or gaussian. Raises ValueError for
    another name."""
    if name == "sparse_rademacher":
        if sparsity is None:
            raise ValueError("sparsity: a number strictly between 0 and 1 is needed for the prior sparse_rademacher")
        return SparseRademacher(sparsity)
    for known in (Rademacher, Gaussian):
        if known.name == name:
            return known()
    raise ValueError(f"prior = {name}: allowed are rademacher, sparse_rademacher, gaussian")
