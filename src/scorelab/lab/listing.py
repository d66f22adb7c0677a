"""The listing of runs: what differs between them, and their main numbers, as text that fits the terminal."""

import os
import shutil
import sys
from collections.abc import Iterable, Sequence

from scorelab.errors import printable
from scorelab.lab.finding import Found
from scorelab.lab.rows import METRICS, PARTS, asked_in
from scorelab.options import show

#: up to so many parameters have a column each; more share one column, which names what each run asked for
_PARAMETERS = 4
#: so many of the numbers of a study are listed
_NUMBERS = 4
#: the widths to which texts are cut, where there is no room
_LEAST = {"directory": 20, "asked": 20, "error": 12}


def listing(found: Found, numbers: Sequence[int], columns: Iterable[str] | None = None) -> str:
    """The runs `numbers` as text, with a heading, and a line that says how many there are, and where.

    columns: names; their values are shown as they are. By default the directory below what all have in common, the
    state, the parameters that were asked for and differ, the main numbers of the studies and the error. On a terminal
    what has no room is cut or left out, and a line says so.
    """
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    if columns is not None:
        names = list(dict.fromkeys(found.named(name, "--columns") for name in columns))
        return _text({name: [_cell(found[name][n]) for n in numbers] for name in names}, width) + _count(numbers)
    directories = [found["directory"][n] for n in numbers]
    common = _common(directories)
    table = {"directory": [os.path.relpath(path, common) if common else path for path in directories]}
    table |= (
        {"state": [_cell(found["state"][n]) for n in numbers]} | _parameters(found, numbers) | _main(found, numbers)
    )
    errors = [_cell(found["error"][n]) for n in numbers]
    if any(errors):
        table["error"] = errors
    table = {name: [printable(cell) for cell in cells] for name, cells in table.items()}
    left_out = _fit(table, width)
    lines = [f"{_count(numbers)}{f' below {printable(common)}' if common else ''}"]
    if left_out:
        lines.append(f"no room for {', '.join(left_out)}; --columns and --csv have every column")
    return _text(table, width) + "\n".join(lines)


def _count(numbers) -> str:
    return f"{len(numbers)} run{'s' if len(numbers) != 1 else ''}"


def _common(directories: list[str]) -> str:
    """The folder that all directories lie in."""
    try:
        return os.path.commonpath([os.path.dirname(path) for path in directories]) if directories else ""
    except ValueError:  # some of them are absolute
        return ""


def _parameters(found: Found, numbers) -> dict[str, list[str]]:
    """The overrides that not all of the runs have in common, one column for each where there are few of them."""
    asked = [asked_in(found["asked"][n]) for n in numbers]
    readable = [one for one, n in zip(asked, numbers, strict=True) if found["asked"][n] is not None]
    keys = dict.fromkeys(key for one in readable for key in one)
    keys = [key for key in keys if len({one.get(key) for one in readable}) > 1 and key not in ("run", "stage")]
    if len(keys) > _PARAMETERS:
        return {"asked": [" ".join(f"{key}={show(one[key])}" for key in keys if key in one) for one in asked]}
    return {
        key: [
            show(one[key]) if key in one else _configured(found, key, n) for one, n in zip(asked, numbers, strict=True)
        ]
        for key in keys
    }


def _configured(found: Found, key: str, number: int) -> str:
    """The value that a run has of a key that it was not asked for; of a group it is the class."""
    return _cell(found[key][number]) if key in found or key in PARTS else ""


def _main(found: Found, numbers) -> dict[str, list[str]]:
    """The numbers that the studies of the runs show in tables, without those that they are held against."""
    from scorelab import studies

    names = {}
    for study in dict.fromkeys(found["study"][n] for n in numbers) if "study" in found else ():
        declared = getattr(getattr(studies, study or "", None), "columns", ())
        declared = [one for number in declared for one in number.among([name.removeprefix(METRICS) for name in found])]
        held = {number.reference_key for number in declared}
        keys = [number.key for number in declared if number.key not in held and f"{METRICS}{number.key}" in found]
        keys = [key for key in keys if any(found[f"{METRICS}{key}"][n] is not None for n in numbers)]
        names |= dict.fromkeys(keys[:_NUMBERS])
    return {key: [_cell(found[f"{METRICS}{key}"][n]) for n in numbers] for key in names}


def _fit(table: dict[str, list[str]], width: int | None) -> list[str]:
    """Cut the texts of a table and drop numbers, from the last, until it is no wider than a terminal; return the names
    of the columns that were dropped."""
    dropped = []
    while width is not None and _wide(table) > width:
        texts = [name for name in _LEAST if name in table and _width(name, table[name]) > _LEAST[name]]
        numbers = [name for name in table if name not in (*_LEAST, "state")]
        if texts:
            widest = max(texts, key=lambda name: _width(name, table[name]))
            room = _width(widest, table[widest]) - (_wide(table) - width)
            table[widest] = [_cut(cell, max(room, _LEAST[widest])) for cell in table[widest]]
        elif numbers:
            dropped.append(numbers[-1])
            del table[numbers[-1]]
        else:
            break
    return dropped[::-1]


def _cut(cell: str, width: int) -> str:
    return cell if len(cell) <= width else f"{cell[: width - 1]}…"


def _width(name: str, cells: list[str]) -> int:
    return max(map(len, (name, *cells)))


def _wide(table: dict[str, list[str]]) -> int:
    return sum(_width(*column) + 2 for column in table.items()) - 2


def _text(table: dict[str, list[str]], width: int | None) -> str:
    """Columns beside each other, a line for each row."""
    widths = [_width(*column) for column in table.items()]
    rows = [tuple(table), *zip(*table.values(), strict=True)]
    lines = ("  ".join(cell.ljust(wide) for cell, wide in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "".join(f"{line}\n" for line in lines)


def _cell(value) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else printable(value)
