"""Finding runs: every run below some directories as the rows of a table."""

import ast
from collections.abc import Iterable, Mapping
from pathlib import Path

from scorelab.errors import ScorelabError, one_line
from scorelab.lab.runs import Run, asked, beneath, flat, read_metrics
from scorelab.options import nearest

#: parts of a configuration that have a column of their class, beside the columns of their keys
_PARTS = ("target", "denoiser", "schedule", "sampler", "training", "study")
#: what an expression may have beside names
_ALLOWED = (ast.Expression, ast.BoolOp, ast.UnaryOp, ast.BinOp, ast.Compare, ast.Constant, ast.List, ast.Tuple)
_ALLOWED += (ast.boolop, ast.unaryop, ast.operator, ast.cmpop, ast.expr_context)


def runs(*directories: Path | str, where: str | None = None):
    """A pandas DataFrame with a row for each run at any depth below the directories, by default `outputs`; the replicas
    of a run are listed where the directory is that of the run.

    Columns: directory, state, time, error, asked (the overrides); target, denoiser and so on, the names of the classes;
    every key of the configuration by its dotted name, as `training.N`; every number of metrics.json with the prefix
    `metrics.`, as `metrics.projection.w1`. A run whose files are damaged has the state `unreadable`, and the reason.

    where: an expression of these names that a row has to satisfy, as "denoiser.L == 6 and metrics.projection.w1 < 0.01"
    (that of pandas.DataFrame.eval, without calls). Raises ScorelabError for a directory that is not there, and for an
    expression that cannot be read or has a name that no run has.
    """
    import pandas

    paths = (path for directory in directories or ("outputs",) for path in _below(Path(directory)))
    found = [_row(path) for path in dict.fromkeys(paths)]
    table = pandas.DataFrame(found, columns=None if found else ["directory", "state"])
    return table if where is None else _query(table, where)


def _below(directory: Path) -> Iterable[Path]:
    """The run directories at or below a directory."""
    if not directory.is_dir():
        raise ScorelabError(f"{directory}: no such directory")
    if (directory / "status.json").is_file():
        yield directory
    yield from (run.path for run in beneath(directory))


def _row(path: Path) -> dict:
    run, row = Run(path), {"directory": str(path), "state": "unreadable", "time": None, "error": None}
    try:
        status, saved = run.status, run.saved
        row |= {"time": status.get("time"), "error": status.get("error"), "asked": " ".join(_asked(run))}
        row |= {part: _class(saved[part]) for part in _PARTS if part in saved}
        keys = flat({key: value for key, value in saved.items() if key not in ("sweep", "figures", "stage", "run")})
        row |= {key: value for key, value in keys if value is not None and not key.endswith("_target_")}
        if (run / "metrics.json").is_file():
            row |= dict(flat(read_metrics(run / "metrics.json"), "metrics."))
        row["state"] = status["state"]
    except ScorelabError as error:
        row["error"] = one_line(error)
    return row


def _asked(run: Run) -> list[str]:
    return [f"{key}={value}" for key, value in asked(run.overrides).items()]


def _class(node) -> str | None:
    return str(node.get("_target_", "")).rpartition(".")[2] or None if isinstance(node, Mapping) else None


class _Columns(ast.NodeTransformer):
    """Put names of one word in the place of the dotted names of an expression, which can call and change nothing.

    names: dotted name -> word. Raises ValueError for what an expression may not have.
    """

    def __init__(self):
        self.names = {}

    def generic_visit(self, node):
        if not isinstance(node, _ALLOWED):
            raise ValueError("allowed are names, numbers, texts, comparisons, and, or, not, in")
        return super().generic_visit(node)

    def visit_Name(self, node):
        name = ast.unparse(node)
        return ast.Name(self.names.setdefault(name, f"column_{len(self.names)}"), node.ctx)

    def visit_Attribute(self, node):
        if not isinstance(node.value, (ast.Name, ast.Attribute)):
            self.generic_visit(node)
        return self.visit_Name(node)


def _query(table, where: str):
    """The rows for which an expression of names, numbers and texts is true."""
    columns = _Columns()
    try:
        plain = ast.unparse(columns.visit(ast.parse(where.strip(), mode="eval")))
    except (SyntaxError, ValueError) as error:
        raise ScorelabError(f"{where}: cannot be read ({one_line(error)})") from None
    if not len(table):
        return table
    for name in columns.names:
        if name not in table:
            raise ScorelabError(f"{where}: no run has {name}; {nearest(name, [*table])}")
    try:
        found = table[[*columns.names]].rename(columns=columns.names).eval(plain, engine="python")
    except Exception as error:  # whatever pandas raises, as for a text beside a number
        raise ScorelabError(f"{where}: cannot be read ({one_line(error)})") from None
    if str(getattr(found, "dtype", "")) != "bool":
        raise ScorelabError(f"{where}: is neither true nor false of a run")
    return table[found]
