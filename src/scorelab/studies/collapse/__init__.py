"""Whether deterministic samplers collapse where stochastic ones do not, and why. One module a stage."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from scorelab.errors import ConfigError
from scorelab.nodes import component
from scorelab.options import Count, Fraction, NonNegative, Options, Positive, Several, nearest, with_identifiers
from scorelab.samplers.base import Sampler
from scorelab.studies.base import Study, draw_figures

Kind = Literal["shrink", "sharpen", "bias_along", "bias_orthogonal"]


class Method(Options):
    """A sampler. label: its name in the figure. stochasticity: lambda of `scorelab.studies.collapse.theory`, eta^2 of
    DDIM, 0 for deterministic rules and 1 for rules of stochastic localization; the theory beside its measurement is for
    this value. sampler: a node with `_target_` and the rule's own keys, without count, steps, batch_size and output."""

    label: str
    stochasticity: NonNegative
    sampler: dict[str, Any]


class Injected(Options):
    """The posterior mean shrunk in one band of angles at a time. bands: their number, all of one width in the angle.
    size: of the error, over the root of the Bayes risk. steps: of every sampler, a multiple of `bands`. count: samples.
    """

    bands: Count
    size: Positive
    steps: Count
    count: Several

    @model_validator(mode="after")
    def _whole(self):
        if self.steps % self.bands:
            raise ValueError(f"steps = {self.steps}: a multiple of bands = {self.bands} is needed")
        return self


class Kinds(Options):
    """Errors of several kinds at high noise, at low noise and at both. sizes: kind -> size, see
    `scorelab.studies.collapse.flawed`. switch: the time t = tan^2 between them. methods: names of methods."""

    sizes: dict[Kind, Positive]
    switch: Positive
    methods: list[str]


class Memory(Options):
    """The posterior mean of the training samples themselves up to an angle, the exact one from there on.

    target: a node as in conf/target. N: training samples. cutoffs: number of those angles, from none to all of the
    grid. steps, count: of every sampler. methods: names of methods.
    """

    target: dict[str, Any]
    N: Several
    cutoffs: Several
    steps: Count
    count: Several
    methods: list[str]


class Trade(Options):
    """Networks trained at high and low noise together, and apart.

    target: a node as in conf/target. network: a node of a `scorelab.denoisers.OuterProduct`. widths: its m. shares:
    of the training samples at low noise; 0 and 1 are networks of one phase, which are always trained. switch: the time
    t = tan^2 between the phases. steps, batch_size, N: of a training, the rest is the run's. repeats: independent
    trainings. draws: noisy states that errors are measured on, in each phase.
    """

    target: dict[str, Any]
    network: dict[str, Any]
    widths: list[Count] = Field(min_length=1)
    shares: list[Annotated[Fraction, Field(gt=0)]]
    switch: Positive
    steps: Count
    batch_size: Count
    N: Count
    repeats: Several
    draws: Several


class Collapse(Study):
    """How concentrated samples are, by sampler and by the noise level at which the denoiser errs.

    methods: name -> see `Method`. steps, count: of every method with the run's own denoiser and with errors of several
    kinds. floor_repeats: sets of exact samples that noise floors are measured on. injected, kinds, memory, trade: see
    there.
    """

    uses = ("target", "denoiser", "schedule", "training")
    stages = {"train": ".train", "sample": ".sample", "analyse": ".analyse", "plot": draw_figures}
    figures = {"collapse": ".figure"}

    methods: dict[str, Method] = Field(min_length=1)
    steps: Count
    count: Several
    floor_repeats: Several
    injected: Injected
    kinds: Kinds
    memory: Memory
    trade: Trade

    _names = field_validator("methods")(with_identifiers)

    @model_validator(mode="after")
    def _known(self):
        for part in ("kinds", "memory"):
            for name in getattr(self, part).methods:
                if name not in self.methods:
                    raise ConfigError(f"study.{part}.methods = {name}: unknown; {nearest(name, self.methods)}")
        return self

    def require(self, config):
        """Targets have to be mixtures of Gaussians, and every node one that can be built."""
        for key, node in (("target", config.data["target"]), ("study.memory.target", self.memory.target)):
            self.mixture(key, node, config)
        self.mixture("study.trade.target", self.trade.target, config)
        schedule = self.schedule(config)
        for name in self.methods:
            rule = self.rule(name, config, count=2, steps=self.steps)
            try:
                rule.require(schedule, config["denoiser"].options or config["denoiser"].cls)
            except ValueError as error:
                raise ConfigError(f"study.methods.{name}: {error}") from None
        for width in self.trade.widths:
            self.network(width, config)

    def mixture(self, key, node, config):
        """The target that a node stands for. Raises ConfigError where it has no Gaussian modes."""
        from scorelab.randomness import stream

        try:
            target = component("target", node, config.general.extensions).build(
                generator=stream(config.general.seed, key)
            )
        except ConfigError as error:
            raise ConfigError(f"{key}: {error}") from None
        why = target.lacks("gaussian_modes", "output_law", "posterior_mean", "direction")
        if why is not None:
            raise ConfigError(f"{key}: study=collapse needs a mixture of Gaussians: {why}")
        return target

    def network(self, width: int, config):
        """The options of the trade's network with a width."""
        try:
            return component("denoiser", self.trade.network | {"m": width}, config.general.extensions)
        except ConfigError as error:
            raise ConfigError(f"study.trade.network: {error}") from None

    def rule(self, name: str, config, count: int, steps: int) -> Sampler:
        """The sampler of a method, which returns x/sin(phi) of its last state."""
        given = {"count": count, "steps": steps, "batch_size": count, "output": "scaled"}
        try:
            return component("sampler", {**self.methods[name].sampler, **given}, config.general.extensions).build()
        except ConfigError as error:
            raise ConfigError(f"study.methods.{name}: {error}") from None

    def schedule(self, config, grid: str | None = None):
        """The run's schedule, or the same with another grid."""
        node = config.data["schedule"] | ({} if grid is None else {"grid": grid})
        return component("schedule", node, config.general.extensions).build()
