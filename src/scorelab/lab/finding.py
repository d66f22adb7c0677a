"""Finding runs: every run below some directories, as columns and as a table."""

import ast
from collections.abc import Iterable, Mapping
from pathlib import Path

from scorelab.errors import ScorelabError, one_line
from scorelab.lab.index import Columns
from scorelab.lab.rows import LEADING, METRICS, in_order
from scorelab.options import nearest

#: what an expression may have beside names
_ALLOWED = (ast.Expression, ast.BoolOp, ast.UnaryOp, ast.BinOp, ast.Compare, ast.Constant, ast.List, ast.Tuple)
_ALLOWED += (ast.boolop, ast.unaryop, ast.operator, ast.cmpop, ast.expr_context)


def runs(*directories: Path | str, where: str | None = None, columns: Iterable[str] | None = None):
    """A pandas DataFrame with a row for each run at any depth below the directories, by default `outputs`; the replicas
    of a run are listed where the directory is that of the run.

    Columns: directory, state, time, error, asked (the overrides); target, denoiser and so on, the names of the classes;
    every key of the configuration by its dotted name, as `training.N`; every number of metrics.json with the prefix
    `metrics.`, as `metrics.projection.w1`. A run whose files are damaged has the state `unreadable`, and the reason.

    where: an expression of these names that a row has to satisfy, as "denoiser.L == 6 and metrics.projection.w1 < 0.01"
    (that of pandas.DataFrame.eval, without calls); the prefix may be left out. columns: some of these names; by default
    all that a run has. Raises ScorelabError for a directory that is not there, for an expression that cannot be read,
    and for a name that no run has.
    """
    found = Found(directories)
    table = found.table(found.every if columns is None else [found.named(name, "columns") for name in columns])
    return table if where is None else table.iloc[found.numbers(where)]


class Found(Mapping):
    """The runs below some directories, each once: name of a column -> a list with a value for each run.

    A column is read when it is asked for. Raises ScorelabError for a directory that is not there.
    """

    def __init__(self, directories: Iterable[Path | str]):
        folders = [Path(directory) for directory in directories] or [Path("outputs")]
        for folder in folders:
            if not folder.is_dir():
                raise ScorelabError(f"{folder}: no such directory")
        self._folders = [Columns(folder) for folder in dict.fromkeys(folders)]
        paths = [str(each.folder / place) for each in self._folders for place in each.places]
        self._first = list({path: number for number, path in reversed([*enumerate(paths)])}.values())[::-1]
        self._known = {"directory": [paths[number] for number in self._first]}
        self._names = in_order({"directory", *(name for each in self._folders for name in each)})

    def __getitem__(self, name: str) -> list:
        if name not in self._known:
            if name not in self._names:
                raise KeyError(name)
            values = [value for each in self._folders for value in each.get(name, [None] * len(each.places))]
            self._known[name] = [values[number] for number in self._first]
        return self._known[name]

    def __iter__(self):
        return iter(self._names)

    def __len__(self):
        return len(self._names)

    @property
    def count(self) -> int:
        """The number of runs."""
        return len(self._first)

    @property
    def every(self) -> list[str]:
        """The names that a run has a value of, and those that there always are."""
        return [name for name in self if name in LEADING or self._has(name)]

    def named(self, name: str, where: str) -> str:
        """A name with its prefix. where: who asks, for the message. Raises ScorelabError if no run has it."""
        for known in (name, f"{METRICS}{name}"):
            if known in LEADING or not self.count or (known in self._names and self._has(known)):
                return known
        raise ScorelabError(f"{where}: no run has {name}; {nearest(name, self.every)}")

    def table(self, names: Iterable[str]):
        """A pandas DataFrame of some columns."""
        import pandas

        return pandas.DataFrame({name: self.get(name, []) for name in names})

    def numbers(self, where: str) -> list[int]:
        """The numbers of the runs for which an expression is true. Raises ScorelabError as `runs` does."""
        asked = _Names()
        try:
            plain = ast.unparse(asked.visit(ast.parse(where.strip(), mode="eval")))
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise ScorelabError(f"{where}: cannot be read ({one_line(error)})") from None
        if not self.count:
            return []
        table = self.table(dict.fromkeys(self.named(name, where) for name in asked.words))
        import pandas

        table = pandas.DataFrame({word: table[self.named(name, where)] for name, word in asked.words.items()})
        try:
            found = table.eval(plain, engine="python")
        except Exception as error:  # whatever pandas raises, as for a text beside a number
            raise ScorelabError(f"{where}: cannot be read ({one_line(error)})") from None
        if str(getattr(found, "dtype", "")) != "bool":
            raise ScorelabError(f"{where}: is neither true nor false of a run")
        return found.to_numpy().nonzero()[0].tolist()

    def _has(self, name: str) -> bool:
        return any(value is not None for value in self[name])


def is_expression(word: str) -> bool:
    """Whether a word is an expression that is true or false of a run, and no path: it compares, or has and, or, not."""
    try:
        top = ast.parse(word.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return isinstance(top, (ast.Compare, ast.BoolOp)) or (isinstance(top, ast.UnaryOp) and isinstance(top.op, ast.Not))


class _Names(ast.NodeTransformer):
    """Put names of one word in the place of the dotted names of an expression, which can call and change nothing.

    words: dotted name -> word. Raises ValueError for what an expression may not have.
    """

    def __init__(self):
        self.words = {}

    def generic_visit(self, node):
        if not isinstance(node, _ALLOWED):
            raise ValueError("allowed are names, numbers, texts, comparisons, and, or, not, in")
        return super().generic_visit(node)

    def visit_Name(self, node):
        name = ast.unparse(node)
        return ast.Name(self.words.setdefault(name, f"column_{len(self.words)}"), node.ctx)

    def visit_Attribute(self, node):
        if not isinstance(node.value, (ast.Name, ast.Attribute)):
            self.generic_visit(node)
        return self.visit_Name(node)
