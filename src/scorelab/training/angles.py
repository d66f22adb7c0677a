"""Laws of the training angles."""

import math

import torch

from scorelab.targets.quadrature import gauss_legendre


class AngleLaw:
    """The law of a training angle on [low, high]: `uniform` in the angle, or `log_t`, uniform in log tan^2."""

    def __init__(self, name: str, low: float, high: float):
        self.name = name
        self.low, self.high = (low, high) if name == "uniform" else (math.log(math.tan(low)), math.log(math.tan(high)))

    def _angle(self, coordinate):
        return coordinate if self.name == "uniform" else torch.atan(torch.exp(coordinate))

    def sample(self, count: int, generator, dtype=torch.float32):
        """Draw `count` angles, shape (count,)."""
        coordinate = torch.rand(count, generator=generator, dtype=torch.float64)
        return self._angle(self.low + (self.high - self.low) * coordinate).to(dtype)

    def quadrature(self, points: int = 64):
        """Angles and weights (points,), float64, for expectations under this law."""
        coordinate, weights = gauss_legendre(self.low, self.high, points)
        return self._angle(coordinate), weights / (self.high - self.low)
