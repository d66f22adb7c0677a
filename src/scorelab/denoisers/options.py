"""What `conf/denoiser` may say."""

import abc
import fnmatch
import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from scorelab.denoisers.convention import Convention, Prediction, State, Time, of_prediction
from scorelab.errors import ConfigError, ScorelabError
from scorelab.nodes import HERE, Component, Node, named
from scorelab.options import Count, Fraction, Natural, NonNegative, Options, Positive, Several, as_list, nearest

Activation = Literal["relu", "tanh", "gelu", "silu", "sigmoid", "softplus"]
#: what a network returns whose output is parametrized by one of three names
Predicted = Literal["velocity", "noise", "posterior_mean"]


class DenoiserOptions(Options):
    """Base of the options that build a `Denoiser`."""

    #: whether the denoiser is the exact posterior mean of its target
    exact: ClassVar[bool] = False

    @abc.abstractmethod
    def build(self, n: int, target):
        """The denoiser for dimension n; a denoiser that needs exact knowledge takes it from `target`.

        Some classes have an argument `pretrained`, which says whether weights that have their own file are read.
        """


class Exact(DenoiserOptions):
    """The exact posterior mean of the target; there is nothing to train."""

    exact: ClassVar[bool] = True

    def needs_of_target(self):
        return ("posterior_mean",)

    def build(self, n, target):
        from scorelab.denoisers.exact import ExactDenoiser

        return ExactDenoiser(target)


class Amp(DenoiserOptions):
    """Approximate message passing on the couplings of the target; there is nothing to train. See `AMPDenoiser`.

    iterations: of AMP, >= 1. descent_steps: of natural gradient descent after it, >= 0. step_size: of the descent, in
    (0, 1]. damping: the share of the old field that AMP keeps, in [0, 1). tolerance: a sample ends each of the two at
    the first change of its posterior mean, root mean square, below it; 0 makes all steps. onsager: the memory term,
    `mean`, `entries` for small n, or `none`.
    """

    iterations: Count
    descent_steps: Natural
    step_size: Annotated[Positive, Field(le=1)]
    damping: Fraction
    tolerance: NonNegative
    onsager: Literal["mean", "entries", "none"]

    def needs_of_target(self):
        return ("couplings",)

    def build(self, n, target):
        from scorelab.denoisers.amp import AMPDenoiser

        return AMPDenoiser(target.couplings, **self.model_dump())


class OuterProduct(DenoiserOptions):
    """Algorithm 1 of Visconti 2025, section 7.2.

    L: time features, >= 1. m: hidden width, >= 1. frequencies: Fourier frequencies 0 ... frequencies - 1 of the
    angle, >= 1 (the paper's 21). activation: of the hidden layer.
    parametrization: how the posterior mean m is made of the network's output N,
        skip           m = N + cos^2(alpha) y      (the paper's)
        identity_skip  m = N + y                   (the skip connection without the paper's factor)
        velocity       m = c_skip x + c_out N, which for data_std = 1 is sin(phi) x + cos(phi) N
    data_std: s of the factors of `velocity` and of its input x_phi (Karras et al. 2022, table 1, in the angle),
        c_skip = s^2 sin/v,  c_out = s cos/sqrt(v),  c_in = 1/sqrt(v),  v = s^2 sin^2 + cos^2;
        null takes the standard deviation of the target's narrowest mode, or 1 where it is not known.
    input: what the network sees, `raw` y = Y_t (the paper's; its size runs from 0 to 1e4) or `angle` x_phi (unit size).
    zero_output: start from N = 0 instead of a random output layer.
    """

    L: Count
    m: Count
    frequencies: Count
    activation: Activation
    parametrization: Literal["skip", "identity_skip", "velocity"]
    input: Literal["raw", "angle"]
    zero_output: bool
    data_std: Positive | None = 1.0

    added: ClassVar[Mapping[str, Any]] = {"data_std": 1.0}

    def build(self, n, target=None):
        from scorelab.denoisers.outer_product import OuterProductDenoiser
        from scorelab.targets.scale import scale

        std = self.data_std
        if std is None:
            std = (target is not None and scale(target).width) or 1.0
        return OuterProductDenoiser(n, **{**self.model_dump(), "data_std": std})


class UNet(DenoiserOptions):
    """A U-Net for images (channels, height, width); see `UNetDenoiser`.

    dim, multipliers: level i has dim multipliers[i] channels and 1/2^i of the height and of the width. blocks: residual
    blocks of a level, on the way down and on the way up each. attention: self-attention at the lowest level.
    parametrization: what the network returns, the `velocity`, the `noise` or the `posterior_mean`. data_std: standard
    deviation that input and output are scaled for; null takes the standard deviation of the target's entries.
    """

    dim: Annotated[Count, Field(ge=4, le=1024)]
    multipliers: Annotated[list[Annotated[Count, Field(le=64)]], Field(min_length=1, max_length=8)]
    blocks: Annotated[Count, Field(le=16)]
    attention: bool
    parametrization: Predicted
    data_std: Positive | None

    def build(self, n, target=None):
        """Without a target the network has the parameters that it has for images of one channel."""
        from scorelab.denoisers.unet import UNetDenoiser

        side = 2 ** (len(self.multipliers) - 1)
        shape = (1, side, side) if target is None else tuple(target.shape)
        if len(shape) != 3:
            given = f"target {type(target).__name__} has samples of shape {shape}"
            raise ValueError(f"{given}; images (channels, height, width) are needed")
        return UNetDenoiser(shape, **{**self.model_dump(), "data_std": _data_std(self.data_std, target)})


def _data_std(given: float | None, target) -> float:
    """The standard deviation that a network is scaled for: the given one, or the standard deviation of the target's
    entries."""
    from scorelab.targets.scale import entry_std

    if given is not None:
        return given
    return 1.0 if target is None else entry_std(target)


class MLP(DenoiserOptions):
    """Fully connected layers that are told the noise level; see `MLPDenoiser`.

    width: of a hidden layer. depth: hidden layers, or residual blocks. residual: whether a layer adds to what comes in.
    activation: of the hidden layers. parametrization: what the network returns, the `velocity`, the `noise` or the
    `posterior_mean`. data_std: standard deviation that input and output are scaled for; null takes the standard
    deviation of the target's entries.
    """

    width: Annotated[Count, Field(ge=2, le=65536)]
    depth: Annotated[Count, Field(le=256)]
    residual: bool
    activation: Activation
    parametrization: Predicted
    data_std: Positive | None

    def build(self, n, target=None):
        from scorelab.denoisers.mlp import MLPDenoiser

        return MLPDenoiser(n, **{**self.model_dump(), "data_std": _data_std(self.data_std, target)})


class Student(DenoiserOptions):
    """The posterior mean of a mixture with learned means and weights.

    K: modes, >= 1. std: the known standard deviation of every mode. initial_std: the standard deviation of each
    coordinate of the random initial means.
    """

    K: Count
    std: Positive
    initial_std: Positive

    def build(self, n, target=None):
        from scorelab.denoisers.student import StudentDenoiser

        return StudentDenoiser(n, **self.model_dump())


class Module(DenoiserOptions):
    """Any torch module with a declared convention; see `Convention`.

    module: a node that names the class of the module and its arguments; a package listed under `extensions` has the
    class. prediction, state, time, schedule, angles: what the module returns, sees, is told and knows. schedule: a node
    as in conf/schedule. weights: the path, from the working directory, of a safetensors file with all parameters and
    buffers of the module; null for the weights that its class starts with. A run keeps a copy of the weights, and it
    reads the file only before it trains. frozen: names of parameters that are not trained; * stands for any text.
    """

    reads: ClassVar[tuple[str, ...]] = ("weights",)

    module: Annotated[Component, Node("module", named)]
    prediction: Annotated[Prediction, BeforeValidator(of_prediction)]
    state: State
    time: Time
    schedule: Annotated[Component, Node("schedule")] | None
    angles: tuple[float, float] | None
    weights: str | None
    frozen: list[str] = []

    added: ClassVar[Mapping[str, Any]] = {"frozen": []}

    @model_validator(mode="after")
    def _exists(self):
        self.convention  # noqa: B018 (raises ValueError for a wrong convention)
        return self

    @property
    def convention(self) -> Convention:
        schedule = None if self.schedule is None else self.schedule.options
        return Convention(self.prediction, self.state, self.time, schedule, self.angles)

    def build(self, n, target=None, pretrained=True):
        from scorelab.denoisers.module import ModuleDenoiser
        from scorelab.tensorfile import load_state, read_tensors

        module = self.module.build(n=n, target=target)
        if pretrained and self.weights is not None:
            try:
                load_state(self.weights, read_tensors(self.weights)[0], module)
            except ScorelabError as error:
                raise ConfigError(f"{HERE}.weights = {error}") from None
        self._freeze(module)
        return ModuleDenoiser(module, **vars(self.convention))

    def _freeze(self, module):
        parameters = dict(module.named_parameters())
        for pattern in self.frozen:
            names = fnmatch.filter(parameters, pattern)
            if not names:
                raise ConfigError(
                    f"{HERE}.frozen = {pattern}: no parameter has this name; {nearest(pattern, parameters)}"
                )
            for name in names:
                parameters[name].requires_grad_(False)


class _Several(DenoiserOptions):
    """Base of the options of denoisers that are made of several networks of one kind.

    network: a node as in conf/denoiser; it must have parameters.
    """

    network: Annotated[Component, Node("denoiser")]

    @model_validator(mode="after")
    def _network(self):
        if self.network.cls.exact:
            raise ValueError("network: a denoiser that is trained is needed")
        return self

    def _networks(self, count, **run):
        return [self.network.build(**run) for _ in range(count)]


class PhaseAware(_Several):
    """A network for each phase of the noise level; see `scorelab.denoisers.phase_aware`.

    switches: increasing times t = tan^2(angle) at which the next network takes over; `speciation` stands for the
    speciation time of the target. overlap: the angle in radians that each network trains beyond its phase.
    """

    switches: Annotated[list[Positive | Literal["speciation"]], BeforeValidator(as_list), Field(min_length=1)]
    overlap: Annotated[NonNegative, Field(lt=math.pi / 2)]

    def needs_of_target(self):
        """The speciation time, if a network takes over there."""
        return ("speciation",) if "speciation" in self.switches else ()

    def build(self, n, target, pretrained=True):
        from scorelab.denoisers.phase_aware import PhaseAwareDenoiser, switch_angles

        switches = switch_angles(self.switches, target)
        networks = self._networks(len(switches) + 1, n=n, target=target, pretrained=pretrained)
        return PhaseAwareDenoiser(networks, switches, self.overlap)


class MixtureAware(_Several):
    """A network for each side of the data; see `scorelab.denoisers.mixture_aware`.

    split: `principal_component` (two sides) or `kmeans`. sides: the number of sides, >= 2.
    """

    split: Literal["principal_component", "kmeans"]
    sides: Annotated[Several, Field(le=1000)]

    @model_validator(mode="after")
    def _sides(self):
        if self.split == "principal_component" and self.sides != 2:
            raise ValueError(f"sides = {self.sides}: split: principal_component makes 2; kmeans makes any number")
        return self

    def build(self, n, target, pretrained=True):
        from scorelab.denoisers.mixture_aware import MixtureAwareDenoiser

        networks = self._networks(self.sides, n=n, target=target, pretrained=pretrained)
        return MixtureAwareDenoiser(networks, self.split, n)
