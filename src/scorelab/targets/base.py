"""The contract of a target."""

import abc
import math

import torch

from scorelab.channel import mix
from scorelab.randomness import stream


class Target(abc.ABC):
    """A distribution on R^n whose posterior mean in the channel x_phi = sin(phi) X + cos(phi) G is known.

    A subclass sets `n`, the dimension, and `direction` (n,), the signal direction `a` that samples are projected on,
    and implements `sample`, `posterior_mean` and `projection`. The other methods have defaults that fit a target with
    one mode, by Monte Carlo where there is no closed form; a subclass that knows better overrides them.
    """

    n: int
    direction: torch.Tensor

    @abc.abstractmethod
    def sample(self, count: int, generator: torch.Generator, dtype=torch.float32) -> torch.Tensor:
        """Draw `count` exact samples, shape (count, n)."""

    @abc.abstractmethod
    def posterior_mean(self, x: torch.Tensor, angle) -> torch.Tensor:
        """E[X | x_phi = x], shape (count, n); `angle` is a number or a tensor (count,), in radians."""

    @abc.abstractmethod
    def projection(self, direction: torch.Tensor):
        """The exact one-dimensional law of <X, d>/|d|^2, with the methods of `ProjectedLaw`."""

    @property
    def weights(self) -> torch.Tensor:
        """The mode weights, shape (K,), float64."""
        return torch.ones(1, dtype=torch.float64)

    def posterior_weights(self, x: torch.Tensor, angle) -> torch.Tensor:
        """P(mode k | x_phi = x), shape (count, K)."""
        return x.new_ones(len(x), 1)

    def bayes_risk(self, angle) -> torch.Tensor:
        """E |X - E[X | x_phi]|^2, the least squared error of any denoiser, with the shape of `angle`, float64.

        This default averages over 4096 exact samples.
        """
        angle = torch.as_tensor(angle, dtype=torch.float64)
        generator = stream(0, "bayes risk")
        clean = self.sample(4096, generator, torch.float64)
        noise = torch.randn(clean.shape, generator=generator, dtype=torch.float64)
        risks = [
            (clean - self.posterior_mean(mix(clean, noise, value), value)).square().sum(1).mean()
            for value in angle.flatten().tolist()
        ]
        return torch.stack(risks).reshape(angle.shape)

    def speciation_angle(self) -> float | None:
        """The angle around which the noisy state tells the modes apart; None where there is none."""
        return None

    def restricted(self, side_of, side: int) -> tuple[float, "Target"]:
        """The share and the law of the samples on one side, of the modes whose means lie there.

        side_of: function from points (count, n) to the number of their side (count,). This default measures the share
        on 65536 samples, and its law is the whole.
        """
        share = (side_of(self.sample(65536, stream(0, "sides"))) == side).double().mean()
        return float(share), self

    def orthogonal_variance(self, direction: torch.Tensor) -> float:
        """The mean variance a coordinate in the space orthogonal to a direction; this default uses 65536 samples."""
        x = self.sample(65536, stream(0, "orthogonal variance"), torch.float64)
        unit = direction / direction.norm()
        x = x - torch.outer(x @ unit, unit)
        return float((x - x.mean(0)).square().sum() / (len(x) * max(self.n - 1, 1)))

    def output_law(self, angle: float, output: str) -> "Target":
        """The law of what a sampler returns of an exact state x at its last angle.

        output: scaled, x / sin(phi), whose noise has variance cot^2(phi) = 1/T; posterior_mean, m(x; phi);
        posterior_draw, a draw of X given x, whose law is the target's. This default is the target, the limit of all
        three at pi/2.
        """
        if output not in ("scaled", "posterior_mean", "posterior_draw") or not 0 < angle <= math.pi / 2:
            raise ValueError(f"output = {output}, angle = {angle}")
        return self
