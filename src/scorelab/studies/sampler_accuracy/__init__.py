"""How the error of each sampler falls with the number of denoiser evaluations, on every grid. One module a stage."""

from scorelab.errors import ConfigError
from scorelab.nodes import component
from scorelab.options import Count, Several
from scorelab.samplers.base import Sampler
from scorelab.schedules.base import GridName
from scorelab.studies.base import Study, draw_figures


class SamplerAccuracy(Study):
    """Every sampler on every grid with every budget, from one denoiser.

    With `denoiser: exact` what is left is the error of the sampler; with a trained one its own error comes on top.

    samplers: name -> node as in conf/sampler; count, batch_size and output are those of the run's own sampler.
    grids: of the run's schedule. evaluations: denoiser evaluations a sample; a rule that takes k a step makes 1/k as
    many steps. repeats: independent sets of samples, over which means and standard errors are taken.
    floor_repeats: sets of exact samples that the floor of W1 is measured on.
    """

    stages = {
        "train": "scorelab.studies.training",
        "sample": ".sample",
        "analyse": ".analyse",
        "plot": draw_figures,
    }
    figures = {"sampler_accuracy": ".figure"}

    samplers: dict[str, dict]
    grids: list[GridName]
    evaluations: list[Count]
    repeats: Several
    floor_repeats: Several

    def needs_of_target(self):
        """What every error is an error of."""
        return ("projection", "modes", "orthogonal_variance", "output_law")

    def require(self, config):
        """Every node must be a sampler's, and every grid one that the schedule has."""
        for name in self.samplers:
            self.rule(name, config, count=2, steps=1, batch_size=1, output="scaled")
        for grid in self.grids:
            self.schedule(grid, config)

    def rule(self, name: str, config, **common) -> Sampler:
        """The sampler `name` with what is common to all."""
        try:
            return component("sampler", {**self.samplers[name], **common}, config.general.extensions).build()
        except ConfigError as error:
            raise ConfigError(f"study.samplers.{name}: {error}") from None

    def schedule(self, grid: str, config):
        """The run's schedule with another grid."""
        try:
            return component("schedule", config.data["schedule"] | {"grid": grid}, config.general.extensions).build()
        except ConfigError as error:
            raise ConfigError(f"study.grids = {grid}: {error}") from None
