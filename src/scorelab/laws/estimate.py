"""A number that knows its error, and how numbers become keys of metrics.json."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

#: a number, or a list of them, over angles for instance
Value = Any


@dataclass(frozen=True)
class Estimate:
    """A measured number, or the reason why it was not measured.

    value: the number, or a list of numbers. standard_error: its standard error. floor: what exact samples, or the best
    estimator, would score with as many samples. floor_deviation: standard deviation of that over sets of samples.
    exact: the value that is known exactly. exact_at_T: the exact value at the finite end of the sampler's grid.
    not_measured: why there is no value. What is not known is None.
    """

    value: Value = None
    standard_error: Value = None
    floor: Value = None
    floor_deviation: Value = None
    exact: Value = None
    exact_at_T: Value = None
    not_measured: str | None = None

    @classmethod
    def missing(cls, why: str) -> "Estimate":
        """A number that could not be measured; `why` completes "not measured: ..."."""
        return cls(not_measured=why)

    def keys(self, name: str) -> dict[str, Value]:
        """The number as it stands in metrics.json: NAME, NAME_standard_error, NAME_floor and so on, those that are
        known."""
        parts = {part.name: getattr(self, part.name) for part in fields(self) if part.name != "not_measured"}
        suffixed = {name if part == "value" else f"{name}_{part}": value for part, value in parts.items()}
        return {key: value for key, value in suffixed.items() if value is not None}


def flatten(values: Mapping[str, Any], prefix: str = "") -> tuple[dict[str, Any], dict[str, str]]:
    """A dictionary of numbers, estimates and dictionaries as plain data, and what was not measured: dotted key -> why.

    prefix: the dotted name of the dictionary in metrics.json.
    """
    plain, missing = {}, {}
    for key, value in values.items():
        name = f"{prefix}.{key}" if prefix else key
        if isinstance(value, Mapping):
            plain[key], below = flatten(value, name)
            missing |= below
        elif not isinstance(value, Estimate):
            plain[key] = value
        elif value.not_measured is not None:
            missing[name] = value.not_measured
        else:
            plain |= value.keys(key)
    return plain, missing


def mean_and_error(values, axis: int = 0):
    """The mean of independent values along an axis and its standard error, std/sqrt(count), from at least two of them.

    values: an array of numpy or a tensor. Two floats where values are (count,), otherwise arrays or tensors without the
    axis. The standard deviation is taken with count - 1.
    """
    import numpy

    corrected = {"ddof": 1} if isinstance(values, numpy.ndarray) else {}
    mean, error = values.mean(axis), values.std(axis, **corrected) / math.sqrt(values.shape[axis])
    return (mean, error) if values.ndim > 1 else (float(mean), float(error))
