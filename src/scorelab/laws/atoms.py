"""Laws with finitely many values on the line."""

import torch

from scorelab.laws.projected_law import ProjectedLaw
from scorelab.laws.quantile import probabilities
from scorelab.movable import Movable

#: how far above an atom, as a part of the largest |value|, a number still counts as the atom
_ROUNDING = 1e-12


class Atoms(Movable):
    """P(X = value_k) = weight_k on the line, in float64; the methods of `ProjectedLaw`, without a density.

    values, weights: (K,), in any order; weights >= 0 are normalised to sum 1. Values that differ by less than
    `rounding` are one atom; by default this is 1e-12 times the largest |value|. The distribution function counts an
    atom at a point that is below it by rounding, so that sums of floating-point numbers find their atoms. Methods are
    elementwise and take numbers, lists or tensors of any shape.
    """

    def __init__(self, values, weights, rounding: float | None = None):
        values, weights = (torch.as_tensor(each, dtype=torch.float64).flatten() for each in (values, weights))
        values, order = torch.sort(values)
        self.rounding = _ROUNDING * float(values.abs().max()) if rounding is None else rounding
        number = torch.cat([torch.zeros(1, dtype=torch.int64), (values.diff() > self.rounding).long().cumsum(0)])
        self.values = values[torch.cat([torch.ones(1, dtype=torch.bool), number.diff() > 0])]
        masses = torch.zeros_like(self.values).index_add_(0, number, weights[order])
        self.weights = masses / masses.sum()
        self._below = torch.cat([torch.zeros(1, dtype=torch.float64), self.weights.cumsum(0)])
        self._first = torch.cat([torch.zeros(1, dtype=torch.float64), (self.weights * self.values).cumsum(0)])

    def _count(self, x):
        """How many atoms are at x or below."""
        return torch.searchsorted(self.values - self.rounding, x, right=True)

    def cdf(self, x):
        """P(X <= x)."""
        x = torch.as_tensor(x, dtype=torch.float64)
        return self._below[self._count(x)].clamp_max(1.0)

    def integrated_cdf(self, x):
        """int_{-inf}^x P(X <= s) ds = E max(x - X, 0)."""
        x = torch.as_tensor(x, dtype=torch.float64)
        count = self._count(x)
        return (x * self._below[count] - self._first[count]).clamp_min(0.0)

    def integrated_survival(self, x):
        """int_x^inf P(X > s) ds = E max(X - x, 0)."""
        x = torch.as_tensor(x, dtype=torch.float64)
        count = self._count(x)
        return ((self._first[-1] - self._first[count]) - x * (self._below[-1] - self._below[count])).clamp_min(0.0)

    def quantile(self, u):
        """The least atom x with P(X <= x) >= u. Raises ValueError for u outside [0, 1]."""
        u, _ = probabilities(u)
        return self.values[torch.searchsorted(self._below[1:], u).clamp_max(len(self.values) - 1)]

    def sample(self, count: int, generator: torch.Generator):
        """Exact draws, shape (count,), float64."""
        return self.quantile(torch.rand(count, generator=generator, dtype=torch.float64))

    def noisy(self, signal, variance) -> ProjectedLaw:
        """The law of signal X + N(0, variance), a mixture with one mode an atom."""
        deviation = torch.as_tensor(variance, dtype=torch.float64).sqrt().expand(len(self.values))
        return ProjectedLaw(self.weights, signal * self.values, deviation)

    @property
    def mean(self):
        """E X."""
        return float(self.weights @ self.values)

    @property
    def variance(self):
        """Var X."""
        return float(self.weights @ (self.values - self.mean) ** 2)
