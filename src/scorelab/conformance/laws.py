"""The laws that samplers and denoisers are held against."""

import torch

from scorelab.channel import sin_cos
from scorelab.targets import GaussianMixture


class Gaussian:
    """N(mu, C) with its posterior mean, as cheap as two matrix products.

    mean (n,), covariance (n, n): float64.
    """

    def __init__(self, mean, covariance):
        self.mean, self.covariance = (torch.as_tensor(each, dtype=torch.float64) for each in (mean, covariance))
        self.n = len(self.mean)
        self.values, self.vectors = torch.linalg.eigh(self.covariance)

    def posterior_mean(self, x, angle):
        """mu + s C (s^2 C + c^2 I)^-1 (x - s mu), with s = sin and c = cos of the angle; shape of x."""
        sin, cos = sin_cos(angle, x)
        vectors, values, mean = (each.to(x) for each in (self.vectors, self.values, self.mean))
        gain = sin * values / (sin**2 * values + cos**2)
        return mean + (((x - sin * mean) @ vectors) * gain) @ vectors.T

    def with_noise(self, std: float):
        """The covariance of X + std G, (n, n)."""
        return self.covariance + std**2 * torch.eye(self.n, dtype=torch.float64)

    def sample(self, count, generator):
        """Exact samples (count, n), float64."""
        z = torch.randn(count, self.n, generator=generator, dtype=torch.float64)
        return self.mean + (z * self.values.sqrt()) @ self.vectors.T


def gaussian() -> Gaussian:
    """A law with correlations and a mean."""
    return Gaussian([0.4, -0.2, 0.1], [[0.6, 0.3, 0.0], [0.3, 0.9, -0.2], [0.0, -0.2, 1.2]])


def point() -> Gaussian:
    """A law that is one point: frozen over a step, its posterior mean makes no error."""
    return Gaussian([0.5, -0.3, 0.2], torch.zeros(3, 3))


def mixture() -> GaussianMixture:
    """Two modes, three standard deviations apart, of unequal weights."""
    a = torch.zeros(4, dtype=torch.float64)
    a[0] = 3.0
    return GaussianMixture.two_modes(0.7, a)
