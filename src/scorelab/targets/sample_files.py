"""Samples from files of numbers, npy and csv. Nothing is taken on trust.

Every mistake is a ScorelabError of one line that begins with the path. Nothing in a file is executed.
"""

import stat
from pathlib import Path

import numpy

from scorelab.errors import ScorelabError

#: the most bytes of a file
_MOST_BYTES = 2**33


def read_numbers(path: Path | str, n: int | None = None) -> numpy.ndarray:
    """The array of a file: csv by its ending, with a row of headings or without, and npy for any other ending.

    n: numbers of a sample, where it is known. A first column of a csv file that only counts the rows is no part of the
    sample, if its heading is empty, or n says so. What is no number in a csv file is nan.

    Raises ScorelabError for a file that cannot be read, that is none (a pipe would wait for its other end), of more
    than 8 GiB, or of another format.
    """
    path = Path(path)
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise ScorelabError(f"{path}: is no file")
        if found.st_size > _MOST_BYTES:
            raise ScorelabError(f"{path}: has {found.st_size} bytes; {_MOST_BYTES} at most are read")
        if path.suffix == ".csv":
            return _from_csv(path, n)
        with open(path, "rb") as file:
            array = numpy.load(file, allow_pickle=False)
        if not isinstance(array, numpy.ndarray):
            raise ScorelabError(f"{path}: holds several arrays; one in the npy format is needed")
        return array
    except FileNotFoundError:
        raise ScorelabError(f"{path}: no such file") from None
    except (OSError, ValueError, TypeError, EOFError, IndexError) as error:
        kind = "csv" if path.suffix == ".csv" else "npy"
        why = "" if "pickle" in str(error) else f" ({error})"
        raise ScorelabError(f"{path}: not a whole {kind} file of numbers{why}") from None


def _from_csv(path: Path, n: int | None) -> numpy.ndarray:
    """The numbers of a csv file, with or without a heading. Semicolons and tabs separate as well as commas do; a comma
    beside them is a decimal comma."""
    import pandas

    with open(path, errors="replace") as file:
        first = file.readline() + file.readline()
    separator = next((each for each in ";\t" if each in first), ",")
    decimal = "," if separator != "," and "," in first else "."
    table = pandas.read_csv(path, header=None, sep=separator, dtype=str)
    if decimal == ",":
        table = table.apply(lambda column: column.str.replace(",", "."))
    numbers = table.apply(pandas.to_numeric, errors="coerce").to_numpy(float)
    unnamed = table.shape[1] > 1 and pandas.isna(table.iloc[0, 0])  # the heading that pandas gives to an index
    if (unnamed or numbers.shape[1] - 1 == n) and _counts(numbers[1:, 0]):
        numbers = numbers[:, 1:]
    head = numbers[0]
    heading = numpy.isnan(head).all() or (len(head) > 1 and head.tolist() == [*range(len(head))])
    return numbers[1:] if heading else numbers  # pandas heads columns 0, 1, 2, ...


def _counts(column: numpy.ndarray) -> bool:
    """Whether a column has the numbers of its rows, from any first one."""
    return len(column) > 1 and bool((numpy.diff(column) == 1).all())


def read_samples(path: Path | str) -> numpy.ndarray:
    """Samples (count, n) as float64, at least two, all finite. Raises ScorelabError for anything else."""
    found = read_numbers(path)
    if found.dtype.kind not in "iuf":
        raise ScorelabError(f"{path}: real numbers are needed, not {found.dtype}")
    if found.ndim != 2 or len(found) < 2 or not found.shape[1]:
        raise ScorelabError(f"{path}: has the shape {found.shape}, and (count, n) with count >= 2 is needed")
    finite = numpy.isfinite(found).all(1) & (numpy.abs(found) < 1e15).all(1)
    if not finite.all():
        raise ScorelabError(f"{path}: sample {int(finite.argmin())} is not finite, or beyond 1e15")
    return found.astype(float)
