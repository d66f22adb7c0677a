"""How the error of each sampler falls with the number of denoiser evaluations, on every grid."""

from typing import Annotated

from pydantic import AfterValidator

from scorelab.errors import ConfigError
from scorelab.nodes import Component, Node, component
from scorelab.options import Count, Several
from scorelab.samplers.job import Sampling
from scorelab.schedules.grids import require_name
from scorelab.studies.base import Number, Study, Table, cells, draw_figures, not_measured


class SamplerAccuracy(Study):
    """Every sampler on every grid with every budget, from one denoiser.

    With `denoiser: exact` only the sampler has an error; a trained denoiser adds its own error.

    samplers: name -> node with `_target_` and the keys of a rule; count, batch_size and output are those of the run's
    sampler. grids: names of grids of the run's schedule. evaluations: denoiser evaluations for one sample; a rule that
    takes k evaluations in a step makes 1/k as many steps. repeats: independent sets of samples, over which means and
    standard errors are taken. floor_repeats: sets of exact samples that the floor of W1 is measured on.
    """

    stages = {
        "train": "scorelab.studies.training",
        "sample": ".sample",
        "analyse": ".analyse",
        "plot": draw_figures,
    }
    figures = {"sampler_accuracy": ".figure"}
    sections = ".numbers"
    columns = (
        Number("sampler_accuracy.w1_floor", "W1 of exact samples", "W1 floor"),
        Number(
            "sampler_accuracy.grids.angle.SAMPLER.nfe_at_floor",
            "evaluations of SAMPLER on the grid `angle` until W1 is at its floor",
            "evaluations SAMPLER",
        ),
    )

    samplers: dict[str, Annotated[Component, Node("sampler")]]
    grids: list[Annotated[str, AfterValidator(require_name)]]
    evaluations: list[Count]
    repeats: Several
    floor_repeats: Several

    def needs_of_target(self):
        return ("projection", "modes", "orthogonal_variance", "output_law")

    def require(self, config):
        """Raise ConfigError for a grid that the schedule does not have."""
        for grid in self.grids:
            self.schedule(grid, config)

    def plan(self, context):
        """A setting whose grid cannot be made is left out; what cannot be is that none of them can be made."""
        from scorelab.samplers.ends import on_target
        from scorelab.samplers.risk import require_grid

        why = None
        for grid in self.grids:
            schedule = on_target(self.schedule(grid, context.config), context.target)
            for name in self.samplers:
                for budget in self.evaluations:
                    try:
                        require_grid(self.job(name, budget, context.sampling), schedule, context.target, "schedule")
                        return
                    except ConfigError as error:
                        why = error
        raise why or ConfigError("study: study.samplers, study.grids and study.evaluations need a value each")

    def closing(self, metrics):
        """A row for each grid and sampler: evaluations until W1 is at its floor, and orders."""
        found = metrics.get("sampler_accuracy")
        if found is None:  # the run has only been trained or sampled
            return super().closing(metrics)
        headings = ("grid", "sampler", "evaluations to the floor of W1", "order of W1", "order of the variance")
        rows = []
        for grid, samplers in found["grids"].items():
            for name, values in samplers.items():
                reached = values["nfe_at_floor"]
                orders = (cells(values.get(f"{key}_order"), None)[0] for key in ("w1", "orthogonal_variance"))
                rows.append((grid, name, "not reached" if reached is None else str(reached), *orders))
        floor = " ± ".join(cells(found["w1_floor"], found["w1_floor_deviation"]))
        return Table(headings, rows, (f"W1 of as many exact samples, its floor: {floor}", *not_measured(metrics)))

    def job(self, name: str, budget: int, like: Sampling) -> Sampling:
        """The job of the sampler `name`, with as many steps as the budget of evaluations allows, at least one.

        like: the job that gives count, batch_size and output.
        """
        rule = self.samplers[name].options
        return like.model_copy(update={"rule": rule, "steps": max(budget // rule.nfe(1), 1)})

    def schedule(self, grid: str, config):
        """The run's schedule with another grid. Raises ConfigError if the schedule does not have the grid."""
        try:
            return component("schedule", config.data["schedule"] | {"grid": grid}, config.general.extensions).build()
        except ConfigError as error:
            raise ConfigError(f"study.grids = {grid}: {error}") from None
