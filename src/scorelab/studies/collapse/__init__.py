"""Whether deterministic samplers collapse where stochastic ones do not, and why. Each stage has a module."""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from scorelab.denoisers.options import OuterProduct
from scorelab.errors import ConfigError
from scorelab.nodes import Component, Node, component
from scorelab.options import Count, Fraction, NonNegative, Options, Positive, Several, nearest, with_identifiers
from scorelab.samplers.job import Sampling
from scorelab.studies.base import Number, Study, Table, cells, draw_figures, not_measured

Kind = Literal["shrink", "sharpen", "bias_along", "bias_orthogonal"]


class Method(Options):
    """A sampler. label: its name in the figure. stochasticity: lambda of `scorelab.studies.collapse.theory`, which is
    eta^2 for DDIM, 0 for deterministic rules and 1 for rules of stochastic localization; the theory beside the
    measurement is for this value. sampler: a node with `_target_` and the keys of the rule."""

    label: str
    stochasticity: NonNegative
    sampler: Annotated[Component, Node("sampler")]


class Injected(Options):
    """The posterior mean is shrunk in one band of angles at a time. bands: number of bands, all of one width in the
    angle. size: size of the error over the root of the Bayes risk. steps: number of steps of every sampler, a multiple
    of `bands`. count: number of samples.
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
    """Errors of several kinds at high noise, at low noise and at all noise levels. sizes: kind -> size, see
    `scorelab.studies.collapse.flawed`. switch: the time t = tan^2 between high and low noise. methods: names of
    methods."""

    sizes: dict[Kind, Positive]
    switch: Positive
    methods: list[str]


class Memory(Options):
    """Up to an angle the denoiser is the posterior mean of the training samples, and from there on the exact one.

    target: a node as in conf/target. N: number of training samples. cutoffs: number of such angles, which go from none
    to all of the grid. steps, count: steps and samples of every sampler. methods: names of methods.
    """

    target: Annotated[Component, Node("target")]
    N: Several
    cutoffs: Several
    steps: Count
    count: Several
    methods: list[str]


class Trade(Options):
    """Networks trained at high and low noise together, and apart.

    target: a node as in conf/target. network: a node of a `scorelab.denoisers.OuterProduct`. widths: values of its m.
    shares: shares of the training samples that are at low noise; the networks of one phase, with the shares 0 and 1,
    are always trained. switch: the time t = tan^2 between the phases. steps, batch_size, N: of a training, which has
    all other options of the run. repeats: independent trainings. draws: noisy states that errors are measured on, in
    each phase.
    """

    target: Annotated[Component, Node("target")]
    network: Annotated[Component, Node("denoiser")]
    widths: list[Count] = Field(min_length=1)
    shares: list[Annotated[Fraction, Field(gt=0)]]
    switch: Positive
    steps: Count
    batch_size: Count
    N: Count
    repeats: Several
    draws: Several

    @model_validator(mode="after")
    def _network(self):
        if not isinstance(self.network.options, OuterProduct):
            raise ValueError("network: a scorelab.denoisers.OuterProduct is needed, whose m becomes that of widths")
        return self

    def of_width(self, width: int) -> OuterProduct:
        """The options of the network with a width."""
        return self.network.options.model_copy(update={"m": width})


class Collapse(Study):
    """How concentrated samples are, by sampler and by the noise level at which the denoiser errs.

    methods: name -> see `Method`. steps, count: steps and samples of every method with the run's own denoiser and with
    errors of several kinds. floor_repeats: sets of exact samples that noise floors are measured on. injected, kinds,
    memory, trade: see `Injected`, `Kinds`, `Memory`, `Trade`.
    """

    uses = ("target", "denoiser", "schedule", "training")
    stages = {"train": ".train", "sample": ".sample", "analyse": ".analyse", "plot": draw_figures}
    figures = {"collapse": ".figure"}
    sections = ".numbers"
    columns = (
        Number("training.excess_risk", "excess risk"),
        Number("collapse.exact.METHOD.trace", "variance by METHOD, exact denoiser", "variance METHOD, exact"),
        Number("collapse.learned.METHOD.trace", "variance by METHOD, learned denoiser", "variance METHOD, learned"),
    )

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
        """Raise ConfigError unless targets are mixtures of Gaussians and every method can run on the run's schedule."""
        targets = {"target": config["target"], "study.memory.target": self.memory.target}
        for key, node in (targets | {"study.trade.target": self.trade.target}).items():
            self.mixture(key, node, config)
        denoiser = config["denoiser"].options or config["denoiser"].cls
        for name in self.methods:
            try:
                self.job(name, 2, self.steps).require(config.options("schedule"), denoiser)
            except ValueError as error:
                raise ConfigError(f"study.methods.{name}: {error}") from None

    def plan(self, context):
        from scorelab.samplers.ends import on_target
        from scorelab.samplers.risk import require_grid

        even = on_target(self.schedule(context.config, grid="angle"), context.target)
        for name in self.methods:
            place = f"study.methods.{name}"
            require_grid(self.job(name, 2, self.steps), context.schedule, context.target, place)
            for part in ("injected", "memory"):
                steps = getattr(self, part).steps
                require_grid(self.job(name, 2, steps), even, context.target, f"study.{part}.steps = {steps}")

    def mixture(self, key: str, node: Component, config):
        """The target that a node stands for. Raises ConfigError if the target has no Gaussian modes."""
        from scorelab.randomness import stream

        try:
            target = node.build(generator=stream(config.general.seed, key))
        except ConfigError as error:
            raise ConfigError(f"{key}: {str(error).removeprefix(f'{node.key}: ')}") from None
        why = target.lacks("gaussian_modes", "output_law", "posterior_mean", "direction")
        if why is not None:
            raise ConfigError(f"{key}: study=collapse needs a mixture of Gaussians: {why}")
        return target

    def job(self, name: str, count: int, steps: int) -> Sampling:
        """The job that samples by a method; its output is x/sin(phi) of the last state x."""
        rule = self.methods[name].sampler.options
        return Sampling(count=count, steps=steps, batch_size=count, output="scaled", rule=rule)

    def closing(self, metrics):
        """A row for each method and each denoiser, below the row of exact samples."""
        found = metrics.get("collapse")
        if found is None:  # the run has only been trained or sampled
            return super().closing(metrics)
        headings = ("", "variance within modes", "± s.e.", "nearest neighbour", "± s.e.", "mode weight", "± s.e.")
        floor, weight = found["floor"], cells(found["mode_weight_exact"], found["mode_weight_floor"])
        rows = [("exact samples", *cells(1, floor["trace"]), *cells(1, floor["neighbour"]), *weight)]
        for denoiser in ("exact", "learned"):
            for name, method in found.get(denoiser, {}).items():
                pairs = [
                    (method[key], method[f"{key}_standard_error"]) for key in ("trace", "neighbour", "mode_weight")
                ]
                rows.append((f"{name}, {denoiser} denoiser", *(cell for pair in pairs for cell in cells(*pair))))
        return Table(headings, rows, not_measured(metrics))

    def schedule(self, config, grid: str):
        """The run's schedule with another grid."""
        return component("schedule", config.data["schedule"] | {"grid": grid}, config.general.extensions).build()
