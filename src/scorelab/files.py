"""Files that are written whole or not at all, and directories that are not left by a link."""

import json
import math
import os
import stat
from collections.abc import Iterable
from pathlib import Path

import yaml

from scorelab.errors import ScorelabError, one_line


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
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError as error:
        raise ScorelabError(f"{path}: cannot be written ({error.strerror or error})") from None
    finally:
        beside.unlink(missing_ok=True)


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
    """The content of a JSON file. Raises ScorelabError if it is missing or damaged."""
    try:
        return json.loads(Path(path).read_text())
    except FileNotFoundError:
        raise ScorelabError(f"{path}: no such file") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ScorelabError(f"{path}: not a whole JSON file ({error})") from None


def read_yaml(path: Path):
    """The content of a YAML file, plain data; None if there is no file. Raises ScorelabError if it cannot be read."""
    try:
        return yaml.safe_load(Path(path).read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise ScorelabError(f"{path}: cannot be read ({one_line(error)})") from None


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


def _finite(content):
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def read_numbers(path: Path | str) -> list:
    """The numbers of an npy file as nested lists, and no other objects. Raises ScorelabError if it has none."""
    import numpy

    try:
        return numpy.load(path, allow_pickle=False).astype(float, casting="safe").tolist()
    except OSError as error:
        raise ScorelabError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (ValueError, TypeError, AttributeError, EOFError) as error:  # AttributeError: a zip file of arrays
        raise ScorelabError(f"{path}: a file of numbers in the npy format is needed ({one_line(error)})") from None
