"""Files that are written whole or not at all, and directories that are not left by a link."""

import contextlib
import fcntl
import itertools
import json
import math
import os
import re
import shutil
import stat
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path

import pydantic
import yaml

from scorelab.errors import ScorelabError, one_line

#: the name that a file has while it is written; it says whose file it becomes, and which process writes it
_PART = re.compile(r"\..+\.\d+\.part")
#: what is read of a text: so many bytes, so deep, and so many values of YAML, whose aliases are written out later
_MOST_BYTES, _DEPTH, _MOST_VALUES = {"json": 2**28, "yaml": 2**22}, 64, 10**6
#: the parser of libyaml, where PyYAML has it, is six times as fast and makes the same plain data
_YAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def write_chunks(path: Path, chunks: Iterable[bytes]):
    """Write the chunks to a file beside `path`, then rename this file to `path` in one step.

    An existing file stays as it is until the rename, and no half-written file is left behind. If `path` is a link, the
    link is replaced, not the file that it leads to. Raises ScorelabError if the file cannot be written, for example on
    a full disk; other errors that `chunks` raises pass through.
    """
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        beside.unlink(missing_ok=True)
        with open(beside, "xb") as file:  # never through a link that waits under this name
            _lock(file)  # tells `remove_parts` that somebody writes
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError as error:
        raise ScorelabError(f"{path}: cannot be written ({error.strerror or error})") from None
    finally:
        with contextlib.suppress(OSError):  # where nothing can be removed, the error above says why
            beside.unlink(missing_ok=True)


def remove_parts(folder: Path | str):
    """Remove what killed processes left half-written in a folder, but not in the folders below it.

    Only files with a name that `write_chunks` gives, which nobody writes any more, are removed.
    """
    for path in Path(folder).glob(".*.part"):
        if is_part(path) and not path.is_symlink() and path.is_file():
            with contextlib.suppress(OSError), open(path, "rb") as file:
                _lock(file)
                path.unlink()


def is_part(path: Path) -> bool:
    """Whether a file has the name that `write_chunks` gives to a file while it is written."""
    return _PART.fullmatch(path.name) is not None


def make_folder(path: Path | str):
    """Make a folder and the folders above it. Raises ScorelabError if it cannot be made, as where a file stands."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ScorelabError(f"{path}: cannot be made ({error.strerror})") from None


def require_folder(path: Path | str):
    """Raise ScorelabError for a folder in which nothing could be written; it need not be there yet, and is not made."""
    above = next(each for each in (Path(path).absolute(), *Path(path).absolute().parents) if os.path.lexists(each))
    if not above.is_dir():
        raise ScorelabError(f"{path}: cannot be made, as {above} is no folder")
    if not os.access(above, os.W_OK):
        raise ScorelabError(f"{path}: cannot be made, as {above} cannot be written to")


def remove(path: Path | str):
    """Remove a file, if there is one. Raises ScorelabError if it cannot be removed."""
    try:
        Path(path).unlink(missing_ok=True)
    except OSError as error:
        raise ScorelabError(f"{path}: cannot be removed ({error.strerror})") from None


def remove_all_but(folder: Path, names):
    """Remove what is in a folder, but for some names."""
    for path in Path(folder).iterdir():
        if path.name not in names:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def write_bytes(path: Path, content: bytes):
    """Write bytes as `write_chunks` does."""
    write_chunks(path, [content])


def write_text(path: Path, text: str):
    """Write text, in UTF-8, as `write_chunks` does; a lone surrogate, which UTF-8 cannot hold, is spelled out."""
    write_bytes(path, text.encode(errors="backslashreplace"))


def write_json(path: Path, content):
    """Write JSON as `write_chunks` does; numbers that JSON cannot hold (nan, inf) become null."""
    write_text(path, json.dumps(_finite(content), indent=2) + "\n")


def read_json(path: Path):
    """The content of a JSON file. Raises ScorelabError if it is missing or damaged, or nested too deeply."""
    try:
        return _plain(json.loads(_text(path, _MOST_BYTES["json"]), parse_constant=_no_number))
    except FileNotFoundError:
        raise ScorelabError(f"{path}: no such file") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ScorelabError(f"{path}: not a whole JSON file ({_why(error)})") from None


def read_yaml(path: Path):
    """The content of a YAML file, plain data; None if there is no file.

    Raises ScorelabError if it cannot be read, is nested too deeply, or is too large once its aliases are written out.
    """
    try:
        return _plain(yaml.load(_text(path, _MOST_BYTES["yaml"]), _YAML), _MOST_VALUES)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise ScorelabError(f"{path}: cannot be read ({_why(error)})") from None


def first_comment(path: Path) -> list[str]:
    """The lines of the comment that a YAML file begins with, each without its #."""
    lines = itertools.takewhile(lambda line: line.startswith("#"), path.read_text(encoding="utf-8").splitlines())
    return [line.removeprefix("#") for line in lines]


def config_folder() -> Path:
    """The folder `conf`, in an installed package or at the root of a checkout. Raises ScorelabError without it."""
    here = Path(__file__).resolve().parent
    for folder in (here / "conf", here.parents[1] / "conf"):
        if (folder / "config.yaml").is_file():
            return folder
    raise ScorelabError(f"conf: not found beside {here}")


def read_numbers(path: Path | str) -> list:
    """The numbers of an npy file as nested lists, and no other objects. Raises ScorelabError if it has none."""
    import numpy

    try:
        return numpy.load(path, allow_pickle=False).astype(float, casting="safe").tolist()
    except OSError as error:
        raise ScorelabError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (ValueError, TypeError, AttributeError, EOFError) as error:  # AttributeError: a zip file of arrays
        raise ScorelabError(f"{path}: a file of numbers in the npy format is needed ({one_line(error)})") from None


def checked_by(model: type[pydantic.BaseModel], path: Path, content, within: str = "") -> pydantic.BaseModel:
    """The content of a JSON file, checked. within: the part of the file that it is, for the message.

    Raises ScorelabError with the first place that is not what it has to be.
    """
    try:
        return model.model_validate(content, strict=True)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ScorelabError(f"{path}: {within}{f'{where}: ' if where else ''}{_asked(first)}") from None


def _asked(error: Mapping) -> str:
    return "a mapping from keys to values is needed" if error["type"] == "model_type" else error["msg"]


@contextlib.contextmanager
def made_from(path: Path, what: str):
    """Name the file where a block fails that makes something of what was read from it.

    The content was checked as far as its kind goes, and the block trusts the rest. what: what fails, as "cannot be
    drawn". Raises ScorelabError, with the kind of the error and the place in the code.
    """
    try:
        yield
    except (ScorelabError, MemoryError):
        raise
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}, line {place.lineno}"
        raise ScorelabError(f"{path}: {what} ({one_line(error)}; {where})") from error


def inside(folder: Path | str, name: str) -> Path:
    """The path of a name in a folder. Raises ScorelabError for a name that leads out of the folder, also by a link."""
    path = Path(folder, name)
    if not _leads_into(Path(folder).resolve(), path):
        raise ScorelabError(f"{path}: leads out of {folder}")
    return path


def require_closed(directory: Path | str):
    """Raise ScorelabError for the first thing below a directory that is a link out of it, or neither file nor folder.

    The directory itself may be reached by a link.
    """
    root = Path(directory).resolve()
    for path, found in _below(root):
        shown, kind = Path(directory, path.relative_to(root)), found.st_mode
        if stat.S_ISLNK(kind):
            if not _leads_into(root, path):
                raise ScorelabError(f"{shown}: a link that leads out of {directory}, which is not followed")
        elif not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
            raise ScorelabError(f"{shown}: neither a file nor a folder")


def second_name(path: Path, other: Path):
    """Give a file a second name, and a copy where the file system has no such names. Raises OSError."""
    try:
        os.link(path, other)
    except FileExistsError:
        raise
    except OSError:  # a file system that has no hard links
        shutil.copy2(path, other)


def own_logs(directory: Path | str):
    """Make each log in a directory a file that can be appended to and that has no second name elsewhere.

    The caller holds the lock of the directory, so that nobody appends meanwhile. Raises ScorelabError for a log that is
    no file, and where no file can be made.
    """
    for path in Path(directory).glob("*.log"):
        if not path.is_file():
            raise ScorelabError(f"{path}: is no file")
        if path.stat().st_nlink > 1 or not os.access(path, os.W_OK):
            write_bytes(path, path.read_bytes())


def _leads_into(root: Path, path: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(root)  # unlike Path.resolve, without an error for a circle


def _below(root: Path):
    """Yield (path, its own status) of everything below a directory; links are not followed.

    What another process removes meanwhile is passed over. Raises ScorelabError for a folder that cannot be read.
    """

    def refuse(error):
        if not isinstance(error, FileNotFoundError):
            raise ScorelabError(f"{error.filename}: cannot be read ({error.strerror})")

    for folder, folders, files in os.walk(root, onerror=refuse):
        for path in (Path(folder, name) for name in (*folders, *files)):
            try:
                found = path.lstat()
            except FileNotFoundError:
                continue
            yield path, found


def _text(path: Path, most: int) -> str:
    """The text of a file. Raises OSError, and ValueError for a file that is no UTF-8 or larger than `most` bytes."""
    with open(path, "rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"it has more than {most} bytes")
    return content.decode()


def _plain(content, most: float = math.inf):
    """The content as it is. Raises ValueError if it is nested too deeply or has more than `most` values; an alias of
    YAML counts with all that it stands for."""
    known = {}  # an alias is one object in several places, and is counted once

    def measured(value, depth):
        """The number of values, and the depth below this one."""
        if depth > _DEPTH:
            raise ValueError(f"it is nested more than {_DEPTH} deep")
        if isinstance(value, (str, float, int, type(None))) or not isinstance(value, (Mapping, list, tuple, set)):
            return 1, 0
        if id(value) not in known:
            inner = [*value, *value.values()] if isinstance(value, Mapping) else value
            sizes, depths = zip((0, 0), *(measured(one, depth + 1) for one in inner), strict=True)
            known[id(value)] = 1 + sum(sizes), 1 + max(depths)
        size, below = known[id(value)]
        if size > most:
            raise ValueError(f"it has more than {most} values")
        if depth + below > _DEPTH + 1:
            raise ValueError(f"it is nested more than {_DEPTH} deep")
        return size, below

    measured(content, 0)
    return content


def _no_number(constant: str):
    raise ValueError(f"{constant} is no number of JSON")


def _why(error: BaseException) -> str:
    """What is wrong with a text, in a few words; RecursionError names no reason of its own."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return one_line(error) if not isinstance(error, ValueError) else " ".join(str(error).split())[:200]


def _lock(file):
    """Lock an open file as long as it is open. Raises BlockingIOError if somebody else has locked it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        return  # a file system without locks


def _finite(content):
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
