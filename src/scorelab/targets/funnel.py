"""Neal's funnel in n dimensions, with its posterior by one integral.

V ~ N(0, s^2), X_1 = V, and X_i ~ N(0, e^V) for i > 1, independently given V: narrow on one side, wide on the other. In
the channel x = sin X + cos G, with r^2 = x_2^2 + ... + x_n^2 and sigma^2(v) = sin^2 e^v + cos^2,

    V | x_1 ~ N(m, tau^2),     m = s^2 sin x_1/(s^2 sin^2 + cos^2),     tau^2 = s^2 cos^2/(s^2 sin^2 + cos^2),
    p_phi(x) = N(x_1; 0, s^2 sin^2 + cos^2) E[g(m + tau Z)],     g(v) = (2 pi sigma^2)^(-(n-1)/2) exp(-r^2/(2 sigma^2)),

and given v the other coordinates are N(sin e^v/sigma^2 x_i, e^v cos^2/sigma^2). So everything is a mean over Z, which
is N(0, 1) tilted by g: the trapezoidal rule, whose error is one of rounding, where this law is. Nothing cancels at any
noise, and at pi/2 the mean is over one point. Source: Neal, Slice sampling, Annals of Statistics 31 (2003), section 8.
"""

import math

import torch

from scorelab.channel import sin_cos
from scorelab.laws.projected_law import ProjectedLaw
from scorelab.quadrature import REACH, normal_trapezoid
from scorelab.targets.base import Target
from scorelab.targets.blurred import Blurred
from scorelab.targets.signal import orthogonal_variance

#: how often the interval is narrowed to where the tilted law is, with so many points, and the points of the rule
_ROUNDS, _SEARCH, _POINTS = 2, 48, 96
#: log of the tilted density, below its largest value, that is left out; states at a time
_NEGLIGIBLE, _ROWS = 45.0, 4096
#: points over which the law across the axis is a mixture
_SCALES = 121


class Funnel(Target):
    """X_1 ~ N(0, scale^2), and given it X_i ~ N(0, exp(X_1)) for i = 2, ..., n.

    n: dimension, >= 2. scale: the standard deviation s of the first coordinate, > 0. direction: the first axis. The law
    of a projection is known along this axis and across it. The Bayes risk is measured. Raises ValueError for n < 2 and
    for a scale that is not positive.
    """

    def __init__(self, n: int, scale: float):
        if n < 2:
            raise ValueError(f"n = {n}: a funnel has 2 dimensions at least")
        if not 0 < scale < math.inf:
            raise ValueError(f"scale = {scale}: a number > 0 is needed")
        self.n, self.scale = n, float(scale)
        self.direction = torch.eye(n, dtype=torch.float64)[0].clone()

    def _own(self, attribute):
        mixed = attribute in ("projection", "noisy_projection") and self._parts(self.direction) is None
        return super()._own(attribute) and not mixed

    def sample(self, count, generator, dtype=torch.float32):
        """Draw the first coordinate, and the others given it."""
        x = torch.randn(count, self.n, generator=generator, dtype=dtype)
        x[:, 0] *= self.scale
        x[:, 1:] *= torch.exp(0.5 * x[:, :1])
        return x

    @property
    def covariance(self):
        """Cov X, (n, n): diagonal, with s^2 and exp(s^2/2)."""
        variances = torch.full((self.n,), math.exp(self.scale**2 / 2), dtype=torch.float64)
        variances[0] = self.scale**2
        return variances.diag()

    # The posterior. -------------------------------------------------------------------------------------------------

    def _sums(self, x, angle):
        """log p_phi(x) (count,), E[X | x] (count, n), tr Cov[X | x] (count,) and grad log p_phi(x) (count, n)."""
        x = x.double()
        sin, cos = (value.expand(len(x), 1) for value in sin_cos(angle, x))
        parts = zip(x.split(_ROWS), sin.split(_ROWS), cos.split(_ROWS), strict=True)
        return [torch.cat(found) for found in zip(*(self._some(*each) for each in parts), strict=True)]

    def _some(self, x, sin, cos):
        first, rest, others = x[:, :1], x[:, 1:], self.n - 1
        squared = rest.square().sum(1, keepdim=True)
        whole = self.scale**2 * sin**2 + cos**2
        pull = self.scale**2 * sin / whole
        mean, deviation = pull * first, self.scale * cos / whole.sqrt()

        def given(z):
            """v, sigma^2(v) and log g(v) up to a constant at points z (count, points)."""
            v = mean + deviation * z
            variance = sin**2 * v.exp() + cos**2
            return v, variance, -0.5 * (others * variance.log() + squared / variance)

        z = self._interval(given, squared, sin, cos, mean, deviation)
        v, variance, log_g = given(z)
        log = log_g - 0.5 * z**2
        share = torch.softmax(log, 1)

        def average(values):
            return (share * values).sum(1, keepdim=True)

        log_p = torch.logsumexp(log, 1) + (z[:, 1] - z[:, 0]).log() - 0.5 * (self.n * math.log(2 * math.pi))
        log_p = log_p - 0.5 * (whole.log() + first**2 / whole).squeeze(1) - 0.5 * math.log(2 * math.pi)
        kept, of_v = sin * v.exp() / variance, average(v)
        of_rest = average(kept)
        spread = average((v - of_v) ** 2) + others * average(v.exp() * cos**2 / variance)
        spread = spread + squared * average((kept - of_rest) ** 2)
        slope = 0.5 * sin * kept * (squared / variance - others)  # d log g/dv
        score = [-first / whole + pull * average(slope), -rest * average(1 / variance)]
        return log_p, torch.cat([of_v, of_rest * rest], 1), spread.squeeze(1), torch.cat(score, 1)

    def _interval(self, given, squared, sin, cos, mean, deviation):
        """Even points (count, points) over the interval in which the tilted law of Z is."""
        # The slope of log g is at least -(n - 1)/2, at most that at the mean, and negative where r^2 < (n - 1) sigma^2.
        at_mean = squared / (sin**2 * mean.exp() + cos**2)
        turn = ((squared / (self.n - 1) - cos**2) / (sin**2).clamp_min(1e-300)).clamp_min(1e-300).log()
        turn = torch.where(sin == 0, 0.0, ((turn - mean) / deviation.clamp_min(1e-300)).clamp(0, 1e300))
        low = -0.5 * (self.n - 1) * deviation - REACH
        high = torch.minimum(0.5 * deviation * at_mean, turn) + REACH
        for _ in range(_ROUNDS):
            z = low + (high - low) * torch.linspace(0, 1, _SEARCH, dtype=low.dtype, device=low.device)
            log = given(z)[2] - 0.5 * z**2
            there = log > log.amax(1, keepdim=True) - _NEGLIGIBLE
            first = there.int().argmax(1, keepdim=True)
            last = _SEARCH - 1 - there.flip(1).int().argmax(1, keepdim=True)
            low, high = z.gather(1, (first - 1).clamp_min(0)), z.gather(1, (last + 1).clamp_max(_SEARCH - 1))
        return low + (high - low) * torch.linspace(0, 1, _POINTS, dtype=low.dtype, device=low.device)

    def noisy_log_prob(self, x, angle):
        return self._sums(x, angle)[0].to(x.dtype)

    def posterior_mean(self, x, angle):
        return self._sums(x, angle)[1].to(x.dtype)

    def posterior_variance(self, x, angle):
        return self._sums(x, angle)[2].to(x.dtype)

    def posterior_risk(self, clean, x, angle):
        """The posterior variance, which has the mean of the squared error and less noise, (count,)."""
        return self.posterior_variance(x, angle)

    def noisy_score(self, x, angle):
        return self._sums(x, angle)[3].to(x.dtype)

    # Projections. ---------------------------------------------------------------------------------------------------

    def _parts(self, direction):
        """The part of a direction (n,) along the axis, and the length of the part across; None unless one is 0."""
        along, across = float(direction[0]), float(direction[1:].norm())
        least = 1e-12 * float(direction.norm())
        return None if min(abs(along), across) > least else (along, across)

    def projection(self, direction):
        """`projection`: normal along the axis, and across it a mixture of normal laws of all widths, by the trapezoidal
        rule. Raises ValueError for any other direction."""
        direction = torch.as_tensor(direction, dtype=torch.float64)
        parts = self._parts(direction)
        if parts is None:
            raise ValueError("direction: the law of the projection is known along the first axis and across it")
        squared = float(direction.square().sum())
        if abs(parts[0]) > parts[1]:
            return ProjectedLaw([1.0], [0.0], [self.scale * abs(parts[0]) / squared])
        nodes, weights = normal_trapezoid(1, _SCALES)
        return ProjectedLaw(weights, 0.0 * nodes, torch.exp(0.5 * self.scale * nodes) * (parts[1] / squared))

    def noisy_projection(self, direction, angle):
        length = float(torch.as_tensor(direction, dtype=torch.float64).norm())
        return self.projection(direction).noisy(math.sin(angle), (math.cos(angle) / length) ** 2)

    def orthogonal_variance(self, direction):
        return orthogonal_variance(self.covariance, direction)

    def output_law(self, angle, output):
        """See `Target.output_law`; None for outputs other than `scaled`."""
        if output != "scaled" or angle >= math.pi / 2:
            return super().output_law(angle, output)

        def noisy(direction, noise):
            return self.projection(direction).noisy(1.0, (noise / float(direction.norm())) ** 2)

        return Blurred(self, 1 / math.tan(angle), noisy)
