"""The contract of a study: it says what a run does, and what everything around the run has to know of the study."""

import importlib
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Literal

from scorelab.laws.estimate import shown
from scorelab.laws.section import Section, leaves, matches, stands_for_any
from scorelab.options import Options

#: a function, or the name of the module that has it: ".analyse" beside the class that declares it, or a full name
Place = str | Callable


def draw_figures(study, context):
    """Draw every figure whose arrays are there; most studies do this as their stage `plot`."""
    context.draw_figures()


@dataclass(frozen=True)
class Number:
    """A number of metrics.json that tables show.

    key: its dotted name. A part of three or more capitals, as METHOD, stands for any name, as in a `Section`; the name
    that is found takes the place of METHOD in every text of the number. name: its name in the closing table of a run
    and on axes. heading: the heading of its column in the table of a sweep, by default the name. held: what it is held
    against, a `floor` or an `exact` value; empty for neither. error, reference: dotted names of its standard error and
    of the value that it is held against, if they are not KEY_standard_error and KEY_floor or KEY_exact. scale: scale of
    an axis that it is drawn on.
    """

    key: str
    name: str
    heading: str = ""
    held: Literal["", "floor", "exact"] = ""
    error: str | None = None
    reference: str | None = None
    scale: Literal["linear", "log"] = "linear"

    @property
    def error_key(self) -> str:
        """Dotted name of the standard error."""
        return self.error or f"{self.key}_standard_error"

    @property
    def reference_key(self) -> str | None:
        """Dotted name of what the number is held against; None if it is held against nothing."""
        return self.reference or (f"{self.key}_{self.held}" if self.held else None)

    def among(self, keys: Collection[str]) -> "list[Number]":
        """The number itself or, if its key stands for several, one number for each of the dotted names that it stands
        for, in their order."""
        parts = self.key.split(".")
        if self.key in keys or not any(map(stands_for_any, parts)):
            return [self]
        found = (key.split(".") for key in keys)
        return [self._named(dict(zip(parts, each, strict=True))) for each in found if matches(parts, each)]

    def _named(self, names: Mapping[str, str]) -> "Number":
        texts = {each.name: getattr(self, each.name) for each in fields(self)}
        for part, name in names.items():
            if part != name:
                texts = {key: text and text.replace(part, name) for key, text in texts.items()}
        return replace(self, **texts)


class Cell(str):
    """The text of a cell, and the number that it shows."""

    number: float

    @classmethod
    def of(cls, number: float, text: str) -> "Cell":
        cell = cls(text)
        cell.number = number
        return cell


@dataclass(frozen=True)
class Table:
    """The closing table of a run, as text: headings, rows of cells, lines below them. A `Cell` has its number too."""

    headings: tuple[str, ...]
    rows: list[tuple[str, ...]]
    lines: tuple[str, ...] = ()


def lookup(metrics: Mapping, key: str | None) -> Any:
    """The value of metrics.json under a dotted name; None if there is none."""
    if key is None:
        return None
    value = metrics
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


class Study(Options):
    """What a run does, in stages.

    A subclass has a folder, with its stages, theory, measurements, claims and figures. The class variables below are
    all that the laboratory knows of a study, and a study of a user's own has the same ones. Each stage reads what the
    earlier stages left in the run directory and nothing else, so that a stage can be done again on its own.
    """

    #: groups of the configuration that the study uses; others are neither checked nor part of the run's identity
    uses: ClassVar[tuple[str, ...]] = ("target", "denoiser", "schedule", "sampler", "training")
    #: stage -> function (study, context), or the module whose function `run` it is; None where there is nothing to do.
    #: The stages are done in this order, and every stage depends on the stages before it.
    stages: ClassVar[Mapping[str, Place | None]] = {
        "train": None,
        "sample": None,
        "analyse": None,
        "plot": draw_figures,
    }
    #: stage -> groups that may still be changed when the stage is done again, as no earlier stage depends on them
    changes: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "sample": ("schedule", "sampler", "study"),
        "analyse": ("study",),
    }
    #: figure -> function from its arrays to a matplotlib Figure, or the module whose function `figure` it is; the
    #: figure NAME also draws the arrays that are named NAME-DETAIL
    figures: ClassVar[Mapping[str, Place]] = {}
    #: figures whose arrays have no nan; in other figures nan marks what was not measured
    complete: ClassVar[tuple[str, ...]] = ()
    #: the sections of metrics.json that the study writes, or the module whose tuple `SECTIONS` has the sections
    sections: ClassVar[str | tuple[Section, ...]] = ()
    #: numbers of the table that closes a run
    headline: ClassVar[tuple[Number, ...]] = ()
    #: numbers that a sweep's table has a column for
    columns: ClassVar[tuple[Number, ...]] = ()
    #: numbers that a sweep over several seeds compares in one figure
    compared: ClassVar[tuple[Number, ...]] = ()
    #: figure -> function from the (title, arrays) pairs of all jobs of a sweep to one Figure, or the module whose
    #: function `grid` it is
    overviews: ClassVar[Mapping[str, Place]] = {}
    #: dotted name of the number that a sweeper may minimise; None if there is none
    goal: ClassVar[str | None] = None
    #: node of the configuration that has the study's keys: `study`, or another node that only this study has
    keys: ClassVar[str] = "study"

    @classmethod
    def idle(cls, components: Mapping) -> tuple[str, ...]:
        """Groups of `uses` that have no use beside these components, group -> `scorelab.nodes.Component`; they are no
        part of the run's identity."""
        return ()

    def require(self, config) -> None:
        """Raise ConfigError if the study cannot run with the rest of a checked configuration."""

    def only_cpu(self, config) -> str | None:
        """Why a run of this configuration computes on the CPU whatever the key `device` says; None if it takes the
        device that is asked for. A study that takes one hands `context.device` to what trains and samples."""
        return f"the study {type(self).__name__} runs on the CPU"

    def plan(self, context) -> None:
        """Make the grids that the study will sample on, as far as they need no denoiser, so that one that cannot be
        made is found before anything is trained. Raises ConfigError, which names the key."""

    def memory_needed(self, n: int) -> dict[str, float]:
        """Keys of the study -> the bytes of memory that their values ask for at once, for samples of n entries; the
        key of a node inside is dotted."""
        return {}

    @classmethod
    def ahead(cls, contexts: list, denoisers: list) -> None:
        """Compute ahead, for several runs of this study at once, what their stages after the training ask of their
        denoisers, and keep it by `context.keep_ahead`; the stages take it by `context.ahead`. By default nothing is
        computed ahead.

        contexts: a `scorelab.lab.context.Context` of each run. denoisers: what each has trained, of one architecture,
        on its device. May raise `scorelab.denoisers.stacked.Unstackable`.
        """

    def listing(self, config) -> str | None:
        """What to print instead of running, for a checked configuration that asks for a list; None to run."""

    def run_stage(self, stage: str, context) -> None:
        """Do one stage; `context` is a `scorelab.lab.context.Context`."""
        if self.stages[stage] is not None:
            function_of(type(self), "stages", stage, "run")(self, context)

    def closing(self, metrics: Mapping) -> Table | None:
        """The table that ends a run: the numbers of `headline` that were measured, and lines that say what was not
        measured; None if there is neither."""
        keys = list(leaves(metrics))
        numbers = [each for number in self.headline for each in number.among(keys)]
        rows = [row for number in numbers if (row := _row(number, metrics)) is not None]
        lines = not_measured(metrics)
        return Table(("", "measured", "± s.e.", "held against"), rows, lines) if rows or lines else None


def _row(number: Number, metrics):
    value = lookup(metrics, number.key)
    if value is None:
        return None
    return row(
        number.name, value, lookup(metrics, number.error_key), number.held, lookup(metrics, number.reference_key)
    )


def not_measured(metrics: Mapping) -> tuple[str, ...]:
    """What was not measured, as metrics.json says: one line for each reason."""
    reasons = {}
    for key, why in metrics.get("not_measured", {}).items():
        reasons.setdefault(why, []).append(key)
    return tuple(f"not measured, as {why}: {_some(keys)}" for why, keys in reasons.items())


def _some(keys, most: int = 4) -> str:
    """The first of many names, and how many more there are."""
    more = f" and {len(keys) - most} more" if len(keys) > most else ""
    return ", ".join(keys[:most]) + more


def row(name: str, value: float, error: float | None, held: str = "", reference: float | None = None):
    """A row of a closing table: a number, its standard error, and what it is held against."""
    beside = "" if reference is None else Cell.of(reference, f"{held} {shown(reference)}")
    return name, *cells(value, error), beside


def cells(value: float | None, error: float | None) -> tuple[str, str]:
    """A number and its standard error as two cells of a table, each empty where there is none."""
    value = "" if value is None else Cell.of(value, shown(value))
    return value, "" if error is None else Cell.of(error, shown(error, digits=2))


def draw(cls: type[Study], name: str, arrays: Mapping, style: str | None = None):
    """Draw a figure that a study declares from its arrays, in the style of the house.

    name: of the figure; NAME-DETAIL is drawn as NAME. style: the text of a style on top of it.
    Raises KeyError for a figure that the study does not declare.
    """
    from scorelab.figures.style import house_style

    with house_style(style):
        return function_of(cls, "figures", name.partition("-")[0], "figure")(arrays)


def function_of(cls: type[Study], table: str, name: str, function: str) -> Callable:
    """The function that a table of a study (`stages`, `figures`, `overviews`) has under a name.

    Where the table has a module, the function is the one that the module calls `function`; the name of the module is
    relative to the class that declares the table. Raises KeyError for a name that the table does not have.
    """
    return _found(cls, table, getattr(cls, table)[name], function)


def sections_of(cls: type[Study]) -> tuple[Section, ...]:
    """The sections of metrics.json that a study declares."""
    return tuple(_found(cls, "sections", cls.sections, "SECTIONS"))


def _found(cls, variable, place, name):
    """What a place in a class variable of a study stands for: the place itself or, if the place names a module, what
    the module has under a name. The module's name is relative to the class that declares the variable."""
    if not isinstance(place, str):
        return place
    owner = next(base for base in cls.__mro__ if variable in vars(base))
    module = importlib.import_module(place, sys.modules[owner.__module__].__package__)
    return getattr(module, name)
