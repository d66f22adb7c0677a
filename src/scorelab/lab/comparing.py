"""Two runs, or the jobs of two sweeps, side by side: what was asked for, with what they ran, and what they found."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from scorelab.errors import ScorelabError, printable
from scorelab.lab.runs import Run, asked, places, read_metrics
from scorelab.laws.estimate import DEVIATIONS, shown
from scorelab.options import show

#: verdicts
EQUAL, UNDECIDED, DIFFERS, TIME, ONE_SIDED = "equal", "undecided", "differs", "time", "in one only"
#: ends of the keys that are parts of another number, and of the numbers that say how long something took
_PARTS = ("_standard_error", "_floor", "_floor_deviation", "_exact", "_exact_at_T")
_TIMES = ("seconds", "samples_per_second")
COLUMNS = ("job", "kind", "key", "a", "b", "difference", "standard_error", "in_errors", "verdict")


def diff(a: Path | str, b: Path | str):
    """A pandas DataFrame with what two runs have, or the jobs of the same number of two sweeps, side by side.

    Columns: job (its place below both directories, empty for two runs), kind, key, a, b, difference (b - a),
    standard_error (of the difference), in_errors (their quotient), verdict. The kinds are `override`, `configuration`
    and `version`, of which the rows are those that differ, `number`, with every number of metrics.json, `state` where
    the states differ, and `job` for a job that one directory has alone. A number of a list has the key NAME[k].

    The standard error of a difference is sqrt(s_a^2 + s_b^2): that of independent runs. Runs with common random
    numbers, as of one seed, may differ by less than it says. A number is `equal` if both are to the last bit, with
    their errors, floors and exact values, `undecided` up to four standard errors, and `differs` beyond, or without a
    standard error; `time` is how long something took. Raises ScorelabError for a directory that has no runs, for a run
    beside a sweep, and for files that are damaged.
    """
    import pandas

    return pandas.DataFrame(_rows(Path(a), Path(b)), columns=COLUMNS)


def same(table) -> bool:
    """Whether nothing differs but times."""
    return bool(table["verdict"].isin([EQUAL, TIME]).all())


def text(table, names: tuple[str, str], every: bool = False) -> str:
    """A table of `diff` as text. names: of a and b. every: with all numbers; else of two runs those that are not equal
    and no times, of a list the one that is farthest apart, and of several jobs only how many there are."""
    lines = [f"a  {printable(names[0])}", f"b  {printable(names[1])}"]
    jobs = [(job, part.to_dict("records")) for job, part in table.groupby("job", sort=False)]
    for job, rows in jobs:
        numbers = [row for row in rows if row["kind"] == "number"]
        shown = numbers if every else _telling(numbers) if len(jobs) == 1 else []
        lines += ["", *([f"job {printable(job)}"] if job else [])]
        lines += [*_lines([row for row in rows if row["kind"] != "number"] + shown), _counted(numbers)]
    return "\n".join(lines)


def _rows(a: Path, b: Path) -> Iterator[dict]:
    for path in (a, b):
        if not path.is_dir():
            raise ScorelabError(f"{path}: no such directory")
    single = [(path / "status.json").is_file() for path in (a, b)]
    if all(single):
        return _of_runs("", Run(a), Run(b))
    jobs = [{} if one else dict.fromkeys(places(path)) for one, path in zip(single, (a, b), strict=True)]
    for path, found in zip((a, b), jobs, strict=True):
        if not found:
            why = "is one run, and the other one is none" if any(single) else "no run directory below it"
            raise ScorelabError(f"{path}: {why}")
    return _of_folders(a, b, *jobs)


def _of_folders(a: Path, b: Path, ours: dict, theirs: dict) -> Iterator[dict]:
    for job in {**ours, **theirs}:
        if job in ours and job in theirs:
            yield from _of_runs(job, Run(a / job), Run(b / job))
        else:
            there = ["there" if job in found else None for found in (ours, theirs)]
            yield _row(job, "job", job, *there, ONE_SIDED)


def _of_runs(job: str, a: Run, b: Run) -> Iterator[dict]:
    if a.state != b.state:
        yield _row(job, "state", "state", a.state, b.state, DIFFERS)
    yield from _settings(job, "override", *(asked(run.overrides) for run in (a, b)))
    saved = [{key: value for key, value in run.saved.items() if key != "sweep"} for run in (a, b)]
    yield from _settings(job, "configuration", *(dict(_flat(one)) for one in saved))
    metrics = [read_metrics(run / "metrics.json") if (run / "metrics.json").is_file() else {} for run in (a, b)]
    about = [dict(_flat({"run": one.get("run", {})})) for one in metrics]
    yield from _settings(job, "version", *({key: one[key] for key in one if _is_version(key)} for one in about))
    numbers = [dict(_flat({key: one[key] for key in one if key not in ("run", "not_measured")})) for one in metrics]
    for key in {**numbers[0], **numbers[1]}:
        if not key.partition("[")[0].endswith(_PARTS) and not key.endswith(".standard_error"):
            yield _number(job, key, *numbers)


def _is_version(key: str) -> bool:
    return key.startswith("run.versions.") or key in ("run.git_commit", "run.device")


def _settings(job: str, kind: str, a: Mapping, b: Mapping) -> Iterator[dict]:
    """The keys whose values differ."""
    for key in {**a, **b}:
        if key not in a or key not in b:
            yield _row(job, kind, key, a.get(key), b.get(key), ONE_SIDED)
        elif a[key] != b[key]:
            yield _row(job, kind, key, a[key], b[key], DIFFERS)


def _number(job: str, key: str, *both: Mapping) -> dict:
    a, b = (one.get(key) for one in both)
    if any(key not in one for one in both):
        return _row(job, "number", key, a, b, ONE_SIDED)
    name, bracket, place = key.partition("[")
    parts = [key, *(f"{name}{part}{bracket}{place}" for part in _PARTS)]
    errors = [_error(one, key) for one in both]
    if [both[0].get(part) for part in parts] == [both[1].get(part) for part in parts] and errors[0] == errors[1]:
        return _row(job, "number", key, a, b, EQUAL)
    if key.endswith(_TIMES):
        return _row(job, "number", key, a, b, TIME)
    if not all(isinstance(value, (int, float)) for value in (a, b)):
        return _row(job, "number", key, a, b, DIFFERS)
    row = _row(job, "number", key, a, b, DIFFERS) | {"difference": b - a}
    if all(isinstance(error, (int, float)) for error in errors) and math.hypot(*errors) > 0:
        error = math.hypot(*errors)
        row |= {"standard_error": error, "in_errors": (b - a) / error}
        row["verdict"] = UNDECIDED if abs(b - a) <= DEVIATIONS * error else DIFFERS
    return row


def _error(numbers: Mapping, key: str):
    """The standard error of a number: NAME_standard_error, for NAME[k] NAME_standard_error[k], and for a total that of
    its section."""
    name, bracket, place = key.partition("[")
    own = numbers.get(f"{name}_standard_error{bracket}{place}")
    section, _, last = name.rpartition(".")
    return numbers.get(f"{section}.standard_error") if own is None and last == "total" else own


def _flat(node, name: str = "") -> Iterator[tuple[str, object]]:
    """(dotted name, value) of what is no mapping and no list."""
    if isinstance(node, Mapping) and (node or not name):
        for key, value in node.items():
            yield from _flat(value, f"{name}.{key}" if name else str(key))
    elif isinstance(node, list) and node:
        for place, value in enumerate(node):
            yield from _flat(value, f"{name}[{place}]")
    else:
        yield name, node


def _row(job: str, kind: str, key: str, a, b, verdict: str) -> dict:
    return {"job": job, "kind": kind, "key": key, "a": a, "b": b, "verdict": verdict}


def _telling(numbers: list[dict]) -> list[dict]:
    """The numbers that are not equal and no times; of those of a list the one that is farthest apart."""
    found = {}
    for row in numbers:
        if row["verdict"] not in (EQUAL, TIME):
            found.setdefault(row["key"].partition("[")[0], []).append(row)
    return [max(rows, key=lambda row: abs(row["in_errors"]) if _is(row["in_errors"]) else 0) for rows in found.values()]


def _lines(rows: list[dict]) -> list[str]:
    cells = [("", "", "a", "b", "b - a", "")]
    for row in rows:
        error = row["standard_error"] if _is(row["standard_error"]) else None
        change = shown(row["difference"], error) if _is(row["difference"]) else ""
        told = f"{row['verdict']}, {row['in_errors']:+.1f} s.e." if error is not None else row["verdict"]
        told = told if row["kind"] == "number" else ""
        cells.append((row["kind"], row["key"], _value(row["a"]), _value(row["b"]), change, told))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in cells] if rows else []


def _counted(numbers: list[dict]) -> str:
    told = {
        EQUAL: "equal to the last bit",
        UNDECIDED: f"undecided, up to {DEVIATIONS:.0f} s.e. apart",
        DIFFERS: "differ",
    }
    told |= {ONE_SIDED: "in one only", TIME: "are times"}
    counts = Counter(row["verdict"] for row in numbers)
    summed = "; ".join(f"{counts[verdict]} {what}" for verdict, what in told.items() if counts[verdict])
    return f"of {len(numbers)} numbers {summed}" if numbers else "no numbers"


def _is(value) -> bool:
    return value is not None and value == value


def _value(value) -> str:
    if not _is(value):
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else show(value)
