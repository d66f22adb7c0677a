"""What a sweep that optimises searches: the values of Hydra's grammar as dimensions.

denoiser=tanh,relu  choice(...)  glob(*)    one of these
denoiser.L=range(1,8)  range(0,1,0.25)      one of these numbers, which have an order; the end is left out
training.lr=interval(1e-4,1e-1)             any number between the ends
denoiser.m=int(interval(8,256))             any integer between the ends, both included
tag(log,interval(1e-4,1e-1))                the same, even in the logarithm; also of integers
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pydantic
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep

from scorelab.errors import ConfigError
from scorelab.options import Count, Options, Seed, as_list, explain, show


class Search(Options):
    """Options of the sweeper, which stand under hydra.sweeper; see docs/optimising.md.

    objective: dotted names of numbers of metrics.json; None for the goal of the study. directions: of each, or of all.
    sampler: how Optuna chooses. options: of its class. n_trials: how many trials there are in the end. n_jobs:
    how many are chosen and launched at a time. seed: what all choices follow from.
    """

    objective: Annotated[list[str], pydantic.BeforeValidator(as_list), pydantic.Field(min_length=1)] | None = None
    directions: Annotated[
        list[Literal["minimise", "maximise"]], pydantic.BeforeValidator(as_list), pydantic.Field(min_length=1)
    ] = ["minimise"]
    sampler: Literal["tpe", "random", "qmc", "nsgaii", "grid"] = "tpe"
    options: dict[str, Any] = {}
    n_trials: Count = 20
    n_jobs: Count = 1
    seed: Seed = 0

    @pydantic.field_validator("options", mode="before")
    @classmethod
    def _none(cls, value):
        return {} if value is None else value

    @classmethod
    def of(cls, given: Mapping[str, Any], where: str = "hydra.sweeper") -> "Search":
        """The checked options. where: they stand, for the message of a ConfigError."""
        try:
            return cls.model_validate(dict(given))
        except pydantic.ValidationError as error:
            raise explain(error, where, cls.model_fields) from None

    def of_numbers(self, objective: list[str]) -> "Search":
        """The same with the names of the numbers, and a direction for each. Raises ConfigError where they differ in
        number, and for a number that is named twice."""
        count = len(self.directions)
        if count not in (1, len(objective)):
            raise ConfigError(f"hydra.sweeper.directions: {count} for {len(objective)} numbers; one for each is needed")
        if len({*objective}) < len(objective):
            raise ConfigError(f"hydra.sweeper.objective = {show(objective)}: names a number twice")
        every = self.directions if count == len(objective) else self.directions * len(objective)
        return self.model_copy(update={"objective": objective, "directions": every})


@dataclass(frozen=True)
class Dimension:
    """A key and the values that it may take.

    key: as an override has it, with its + or ++. texts: the values as overrides have them, for values that can be
    counted; else None. low, high: ends of what has an order; None for choices. step: between numbers that can be
    counted. integer: whether only integers are meant. log: whether the logarithm is what is searched evenly.
    """

    key: str
    texts: tuple[str, ...] | None
    low: float | None = None
    high: float | None = None
    step: float | None = None
    integer: bool = False
    log: bool = False

    def distribution(self):
        """The same as a distribution of Optuna."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.low is None:
            return CategoricalDistribution(self.texts)
        if self.integer:
            return IntDistribution(self.low, self.high, log=self.log, step=self.step or 1)
        return FloatDistribution(self.low, self.high, log=self.log, step=self.step)

    def text(self, value) -> str:
        """A value that Optuna chose, as an override has it."""
        if self.low is None or self.texts is None:
            return str(value) if self.low is None else repr(value)
        return min(self.texts, key=lambda text: abs(float(text) - value))  # as it was written, and not 0.30000000000004

    def override(self, value) -> str:
        """KEY=VALUE for a value that Optuna chose."""
        return f"{self.key}={self.text(value)}"


def parse(words: list[str], config_loader) -> tuple[list[str], list[Dimension]]:
    """The overrides that all trials share, and the dimensions, of the overrides of a command line.

    Raises ConfigError for values that cannot be searched, and if there is nothing to search.
    """
    fixed, space = [], {}
    for override in OverridesParser.create(config_loader=config_loader).parse_overrides(words):
        if override.is_sweep_override():
            dimension = _dimension(override)
            if dimension.key in space:
                raise ConfigError(f"{dimension.key}: is given twice")
            space[dimension.key] = dimension
        elif not (override.key_or_group or "").startswith("sweep."):
            fixed.append(override.input_line)
    if not space:
        raise ConfigError("nothing to search: values are needed, as in 'training.lr=tag(log,interval(1e-4,1e-1))'")
    return fixed, list(space.values())


def _dimension(override: Override) -> Dimension:
    key, sweep, where = override.get_key_element(), override.value(), show(override.input_line)
    log = "log" in sweep.tags
    others = sorted(sweep.tags - {"log"})
    if others:
        raise ConfigError(f"{where}: tag {others[0]}: allowed is log; int(interval(...)) has integers")
    if isinstance(sweep, IntervalSweep):
        low, high, texts, step = sweep.start, sweep.end, None, None
        integer = isinstance(low, int) and isinstance(high, int)
    else:
        texts = tuple(dict.fromkeys(override.sweep_string_iterator()))
        if not texts:
            raise ConfigError(f"{where}: has no values")
        if not isinstance(sweep, RangeSweep):
            if log:
                raise ConfigError(
                    f"{where}: tag log: goes with numbers that have an order, interval(...) and range(...)"
                )
            return Dimension(key, texts)
        integer = all(text.lstrip("-").isdigit() for text in texts)
        low, high = sorted((int if integer else float)(texts[place]) for place in (0, -1))
        step = abs(sweep.step)
    if not low < high and texts is None:
        raise ConfigError(f"{where}: the end of an interval has to be above its start")
    if log and low <= 0:
        raise ConfigError(f"{where}: tag log: needs numbers > 0")
    if log and step not in (None, 1):
        raise ConfigError(f"{where}: tag log: goes with interval(...), and with range(...) in steps of 1")
    return Dimension(key, texts, low, high, step, integer, log)
