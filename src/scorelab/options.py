"""Options: what a configuration file may say, with its type, its range and its cross-field rules in one place.

Every option in `conf/` names one class. Where building the thing itself needs torch, the class named there is an
`Options` with a `build` method that imports the machinery, so that a configuration is checked without it.
"""

import difflib
import math
from typing import Annotated, Any

import pydantic
from pydantic import BeforeValidator, Field

from scorelab.errors import ConfigError


class Options(pydantic.BaseModel):
    """Typed, frozen values of one configuration node; unknown names are refused."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _no_bool(value):
    if isinstance(value, bool):
        raise ValueError("a number is needed, not a truth value")
    return value


#: an integer >= 1; `1e4` is one
Count = Annotated[int, BeforeValidator(_no_bool), Field(ge=1)]
#: an integer >= 0
Natural = Annotated[int, BeforeValidator(_no_bool), Field(ge=0)]
#: a finite number > 0
Positive = Annotated[float, BeforeValidator(_no_bool), Field(gt=0)]
#: a finite number >= 0
NonNegative = Annotated[float, BeforeValidator(_no_bool), Field(ge=0)]
#: a number strictly between 0 and 1
OpenUnit = Annotated[float, BeforeValidator(_no_bool), Field(gt=0, lt=1)]
#: a number in [0, 1)
Fraction = Annotated[float, BeforeValidator(_no_bool), Field(ge=0, lt=1)]
#: an angle in [0, pi/2)
Angle = Annotated[float, BeforeValidator(_no_bool), Field(ge=0, lt=math.pi / 2)]


def nearest(name: str, names) -> str:
    """A hint "; did you mean ...?" if one of `names` looks like `name`, and the valid names."""
    names = sorted(map(str, names))
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    return f"{hint}valid names: {', '.join(names) or 'none'}"


def explain(error: pydantic.ValidationError, key: str, valid_names) -> ConfigError:
    """One line for the first mistake that `error` lists below `key`: the key, the value, what is allowed."""
    mistake = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in (key, *mistake["loc"]) if str(part) and not _is_union_branch(part))
    kind, value = mistake["type"], mistake.get("input")
    others = len(error.errors()) - 1
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        return ConfigError(f"{where}: unknown key; {nearest(str(mistake['loc'][-1]), valid_names)}")
    if kind in ("missing", "missing_argument", "missing_keyword_only_argument"):
        return ConfigError(f"{where}: a value is needed")
    if kind == "value_error":  # raised by our own validators: the text says what is allowed
        text = str(mistake["ctx"]["error"])
        named = mistake["loc"] and not isinstance(value, dict)
        return ConfigError(f"{where} = {show(value)}: {text}" if named else f"{where}: {text}")
    text = mistake["msg"].replace("Input should be", "must be")
    more = f" (and {others} more mistakes in {key})" if others and "union" not in kind else ""
    return ConfigError(f"{where} = {show(value)}: {text}{more}")


def _is_union_branch(part) -> bool:
    return isinstance(part, str) and (part.startswith(("list[", "function-", "constrained-")) or part in ("float", "int"))


def show(value: Any) -> str:
    """A value as a user would type it, cut to one line."""
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
