"""Laws on the line whose density is a table of polynomials, in float64.

On a piece [l, r] the density is the polynomial of degree 9 through its values at ten Chebyshev points, in u in [-1, 1]
with y = (l + r)/2 + u (r - l)/2. Its integral, and the integral of that, are polynomials as well, so that the
distribution function and W1 distances are those of the table to rounding.
"""

import math

import torch

from scorelab.laws.projected_law import ProjectedLaw
from scorelab.laws.quantile import probabilities, quantile
from scorelab.movable import Movable
from scorelab.quadrature import REACH, NotResolved, gauss_hermite, gauss_legendre

_POINTS, _LEVELS, _MOST = 10, 45, 2**16
#: the Chebyshev points of a piece, and the matrix that makes coefficients of the values there
_NODES = torch.cos(math.pi * (torch.arange(_POINTS, dtype=torch.float64) + 0.5) / _POINTS).flip(0)
_POWERS = torch.arange(_POINTS, dtype=torch.float64)
_FIT = torch.linalg.inv(_NODES.unsqueeze(1) ** _POWERS)
#: where a polynomial is held against the density
_CHECKS = torch.tensor([-0.999, -0.93, -0.71, -0.4, 0.08, 0.23, 0.55, 0.83, 0.96, 0.999], dtype=torch.float64)
#: how wide noise is, in widths of the narrowest piece, where the points of the table resolve it
_RESOLVED = 1 / 8
#: the components that are not worth a table, and the most pieces that one begins with
_FEW, _MOST_PIECES = 32, 2000


def nodes_of(low, high):
    """The Chebyshev points of pieces from low to high (..., P), shape (..., P, 10)."""
    return 0.5 * (low + high).unsqueeze(-1) + 0.5 * (high - low).unsqueeze(-1) * _NODES.to(low.device)


def coefficients(values):
    """The coefficients in u, (..., 10), of the polynomials through the values (..., 10) at the Chebyshev points."""
    return values @ _FIT.T.to(values.device)


def antiderivative(each):
    """The coefficients (..., k + 1) of the integral from u = -1 of polynomials with the coefficients (..., k)."""
    raised = each / torch.arange(1, each.shape[-1] + 1, dtype=each.dtype, device=each.device)
    signs = (-1.0) ** torch.arange(1, each.shape[-1] + 1, dtype=each.dtype, device=each.device)
    return torch.cat([-(raised * signs).sum(-1, keepdim=True), raised], -1)


def horner(each, u):
    """The values (...) at u (...) of polynomials with the coefficients (..., k)."""
    found = each[..., -1]
    for k in range(each.shape[-1] - 2, -1, -1):
        found = found * u + each[..., k]
    return found


class Tabulated(Movable):
    """A law on the line with a density; the methods of `ProjectedLaw`, but for those of modes.

    pdf: function from points (count,) to the density there, up to a constant factor. ends: increasing numbers; outside
    of them the density is negligible, and between two neighbours it is smooth; it may jump at one. accuracy: of the
    density, in units of its largest value; each stretch is halved until its polynomial has it. All methods are
    elementwise and take numbers, lists or tensors of any shape. Raises NotResolved where that does not end.
    """

    def __init__(self, pdf, ends, accuracy: float = 1e-9):
        ends, self.accuracy = torch.as_tensor(ends, dtype=torch.float64), accuracy
        low, high, kept = ends[:-1], ends[1:], []
        largest = 0.0
        for _ in range(_LEVELS):
            nodes = nodes_of(low, high)
            checks = 0.5 * (low + high).unsqueeze(1) + 0.5 * (high - low).unsqueeze(1) * _CHECKS
            found = pdf(torch.cat([nodes, checks], 1).flatten()).double().reshape(len(low), -1)
            largest = max(largest, float(found.max()))
            fitted = coefficients(found[:, :_POINTS])
            wrong = (horner(fitted.unsqueeze(1), _CHECKS) - found[:, _POINTS:]).abs().amax(1) > accuracy * largest
            kept.append((low[~wrong], high[~wrong], fitted[~wrong]))
            if not bool(wrong.any()):
                break
            middle = 0.5 * (low[wrong] + high[wrong])
            low, high = torch.cat([low[wrong], middle]), torch.cat([middle, high[wrong]])
            if len(low) > _MOST:
                raise NotResolved("the density of a projection is too rough for its table")
        else:
            raise NotResolved("the density of a projection jumps, and its table does not know where")
        low, high, fitted = (torch.cat(parts) for parts in zip(*kept, strict=True))
        order = low.argsort()
        self.low, self.high, fitted = low[order], high[order], fitted[order]
        half = 0.5 * (self.high - self.low).unsqueeze(1)
        mass = float((half * antiderivative(fitted)).sum())
        self._pdf = fitted / mass
        self._cdf = half * antiderivative(self._pdf)
        self._first = half * antiderivative(self._cdf)
        self._below = _sums_before(self._cdf.sum(1))
        self._integrated = _sums_before(self._first.sum(1) + self._below[:-1] * (self.high - self.low))

    def _piece(self, x):
        """x as a tensor, the number of its piece, and its u there; the ends of the table outside of it."""
        x = torch.as_tensor(x, dtype=torch.float64)
        piece = (torch.searchsorted(self.low, x, right=True) - 1).clamp(0, len(self.low) - 1)
        low, high = self.low[piece], self.high[piece]
        return x, piece, ((2 * x - low - high) / (high - low)).clamp(-1, 1)

    def pdf(self, x):
        """The density at x."""
        x, piece, u = self._piece(x)
        found = horner(self._pdf[piece], u).clamp_min(0)
        return torch.where((x >= self.low[0]) & (x <= self.high[-1]), found, 0.0)

    def cdf(self, x):
        """P(X <= x)."""
        _, piece, u = self._piece(x)
        return (self._below[piece] + horner(self._cdf[piece], u)).clamp(0, 1)

    def integrated_cdf(self, x):
        """int_{-inf}^x P(X <= s) ds = E max(x - X, 0)."""
        x, piece, u = self._piece(x)
        low, high = self.low[piece], self.high[piece]
        inside = self._integrated[piece] + self._below[piece] * 0.5 * (u + 1) * (high - low)
        found = inside + horner(self._first[piece], u) + (x - self.high[-1]).clamp_min(0)
        return torch.where(x > self.low[0], found, 0.0).clamp_min(0)

    def integrated_survival(self, x):
        """int_x^inf P(X > s) ds = E max(X - x, 0)."""
        x = torch.as_tensor(x, dtype=torch.float64)
        return (self.integrated_cdf(x) + (self.mean - x)).clamp_min(0)

    def quantile(self, u):
        """The x with P(X <= x) = u. Raises ValueError for u outside [0, 1]."""
        _, inside = probabilities(u)
        piece = (torch.searchsorted(self._below, inside, right=True) - 1).clamp(0, len(self.low) - 1)
        return quantile(inside, self.low[piece], self.high[piece], self.cdf, self.pdf)

    def sample(self, count: int, generator: torch.Generator):
        """Exact draws, shape (count,), float64."""
        return self.quantile(torch.rand(count, generator=generator, dtype=torch.float64))

    @property
    def mean(self):
        """E X."""
        return float(self.high[-1] - self._integrated[-1])

    @property
    def variance(self):
        """Var X."""
        nodes, weights = self._rule(self.low, self.high)
        return float(((nodes - self.mean) ** 2 * weights * self.pdf(nodes)).sum())

    def _rule(self, low, high):
        """Gauss-Legendre points of pieces and their weights, one after the other."""
        nodes, weights = gauss_legendre(-1.0, 1.0, _POINTS)
        half = 0.5 * (high - low).unsqueeze(1)
        return (0.5 * (low + high).unsqueeze(1) + half * nodes).flatten(), (half * weights).flatten()

    def noisy(self, signal, variance) -> "Tabulated":
        """The law of signal X + N(0, variance), for a density without jumps and variance > 0."""
        signal, deviation = float(signal), math.sqrt(float(variance))
        ends = signal * self.low[0], signal * self.high[-1]
        low, high = float(min(ends)) - REACH * deviation, float(max(ends)) + REACH * deviation
        narrowest = abs(signal) * float((self.high - self.low).min())
        if deviation >= _RESOLVED * narrowest:
            pieces = ((self.high - self.low) * (abs(signal) / (2 * deviation))).ceil().clamp_min(1).long()
            share = torch.cat([torch.arange(count) for count in pieces.tolist()]) / pieces.repeat_interleave(pieces)
            width = (self.high - self.low).repeat_interleave(pieces)
            first = self.low.repeat_interleave(pieces) + share * width
            nodes, weights = self._rule(first, first + width / pieces.repeat_interleave(pieces))
            weights = weights * self.pdf(nodes)

            def pdf(x):
                return torch.cat(
                    [
                        torch.exp(-0.5 * ((each.unsqueeze(1) - signal * nodes) / deviation) ** 2) @ weights
                        for each in x.split(max(2**22 // len(nodes), 1))
                    ]
                )

        else:
            z, share = gauss_hermite(24)

            def pdf(x):
                return self.pdf((x.unsqueeze(1) - deviation * z) / signal) @ share

        return Tabulated(pdf, torch.linspace(low, high, 17, dtype=torch.float64), 4 * self.accuracy)


def in_a_table(law):
    """A `ProjectedLaw` with more than 32 components as a table, which is quicker, and 1e-10 or better; another law, and
    one whose components are too narrow for its range, as it is."""
    if not isinstance(law, ProjectedLaw) or law.means.dim() != 1 or len(law.weights) <= _FEW:
        return law
    reach = REACH * float(law.stds.max())
    low, high = float(law.means.min()) - reach, float(law.means.max()) + reach
    pieces = math.ceil((high - low) / (4 * float(law.stds.min())))  # so that none hides between two checks
    if pieces > _MOST_PIECES:
        return law

    def pdf(x):
        return torch.cat([law.pdf(each) for each in x.split(max(2**22 // len(law.weights), 1))])

    return Tabulated(pdf, torch.linspace(low, high, pieces + 1, dtype=torch.float64))


def _sums_before(values):
    """The sums (P + 1,) of the values (P,) before each place."""
    return torch.cat([values.new_zeros(1), values.cumsum(0)])
