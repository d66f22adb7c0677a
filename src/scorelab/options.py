"""Options: what a configuration file may say, with its type, its range and its cross-field rules in one place.

Every option in `conf/` names one class. If building the thing itself needs torch, this class is an `Options` whose
`build` method imports torch, so that a configuration is checked without torch.
"""

import difflib
import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, get_args

import pydantic
from pydantic import BeforeValidator, Field

from scorelab.errors import ConfigError


class Options(pydantic.BaseModel):
    """Typed, frozen values of one configuration node; unknown names are refused."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    #: keys that no result depends on; they are not part of a run's identity
    bookkeeping: ClassVar[tuple[str, ...]] = ()
    #: keys that name a place outside of the run directory, which training reads (and every stage, for a target), or
    #: which a stage writes to; a saved configuration does not choose them
    reads: ClassVar[tuple[str, ...]] = ()
    writes: ClassVar[tuple[str, ...]] = ()

    #: keys that earlier versions did not have -> the values that stand for what these versions did. Such a value is
    #: left out of the plain data, so that a configuration of an earlier version stays the same configuration
    added: ClassVar[Mapping[str, Any]] = {}

    @pydantic.model_serializer(mode="wrap")
    def _without_added(self, write):
        values = write(self)
        return {name: value for name, value in values.items() if name not in self.added or value != self.added[name]}

    def needs_of_target(self) -> tuple[str, ...]:
        """The capabilities that the run's target has to have, names of `scorelab.targets.CAPABILITIES`."""
        return ()

    def finished(self, made):
        """What the method `build` has made, with what all options of a group share."""
        return made


def _no_bool(value):
    if isinstance(value, bool):
        raise ValueError("a number is needed, not a truth value")
    return value


#: the upper ends of counts and of magnitudes: what lies above overflows somewhere, or would not end
MOST, LARGEST = 10**9, 1e15
#: an integer >= 1; `1e4` counts as an integer
Count = Annotated[int, BeforeValidator(_no_bool), Field(ge=1, le=MOST)]
#: an integer >= 2, for a number of values whose mean has a standard error
Several = Annotated[int, BeforeValidator(_no_bool), Field(ge=2, le=MOST)]
#: an integer >= 0
Natural = Annotated[int, BeforeValidator(_no_bool), Field(ge=0, le=MOST)]
#: the seed of a named stream of random numbers
Seed = Annotated[int, BeforeValidator(_no_bool), Field(ge=0, le=10**18)]
#: a number > 0
Positive = Annotated[float, BeforeValidator(_no_bool), Field(gt=0, le=LARGEST)]
#: a number >= 0
NonNegative = Annotated[float, BeforeValidator(_no_bool), Field(ge=0, le=LARGEST)]
#: a number strictly between 0 and 1
OpenUnit = Annotated[float, BeforeValidator(_no_bool), Field(gt=0, lt=1)]
#: a number in [0, 1)
Fraction = Annotated[float, BeforeValidator(_no_bool), Field(ge=0, lt=1)]
#: an angle in [0, pi/2)
Angle = Annotated[float, BeforeValidator(_no_bool), Field(ge=0, lt=math.pi / 2)]


def as_list(value):
    """A list of one number or word for the number or word alone; anything else stays."""
    return [value] if isinstance(value, (int, float, str)) else value


def in_order(values):
    """Return a list of numbers sorted and without repetitions; anything else stays, and pydantic refuses it."""
    numbers = isinstance(values, list) and all(isinstance(value, (int, float)) for value in values)
    return sorted(set(values)) if numbers else values


def with_identifiers(named: dict) -> dict:
    """Raise ValueError unless every key is a word of letters, digits and underscores; return the dictionary."""
    for name in named:
        if not name.isidentifier():
            raise ValueError(f"{name}: names of letters, digits and underscores are needed")
    return named


def nearest(name: str, names) -> str:
    """Return "did you mean NAME?" if one of `names` looks like `name`, followed by the valid names. Of names in another
    folder than `name`, as v1/ring, the folder alone is said."""
    names, folder = sorted(map(str, names)), name.rpartition("/")[0]
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    folders = ((each, each.rpartition("/")[0]) for each in names)
    shown = dict.fromkeys(f"{own}/NAME" if own not in ("", folder) else each for each, own in folders)
    return f"{hint}valid names: {', '.join(shown) or 'none'}"


def explain(error: pydantic.ValidationError, key: str, valid_fields) -> ConfigError:
    """Return the first mistake in `error` as one line: the key, the value, what is allowed.

    key: of the checked node. valid_fields: name -> field of the class that the node names.
    """
    mistake = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in (key, *mistake["loc"]) if str(part) and not _is_union_branch(part))
    kind, value = mistake["type"], mistake.get("input")
    if kind == "node":  # a mistake in a node inside this one; its text goes on where `where` ends
        return ConfigError(f"{where}{mistake['ctx']['text']}")
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        names = _fields_at(valid_fields, mistake["loc"][:-1])
        return ConfigError(f"{where}: unknown key; {nearest(str(mistake['loc'][-1]), names)}")
    if kind in ("missing", "missing_argument", "missing_keyword_only_argument"):
        return ConfigError(f"{where}: a value is needed")
    if kind == "value_error":  # raised by our own validators: the text says what is allowed
        text = str(mistake["ctx"]["error"])
        if mistake["loc"] and not isinstance(value, dict):
            return ConfigError(f"{where} = {show(value)}: {text}")
        first = text.split(" ")[0].rstrip(",:")
        begins_with_key = first in _fields_at(valid_fields, mistake["loc"])  # as the text of a rule for several keys
        return ConfigError(f"{where}.{text}" if begins_with_key else f"{where}: {text}")
    if kind in ("too_short", "too_long"):
        least = kind == "too_short"
        number = mistake["ctx"]["min_length" if least else "max_length"]
        text = f"at {'least' if least else 'most'} {number} value{'s'[: number != 1]} needed"
        return ConfigError(f"{where} = {show(value)}: {text}")
    text = mistake["msg"].replace("Input should be", "must be")
    *place, last = mistake["loc"] or [""]
    field = _fields_at(valid_fields, place).get(str(last))
    if field is not None and kind.startswith(("greater_than", "less_than", "int_", "float_", "finite_")):
        text = _range(field) or text
    return ConfigError(f"{where} = {show(value)}: {text}")


def _fields_at(fields, path):
    """The fields of the options at a path of keys; a dictionary or a list has options of one class."""
    here = None
    for part in path:
        if fields:
            here = fields[part].annotation if part in fields else None
        else:
            here = get_args(here)[-1] if get_args(here) else None
        fields = getattr(here, "model_fields", {})
    return fields


def _range(field) -> str:
    """The values that a numeric field allows, as "allowed is an integer >= 1"; empty if the field has no bounds."""
    parts = [part for part in get_args(field.annotation) if part is not type(None)]  # of a type that may be null
    whole = int in (field.annotation, *parts, *(get_args(part)[0] for part in parts if get_args(part)))
    optional = (rule for part in parts for rule in getattr(part, "__metadata__", ()))
    rules = [bound for rule in (*field.metadata, *optional) for bound in getattr(rule, "metadata", (rule,))]

    def ends(**signs):
        return sorted(
            (getattr(rule, name), sign) for rule in rules for name, sign in signs.items() if hasattr(rule, name)
        )

    tightest = [*ends(gt=">", ge=">=")[-1:], *ends(lt="<", le="<=")[:1]]
    bounds = [f"{sign} {value:.6g}" for value, sign in tightest]
    return f"allowed is {'an integer' if whole else 'a number'} {' and '.join(bounds)}" if bounds else ""


def _is_union_branch(part) -> bool:
    return isinstance(part, str) and (
        part.startswith(("list[", "function-", "constrained-")) or part in ("float", "int")
    )


def show(value: Any) -> str:
    """A value as a user would type it, cut to 80 characters."""
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
