"""Langevin dynamics against diffusion on well-separated modes. One module a stage."""

from dataclasses import dataclass
from typing import Any, Literal

import pydantic
from pydantic import Field, field_validator, model_validator

from scorelab.denoisers.options import Exact
from scorelab.errors import ConfigError
from scorelab.nodes import component
from scorelab.options import Count, Fraction, OpenUnit, Options, Positive, Several, explain, nearest, with_identifiers
from scorelab.samplers.base import Sampler
from scorelab.schedules.base import Schedule
from scorelab.studies.base import Study, Table, draw_figures

#: what the study gives to every sampler, and a node may therefore not name
GIVEN = ("count", "steps", "batch_size", "output")


class Method(Options):
    """One line of the figure, a sampler on a schedule.

    label: its name there. sampler: a node with `_target_` and the rule's own keys, without those that the study gives
    (count, steps, batch_size, output). schedule: a node with `_target_` and its keys.
    start: `prior` (where the sampler itself starts: of a chain N(0, I)), or exact draws of one mode, `first_mode` or
    `least_mode` (the one of least weight).
    largest: budgets above it are left out; null for none.
    """

    label: str
    sampler: dict[str, Any]
    schedule: dict[str, Any]
    start: Literal["prior", "first_mode", "least_mode"]
    largest: int | None = Field(ge=1)


class Separations(Options):
    """The second panel: two modes p N((1-p) a, I) + (1-p) N(-p a, I) ever further apart, with the exact posterior mean.

    distances: |a|, in standard deviations; an empty list leaves the panel out. n: dimension. p: weight of the first
    mode. tolerance: a weight within it counts as found. count: samples. budget: evaluations a sample at most.
    methods: names of methods.
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
    """A method whose nodes are checked: `sampler` has one step, `samplers` gives it more."""

    name: str
    method: Method
    sampler: Sampler
    schedule: Schedule

    def samplers(self, budgets, count: int | None = None) -> list[Sampler]:
        """For each budget up to the method's largest the sampler with as many steps as it allows, at least one.

        count: samples, where not those of the study.
        """
        first, second = (self.sampler.model_copy(update={"steps": steps}).nfe for steps in (1, 2))
        largest = self.method.largest or max(budgets)
        steps = {1 + (budget - first) // (second - first) for budget in budgets if first <= budget <= largest}
        more = {} if count is None else {"count": count, "batch_size": count}
        return [self.sampler.model_copy(update={"steps": number, **more}) for number in sorted(steps)]


class Langevin(Study):
    """The weight that each method finds of each mode, against the evaluations of the score that it costs a sample.

    methods: name -> see `Method`. A method that needs a density or the score of the target itself is left out where the
    denoiser is learned. budgets: evaluations a sample. count: samples. tolerance: a weight within it counts as found.
    separations: the second panel. floor_repeats: sets of exact samples for noise floors, bootstrap sets for standard
    errors.
    """

    uses = ("target", "denoiser", "schedule", "training")
    stages = {"train": ".train", "sample": ".sample", "analyse": ".analyse", "plot": draw_figures}
    figures = {"langevin": ".figure", "training": "scorelab.figures.training"}

    methods: dict[str, dict[str, Any]] = Field(min_length=1)
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
        for name in self.methods:
            method = self._method(name)
            own = all(str(node.get("_target_")).startswith("scorelab.") for node in (method.sampler, method.schedule))
            if own:  # classes of extensions are checked by `plans`, which knows the extensions
                self._plan(name, ())
        return self

    def needs_of_target(self):
        """The weights of the modes, and the law of the projection."""
        return ("projection", "modes")

    def require(self, config):
        """Every node must be of a class that the configuration may name."""
        self.plans(config)
        self.plans_of_separations(config)

    def plans(self, config) -> list[Plan]:
        """The methods that the run's denoiser can serve. Raises ConfigError for a node with a mistake."""
        denoiser = config["denoiser"].options or config["denoiser"].cls
        plans = [self._plan(name, config.general.extensions) for name in self.methods]
        return [plan for plan in plans if _fits(plan, denoiser)]

    def plans_of_separations(self, config) -> list[Plan]:
        """The methods of the second panel."""
        names = self.separations.methods if self.separations.distances else []
        return [self._plan(name, config.general.extensions) for name in dict.fromkeys(names)]

    def closing(self, metrics):
        """A row a method, below the row of exact samples."""
        found = metrics["langevin"]
        headings = ("", "evaluations", "mode weight", "± s.e.", "W1", "± s.e.")
        exact = (f"{found[key]:.4g}" for key in ("weight_exact", "weight_floor", "w1_floor"))
        rows = [("exact samples", "", *exact)]
        for name, method in found["methods"].items():
            keys = ("weight", "weight_standard_error", "w1", "w1_standard_error")
            rows.append((name, str(method["evaluations"]), *(f"{method[key]:.4g}" for key in keys)))
        return Table(headings, rows)

    def _method(self, name: str) -> Method:
        try:
            return Method.model_validate(self.methods[name])
        except pydantic.ValidationError as error:
            raise explain(error, f"study.methods.{name}", Method.model_fields) from None

    def _plan(self, name: str, extensions) -> Plan:
        method, key = self._method(name), f"study.methods.{name}"
        for given in GIVEN:
            if given in method.sampler:
                raise ConfigError(f"{key}.sampler.{given}: is given by study.count and study.budgets")
        node = method.sampler | {"count": self.count, "steps": 1, "batch_size": self.count, "output": "scaled"}
        try:
            sampler = component("sampler", node, extensions).build()
            schedule = component("schedule", method.schedule, extensions).build()
        except ConfigError as error:
            raise ConfigError(f"{key}.{error}") from None
        plan = Plan(name, method, sampler, schedule)
        planned = plan.samplers(self.budgets)
        if not planned:
            raise ConfigError(f"{key}: no budget of study.budgets lies between {sampler.nfe} and {method.largest}")
        try:
            for sampler in planned:
                sampler.require(schedule, Exact)
        except ValueError as error:
            raise ConfigError(f"{key}: {error}") from None
        return plan


def _fits(plan: Plan, denoiser) -> bool:
    try:
        plan.sampler.require(plan.schedule, denoiser)
    except ValueError:
        return False
    return True
