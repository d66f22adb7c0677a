"""What `conf/denoiser` may say."""

import abc
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from scorelab.nodes import Component, Node
from scorelab.options import Count, NonNegative, Options, Positive, Several


class DenoiserOptions(Options):
    """Base of the options that build a `Denoiser`."""

    #: whether it is the exact posterior mean of its target, with a score and a density
    exact: ClassVar[bool] = False

    @abc.abstractmethod
    def build(self, n: int, target):
        """The denoiser for dimension n; `target` is there for denoisers that use exact knowledge of it."""


class Exact(DenoiserOptions):
    """The target's own posterior mean; no training."""

    exact: ClassVar[bool] = True

    def needs_of_target(self):
        """What it computes."""
        return ("posterior_mean",)

    def build(self, n, target):
        from scorelab.denoisers.exact import ExactDenoiser

        return ExactDenoiser(target)


class OuterProduct(DenoiserOptions):
    """Algorithm 1 of 000_6c70dbc10a1c9c83.txt, section 7.2.

    L: time features, >= 1. m: hidden width, >= 1. frequencies: Fourier frequencies 0 ... frequencies - 1 of the
    angle, >= 1 (the paper's 21). activation: of the hidden layer.
    parametrization: what the network's output N is used for,
        skip           m = N + cos^2(alpha) y      (the paper's)
        identity_skip  m = N + y                   (the unscaled skip connection that the paper departs from)
        velocity       m = sin(phi) x + cos(phi) N
    input: what the network sees, `raw` y = Y_t (the paper's; its size runs from 0 to 1e4) or `angle` x_phi (unit size).
    zero_output: start from N = 0 instead of a random output layer.
    """

    L: Count
    m: Count
    frequencies: Count
    activation: Literal["relu", "tanh", "gelu", "silu", "sigmoid", "softplus"]
    parametrization: Literal["skip", "identity_skip", "velocity"]
    input: Literal["raw", "angle"]
    zero_output: bool

    def build(self, n, target=None):
        from scorelab.denoisers.outer_product import OuterProductDenoiser

        return OuterProductDenoiser(n, self)


class Student(DenoiserOptions):
    """The posterior mean of a mixture with learned means and weights.

    K: modes, >= 1. std: the standard deviation of every mode, known. initial_std: of each coordinate of the random
    initial means.
    """

    K: Count
    std: Positive
    initial_std: Positive

    def build(self, n, target=None):
        from scorelab.denoisers.student import StudentDenoiser

        return StudentDenoiser(n, self)


class _Several(DenoiserOptions):
    """Base of the options of denoisers made of several networks of one kind.

    network: a node as in conf/denoiser, one with parameters.
    """

    network: Annotated[Component, Node("denoiser")]

    @model_validator(mode="after")
    def _network(self):
        if self.network.options is not None and self.network.options.exact:
            raise ValueError("network: a denoiser that is trained is needed")
        return self

    def _networks(self, count, n, target):
        return [self.network.build(n=n, target=target) for _ in range(count)]


class PhaseAware(_Several):
    """A network for each phase of the noise level; see `scorelab.denoisers.phase_aware`.

    switches: increasing times t = tan^2 at which the next network takes over, or `speciation`, the target's own.
    overlap: radians that each network trains beyond its phase.
    """

    switches: list[Positive | Literal["speciation"]] = Field(min_length=1)
    overlap: NonNegative

    def needs_of_target(self):
        """Where it is to switch at the speciation time, that one."""
        return ("speciation",) if "speciation" in self.switches else ()

    def build(self, n, target):
        from scorelab.denoisers.phase_aware import PhaseAwareDenoiser, switch_angles

        switches = switch_angles(self.switches, target)
        return PhaseAwareDenoiser(self._networks(len(switches) + 1, n, target), switches, self.overlap)


class MixtureAware(_Several):
    """A network for each side of the data; see `scorelab.denoisers.mixture_aware`.

    split: `principal_component` (two sides) or `kmeans`. sides: their number, >= 2.
    """

    split: Literal["principal_component", "kmeans"]
    sides: Several

    @model_validator(mode="after")
    def _sides(self):
        if self.split == "principal_component" and self.sides != 2:
            raise ValueError(f"sides = {self.sides}: split: principal_component makes 2; kmeans makes any number")
        return self

    def build(self, n, target):
        from scorelab.denoisers.mixture_aware import MixtureAwareDenoiser

        return MixtureAwareDenoiser(self._networks(self.sides, n, target), self.split, n)
