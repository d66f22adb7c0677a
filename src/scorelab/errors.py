"""Errors that a user can mend: each is one line that names the key, the value and what is allowed."""

import math
import numbers
import re


def printable(text: str) -> str:
    """A text as one line that a terminal only shows: whitespace becomes single blanks, and what steers a terminal or
    cannot be written, such as an escape character in a name from a file, is spelled out."""
    line = " ".join(str(text).split())
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in line)


class ScorelabError(Exception):
    """A mistake in the input or the surroundings; shown as one line, without a traceback."""

    def __str__(self):
        return printable(super().__str__())


class ConfigError(ScorelabError):
    """A configuration that cannot be run."""


class TrainingDiverged(ScorelabError):
    """A training loss that is no longer a number."""


def out_of_memory(error: BaseException) -> ScorelabError | None:
    """The line for an allocation that failed; None for any other error."""
    text = str(error)
    if not isinstance(error, MemoryError) and "allocate memory" not in text and "out of memory" not in text:
        return None
    asked = re.search(r"allocate (\d+) bytes", text)
    size = f" ({int(asked[1]) / 2**30:.3g} GiB were asked for at once)" if asked else ""
    return ScorelabError(f"not enough memory{size}; smaller counts, a smaller batch or a smaller network would fit")


def one_line(error: BaseException) -> str:
    """The message of an error on one line; the name of its class precedes it unless it is a ScorelabError."""
    text = printable(str(error))
    return text if isinstance(error, ScorelabError) else f"{type(error).__name__}: {text}"


def require_number(name: str, value, least: float, *, whole: bool = False, open_end: bool = False):
    """Raise ScorelabError unless a value is a finite number >= least, or > least where the end is open; whole: an
    integer."""
    kind = numbers.Integral if whole else numbers.Real
    fits = isinstance(value, kind) and not isinstance(value, bool) and math.isfinite(value)
    if not fits or value < least or (open_end and value == least):
        said = f"{'an integer' if whole else 'a number'} {'>' if open_end else '>='} {least} is needed"
        raise ScorelabError(f"{name} = {value}: {said}")
