"""The student: the posterior mean of a mixture whose means and weights are learned."""

import torch

from scorelab.channel import sin_cos
from scorelab.denoisers.base import Denoiser
from scorelab.laws.mixture import far_apart, isotropic_mean, squared_distances


class StudentDenoiser(Denoiser):
    """The exact posterior mean of sum_k w_k N(mu_k, std^2 I), with the means (K, n) and the weights (K,) as parameters:

        m = [std^2 sin x + cos^2 sum_k gamma_k mu_k] / v,     v = std^2 sin^2 + cos^2
        gamma = softmax(log w_k - |x - sin mu_k|^2 / (2 v))

    For K = 2 and opposite means it is the student network of Visconti 2025, section 8.2. The weights are
    softmax(`log_weights`). The arguments are the options of `scorelab.denoisers.Student`. States of another shape than
    (count, n) are read as vectors of n entries.
    """

    def __init__(self, n: int, K: int, std: float, initial_std: float):
        super().__init__()
        self.std = std
        # As the layers of torch.nn do, from the generator that `default_stream` seeds.
        means = torch.randn(K, n, generator=torch.default_generator)
        self.means = torch.nn.Parameter(initial_std * means)
        self.log_weights = torch.nn.Parameter(torch.zeros(K))

    def forward(self, x, angle):
        return self._of_vectors(x.flatten(1), angle).view_as(x)

    def _of_vectors(self, x, angle):
        """The posterior mean of states (count, n)."""
        sin, cos = sin_cos(angle, x)
        variance = self.std**2 * sin**2 + cos**2
        if far_apart(self.means.detach(), self.std):
            logits = -0.5 * squared_distances(x, sin, self.means) / variance
        else:
            logits = (sin * (x @ self.means.T) - 0.5 * sin**2 * self.means.square().sum(1)) / variance
        gamma = torch.softmax(torch.log_softmax(self.log_weights, 0) + logits, -1)
        return isotropic_mean(gamma, x, sin, cos, self.means, self.std)
