"""Curves in the plane with Gaussian noise around them: rings, moons and a spiral."""

import math
from dataclasses import dataclass

import torch

from scorelab.channel import sin_cos
from scorelab.laws.mixture import IsotropicMixture
from scorelab.laws.mode_pairs import bayes_risk
from scorelab.laws.tabulated import in_a_table
from scorelab.progress import foretold
from scorelab.quadrature import REACH, converged, gauss_legendre
from scorelab.targets.base import Target
from scorelab.targets.signal import orthogonal_variance

#: distance of two points of a closed curve, in widths of the noise: an error of 2 exp(-2 pi^2/0.75^2) = 1e-15
_STEP = 0.75
#: what gives away that the points of the rule are the modes of a mixture
_OF_MODES = ("weights", "posterior_weights", "means", "std")


@dataclass(frozen=True)
class Arc:
    """A smooth curve: place, a function of parameters (count,) in [0, 1) that returns points (count, 2); its share of
    all samples; its length, at most; whether it is closed."""

    place: object
    share: float
    length: float
    closed: bool = False


def _around(turns):
    """The points (count, 2) of the unit circle after so many turns (count,)."""
    return torch.stack([torch.cos(2 * math.pi * turns), torch.sin(2 * math.pi * turns)], 1)


def rings(count: int, size: float) -> list[Arc]:
    """Circles around 0 whose radii are evenly spaced up to `size`; a sample is uniform on all of their length."""
    radii = [size * (k + 1) / count for k in range(count)]
    return [
        Arc(lambda t, r=radius: r * _around(t), radius / sum(radii), 2 * math.pi * radius, closed=True)
        for radius in radii
    ]


def moons(size: float) -> list[Arc]:
    """Two half circles of the radius size/2 that reach into each other, as those of scikit-learn around 0."""
    shift, radius = torch.tensor([0.5, 0.25], dtype=torch.float64), 0.5 * size
    upper = Arc(lambda t: radius * (_around(0.5 * t) - shift.to(t.device)), 0.5, math.pi * radius)
    return [upper, Arc(lambda t: -upper.place(t), 0.5, upper.length)]


def spiral(turns: int, size: float) -> list[Arc]:
    """A spiral of Archimedes from a tenth of `size` to `size`; its parameter is about uniform on its length."""

    def place(t):
        radius = (0.01 + 0.99 * t).sqrt()
        return size * radius.unsqueeze(1) * _around(turns * radius)

    return [Arc(place, 1.0, 2 * math.pi * turns * size + 5 * size)]


class Curves(IsotropicMixture, Target):
    """X = c(T) + width N(0, I) in the plane, T uniform on [0, 1) along curves c.

    arcs: the curves, a list of `Arc`. Everything that is known of it is an integral over T, by the trapezoidal rule on
    a closed curve and by Gauss's rule on an open one, with points so near to each other that the error is one of
    rounding: with respect to these points the law is a Gaussian mixture. The points are no modes.
    direction: (1, 0).
    """

    def __init__(self, arcs, width: float):
        self.arcs, self.width = arcs, float(width)
        rules = [self._rule(arc) for arc in arcs]
        super().__init__(torch.cat([r[1] for r in rules]), torch.cat([r[0] for r in rules]), width)
        self.direction = torch.tensor([1.0, 0.0], dtype=torch.float64)

    def _rule(self, arc):
        """Points (count, 2) of an arc and their weights."""
        steps = arc.length / (_STEP * self.width)
        if arc.closed:
            t = torch.arange(math.ceil(steps), dtype=torch.float64) / math.ceil(steps)
            return arc.place(t), torch.full_like(t, arc.share / len(t))
        t, weights = gauss_legendre(0.0, 1.0, math.ceil(1.6 * steps) + 8)
        return arc.place(t), arc.share * weights

    def _own(self, attribute):
        return attribute not in _OF_MODES and super()._own(attribute)

    def sample(self, count, generator, dtype=torch.float32):
        """Draw a curve, a parameter and noise."""
        which, t = torch.rand(2, count, generator=generator, dtype=torch.float64)
        ends = torch.tensor([arc.share for arc in self.arcs], dtype=torch.float64).cumsum(0)[:-1]
        arc = torch.searchsorted(ends, which, right=True)
        x = torch.randn(count, 2, generator=generator, dtype=dtype) * self.width
        for number, each in enumerate(self.arcs):
            x[arc == number] += each.place(t[arc == number]).to(dtype)
        return x

    def bayes_risk(self, angle):
        """`bayes_risk`: by the trapezoidal rule in the plane of the noisy states, whose step is halved until two values
        agree to 1e-6."""
        angle = torch.as_tensor(angle, dtype=torch.float64)
        found = [
            converged(lambda step, at=each: self._risk(at, step), 1.0, lambda risk: 1e-6 * risk)[0]
            for each in foretold("Bayes risk", angle.flatten().tolist(), "angles")
        ]
        return torch.tensor(found, dtype=torch.float64).reshape(angle.shape)

    def _risk(self, angle, step):
        """The risk at an angle by a rule with a step in standard deviations of the noisy state around the curve.

        It is 2 width^2 cos^2/v + (cos^2/v)^2 times the variance of c(T) given the state, v = width^2 sin^2 + cos^2.
        """
        sin, cos = (float(value) for value in sin_cos(angle, torch.zeros((), dtype=torch.float64)))
        variance = self.width**2 * sin**2 + cos**2
        places, root = self.means - self.mean, math.sqrt(variance)
        factors = []
        for k in range(2):
            low, high = (sin * float(end(places[:, k])) for end in (torch.min, torch.max))
            points = math.ceil((high - low) / root + 2 * REACH) / step
            x = torch.linspace(low - REACH * root, high + REACH * root, math.ceil(points), dtype=torch.float64)
            factor = torch.exp(-0.5 * (x.unsqueeze(1) - sin * places[:, k]) ** 2 / variance)
            factors.append(factor * ((x[1] - x[0]) / math.sqrt(2 * math.pi * variance)))
        first, second = factors[0] * self._weights, factors[1].T
        mass, squares = first @ second, (first * places.square().sum(1)) @ second
        sums = (((first * places[:, k]) @ second).square() for k in range(2))
        between = float((squares - sum(sums) / mass.clamp_min(1e-300)).sum())
        return 2 * self.width**2 * cos**2 / variance + (cos**2 / variance) ** 2 * between

    def orthogonal_variance(self, direction):
        return orthogonal_variance(self.covariance, direction)

    def projection(self, direction):
        """`projection`: as a table, see `laws.tabulated`."""
        return in_a_table(super().projection(direction))

    def noisy_projection(self, direction, angle):
        length = float(torch.as_tensor(direction, dtype=torch.float64).norm())
        return in_a_table(super().projection(direction).noisy(math.sin(angle), (math.cos(angle) / length) ** 2))

    def signal_risk(self, angles):
        """The Bayes risk of <X, a>/|a| given the noisy version of this number alone."""
        law, length = super().projection(self.direction), float(self.direction.norm())
        return bayes_risk(IsotropicMixture(law.weights, length * law.means.unsqueeze(1), length * law.stds), angles)[0]

    def output_law(self, angle, output):
        """See `Target.output_law`; None for outputs other than `scaled`."""
        if output != "scaled" or angle >= math.pi / 2:
            return super().output_law(angle, output)
        law = Curves(self.arcs, math.hypot(self.width, 1 / math.tan(angle)))
        law.direction = self.direction
        return law
