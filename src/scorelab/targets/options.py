"""What `conf/target` may say."""

import abc
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, model_validator

from scorelab.options import LARGEST, MOST, Count, OpenUnit, Options, Positive


class RandomDirection(Options):
    """A vector of the given Euclidean norm whose direction is drawn uniformly."""

    norm: Positive


def _vector(value: Any) -> Any:
    """Check a number, a list of numbers or {norm: r}; the length of a list is checked where n is known."""
    if isinstance(value, dict):
        return RandomDirection.model_validate(value)
    return number_or_list(value, "a number, a list of n numbers, or {norm: r} for a random direction of norm r")


def number_or_list(value: Any, allowed: str = "a number, or a list of n numbers") -> float | list[float]:
    """Check a number or a list of numbers, whose length is checked where n is known. Raises ValueError, which says what
    is allowed."""
    entries = value if isinstance(value, (list, tuple)) else [value]
    if not entries or any(isinstance(v, bool) or not isinstance(v, (int, float)) or v - v != 0 for v in entries):
        raise ValueError(f"allowed are {allowed}")
    if max(map(abs, entries)) > LARGEST:
        raise ValueError(f"allowed are numbers up to {LARGEST:g}")
    return [float(v) for v in value] if isinstance(value, (list, tuple)) else float(value)


#: a constant for every coordinate, a list of n numbers, or a random direction of a given norm
Vector = Annotated[Any, BeforeValidator(_vector)]


def vector(value, n: int, generator):
    """The tensor (n,), float64, that a checked `Vector` stands for."""
    import torch

    if isinstance(value, RandomDirection):
        direction = torch.randn(n, generator=generator, dtype=torch.float64)
        return direction * (value.norm / direction.norm())
    return torch.tensor(value, dtype=torch.float64).expand(n).clone()


def symmetric_rows(value: Any) -> Any:
    """Check the rows of a symmetric matrix of finite numbers, or None. Raises ValueError for anything else."""
    if value is None:
        return None
    if not isinstance(value, (list, tuple)) or not value or not all(isinstance(row, (list, tuple)) for row in value):
        raise ValueError("allowed is a list of n rows of n numbers; ${npy:FILE.npy} reads them from a file")
    rows = [number_or_list(row) for row in value]
    n = len(rows)
    for i, row in enumerate(rows):
        if len(row) != n:
            raise ValueError(f"row {i} has {len(row)} numbers, and there are {n} rows: a square matrix is needed")
    largest = max(abs(entry) for row in rows for entry in row)
    for i in range(n):
        for j in range(i):
            if abs(rows[i][j] - rows[j][i]) > 1e-12 * largest:
                found = f"entry ({j}, {i}) is {rows[j][i]:g}, entry ({i}, {j}) is {rows[i][j]:g}"
                raise ValueError(f"{found}: a symmetric matrix is needed")
    return rows


def _direction(value: Any) -> Any:
    """Check null, a number, a list of numbers, `pc`, {axis: i} or {modes: [i, j]}."""

    def place(number):
        return isinstance(number, int) and not isinstance(number, bool) and 0 <= number < MOST

    if value is None or value == "pc":
        return value
    if isinstance(value, dict):
        if set(value) == {"axis"} and place(value["axis"]):
            return dict(value)
        pair = value.get("modes") if set(value) == {"modes"} else None
        if isinstance(pair, (list, tuple)) and len(pair) == 2 and all(map(place, pair)) and pair[0] != pair[1]:
            return {"modes": list(pair)}
    kinds = "null (the target's own), pc (the leading principal component), {axis: i} and {modes: [i, j]}, the "
    kinds += "difference of two means, counted from 0, a number for every coordinate, and a list of n numbers"
    try:
        found = number_or_list(value, kinds)
    except TypeError:
        raise ValueError(f"allowed are {kinds}") from None
    if not any(found if isinstance(found, list) else [found]):
        raise ValueError("a direction other than 0 is needed")
    return found


#: the direction that samples are projected on
Direction = Annotated[Any, BeforeValidator(_direction)]


class TargetOptions(Options):
    """Base of the options that build a `Target`.

    direction: the direction that samples are projected on in the place of the target's own: null for its own, a number
    for every coordinate, a list of n numbers, `pc` for the leading principal component of length 1, {axis: i} or
    {modes: [i, j]} for the difference of the means of two modes, all counted from 0.
    """

    added: ClassVar = {"direction": None}

    direction: Direction = None

    @abc.abstractmethod
    def build(self, generator):
        """The target; `generator` draws what the options leave to chance."""

    def memory_needed(self) -> float:
        """The bytes that the target holds beside vectors of its n entries; 0 if it holds no more."""
        return 0.0

    def finished(self, made):
        """The target with the direction that was chosen. Raises ConfigError for one that it does not have."""
        if self.direction is None:
            return made
        from scorelab.targets.directions import direct

        return direct(made, self.direction)


class TwoModes(TargetOptions):
    """p N((1-p) a, I) + (1-p) N(-p a, I), equation (12) of Visconti 2025.

    p: weight of the right mode, in (0, 1). n: dimension, >= 1. a: difference of the modes' means.
    """

    p: OpenUnit
    n: Count
    a: Vector

    @model_validator(mode="after")
    def _difference(self):
        if isinstance(self.a, list) and len(self.a) != self.n:
            raise ValueError(f"a has {len(self.a)} entries, n = {self.n}: n entries are needed")
        if self.a == 0 or (isinstance(self.a, list) and not any(self.a)):
            raise ValueError(f"a = {self.a}: the modes lie on each other; a vector other than 0 is needed")
        return self

    def build(self, generator):
        from scorelab.targets.gaussian_mixture import GaussianMixture

        return GaussianMixture.two_modes(self.p, vector(self.a, self.n, generator))


class MixtureOfGammas(TargetOptions):
    """A mixture of K products of Gamma laws on (0, inf)^n.

    n: dimension. weights: K numbers > 0, normalised to sum 1. shapes: K entries, each a number > 0 or a list of n of
    them. rates: K numbers > 0; coordinate i of mode k has the mean shapes[k][i]/rates[k].
    """

    n: Count
    weights: list[Positive] = Field(min_length=1)
    shapes: list[Positive | list[Positive]]
    rates: list[Positive]

    @model_validator(mode="after")
    def _lengths(self):
        modes = len(self.weights)
        for name in ("shapes", "rates"):
            if len(getattr(self, name)) != modes:
                given = len(getattr(self, name))
                raise ValueError(f"{name} has {given} entries, weights has {modes}: one per mode is needed")
        for mode, shape in enumerate(self.shapes):
            if isinstance(shape, list) and len(shape) != self.n:
                raise ValueError(f"shapes[{mode}] has {len(shape)} entries, n = {self.n}: n entries are needed")
        return self

    def build(self, generator):
        import torch

        from scorelab.targets.gamma_mixture import GammaMixture

        shapes = torch.stack([vector(shape, self.n, generator) for shape in self.shapes])
        return GammaMixture(self.weights, shapes, self.rates)
