"""Samplers of other libraries, held against exact answers: their orders, their biases, what a step costs."""

import itertools
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from scorelab.errors import ConfigError
from scorelab.options import Count, Options, Positive, Several, in_order
from scorelab.studies.base import Number, Study, Table, cells, lookup, not_measured

LIBRARIES = ("azula", "diffusers", "k_diffusion", "flow_matching", "torchdiffeq", "scorelab")


class Peer(Options):
    """One sampler. name: its name in metrics.json, lower-case letters, digits and underscores. title: in tables.
    library: a module of `scorelab.conformance.peers`. kind: a class or function of the library. options: of both, plain
    data. order: the order that is claimed; None if none is. claimed: the place of the claim. beside: the name of a
    sampler of ours that a user would take instead, or empty."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    title: str
    library: Literal[LIBRARIES]
    kind: Annotated[str, Field(pattern=r"^[A-Za-z]\w*$")]
    options: dict[str, Any] = Field(default_factory=dict)
    order: Positive | None
    claimed: str
    beside: str = ""


class Peers(Study):
    """Orders, biases, costs and failures of samplers of other libraries, beside ours. A sampler whose library is
    missing is not measured.

    peers: see `Peer`. only: names or libraries, or one alone; an empty list stands for all. steps: doubling numbers of
    steps, of the orders. evaluations: of the denoiser, at which biases are measured. paths: of the strong order;
    batches: parts of them, for its standard error. repeats: timings of a run, for the cost. check: whether all
    properties are checked. jobs: number of processes, of one thread each; None for `threads`, or else one for each
    core. docs: a folder that the page and its figure are also written to, or None.
    """

    uses = ()
    stages = {"analyse": ".analyse", "plot": ".plot"}
    figures = {"peers": ".figure"}
    sections = ".numbers"
    headline = (
        Number("peers.PEER.order", "order on a Gaussian, PEER", "order, PEER"),
        Number("peers.PEER.strong_order", "order of paths, PEER", "order of paths, PEER"),
    )
    columns = headline
    bookkeeping = ("jobs", "docs")
    writes = ("docs",)

    peers: list[Peer]
    only: Annotated[list[str], BeforeValidator(lambda value: [value] if isinstance(value, str) else value)]
    steps: Annotated[list[Annotated[Several, Field(le=2**12)]], BeforeValidator(in_order)] = Field(min_length=4)
    evaluations: Annotated[list[Annotated[Count, Field(le=2**12)]], BeforeValidator(in_order)] = Field(min_length=1)
    paths: Annotated[Several, Field(ge=64, le=10**6)]
    batches: Annotated[Several, Field(ge=8, le=64)]
    repeats: Annotated[Several, Field(ge=3, le=1000)]
    check: bool
    jobs: Count | None
    docs: str | None

    @field_validator("steps")
    @classmethod
    def _doubling(cls, steps):
        wrong = [after for before, after in itertools.pairwise(steps) if after != 2 * before]
        if wrong:
            raise ValueError(f"{wrong[0]} is not twice the number before it: doubling numbers are needed, as 8, 16, 32")
        return steps

    @model_validator(mode="after")
    def _known(self):
        names = [each.name for each in self.peers]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ConfigError(f"study.peers: the name {min(twice)} is given twice")
        unknown = sorted({*self.only} - {*names, *(each.library for each in self.peers)})
        if unknown:
            allowed = ", ".join([*dict.fromkeys(each.library for each in self.peers), *names])
            raise ConfigError(f"study.only = {unknown[0]}: allowed are {allowed}")
        for each in self.peers:
            if each.beside and each.beside not in names:
                raise ConfigError(
                    f"study.peers.{each.name}.beside = {each.beside}: the name of another sampler is needed"
                )
        if self.docs is not None and self.only:
            raise ConfigError(f"study.docs = {self.docs}: the page has every sampler; study.only: [] goes with it")
        return self

    @property
    def selected(self) -> list[Peer]:
        """The samplers that are asked for."""
        return [each for each in self.peers if not self.only or {each.name, each.library} & {*self.only}]

    def closing(self, metrics):
        """A row for each sampler: its orders beside the one that is claimed, and the properties that it fails."""
        rows = []
        for each in self.selected:
            found = lookup(metrics, f"peers.{each.name}") or {}
            if "cost" not in found:
                continue
            claim = "" if each.order is None else f"{each.order:g}"
            order = cells(found.get("order"), found.get("order_standard_error"))
            paths = cells(found.get("strong_order"), found.get("strong_order_standard_error"))
            rows.append((each.title, claim, *order, *paths, ", ".join(found.get("failures", ()))))
        lines = not_measured(metrics)
        if not rows and not lines:
            return None
        head = ("", "claimed", "order on a Gaussian", "± s.e.", "of paths", "± s.e.", "fails")
        return Table(head, rows, lines)
