"""A network that is found by least squares: the velocity predictor of Algorithm 1 of Visconti 2025, whose
hidden layer and time features stay as they were drawn.

The errors of the network say what the noise levels of a training set cost each other, without the error of an
optimiser.
"""

import math
from dataclasses import dataclass

import torch

from scorelab.channel import mix
from scorelab.targets import GaussianMixture


@dataclass(frozen=True)
class LeastSquaresNetwork:
    """The network, and its errors at high and at low noise after a training on both.

    width: number of hidden units. harmonics: number of harmonics of the angle in the time features; with 0 the network
    is the same at all noise levels. samples: number of training samples at the budget 1. switch: the angle between high
    and low noise. end: the last angle.
    """

    target: GaussianMixture
    width: int
    harmonics: int
    samples: int
    seed: int
    switch: float
    end: float

    def __post_init__(self):
        generator = torch.Generator().manual_seed(self.seed)
        n = self.target.n
        weights = torch.randn(n, self.width, generator=generator, dtype=torch.float64) / math.sqrt(n)
        object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "bias", torch.randn(self.width, generator=generator, dtype=torch.float64))
        object.__setattr__(self, "generator", generator)

    def features(self, x, angle):
        """Hidden units times time features, (count, (2 harmonics + 1) (width + 1))."""
        hidden = torch.tanh(2 * x @ self.weights + self.bias)
        hidden = torch.cat([hidden, torch.ones(len(x), 1, dtype=x.dtype)], 1)
        phase = angle.unsqueeze(1) * torch.arange(1, self.harmonics + 1)
        times = torch.cat([torch.ones(len(x), 1, dtype=x.dtype), torch.cos(phase), torch.sin(phase)], 1)
        return (times.unsqueeze(2) * hidden.unsqueeze(1)).flatten(1)

    def states(self, count, low_noise: float, generator):
        """Clean samples, noise and angles. A share `low_noise` of the angles is at low noise; each phase is uniform."""
        clean = self.target.sample(count, generator, torch.float64)
        noise = torch.randn(clean.shape, generator=generator, dtype=torch.float64)
        angle = self.switch * torch.rand(count, generator=generator, dtype=torch.float64)
        late = torch.arange(count) < low_noise * count
        return clean, noise, torch.where(late, self.switch + angle / self.switch * (self.end - self.switch), angle)

    def errors(self, low_noise: float, budget: float = 1.0) -> tuple[float, float]:
        """Mean squared errors of the velocity after a training, at high and at low noise, on 2000 states each."""
        clean, noise, angle = self.states(round(self.samples * budget), low_noise, self.generator)
        design = self.features(mix(clean, noise, angle), angle)
        velocity = torch.cos(angle).unsqueeze(1) * clean - torch.sin(angle).unsqueeze(1) * noise
        gram = design.T @ design + 1e-6 * len(design) * torch.eye(design.shape[1], dtype=torch.float64)
        output = torch.linalg.solve(gram, design.T @ velocity)
        return tuple(self._error(output, share) for share in (0.0, 1.0))

    def _error(self, output, low_noise):
        clean, noise, angle = self.states(2000, low_noise, torch.Generator().manual_seed(1))
        x = mix(clean, noise, angle)
        sin, cos = torch.sin(angle).unsqueeze(1), torch.cos(angle).unsqueeze(1)
        exact = (self.target.posterior_mean(x, angle) - sin * x) / cos
        return float((self.features(x, angle) @ output - exact).square().mean())
