"""Langevin dynamics and diffusion on well-separated modes. Each stage has a module."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from scorelab.denoisers.options import Exact
from scorelab.errors import ConfigError
from scorelab.nodes import Component, Node
from scorelab.options import Count, Fraction, OpenUnit, Options, Positive, Several, nearest, with_identifiers
from scorelab.samplers.base import Sampler
from scorelab.samplers.job import Sampling
from scorelab.schedules.base import Schedule
from scorelab.studies.base import Number, Study, Table, cells, draw_figures, not_measured


class Method(Options):
    """One line of the figure, a sampler on a schedule.

    label: name in the figure. sampler: a node with `_target_` and the keys of the rule. schedule: a node as in
    conf/schedule, whose ends follow from the target where they are null. start: `prior` (the sampler's own start, which
    for a chain is N(0, I)), or exact draws of one mode, `first_mode` or `least_mode` (the mode of least weight).
    largest: budgets above it are left out; null for no limit.
    """

    label: str
    sampler: Annotated[Component, Node("sampler")]
    schedule: Annotated[Component, Node("schedule")]
    start: Literal["prior", "first_mode", "least_mode"]
    largest: int | None = Field(ge=1)


class Separations(Options):
    """The second panel: two modes p N((1-p) a, I) + (1-p) N(-p a, I) ever further apart, with the exact posterior mean.

    distances: |a|, in standard deviations; an empty list leaves the panel out. n: dimension. p: weight of the first
    mode. tolerance: a weight that is this near to the exact one counts as found. count: number of samples. budget:
    largest number of evaluations for one sample. methods: names of methods.
    """

    distances: list[Positive]
    n: Count
    p: OpenUnit
    tolerance: OpenUnit
    count: Several
    budget: Count
    methods: list[str]


@dataclass(frozen=True)
class Plan:
    """A method with its name, its rule and its schedule."""

    name: str
    method: Method

    @property
    def rule(self) -> Sampler:
        """The sampling rule."""
        return self.method.sampler.options

    @property
    def schedule(self) -> Schedule:
        """The schedule, with the ends of the configuration."""
        return self.method.schedule.options

    def schedule_on(self, target, report=None) -> Schedule:
        """The schedule with ends that follow from the scale of the target where they are not given; see `on_target`."""
        from scorelab.samplers.ends import on_target

        return on_target(self.schedule, target, report)

    def job(self, steps: int, count: int) -> Sampling:
        """The job that makes `count` samples at once in `steps` steps; its output is x/sin(phi) of the last state x."""
        return Sampling(count=count, steps=steps, batch_size=count, output="scaled", rule=self.rule)

    def jobs(self, budgets, count: int) -> list[Sampling]:
        """A job for each budget up to the method's largest, with as many steps as the budget allows, at least one."""
        first, second = (self.rule.nfe(steps) for steps in (1, 2))
        largest = self.method.largest or max(budgets)
        steps = {1 + (budget - first) // (second - first) for budget in budgets if first <= budget <= largest}
        return [self.job(number, count) for number in sorted(steps)]


class Langevin(Study):
    """The weight that each method finds for each mode, against the evaluations of the score for one sample.

    methods: name -> see `Method`. A method that needs a density or the score of the target itself is left out if the
    denoiser is learned. budgets: numbers of evaluations for one sample. count: number of samples. tolerance: a weight
    that is this near to the exact one counts as found. separations: see `Separations`. floor_repeats: sets of exact
    samples for noise floors, and bootstrap sets for standard errors.
    """

    uses = ("target", "denoiser", "schedule", "training")
    stages = {"train": ".train", "sample": ".sample", "analyse": ".analyse", "plot": draw_figures}
    figures = {"langevin": ".figure", "training": "scorelab.figures.training"}
    sections = ".numbers"
    columns = (
        Number("langevin.methods.METHOD.weight", "mode weight by METHOD", "weight METHOD"),
        Number("langevin.weight_exact", "exact mode weight", "weight exact"),
    )

    methods: dict[str, Method] = Field(min_length=1)
    budgets: list[Count] = Field(min_length=1)
    count: Several
    tolerance: Fraction
    separations: Separations
    floor_repeats: Several

    _names = field_validator("methods")(with_identifiers)

    @model_validator(mode="after")
    def _nodes(self):
        for name in self.separations.methods:
            if name not in self.methods:
                raise ConfigError(f"study.separations.methods = {name}: unknown; {nearest(name, self.methods)}")
        for name, method in self.methods.items():
            self._require(Plan(name, method))
        return self

    def needs_of_target(self):
        return ("projection", "modes")

    def _require(self, plan: Plan):
        """Raise ConfigError for a method without a budget, or whose rule cannot run on its schedule."""
        key, jobs = f"study.methods.{plan.name}", plan.jobs(self.budgets, self.count)
        if not jobs:
            largest = plan.method.largest
            raise ConfigError(f"{key}: no budget of study.budgets lies between {plan.rule.nfe(1)} and {largest}")
        try:
            for job in jobs:
                job.require(plan.schedule, Exact)
        except ValueError as error:
            raise ConfigError(f"{key}: {error}") from None

    def plan(self, context):
        from scorelab.samplers.risk import require_grid

        for plan in self.plans(context.config):
            place = f"study.methods.{plan.name}"
            for job in plan.jobs(self.budgets, self.count):
                require_grid(job, plan.schedule_on(context.target), context.target, place)

    def plans(self, config) -> list[Plan]:
        """The methods that the run's denoiser can serve."""
        denoiser = config["denoiser"].options or config["denoiser"].cls
        plans = [Plan(name, method) for name, method in self.methods.items()]
        return [plan for plan in plans if _fits(plan, denoiser)]

    def plans_of_separations(self) -> list[Plan]:
        """The methods of the second panel."""
        names = self.separations.methods if self.separations.distances else []
        return [Plan(name, self.methods[name]) for name in dict.fromkeys(names)]

    def closing(self, metrics):
        """A row for each method, below the row of exact samples."""
        found = metrics.get("langevin")
        if found is None:  # the run has only been trained or sampled
            return super().closing(metrics)
        headings = ("", "evaluations", "mode weight", "± s.e.", "W1", "± s.e.")
        rows = [("exact samples", "", *_cells(found, "weight_exact", "weight_floor", "w1_floor", "w1_floor_deviation"))]
        for name, method in found["methods"].items():
            keys = ("weight", "weight_standard_error", "w1", "w1_standard_error")
            rows.append((name, str(method["evaluations"]), *_cells(method, *keys)))
        return Table(headings, rows, not_measured(metrics))


def _cells(found, weight, weight_error, w1, w1_error):
    """A weight and a W1 as cells, each with its error in the next cell."""
    return *cells(found[weight], found[weight_error]), *cells(found[w1], found[w1_error])


def _fits(plan: Plan, denoiser) -> bool:
    try:
        plan.rule.require(plan.schedule, denoiser)
    except ValueError:
        return False
    return True
