"""What `conf/denoiser` may say."""

import abc
from typing import Literal

from scorelab.options import Count, Options


class DenoiserOptions(Options):
    """Base of the options that build a `Denoiser`."""

    @abc.abstractmethod
    def build(self, n: int, target):
        """The denoiser for dimension n; `target` is there for denoisers that use exact knowledge of it."""


class Exact(DenoiserOptions):
    """The target's own posterior mean; no training."""

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
