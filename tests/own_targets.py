"""Targets and networks of a user's own, which can do more or less than those of the package."""

import torch

from scorelab.denoisers import Denoiser, OuterProduct
from scorelab.targets import CAPABILITIES, GaussianMixture, Target

PATTERN = torch.ones(16, dtype=torch.float64)


class OnlySamples(Target):
    """Uniform on a cube, and nothing else is known."""

    def __init__(self, side: int = 4):
        self.n = side

    def sample(self, count, generator, dtype=torch.float32):
        return 2 * torch.rand(count, self.n, generator=generator, dtype=dtype) - 1


class Lacking(GaussianMixture):
    """Two modes that give up some of what a mixture can."""

    def __init__(self, lacking: list[str]):
        a = PATTERN / 2
        super().__init__([0.7, 0.3], torch.stack([0.3 * a, -0.7 * a]))
        given_up = {CAPABILITIES[name].attributes[0]: None for name in lacking}
        for attribute in given_up:
            vars(self).pop(attribute, None)
        self.__class__ = type("Lacking", (type(self),), given_up)


class Measured(Lacking):
    """The same, whose risks are those of the base class."""

    bayes_risk = signal_risk = None

    def __init__(self):
        super().__init__([])


class Images(Target):
    """The two modes as images of 4 times 4 points."""

    def __init__(self):
        self.flat, self.shape = Lacking([]), (1, 4, 4)
        self.direction, self.weights = self.flat.direction.reshape(self.shape), self.flat.weights

    def sample(self, count, generator, dtype=torch.float32):
        return self.flat.sample(count, generator, dtype).reshape(-1, *self.shape)

    def posterior_mean(self, x, angle):
        return self.flat.posterior_mean(x.flatten(1), angle).reshape(x.shape)

    def noisy_score(self, x, angle):
        return self.flat.noisy_score(x.flatten(1), angle).reshape(x.shape)

    def noisy_log_prob(self, x, angle):
        return self.flat.noisy_log_prob(x.flatten(1), angle)

    def posterior_weights(self, x, angle):
        return self.flat.posterior_weights(x.flatten(1), angle)

    def projection(self, direction):
        return self.flat.projection(direction.flatten())

    def noisy_projection(self, direction, angle):
        return self.flat.noisy_projection(direction.flatten(), angle)

    def bayes_risk(self, angle):
        return self.flat.bayes_risk(angle)

    def signal_risk(self, angles):
        return self.flat.signal_risk(angles)

    def signal_risk_between(self, angles, risk):
        return self.flat.signal_risk_between(angles, risk)

    def speciation_angle(self):
        return self.flat.speciation_angle()

    def orthogonal_variance(self, direction):
        return self.flat.orthogonal_variance(direction.flatten())

    def output_law(self, angle, output):
        law = Images()
        law.flat = self.flat.output_law(angle, output)
        return law


class Flattening(Denoiser):
    """The paper's network on images, as vectors."""

    def __init__(self, n: int):
        super().__init__()
        options = {"L": 3, "m": 8, "frequencies": 21, "activation": "relu"}
        options |= {"parametrization": "velocity", "input": "angle", "zero_output": True}
        self.network = OuterProduct(**options).build(n)

    def forward(self, x, angle):
        return self.network(x.flatten(1), angle).reshape(x.shape)


class Wrong(Flattening):
    """The same, which forgets to make an image again."""

    def forward(self, x, angle):
        return self.network(x.flatten(1), angle)


class Convolutional(Denoiser):
    """A small network that sees images as images."""

    def __init__(self, target: Target):
        super().__init__()
        self.shape = target.shape
        self.layers = torch.nn.Sequential(
            torch.nn.Conv2d(target.shape[0] + 2, 8, 3, padding=1), torch.nn.SiLU(), torch.nn.Conv2d(8, 1, 3, padding=1)
        )

    def forward(self, x, angle):
        angle = torch.as_tensor(angle, dtype=x.dtype).expand(len(x)).reshape(-1, 1, 1, 1)
        sin, cos = torch.sin(angle), torch.cos(angle)
        channels = [x, sin.expand(-1, 1, 4, 4), cos.expand(-1, 1, 4, 4)]
        return sin * x + cos * self.layers(torch.cat(channels, 1))
