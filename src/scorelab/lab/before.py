"""What a finished run was before a stage of it is done again; it is put back if the stage does not come to its end.

Each file of the run gets a second name below `.before`. As every file is replaced and none is changed in its place,
these names keep the old content, and take neither time nor room.
"""

import contextlib
import os
import shutil
from pathlib import Path

from scorelab.errors import ScorelabError
from scorelab.files import is_part, read_json, second_name

NAME = ".before"
#: what no stage replaces: the log is appended to, the lock belongs to the process
_LEFT = (NAME, f"{NAME}.new", f"{NAME}.gone", ".lock", ".hydra")


def keep(directory: Path):
    """Give all files of a run their second names. Raises ScorelabError if that is not possible."""
    new = directory / f"{NAME}.new"
    try:
        _drop(new)
        for name in _files(directory):
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            second_name(directory / name, new / name)
        new.mkdir(exist_ok=True)
        _drop(directory / NAME)
        new.rename(directory / NAME)
    except OSError as error:
        raise ScorelabError(f"{directory}: cannot be kept as it was ({error.strerror})") from None


def settle(directory: Path):
    """Bring a stage that a killed process began to an end: the run is what it was, unless its state is `done` again."""
    try:
        done = read_json(directory / "status.json")["state"] == "done"
    except (ScorelabError, TypeError, KeyError):
        done = False
    if done:
        forget(directory)
    else:
        put_back(directory)


def forget(directory: Path):
    """Take the second names away: the stage came to its end."""
    _drop(directory / NAME)


def put_back(directory: Path) -> bool:
    """Make a run what it was, if `keep` was called and `forget` was not; return whether that is so.

    If it is cut short it can be done again. Raises ScorelabError if a file cannot be put back.
    """
    before = directory / NAME
    if before.is_symlink() or not before.is_dir():
        return False
    kept = _files(before)
    try:
        for name in set(_files(directory)) - set(kept):
            (directory / name).unlink()
        for name in kept:
            place, beside = directory / name, directory / f"{name}.back"
            place.parent.mkdir(parents=True, exist_ok=True)
            if not (place.is_file() and place.samefile(before / name)):
                beside.unlink(missing_ok=True)
                second_name(before / name, beside)
                os.replace(beside, place)
    except OSError as error:
        raise ScorelabError(f"{directory}: cannot be put back as it was ({error.strerror})") from None
    forget(directory)
    return True


def _files(directory: Path) -> list[Path]:
    """The files of a run that a stage may replace, relative to its directory."""
    found = []
    for folder, folders, files in os.walk(directory):
        if Path(folder) == directory:
            folders[:] = [name for name in folders if name not in _LEFT]
        paths = [Path(folder, name) for name in files]
        found += [path for path in paths if not (path.suffix == ".log" or path.name in _LEFT or is_part(path))]
    return [path.relative_to(directory) for path in found if path.is_file() and not path.is_symlink()]


def _drop(folder: Path):
    """Remove a folder at once for all who look for its name, then what is in it."""
    gone = folder.with_name(f"{NAME}.gone")
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(gone, ignore_errors=True)
        os.replace(folder, gone)
        shutil.rmtree(gone, ignore_errors=True)
