"""Removing runs: whole directories, which are runs and which nobody works at, and nothing else.

A directory is locked, looked at once more and renamed to a hidden name in one step before anything in it is removed, so
that whoever lists runs sees a whole run or none, also when the removal is stopped. What a killed process left under
such a name is removed by the next one.
"""

import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from scorelab.errors import ScorelabError
from scorelab.lab import locks
from scorelab.lab.rows import UNREADABLE
from scorelab.lab.runs import Run

#: the name of a directory that is being removed
_REMOVED = re.compile(r"\..+\.\d+\.removed")


@dataclass(frozen=True)
class Removable:
    """A run that may be removed: where it is, the state that it was listed with, its size in bytes."""

    path: Path
    state: str
    size: int


def removable(path: Path, state: str) -> Removable:
    """A run that was listed with a state. Raises ScorelabError for one that stays, with the reason."""
    if state == UNREADABLE:
        raise ScorelabError(f"{path}: its files cannot be read, so that it may be no run; it stays")
    if path.is_symlink():
        raise ScorelabError(f"{path}: is a link, which stays")
    if not ((path / "config.yaml").is_file() or (path / ".hydra").is_dir()):
        raise ScorelabError(f"{path}: has no config.yaml and no .hydra, so that it may be no run; it stays")
    above = next((one for one in path.absolute().parents if (one / "status.json").is_file()), None)
    if above is not None:
        raise ScorelabError(f"{path}: is a part of the run {above}, and stays")
    _require_idle(path)
    return Removable(path, state, _size(path))


def remove(run: Removable):
    """Remove a run. Raises ScorelabError if it stays: somebody works at it, its state has changed, or it cannot go."""
    path = run.path
    with locks.Lock(path):  # puts back what a run was before a stage of it was interrupted
        written = Run(path).written["state"]
        now = "interrupted" if written == "running" else written
        if now != run.state:
            raise ScorelabError(f"{path}: is {now} by now, and no longer {run.state}; it stays")
        _require_idle(path, own=True)
        hidden = path.with_name(f".{path.name[:100]}.{os.getpid()}.removed")
        try:
            os.rename(path, hidden)
        except OSError as error:
            raise ScorelabError(f"{path}: cannot be removed ({error.strerror})") from None
        _drop(hidden)
    if hidden.exists():
        raise ScorelabError(f"{hidden}: cannot be removed; it was {path}")


def remove_leftovers(folders: Iterable[Path]):
    """Remove what killed processes left of runs that they were removing in some folders."""
    for folder in folders:
        for path in folder.glob(".*.removed"):
            if _REMOVED.fullmatch(path.name) and path.is_dir() and not path.is_symlink():
                _drop(path)


def _drop(hidden: Path):
    """Remove a directory and what is in it; links are not followed. An interruption waits until this is done."""
    try:
        shutil.rmtree(hidden, ignore_errors=True)
    except KeyboardInterrupt:
        shutil.rmtree(hidden, ignore_errors=True)
        raise


def _require_idle(path: Path, own: bool = False):
    """Raise ScorelabError for a run that somebody works at, also in a folder of it, as a replica, or at its sweep.

    own: whether this process holds the lock of the run itself.
    """
    inside = (Path(folder) for folder, _, files in os.walk(path) if locks.NAME in files)
    for folder in (path.parent, *inside):
        owner = None if own and folder == path else locks.owner(folder)
        if owner is not None:
            what = "its sweep is running" if folder == path.parent else "is running"
            raise ScorelabError(f"{path}: {what}, {owner}; it stays")


def _size(path: Path) -> int:
    """The bytes of the files below a directory; links count as what they are."""
    size = 0
    for folder, _, files in os.walk(path):
        for name in files:
            try:
                size += os.lstat(os.path.join(folder, name)).st_size
            except OSError:  # removed meanwhile
                continue
    return size
