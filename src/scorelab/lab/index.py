"""The rows of many runs, read again only where the files of a run have changed.

The rows of the runs below a folder are kept in one file of the user's cache, in $XDG_CACHE_HOME/scorelab or
~/.cache/scorelab, so that a folder of runs may be read-only, and is only looked at. The file is a zip file with a list
in JSON for each column, so that a column that nobody asks for is not read, and nothing of it is executed. It is only a
cache: a row counts as long as the files of its run have the times, the sizes and the numbers on the disk that they had,
and a file that is damaged, of another version or cannot be written is as good as none. It is put in its place whole, so
that of two processes that write it at once the last one wins, and both are right.
"""

import contextlib
import hashlib
import io
import json
import os
import time
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import scorelab
from scorelab import files
from scorelab.errors import ScorelabError, one_line
from scorelab.lab import rows, runs
from scorelab.laws import estimate

#: up to so many rows are rather read again each time than that the file is written
_FEW = 30
#: seconds after which a file that did not change is at rest; some file systems count time in steps as long as this
_REST = 2.0
#: seconds without use after which the file of a folder is removed
_OLD = 90 * 86400
#: what reading a file raises that is damaged, or none of ours
_DAMAGED = (OSError, ValueError, TypeError, LookupError, RuntimeError, EOFError, zipfile.BadZipFile, zlib.error)
_PLAIN = (str, int, float, bool, type(None))


class Columns(Mapping):
    """The runs below a folder: name of a column -> a list with a value for each run, None where it has none.

    places: the paths of the runs, from the folder. A column is read when it is asked for, and may turn out to have no
    values.
    """

    def __init__(self, folder: Path | str):
        self.folder, self.places = Path(folder), runs.places(Path(folder))
        if os.path.isfile(self.folder / "status.json"):
            self.places.insert(0, ".")
        now, stamps = time.time_ns(), [rows.stamp(f"{folder}/{place}") for place in self.places]
        self._kept = _Kept.of(self.folder)
        self._find(stamps)
        new = {number for number, row in self._read.items() if _keeps(row) and _rests(stamps[number], now)}
        if len(new) > _FEW:
            self._keep([number for number, at in enumerate(self._from) if at is not None or number in new], stamps)

    def __iter__(self):
        return iter(self._columns)

    def __len__(self):
        return len(self._columns)

    def __getitem__(self, name: str) -> list:
        if self._columns[name] is None:
            if name in ("state", "error"):
                self._columns |= zip(("state", "error"), self._states(), strict=True)
            else:
                self._columns[name] = self._written(name)
        return self._columns[name]

    def _find(self, stamps):
        """Find the rows that are kept, and read the others."""
        known = self._kept.rows
        self._from = [known.get((place, *stamp)) for place, stamp in zip(self.places, stamps, strict=True)]
        self._read = {n: rows.row(self.folder / self.places[n]) for n, row in enumerate(self._from) if row is None}
        names = {*rows.LEADING[1:], *self._kept.names, *(name for row in self._read.values() for name in row)}
        self._columns = dict.fromkeys(rows.in_order(names))

    def _written(self, name: str) -> list:
        """A column as the files of the runs have it."""
        try:
            kept = self._kept.column(name)
        except _DAMAGED:
            self._kept = _Kept()
            self._find([()] * len(self.places))
            kept = []
        return [self._read[n].get(name) if row is None else kept[row] for n, row in enumerate(self._from)]

    def _states(self) -> tuple[list, list]:
        """The columns `state` and `error`, where a run that no process works at any more is interrupted."""
        states, errors = self._written("state"), self._written("error")
        for number, state in enumerate(states):
            try:
                states[number] = runs.Run(self.folder / self.places[number]).state_now(state)
            except ScorelabError as error:
                states[number], errors[number] = rows.UNREADABLE, one_line(error)
        return states, errors

    def _keep(self, numbers: list[int], stamps):
        """Write the rows of these runs."""
        columns = {name: self._written(name) for name in self._columns}
        parts = {name: [column[number] for number in numbers] for name, column in columns.items()}
        _Kept.write(self.folder, [(self.places[number], *stamps[number]) for number in numbers], parts)


class _Kept:
    """What the file of a folder keeps. rows: (place, stamps of its files) -> number of a row. names: of the columns."""

    def __init__(self):
        self.rows, self.names, self._file = {}, {}, None

    @classmethod
    def of(cls, folder: Path) -> "_Kept":
        """What is kept of a folder; nothing if its file is missing or damaged, or of another version."""
        kept = cls()
        try:
            path = _path(folder)
            kept._file = zipfile.ZipFile(path)
            head = kept._part("head")
            if head["of"] != _of(folder):
                return cls()
            kept.names = {name: str(number) for number, name in enumerate(head["names"])}
            kept.rows = {_key(row): number for number, row in enumerate(head["rows"])}
            with contextlib.suppress(OSError):
                os.utime(path)
        except _DAMAGED:
            return cls()
        return kept

    def column(self, name: str) -> list:
        """The values of a column, one for each row. Raises one of _DAMAGED."""
        if name not in self.names:
            return [None] * len(self.rows)
        values = self._part(self.names[name])
        if len(values) != len(self.rows) or not isinstance(values, list) or not {*map(type, values)} <= {*_PLAIN}:
            raise ValueError(name)
        return values

    def _part(self, name: str):
        return json.loads(self._file.read(name))

    @staticmethod
    def write(folder: Path, keys: list[tuple], columns: Mapping[str, list]):
        """Write what is kept of a folder, or leave it if that is not possible."""
        whole = io.BytesIO()
        with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as parts:
            parts.writestr("head", json.dumps({"of": _of(folder), "names": [*columns], "rows": keys}))
            for number, values in enumerate(columns.values()):
                parts.writestr(str(number), json.dumps(values))
        with contextlib.suppress(ScorelabError, *_DAMAGED):
            path = _path(folder)
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            files.write_bytes(path, whole.getvalue())
            files.remove_parts(path.parent)
            for other in path.parent.glob("*.runs.zip"):
                if time.time() - other.stat().st_mtime > _OLD:
                    other.unlink(missing_ok=True)


def _key(row) -> tuple:
    place, *stamp = row
    return place, *map(tuple, stamp)


def _path(folder: Path) -> Path:
    """The file of a folder. Raises RuntimeError where the user has no home."""
    given = Path(os.environ.get("XDG_CACHE_HOME") or "")
    cache = given if given.is_absolute() else Path.home() / ".cache"
    name = hashlib.sha256(os.fsencode(os.path.realpath(folder))).hexdigest()[:24]
    return cache / "scorelab" / f"{name}.runs.zip"


def _of(folder: Path) -> list[str]:
    """What a file is of: the folder, and the code that makes the rows."""
    code = b"".join(Path(module.__file__).read_bytes() for module in (rows, runs, files, estimate))
    return [os.path.realpath(folder), scorelab.__version__, hashlib.sha256(code).hexdigest()]


def _keeps(row: Mapping) -> bool:
    """Whether a row can be kept: why files cannot be read may change without them, and JSON has no dates, say."""
    return row["state"] != rows.UNREADABLE and all(isinstance(value, _PLAIN) for value in row.values())


def _rests(stamp, now: int) -> bool:
    """Whether the files of a run did not change shortly before they were looked at, and cannot change unseen now."""
    return max((time for times in stamp for time in times[:2]), default=0) < now - _REST * 1e9
