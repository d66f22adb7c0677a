"""Files that are written whole or not at all."""

import json
import math
import os
from collections.abc import Iterable
from pathlib import Path

from scorelab.errors import ScorelabError


def write_chunks(path: Path, chunks: Iterable[bytes]):
    """Write the chunks to a file beside `path`, then rename this file to `path` in one step.

    An existing file stays as it is until the rename, and no half-written file is left behind. Raises ScorelabError if
    the file cannot be written, for example on a full disk; other errors that `chunks` raises pass through.
    """
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(beside, "wb") as file:
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
    """Write text, in UTF-8, as `write_chunks` does."""
    write_bytes(path, text.encode())


def write_json(path: Path, content):
    """Write JSON as `write_chunks` does; numbers that JSON cannot hold (nan, inf) become null."""
    write_text(path, json.dumps(_finite(content), indent=2) + "\n")


def read_json(path: Path):
    """The content of a JSON file. Raises ScorelabError if it is missing or damaged."""
    try:
        return json.loads(Path(path).read_text())
    except FileNotFoundError:
        raise ScorelabError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise ScorelabError(f"{path}: not a whole JSON file ({error})") from None


def _finite(content):
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
