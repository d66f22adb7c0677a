"""The conditional mean of two modes, exactly: nothing is trained or sampled."""

from pydantic import Field, field_validator, model_validator

from scorelab.errors import ConfigError
from scorelab.options import Positive, Several, show
from scorelab.studies.base import Number, Study, draw_figures


class ConditionalMean(Study):
    """The posterior mean of two modes along their difference: its curves, slopes, t_sharp and distance from a line.

    For a target of two modes of one standard deviation, whatever their weights and means.
    times: times of the curves. t_min, t_max: ends of the axis t. thresholds: the slopes 1/epsilon of equation (17) for
    which metrics.json has t_sharp. points: number of points of each drawn curve. switches: name -> time between the two
    networks of phase-aware modelling.
    """

    uses = ("target",)
    stages = {"analyse": ".analyse", "plot": draw_figures}
    figures = {"conditional_mean": ".figure"}
    sections = ".numbers"
    headline = (
        Number("conditional_mean.speciation_t", "speciation time t", "speciation t"),
        Number("conditional_mean.speciation_t_estimate", "its order 1/|a|^2", "1/|a|^2"),
        Number("conditional_mean.mean_slope_max", "largest slope of the posterior mean", "largest slope"),
        Number("conditional_mean.mean_slope_max_t", "t of this slope", "its t"),
        Number("conditional_mean.nonlinearity_max", "largest nonlinearity", "nonlinearity"),
        Number("conditional_mean.nonlinearity_max_t", "t of this nonlinearity", "t of nonlinearity"),
    )
    columns = headline

    times: list[Positive] = Field(min_length=1)
    t_min: Positive
    t_max: Positive
    thresholds: list[Positive] = Field(min_length=1)
    points: Several
    switches: dict[str, Positive]

    @field_validator("times", "thresholds")
    @classmethod
    def _in_order(cls, values):
        return sorted(set(values))

    @model_validator(mode="after")
    def _range(self):
        if not self.t_min < self.t_max:
            raise ValueError(f"t_min = {self.t_min:g}, t_max = {self.t_max:g}: t_min < t_max is needed")
        if "speciation" in self.switches:
            raise ValueError(f"switches = {show(self.switches)}: speciation is a name of the study's own")
        return self

    def exact(self, target):
        """The closed form for a target. Raises ConfigError unless it has two modes of one standard deviation."""
        from scorelab.studies.conditional_mean.theory import TwoModeMean

        try:
            return TwoModeMean.of(target)
        except ValueError as error:
            raise ConfigError(f"target of study=conditional_mean: {error}") from None

    def require(self, config):
        """Raise ConfigError unless the target has two modes of one standard deviation."""
        from scorelab.randomness import stream

        self.exact(config["target"].build(generator=stream(config.general.seed, "target")))
