"""Observation processes on one target: the error of each against the evaluations of the posterior that it takes."""

import dataclasses
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from scorelab.errors import ConfigError, ScorelabError
from scorelab.nodes import Component, Node
from scorelab.options import Count, Options, Several, nearest, with_identifiers
from scorelab.randomness import stream
from scorelab.studies.base import Number, Study, Table, cells, draw_figures, not_measured


class Localization(Options):
    """The picture of the processes as they localize.

    angles: at which the remaining uncertainty is measured. draws: exact samples that are observed for it. steps: of the
    path that is drawn.
    """

    angles: Several
    draws: Several
    steps: Count


class Processes(Study):
    """One target, and every process that the target allows.

    A process is left out, and the log says why, where the target does not know its posterior; if no process is left,
    the run ends before anything is computed.

    processes: name -> a node as in conf/process. steps: numbers of steps of each process; one whose paths are exact
    takes only the largest. count: samples of a set. repeats: sets. floor_repeats: sets of exact samples that the floor
    is measured on. learn: names of processes whose posterior mean is also learned, by the run's denoiser and training
    on the squared error of the posterior mean. localization: see `Localization`.
    """

    uses = ("target", "denoiser", "training")
    stages = {"train": ".train", "sample": ".sample", "analyse": ".analyse", "plot": draw_figures}
    changes = {"sample": ("study",), "analyse": ("study",)}
    figures = {"cost": ".figures.cost", "localization": ".figures.localization"}
    sections = ".numbers"
    columns = (
        Number("processes.exact.PROCESS.error_last", "error of PROCESS", "error PROCESS", "floor", scale="log"),
        Number("processes.error_floor", "error of exact samples", "error floor"),
    )

    processes: dict[str, Annotated[Component, Node("process")]] = Field(min_length=1)
    steps: list[Count] = Field(min_length=1)
    count: Several
    repeats: Several
    floor_repeats: Several
    learn: list[str]
    localization: Localization

    _names = field_validator("processes")(with_identifiers)

    @model_validator(mode="after")
    def _known(self):
        for name in self.learn:
            if name not in self.processes:
                raise ConfigError(f"study.learn = {name}: unknown; {nearest(name, self.processes)}")
        return self

    def on_target(self, name: str, context):
        """The process of a name on the run's target. Raises ScorelabError if the target does not allow it."""
        node, target = self.processes[name], context.target
        why = target.lacks(*node.options.needs_of_target())
        if why is None:
            made = dataclasses.replace(node, key=f"study.processes.{name}")
            process = made.build(n=target.n, target=target, generator=stream(context.seed, "process", name))
            why = process.lacks(target)
        if why is not None:
            raise ConfigError(f"study.processes.{name} cannot run with target {type(target).__name__}: {why}")
        return process

    def allowed(self, context) -> tuple[dict, list[str]]:
        """Name -> process, for the processes that the target allows; and why it does not allow the others.

        Raises ConfigError if there are none, and if one of `learn` is not among them.
        """
        found, why = {}, {}
        for name in self.processes:
            try:
                found[name] = self.on_target(name, context)
            except ScorelabError as error:
                why[name] = str(error)
        for name in [each for each in self.learn if each in why] or (list(why) if not found else []):
            raise ConfigError(why[name])
        for name in self.learn:
            found[name].require_learned(context.target)
        return found, list(why.values())

    def memory_needed(self, n: int) -> dict[str, float]:
        """The samples of a set, the states of the picture, and the angles of a path."""
        sizes = {"count": 16.0 * n * self.count, "steps": 200.0 * max(self.steps)}
        return sizes | {"floor_repeats": 8.0 * self.floor_repeats}

    def closing(self, metrics):
        """A row for each process with an exact posterior, and with a learned one."""
        found = metrics.get("processes")
        if found is None:  # the run has only been trained or sampled
            return super().closing(metrics)
        rows = []
        for posterior in ("exact", "learned"):
            for name, values in found.get(posterior, {}).items():
                reached = values.get("evaluations_at_floor")
                error = cells(values["error_last"], values["error_last_standard_error"])
                cost = f"{values['evaluations'][-1]:.4g}"
                rows.append((name, posterior, cost, *error, "not reached" if reached is None else f"{reached:.4g}"))
        headings = ("process", "posterior", "evaluations", found["distance"], "± s.e.", "evaluations to the floor")
        floor = " ± ".join(cells(found["error_floor"], found["error_floor_deviation"]))
        return Table(headings, rows, (f"{found['distance']} of as many exact samples: {floor}", *not_measured(metrics)))
