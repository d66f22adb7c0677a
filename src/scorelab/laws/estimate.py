"""A number with its error: its parts, its keys in metrics.json, and its text."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

#: a number, or a list of numbers, for instance one number for each angle
Value = Any


#: standard errors, or deviations of exact samples, up to which two numbers are not told apart
DEVIATIONS = 4.0


@dataclass(frozen=True)
class Estimate:
    """A measured number, or the reason why it was not measured.

    value: the number, or a list of numbers. standard_error: its standard error. floor: the value that exact samples, or
    the best estimator, would reach with as many samples. floor_deviation: the standard deviation of the floor over sets
    of samples. exact: the value that is known exactly. exact_at_T: the exact value at the finite end of the sampler's
    grid. not_measured: why there is no value. A part that is not known is None.
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

        values: a numpy array or a tensor (count,). One value has no standard error. Without values the mean is missing,
        and `none` is the reason.
        """
        if not len(values):
            return cls.missing(none)
        return cls(*mean_and_error(values)) if len(values) > 1 else cls(float(values.mean()))

    @classmethod
    def share(cls, found, none: str = "there are no values") -> "Estimate":
        """The share of independent trials that succeed, and its standard error sqrt(p (1 - p)/count).

        Here p = (successes + 1/2)/(count + 1): also the share of trials that all succeed is not known exactly.

        found: true or false for each trial, an array or a tensor (count,). Without trials the share is missing, and
        `none` is the reason.
        """
        count, successes = len(found), float(found.sum())
        if not count:
            return cls.missing(none)
        p = (successes + 0.5) / (count + 1)
        return cls(successes / count, math.sqrt(p * (1 - p) / count))

    @classmethod
    def together(cls, estimates: Sequence["Estimate"]) -> "Estimate":
        """Several measured numbers as one estimate; its parts are lists in the same order."""
        return cls(
            **{
                part.name: [getattr(each, part.name) for each in estimates]
                for part in fields(cls)
                if part.name != "not_measured" and any(getattr(each, part.name) is not None for each in estimates)
            }
        )

    def keys(self, name: str) -> dict[str, Value]:
        """The known parts as they stand in metrics.json: NAME, NAME_standard_error, NAME_floor and so on."""
        parts = {part.name: getattr(self, part.name) for part in fields(self) if part.name != "not_measured"}
        suffixed = {name if part == "value" else f"{name}_{part}": value for part, value in parts.items()}
        return {key: value for key, value in suffixed.items() if value is not None}


def columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, Value]:
    """A list for each key of rows that have the same keys; estimates are together in one."""
    found = {key: [row[key] for row in rows] for key in rows[0]}
    return {
        key: Estimate.together(values) if isinstance(values[0], Estimate) else values for key, values in found.items()
    }


def flatten(values: Mapping[str, Any], prefix: str = "") -> tuple[dict[str, Any], dict[str, str]]:
    """Turn a dictionary of numbers, estimates and dictionaries into plain data.

    Returns the plain data, and for every number that was not measured its dotted key with the reason. prefix: the
    dotted name of the dictionary in metrics.json.
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


class Numbers(dict):
    """Numbers by name, as a file has them; NAME_se, a key of earlier versions, reads NAME_standard_error."""

    def __missing__(self, key):
        name = str(key).removesuffix("_se")
        if name == key:
            raise KeyError(key)
        return self[f"{name}_standard_error"]


def spelled_out(values: Mapping[str, Any]) -> Numbers:
    """Numbers by name, with each key NAME_se that stands beside a key NAME renamed to NAME_standard_error.

    Earlier runs wrote the short name. Dictionaries inside the values, also in lists, are renamed in the same way.
    """

    def inside(value):
        if isinstance(value, Mapping):
            return spelled_out(value)
        return [inside(item) for item in value] if isinstance(value, list) else value

    return Numbers({_full_name(key, values): inside(value) for key, value in values.items()})


def _full_name(key, beside):
    name = str(key).removesuffix("_se")
    return f"{name}_standard_error" if name != key and name in beside else key


def shown(value: float, error: float | None = None, digits: int | None = None, error_digits: int = 2) -> str:
    """A number as text: "value ± standard error", or the value alone if the error is None, 0 or not finite.

    digits: the significant digits of the value. By default a value alone has 4, and a value with an error ends at the
    last digit that the error shows. error_digits: the significant digits of the error.
    """
    if not error or not math.isfinite(error):
        return f"{value:.{digits or 4}g}"
    if digits is not None:
        return f"{value:.{digits}g} ± {error:.{error_digits}g}"
    place = error_digits - 1 - math.floor(math.log10(error))
    if max(abs(value), error) < 1e-4:  # fixed-point text would begin with many zeros
        first = math.floor(math.log10(max(abs(value), error)))
        return f"{value:.{max(place + first, 0)}e} ± {error:.{error_digits - 1}e}"
    return f"{value:.{max(place, 0)}f} ± {error:.{max(place, 0)}f}"


def mean_and_error(values, axis: int = 0):
    """The mean of at least two independent values along an axis, and its standard error std/sqrt(count).

    values: an array of numpy or a tensor. Returns two floats for values (count,), otherwise two arrays or tensors
    without the axis. The standard deviation divides by count - 1.
    """
    import numpy

    if values.ndim == 1 and bool((values == values[0]).all()):  # of whose mean rounding would make another number
        return float(values[0]), 0.0
    corrected = {"ddof": 1} if isinstance(values, numpy.ndarray) else {}
    mean, error = values.mean(axis), values.std(axis, **corrected) / math.sqrt(values.shape[axis])
    return (mean, error) if values.ndim > 1 else (float(mean), float(error))


def mean_over_causes(values, *causes):
    """The mean of values that share causes, as runs with the same seed do, and its standard error.

    values: numpy array (count,). causes: for each kind of cause a sequence of labels (count,). With G different labels
    the squared error of one kind is G/(G - 1) sum_g (sum over i with label g of value_i - mean)^2 / count^2, which for
    labels that differ in every value is var/count; those of several kinds are added. Where each label of one kind
    meets each of another, this counts what belongs to no single cause once too often, and is no smaller than the
    error. A kind with one label has no error. Returns two floats; the error is None if no kind has two labels.
    """
    import numpy

    values, squares = numpy.asarray(values, float), []
    same = bool((values == values[0]).all())
    mean = float(values[0] if same else values.mean())
    for labels in causes:
        _, place = numpy.unique(numpy.asarray(labels, dtype=str), return_inverse=True)
        sums = numpy.bincount(place, values - mean)
        if len(sums) > 1:
            squares.append(len(sums) / (len(sums) - 1) * float((sums**2).sum()) / len(values) ** 2)
    if not squares:
        return mean, None
    return mean, 0.0 if same else math.sqrt(sum(squares))
