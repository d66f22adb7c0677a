"""Uniform laws on boxes in the plane, such as a checkerboard, with their exact posterior.

Given x = sin X + cos G, X in one box follows a Gaussian that is truncated to it, independently in each coordinate. So
the posterior is a mixture over the boxes, whose weights, means and variances are products and sums of integrals over
intervals. With p the point of the interval that is nearest to x/sin, and y = p + v, the exponent is

    -(sin y - x)^2/(2 cos^2) = -(sin p - x)^2/(2 cos^2) - sin v (sin v + 2 (sin p - x))/(2 cos^2)

and v is integrated by Gauss's rule on both sides of p, as far as the second part matters. Nothing here cancels, at any
angle, far from the boxes as well.
"""

import math
from typing import NamedTuple

import torch

from scorelab.channel import HALF_PI, sin_cos
from scorelab.laws.projected_law import ProjectedLaw
from scorelab.laws.tabulated import Tabulated
from scorelab.progress import foretold
from scorelab.quadrature import REACH, gauss_legendre
from scorelab.targets.base import CAPABILITIES, Target
from scorelab.targets.blurred import Blurred
from scorelab.targets.signal import orthogonal_variance

NO_SCORE = "the density of the target jumps, and has no score where there is no noise"
#: points on each side of the nearest point; where exp(-v^2/2) and exp(-v) end, to rounding
_POINTS, _NORMAL, _EXPONENTIAL = 24, 8.6, 38.0
#: a noise that stands for none; points of a piece of the rule of the Bayes risk, and rows of its points at a time
_LEAST, _PIECE, _ROWS = 1e-12, 6, 16


class _Parts(NamedTuple):
    """A coordinate given the noisy state, for each state and interval, (..., I): log of the integral of the Gaussian
    over the interval, up to a number that all intervals share; sin E y - x; E y; Var y."""

    log_mass: torch.Tensor
    residual: torch.Tensor
    mean: torch.Tensor
    variance: torch.Tensor


def checkerboard(cells: int, size: float):
    """The lower and the upper corners (K, 2) of every second one of cells^2 squares in [-size, size]^2."""
    place = torch.cartesian_prod(*[torch.arange(cells, dtype=torch.float64)] * 2)
    low = place[place.sum(1) % 2 == 0] * (2 * size / cells) - size
    return low, low + 2 * size / cells


class Boxes(Target):
    """The uniform law on boxes in the plane, or a mixture of the uniform laws of each.

    low, high (K, 2): the corners; boxes overlap in no more than their edges. weights (K,): positive, normalised to
    sum 1; None for their areas. direction: (1, 0). The density jumps at the edges, and has no score at pi/2.

    Raises ValueError for boxes without an area, and for weights that are not positive.
    """

    def __init__(self, low, high, weights=None):
        low, high = (torch.as_tensor(each, dtype=torch.float64) for each in (low, high))
        if low.dim() != 2 or low.shape[1] != 2 or low.shape != high.shape or not bool((high > low).all()):
            raise ValueError("boxes: corners low < high, each (K, 2), are needed")
        area = (high - low).prod(1)
        share = area if weights is None else torch.as_tensor(weights, dtype=torch.float64)
        if share.shape != area.shape or not bool((share > 0).all()):
            raise ValueError(f"weights: {len(area)} numbers > 0 are needed")
        self.n, self.low, self.high, self.share = 2, low, high, share / share.sum()
        self._log_height = torch.log(self.share / area)
        # the different intervals of each coordinate (I, 2), and the one of each box (K,)
        found = [torch.unique(torch.stack([low[:, k], high[:, k]], 1), dim=0, return_inverse=True) for k in range(2)]
        self._intervals, self._which = [each[0] for each in found], [each[1] for each in found]
        self.direction = torch.tensor([1.0, 0.0], dtype=torch.float64)

    def _own(self, attribute):
        return attribute != "noisy_score" and super()._own(attribute)

    def lacks(self, *names):
        why = super().lacks(*names)
        return NO_SCORE if why == CAPABILITIES["score"].lacking else why

    # The law itself. ------------------------------------------------------------------------------------------------

    def sample(self, count, generator, dtype=torch.float32):
        """Draw a box and a point of it."""
        box = torch.multinomial(self.share, count, replacement=True, generator=generator)
        place = torch.rand(count, 2, generator=generator, dtype=torch.float64)
        return (self.low[box] + place * (self.high - self.low)[box]).to(dtype)

    @property
    def mean(self):
        """E X, (2,)."""
        return self.share @ (0.5 * (self.low + self.high))

    @property
    def covariance(self):
        offsets = 0.5 * (self.low + self.high) - self.mean
        within = torch.diag(self.share @ (self.high - self.low).square() / 12)
        return within + (offsets.T * self.share) @ offsets

    def orthogonal_variance(self, direction):
        return orthogonal_variance(self.covariance, direction)

    # The posterior. -------------------------------------------------------------------------------------------------

    def _coordinate(self, k, x, sin, cos) -> _Parts:
        """The parts of coordinate k at its values x (...), float64; sin, cos: () or (...)."""
        low, high = self._intervals[k].T
        x, sin, cos = x.unsqueeze(-1), sin.unsqueeze(-1), cos.clamp_min(_LEAST).unsqueeze(-1)
        point = torch.where(sin * low >= x, low, torch.where(sin * high <= x, high, x / sin.clamp_min(1e-300)))
        outside = torch.where((sin * low >= x) | (sin * high <= x), sin * point - x, 0.0)
        reach = torch.minimum(_NORMAL * cos / sin, _EXPONENTIAL * cos**2 / (sin * outside.abs()))  # inf at angle 0
        t, weights = gauss_legendre(0.0, 1.0, _POINTS)
        t, weights = t.to(x.device), weights.to(x.device)
        sides = torch.minimum(high - point, reach), -torch.minimum(point - low, reach)
        v = torch.cat([side.unsqueeze(-1) * t for side in sides], -1)
        mass = torch.cat([side.abs().unsqueeze(-1) * weights for side in sides], -1)
        s, c, off = (each.unsqueeze(-1) for each in (sin, cos, outside))
        mass = mass * torch.exp(-s * v * (s * v + 2 * off) / (2 * c**2))
        total = mass.sum(-1)
        moved = (mass * v).sum(-1) / total
        variance = (mass * (v - moved.unsqueeze(-1)).square()).sum(-1) / total
        return _Parts(total.log() - 0.5 * (outside / cos) ** 2, outside + sin * moved, point + moved, variance)

    def _both(self, x, angle):
        """The parts of both coordinates for states x (count, 2), for each box (count, K), and sin and cos, (count,)."""
        sin, cos = (each.expand(len(x), 1).squeeze(1) for each in sin_cos(angle, x))
        parts = [self._coordinate(k, x[:, k], sin, cos) for k in range(2)]
        return [_Parts(*(each[:, self._which[k]] for each in parts[k])) for k in range(2)], sin, cos

    def _posterior(self, first, second):
        """Of the parts of both coordinates, (..., K): log of the joint density, and gamma, its share of each box."""
        joint = first.log_mass + second.log_mass + self._log_height
        return joint, torch.softmax(joint, -1)

    def posterior_mean(self, x, angle):
        (first, second), *_ = self._both(x.double(), angle)
        gamma = self._posterior(first, second)[1]
        return torch.stack([(gamma * each.mean).sum(1) for each in (first, second)], 1).to(x.dtype)

    def posterior_variance(self, x, angle):
        (first, second), *_ = self._both(x.double(), angle)
        return self._variance(first, second, self._posterior(first, second)[1]).to(x.dtype)

    @staticmethod
    def _variance(first, second, gamma):
        found = 0.0
        for each in (first, second):
            mean = (gamma * each.mean).sum(-1, keepdim=True)
            found = found + (gamma * (each.variance + (each.mean - mean).square())).sum(-1)
        return found

    def noisy_log_prob(self, x, angle):
        (first, second), _, cos = self._both(x.double(), angle)
        joint, _ = self._posterior(first, second)
        return (torch.logsumexp(joint, 1) - torch.log(2 * math.pi * cos.clamp_min(_LEAST) ** 2)).to(x.dtype)

    def noisy_score(self, x, angle):
        """grad log p_phi(x) = (sin E[X | x] - x)/cos^2, (count, 2). Raises ValueError at pi/2, where the density
        jumps."""
        (first, second), _, cos = self._both(x.double(), angle)
        if bool((cos == 0).any()):
            raise ValueError(f"angle = pi/2: {NO_SCORE}")
        gamma = self._posterior(first, second)[1]
        residual = torch.stack([(gamma * each.residual).sum(1) for each in (first, second)], 1)
        return (residual / cos.unsqueeze(1) ** 2).to(x.dtype)

    def bayes_risk(self, angle):
        """`bayes_risk`: by Gauss's rule in the plane of the noisy states, on pieces that are narrow at every edge of a
        box; 1e-6 of the risk, or better."""
        angle = torch.as_tensor(angle, dtype=torch.float64)
        found = [self._risk(each) for each in foretold("Bayes risk", angle.flatten().tolist(), "angles")]
        return torch.tensor(found, dtype=torch.float64).reshape(angle.shape)

    def _risk(self, angle, points: int = _PIECE) -> float:
        """The risk at an angle; points: of each piece."""
        sin, cos = sin_cos(angle, torch.zeros((), dtype=torch.float64))
        if float(cos) == 0:
            return 0.0
        parts, weights = [], []
        for k in range(2):
            x, weight = _graded(self._intervals[k].flatten() * sin, float(cos), points)
            parts.append(self._coordinate(k, x, sin, cos))
            weights.append(weight)
        first, second = (_Parts(*(each[:, self._which[k]] for each in parts[k])) for k in range(2))
        total = 0.0
        for rows in torch.arange(len(weights[0])).split(_ROWS):
            some = _Parts(*(each[rows].unsqueeze(1) for each in first))
            joint, gamma = self._posterior(some, second)
            density = torch.logsumexp(joint, 2).exp() / (2 * math.pi * cos**2)
            total += float(weights[0][rows] @ (density * self._variance(some, second, gamma)) @ weights[1])
        return total

    def output_law(self, angle, output):
        """See `Target.output_law`; None for outputs other than `scaled`."""
        if output != "scaled" or angle >= HALF_PI:
            return super().output_law(angle, output)
        return Blurred(self, 1 / math.tan(angle), lambda d, noise: self._law(d, 1.0, noise / float(d.norm())))

    # Projections. ---------------------------------------------------------------------------------------------------

    def projection(self, direction):
        """`projection`: exact; the density is a sum of trapezoids."""
        return self._law(direction, 1.0, 0.0)

    def noisy_projection(self, direction, angle):
        length = float(torch.as_tensor(direction, dtype=torch.float64).norm())
        return self._law(direction, math.sin(angle), math.cos(min(angle, HALF_PI)) / length)

    def _law(self, direction, signal, deviation):
        """The law of signal <X, d>/|d|^2 + N(0, deviation^2)."""
        direction = torch.as_tensor(direction, dtype=torch.float64)
        scaled = signal * direction / direction.square().sum()
        centre = 0.5 * (self.low + self.high) @ scaled
        sides = ((self.high - self.low) * scaled.abs()).sort(1).values  # of the two uniform parts of each trapezoid
        half = sides @ torch.tensor([[0.5, 0.5], [-0.5, 0.5]], dtype=torch.float64)
        corners = torch.cat([centre + sign * half[:, k] for k in range(2) for sign in (-1, 1)])
        reach = REACH * deviation
        marks = [corners] + [corners + sign * width * deviation for sign in (-1, 1) for width in (1, 3, 9)]
        marks = torch.cat([*marks, corners.min().reshape(1) - reach, corners.max().reshape(1) + reach])
        marks = _apart(marks.sort().values)
        if float(half[:, 1].max()) <= 1e-6 * deviation:  # next to nothing but noise
            return ProjectedLaw(self.share, centre, torch.full_like(centre, deviation))
        t, weights = gauss_legendre(-0.5, 0.5, 16)

        def pdf(x):
            offset, found = x.unsqueeze(1) - centre, 0.0
            if deviation <= 1e-6 * float(half[:, 1].max()):
                return (self.share * _trapezoid(offset.abs(), half, sides)).sum(1)
            for node, weight in zip(t.tolist(), weights.tolist(), strict=True):
                found = found + weight * _smoothed(offset - node * sides[:, 0], sides[:, 1], deviation)
            narrow = sides[:, 0] <= 2 * deviation
            wide = _twice_smoothed(offset, half, sides, deviation) if not bool(narrow.all()) else found
            return (self.share * torch.where(narrow, found, wide)).sum(1)

        return Tabulated(pdf, marks)


def _trapezoid(distance, half, sides):
    """The density of a sum of two uniform variables at a distance (count, K) from its centre."""
    rising = (half[:, 1] - distance) / sides[:, 0].clamp_min(1e-300)
    return torch.where(distance <= half[:, 0], 1.0, rising.clamp(0, 1)) / sides[:, 1]


def _smoothed(offset, side, deviation):
    """The density at an offset (count, K) of a uniform variable on an interval of a length (K,) with noise."""
    high, low = ((offset + sign * 0.5 * side) / (deviation * math.sqrt(2)) for sign in (1, -1))
    flip = low > 0  # in the tail on the right the complements keep their digits
    high, low = torch.where(flip, -low, high), torch.where(flip, -high, low)
    difference = torch.where(high < 0, torch.erfc(-high) - torch.erfc(-low), torch.erf(high) - torch.erf(low))
    return 0.5 * difference / side


def _twice_smoothed(offset, half, sides, deviation):
    """The density of a sum of two uniform variables with noise that is narrow beside both."""

    def ramp(z):  # E max(z + deviation N, 0)
        u = z / deviation
        return z * 0.5 * torch.erfc(-u / math.sqrt(2)) + deviation * torch.exp(-0.5 * u**2) / math.sqrt(2 * math.pi)

    inner, outer = half.T
    found = ramp(offset + outer) - ramp(offset + inner) - ramp(offset - inner) + ramp(offset - outer)
    return (found / sides.prod(1)).clamp_min(0)


def _apart(marks):
    """Increasing numbers without those that rounding makes of one."""
    size = float(marks.abs().max())
    return marks[torch.cat([torch.ones(1, dtype=torch.bool), marks.diff() > 1e-12 * size])]


def _graded(edges, deviation, points):
    """Gauss's rule for a function that changes within a deviation of each edge: nodes and weights (nodes,)."""
    steps = torch.tensor([0.0, 0.7, 1.5, 2.5, 3.7, 5.2, 7.0, REACH], dtype=torch.float64) * deviation
    marks = (edges.unsqueeze(1) + torch.cat([-steps, steps])).flatten()
    marks = torch.cat([marks, edges.min().reshape(1), edges.max().reshape(1)]).sort().values
    gaps = marks.diff()
    kept = gaps > 1e-6 * deviation
    nodes, weights = gauss_legendre(0.0, 1.0, points)
    return (marks[:-1][kept].unsqueeze(1) + gaps[kept].unsqueeze(1) * nodes).flatten(), (
        gaps[kept].unsqueeze(1) * weights
    ).flatten()
