"""A number that knows its error: how it is measured, named in metrics.json, and printed."""

import math
from collections.abc import Mapping, Sequence
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

    @classmethod
    def mean(cls, values, none: str = "there are no values") -> "Estimate":
        """The mean of independent measurements, and its standard error std/sqrt(count).

        values: a numpy array (count,). One value has no standard error; without any, the mean is missing and `none`
        says why.
        """
        if not len(values):
            return cls.missing(none)
        return cls(*mean_and_error(values)) if len(values) > 1 else cls(float(values.mean()))

    @classmethod
    def together(cls, estimates: Sequence["Estimate"]) -> "Estimate":
        """Several measured numbers as one estimate, whose parts are lists in the same order."""
        return cls(
            **{
                part.name: [getattr(each, part.name) for each in estimates]
                for part in fields(cls)
                if part.name != "not_measured" and any(getattr(each, part.name) is not None for each in estimates)
            }
        )

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


def spelled_out(values: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers by name, where a standard error that is called NAME_se beside a NAME becomes NAME_standard_error.

    Earlier runs have the short name. Dictionaries inside, and dictionaries in lists, are treated alike.
    """

    def inside(value):
        if isinstance(value, Mapping):
            return spelled_out(value)
        return [inside(item) for item in value] if isinstance(value, list) else value

    return {_full_name(key, values): inside(value) for key, value in values.items()}


def _full_name(key, beside):
    name = str(key).removesuffix("_se")
    return f"{name}_standard_error" if name != key and name in beside else key


def shown(value: float, error: float | None = None, digits: int | None = None, error_digits: int = 2) -> str:
    """A number as text: "value ± standard error", or the value alone where the error is None, 0 or not finite.

    digits: significant ones of the value; by default 4 of a value alone, and beside an error as many as reach the last
    digit that the error shows. error_digits: significant ones of the error.
    """
    if not error or not math.isfinite(error):
        return f"{value:.{digits or 4}g}"
    if digits is not None:
        return f"{value:.{digits}g} ± {error:.{error_digits}g}"
    place = error_digits - 1 - math.floor(math.log10(error))
    if max(abs(value), error) < 1e-4:  # zeros would say nothing
        first = math.floor(math.log10(max(abs(value), error)))
        return f"{value:.{max(place + first, 0)}e} ± {error:.{error_digits - 1}e}"
    return f"{value:.{max(place, 0)}f} ± {error:.{max(place, 0)}f}"


def mean_and_error(values, axis: int = 0):
    """The mean of independent values along an axis and its standard error, std/sqrt(count), from at least two of them.

    values: an array of numpy or a tensor. Two floats where values are (count,), otherwise arrays or tensors without the
    axis. The standard deviation is taken with count - 1.
    """
    import numpy

    corrected = {"ddof": 1} if isinstance(values, numpy.ndarray) else {}
    mean, error = values.mean(axis), values.std(axis, **corrected) / math.sqrt(values.shape[axis])
    return (mean, error) if values.ndim > 1 else (float(mean), float(error))
