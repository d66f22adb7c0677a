"""Laws of the training angles."""

import abc
import math

import torch

from scorelab.errors import ConfigError
from scorelab.quadrature import gauss_legendre
from scorelab.randomness import integers, shares


class AngleLaw(abc.ABC):
    """The law of a training angle on [low, high]."""

    low: float
    high: float

    @abc.abstractmethod
    def sample(self, count: int, generator, dtype=torch.float32):
        """Draw `count` angles, shape (count,), where the law, or else the generator, lives."""

    @abc.abstractmethod
    def of_share(self, share):
        """The angles, in the shape and dtype of `share`, that uniform numbers in [0, 1), float64, stand for."""

    @abc.abstractmethod
    def quadrature(self, points: int = 64):
        """Angles and weights (points,), float64, for expectations under this law."""

    @abc.abstractmethod
    def density(self, angle):
        """The density per radian, with the shape and dtype of `angle`. Raises ConfigError if the law has no density."""


class UniformIn(AngleLaw):
    """The law of an angle whose coordinate c(angle), a smooth monotone function, is uniform between its two ends.

    Its density is |c'(angle)| / |c(high) - c(low)|. coordinate, angle: the function c and its inverse, which map
    float64 tensors elementwise.
    """

    def __init__(self, coordinate, angle, low: float, high: float):
        self.coordinate, self.angle, self.low, self.high = coordinate, angle, low, high
        ends = coordinate(torch.tensor([low, high], dtype=torch.float64))
        self.first, self.last = ends.tolist()

    def sample(self, count, generator, dtype=torch.float32):
        return self.of_share(shares((count,), generator, torch.float64)).to(dtype)

    def of_share(self, share):
        return self.angle(self.first + (self.last - self.first) * share)

    def quadrature(self, points=64):
        """The Gauss-Legendre rule in the coordinate."""
        coordinate, weights = gauss_legendre(self.first, self.last, points)
        return self.angle(coordinate), weights / (self.last - self.first)

    @torch.enable_grad()
    def density(self, angle):
        at = angle.detach().double().requires_grad_()
        (slope,) = torch.autograd.grad(self.coordinate(at).sum(), at)
        return (slope / (self.last - self.first)).abs().to(angle.dtype)


class OneOf(AngleLaw):
    """The uniform law on finitely many angles (points,), float64, in increasing order."""

    def __init__(self, points):
        self.points = points
        self.low, self.high = float(points[0]), float(points[-1])

    def sample(self, count, generator, dtype=torch.float32):
        return self.points[integers(len(self.points), (count,), generator, self.points.device)].to(dtype)

    def of_share(self, share):
        return self.points.to(share.device)[(share * len(self.points)).long()]

    def quadrature(self, points=64):
        """The angles themselves with equal weights, which is exact. More than `points` angles, whose Bayes risks may
        take minutes, are taken for a curve through them, with the Gauss-Legendre rule in their number."""
        count = len(self.points)
        if count <= points:
            return self.points, torch.full_like(self.points, 1 / count)
        place, weights = gauss_legendre(-0.5, count - 0.5, points)
        left = place.floor().clamp(0, count - 2).long()
        slope = self.points[left + 1] - self.points[left]
        return (self.points[left] + (place - left) * slope).clamp(self.low, self.high), weights / count

    def density(self, angle):
        raise ConfigError("training: a law of finitely many angles has no density, which weight: likelihood needs")


def _identity(angle):
    return angle


def _log_tan(angle):
    return torch.log(torch.tan(angle))


def _from_log_tan(coordinate):
    return torch.atan(torch.exp(coordinate))


def uniform(low, high):
    """The uniform law of the angle on [low, high]."""
    return UniformIn(_identity, _identity, low, high)


def log_t(low, high):
    """The law of the angle for which log t = 2 log tan(angle) is uniform."""
    return UniformIn(_log_tan, _from_log_tan, low, high)


def native(schedule):
    """The law of the angle for which the native time of a schedule is uniform, from its first angle to its last.

    schedule: an object with start_angle and end_angle, and with the elementwise maps time(angle) and angle(time) of
    float64 tensors. Raises ConfigError if the native time of the first or the last angle is not finite.
    """
    law = UniformIn(schedule.time, schedule.angle, schedule.start_angle, schedule.end_angle)
    if not (math.isfinite(law.first) and math.isfinite(law.last)):
        raise ConfigError(f"training.angles = native: the schedule's time runs from {law.first:g} to {law.last:g}")
    return law


def chain(schedule):
    """The uniform law on the angles of the times 1 ... T of a discrete chain, as in algorithm 1 of Ho et al. (2020).

    schedule: an object with the number T of `timesteps` and the elementwise map angle(time). Raises ConfigError for any
    other schedule.
    """
    if not hasattr(schedule, "timesteps"):
        clock = type(schedule).__name__
        raise ConfigError(f"training.angles = chain: the schedule of a discrete chain is needed, as ddpm, not {clock}")
    return OneOf(schedule.angle(torch.arange(schedule.timesteps, 0, -1, dtype=torch.float64)))


def single(noise_level):
    """The law that has only the angle at which x / sin = X + noise_level G."""
    return OneOf(torch.tensor([math.atan(1 / noise_level)], dtype=torch.float64))


def ladder(low, high, levels):
    """The uniform law on `levels` angles with geometric noise levels sigma = cot(angle) (Song and Ermon 2019, NCSN)."""
    ends = _log_tan(torch.tensor([low, high], dtype=torch.float64)).tolist()
    return OneOf(_from_log_tan(torch.linspace(*ends, levels, dtype=torch.float64)))


def angle_law(options, schedule=None) -> AngleLaw:
    """The law that the training options name. Raises ValueError for `native` and `chain` without a schedule."""
    if options.angles in ("native", "chain"):
        if schedule is None:
            raise ValueError(f"angles = {options.angles}: a schedule is needed")
        return {"native": native, "chain": chain}[options.angles](schedule)
    if options.angles == "single":
        return single(options.noise_level)
    if options.angles == "ladder":
        return ladder(options.angle_min, options.angle_max, options.levels)
    return {"uniform": uniform, "log_t": log_t}[options.angles](options.angle_min, options.angle_max)
