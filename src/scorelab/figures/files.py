"""Write figures, and write and read the arrays that figures are drawn from."""

import io
import logging
import zipfile
import zlib
from pathlib import Path

import numpy

from scorelab.errors import ScorelabError, one_line
from scorelab.files import make_folder, write_bytes
from scorelab.laws.estimate import spelled_out

#: what numpy and zipfile raise for a file that is no npz file of arrays; RuntimeError: an encrypted or unknown entry
_DAMAGED = (
    *(OSError, ValueError, TypeError, EOFError, AttributeError, MemoryError, OverflowError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error),
)


def save_figure(figure, path: Path, dpi: int = 200, style: str | None = None):
    """Write a Figure in the format that the path ends with. style: the style of its own that it was drawn in."""
    from scorelab.figures.style import house_style  # with matplotlib, which a run without figures does not wait for

    logging.getLogger("fontTools").setLevel(logging.WARNING)  # it reports each table of each font of a pdf
    buffer = io.BytesIO()
    with house_style(style):  # whether text stays text is decided when the file is written
        figure.savefig(buffer, format=path.suffix[1:], dpi=dpi)
    make_folder(path.parent)
    write_bytes(path, buffer.getvalue())


def save_arrays(path: Path, arrays: dict):
    """Write named arrays as an npz file."""
    buffer = io.BytesIO()
    numpy.savez_compressed(buffer, **arrays)
    make_folder(path.parent)
    write_bytes(path, buffer.getvalue())


class Arrays(dict):
    """The arrays, or the columns, of a file by name. A name that the file does not have is an error of the file."""

    def __init__(self, path: Path, arrays: dict):
        super().__init__(with_full_names(arrays))
        self.path = path

    def require_complete(self):
        """Raise ScorelabError if an array of numbers has a nan."""
        for name, values in self.items():
            if values.dtype.kind in "fc" and numpy.isnan(values).any():
                raise ScorelabError(f"{self.path}: {name} has a nan")

    def __missing__(self, name):
        raise ScorelabError(f"{self.path}: has no {name}, which is needed here")


def load_arrays(path: Path) -> Arrays:
    """Read the arrays of an npz file; see `with_full_names`. Raises ScorelabError if it is damaged or no such file."""
    try:
        with open(path, "rb") as file, numpy.load(file, allow_pickle=False) as arrays:
            return Arrays(path, {name: arrays[name] for name in arrays.files})
    except _DAMAGED as error:
        raise ScorelabError(f"{path}: not a whole npz file of arrays ({one_line(error)})") from None


def load_samples(path: Path, shape: tuple[int, ...]) -> numpy.ndarray:
    """The samples of an npy file, float32, mapped from the file. shape: what they have to have.

    Raises ScorelabError if the file cannot be read, holds other numbers or another shape, or a number that is not
    finite.
    """
    try:
        samples = numpy.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, TypeError, EOFError, OverflowError) as error:
        raise ScorelabError(f"{path}: cannot be read ({one_line(error)})") from None
    if not isinstance(samples, numpy.ndarray) or samples.dtype != numpy.float32:
        raise ScorelabError(f"{path}: holds {getattr(samples, 'dtype', 'several arrays')}, and float32 is needed")
    if samples.shape != tuple(shape):
        raise ScorelabError(f"{path}: has the shape {samples.shape}, and {tuple(shape)} is needed")
    rows = max(1, 2**24 // max(samples[:1].size, 1))  # a part of the file at a time
    for first in range(0, len(samples), rows):
        finite = numpy.isfinite(samples[first : first + rows]).reshape(len(samples[first : first + rows]), -1).all(1)
        if not finite.all():
            raise ScorelabError(f"{path}: sample {first + int(finite.argmin())} is not finite")
    return samples


def load_table(path: Path, texts=()) -> Arrays:
    """Read a CSV file: column name -> values (rows,). texts: the columns that may hold text.

    Raises ScorelabError if it cannot be read, has no row, or has text where numbers are needed.
    """
    import pandas

    try:
        table = pandas.read_csv(path)
    except FileNotFoundError:
        raise ScorelabError(f"{path}: no such file") from None
    except (OSError, ValueError, OverflowError) as error:  # an error of the parser is a ValueError
        raise ScorelabError(f"{path}: not a whole table ({one_line(error)})") from None
    if not len(table):
        raise ScorelabError(f"{path}: has no row")
    wrong = [name for name in table if name not in texts and table[name].dtype.kind not in "biuf"]
    if wrong:
        raise ScorelabError(f"{path}: column {wrong[0]} has text where numbers are needed")
    return Arrays(path, {name: table[name].to_numpy(str if name in texts else None) for name in table})


def with_full_names(arrays: dict) -> dict:
    """Arrays by name; an array that an earlier run calls NAME_se is also there as NAME_standard_error."""
    return arrays | spelled_out(arrays)
