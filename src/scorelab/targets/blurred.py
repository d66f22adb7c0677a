"""The law of a target with noise, of which little is asked."""

import torch

from scorelab.targets.base import Target


class Blurred(Target):
    """X + noise G for a target X (n,): its samples, its projections and its variances.

    projection: function of a direction (n,), float64, and the noise that returns the law of <X + noise G, d>/|d|^2.
    """

    def __init__(self, whole: Target, noise: float, projection):
        self.whole, self.noise, self.n, self.direction = whole, noise, whole.n, whole.direction
        self._projection = projection

    def sample(self, count, generator, dtype=torch.float32):
        x = self.whole.sample(count, generator, dtype)
        return x + self.noise * torch.randn(x.shape, generator=generator, dtype=dtype)

    def projection(self, direction):
        return self._projection(torch.as_tensor(direction, dtype=torch.float64), self.noise)

    def orthogonal_variance(self, direction):
        return self.whole.orthogonal_variance(direction) + self.noise**2
