"""Write figures, and write and read the arrays that figures are drawn from."""

import io
import zipfile
import zlib
from pathlib import Path

import numpy

from scorelab.errors import ScorelabError, one_line
from scorelab.files import write_bytes
from scorelab.laws.estimate import spelled_out


def save_figure(figure, path: Path, dpi: int = 200):
    """Write a Figure in the format that the path ends with."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=path.suffix[1:], dpi=dpi)
    path.parent.mkdir(exist_ok=True)
    write_bytes(path, buffer.getvalue())


def save_arrays(path: Path, arrays: dict):
    """Write named arrays as an npz file."""
    buffer = io.BytesIO()
    numpy.savez_compressed(buffer, **arrays)
    path.parent.mkdir(exist_ok=True)
    write_bytes(path, buffer.getvalue())


def load_arrays(path: Path) -> dict[str, numpy.ndarray]:
    """Read the arrays of an npz file; see `with_full_names`. Raises ScorelabError if it is damaged or no such file."""
    try:
        with open(path, "rb") as file, numpy.load(file, allow_pickle=False) as arrays:
            return with_full_names({name: arrays[name] for name in arrays.files})
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ScorelabError(f"{path}: not a whole npz file of arrays ({one_line(error)})") from None


def with_full_names(arrays: dict) -> dict:
    """Arrays by name; an array that an earlier run calls NAME_se is also there as NAME_standard_error."""
    return arrays | spelled_out(arrays)
