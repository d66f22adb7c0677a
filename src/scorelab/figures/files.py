"""Write figures, and write and read the arrays that figures are drawn from."""

import io
from pathlib import Path

import numpy

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
    """Read the arrays of an npz file; see `with_full_names`."""
    with numpy.load(path, allow_pickle=False) as file:
        return with_full_names({name: file[name] for name in file.files})


def with_full_names(arrays: dict) -> dict:
    """Arrays by name; an array that an earlier run calls NAME_se is also there as NAME_standard_error."""
    return arrays | spelled_out(arrays)
