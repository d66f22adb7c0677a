"""What `conf/target` may say of densities: those in the plane, and the funnel."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, model_validator

from scorelab.errors import ConfigError, ScorelabError
from scorelab.nodes import HERE, own_function
from scorelab.options import Count, Positive, Several
from scorelab.targets.options import TargetOptions, number_or_list

#: shape -> how many rings, turns or cells along a side it has
_COUNTS = {"rings": 2, "spiral": 2, "checkerboard": 4}
#: the most points of the curves
_MOST = 20_000


def _function(value: Any, info: ValidationInfo) -> Any:
    """Check the name of a function of the user's own packages, or None."""
    if value is not None:
        own_function(value, (info.context or {}).get("extensions", ()))
    return value


def _box(value: Any) -> Any:
    """Check [low, high], or None."""
    if value is None:
        return None
    ends = number_or_list(value, "null and [low, high] with low < high")
    if not isinstance(ends, list) or len(ends) != 2 or not ends[0] < ends[1]:
        raise ValueError("allowed are null and [low, high] with low < high")
    return ends


class Density(TargetOptions):
    """A density in the plane.

    shape: `rings`, `moons` or `spiral`, curves with Gaussian noise around them (`scorelab.targets.Curves`),
    `checkerboard`, uniform on every second cell (`scorelab.targets.Boxes`), or `own`, a function of the user's
    (`scorelab.targets.PlaneDensity`). size: how far the shape reaches from 0. count: the number of rings, of turns of
    the spiral, or of cells along a side; null for 2, 2 and 4. width: the standard deviation of the noise around curves.
    function: `PACKAGE.MODULE.FUNCTION`, a function of points (count, 2) that returns the logarithm of the density up to
    a constant, (count,), of a package in `extensions`. box: [low, high], the square outside of which this density is
    negligible. accuracy: of its posterior mean, in standard deviations of X.
    """

    added: ClassVar = {"direction": None}

    shape: Literal["rings", "moons", "spiral", "checkerboard", "own"]
    size: Positive
    count: Annotated[Count, BeforeValidator(lambda value: value)] | None
    width: Positive
    function: Annotated[Any, BeforeValidator(_function)]
    box: Annotated[Any, BeforeValidator(_box)]
    accuracy: Positive

    @model_validator(mode="after")
    def _fitting(self):
        if self.shape == "own":
            for name, what in (("function", "PACKAGE.MODULE.FUNCTION"), ("box", "[low, high]")):
                if getattr(self, name) is None:
                    raise ValueError(f"{name} = null: shape = own needs {what}")
        for name in ("function", "box") if self.shape != "own" else ():
            if getattr(self, name) is not None:
                raise ValueError(f"{name} = {getattr(self, name)}: goes with shape = own, and not with {self.shape}")
        if self.count is not None and self.shape not in _COUNTS:
            raise ValueError(f"count = {self.count}: goes with {', '.join(_COUNTS)}, and not with {self.shape}")
        if self.shape in ("rings", "moons", "spiral"):
            if self.width > self.size:
                raise ValueError(f"width = {self.width:g}: at most size = {self.size:g} is needed")
            lengths = {"rings": 2 * self.number + 4, "spiral": 16 * self.number, "moons": 8}
            if lengths[self.shape] * self.size / self.width > _MOST:
                raise ValueError(f"width = {self.width:g}: too narrow for curves of this length; a wider one is needed")
        if self.shape == "checkerboard" and not 2 <= self.number <= 64:
            raise ValueError(f"count = {self.number}: a checkerboard has 2 to 64 cells along a side")
        return self

    @property
    def number(self) -> int:
        """The number of rings, turns or cells along a side; 0 for other shapes."""
        return _COUNTS.get(self.shape, 0) if self.count is None else self.count

    def build(self):
        from scorelab.targets.boxes import Boxes, checkerboard
        from scorelab.targets.curves import Curves, moons, rings, spiral

        if self.shape == "checkerboard":
            return Boxes(*checkerboard(self.number, self.size))
        if self.shape == "own":
            return self._own()
        made = {"rings": lambda: rings(self.number, self.size), "spiral": lambda: spiral(self.number, self.size)}
        return Curves(made.get(self.shape, lambda: moons(self.size))(), self.width)

    def _own(self):
        from scorelab.targets.plane_density import PlaneDensity

        function = own_function(self.function, (self.function.partition(".")[0],))  # which has been checked
        try:
            return PlaneDensity(function, *self.box, self.accuracy)
        except ScorelabError as error:
            key = str(error).split(" ")[0]
            where = "" if key in ("box", "accuracy") else f"function = {self.function}: "
            raise ConfigError(f"{HERE}.{where}{error}") from None


class NealsFunnel(TargetOptions):
    """A funnel; see `scorelab.targets.Funnel`.

    n: dimension, >= 2. scale: standard deviation of the first coordinate, in (0, 5]: the width of the others is
    exp(X_1/2).
    """

    n: Annotated[Several, Field(le=100_000)]
    scale: Annotated[Positive, Field(le=5)]

    def build(self):
        from scorelab.targets.funnel import Funnel

        return Funnel(self.n, self.scale)
