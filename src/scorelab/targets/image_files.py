"""Grey images from files: IDX files as those of MNIST, and folders of PNG files. Nothing is taken on trust.

Sizes are checked before anything of that size is allocated. Every mistake is a ScorelabError of one line that begins
with the path. Images are uint8, (count, height, width); values run from 0 to 255.
"""

import contextlib
import gzip
import os
import stat
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy

from scorelab.errors import ScorelabError, one_line

#: the most bytes of images and of labels, and the most pixels of a side
_MOST_BYTES, _MOST_SIDE = 2**31, 2**13
#: bytes that are read at a time, and how many times its own size a gzip file can unpack to
_CHUNK, _DEFLATED = 2**22, 1100
#: the last byte of the magic number is the number of dimensions; 8 stands for unsigned bytes
_BYTES = 0x00000800
#: modes of Pillow that are grey with at most 8 bits, and what to say of others
_GREY = ("L", "1")
_OTHER = {"P": "has a palette", "LA": "has 2 channels (grey and alpha)", "RGB": "has 3 channels (RGB)"}
_OTHER |= {"RGBA": "has 4 channels (RGBA)", "I": "has 16 bits a pixel", "F": "has 32 bits a pixel"}


@dataclass(frozen=True)
class LabelledImages:
    """images (count, height, width), and for each image the name of its class, or None."""

    images: numpy.ndarray
    labels: list[str] | None = None


def read_images(path: Path | str, labels: Path | str | None = None) -> LabelledImages:
    """The images of an IDX file or of a folder of PNG files, with their labels.

    labels: the IDX file with the labels of an IDX file; by default the file beside it with the usual name, if there is
    one. The labels of a folder are the names of its folders. Raises ScorelabError for anything else.
    """
    path = Path(path)
    if path.is_dir():
        if labels is not None:
            raise ScorelabError(f"{path}: the labels of a folder are the names of its folders, not those of {labels}")
        return read_folder(path)
    images = read_idx(path, 3)
    labels = usual_labels(path) if labels is None else Path(labels)
    if labels is None:
        return LabelledImages(images)
    found = read_idx(labels, 1)
    if len(found) != len(images):
        raise ScorelabError(f"{labels}: has {len(found)} labels, and {path} has {len(images)} images")
    return LabelledImages(images, [str(label) for label in found])


def usual_labels(path: Path) -> Path | None:
    """The file beside an IDX file of images that has the usual name of its labels, packed or not; None without one."""
    name = path.name.removesuffix(".gz").replace("images", "labels").replace("idx3", "idx1")
    if name == path.name.removesuffix(".gz"):
        return None
    ends = (".gz", "") if path.name.endswith(".gz") else ("", ".gz")
    return next((path.with_name(name + end) for end in ends if path.with_name(name + end).is_file()), None)


# IDX. ---------------------------------------------------------------------------------------------------------------


def read_idx(path: Path | str, dimensions: int) -> numpy.ndarray:
    """The unsigned bytes of an IDX file of so many dimensions, gzipped or not. Raises ScorelabError for any other."""
    path = Path(path)
    with _opened(path) as (file, packed):
        header = _read(path, file, 4 + 4 * dimensions, "its header")
        magic, *shape = numpy.frombuffer(header, ">u4").tolist()
        if magic != _BYTES + dimensions:
            kind = "images" if dimensions == 3 else "labels"
            raise ScorelabError(
                f"{path}: not an IDX file of {kind}: its magic number is 0x{magic:08x}, "
                f"0x{_BYTES + dimensions:08x} is needed"
            )
        _require_shape(path, shape)
        size, held = numpy.prod(shape, dtype=object), os.fstat(file.fileno()).st_size
        most = _DEFLATED * held if packed else held - len(header)
        if size > most:
            raise _short(path, f"the {size} bytes that its header asks for")
        content = _read(path, file, size, f"the {size} bytes that its header asks for")
        if _chunk(path, file, 1):
            raise ScorelabError(f"{path}: goes on after the {size} bytes that its header asks for")
    return numpy.frombuffer(content, numpy.uint8).reshape(shape)


def write_idx(values: numpy.ndarray) -> bytes:
    """The IDX file of an array of unsigned bytes, as bytes."""
    header = numpy.array([_BYTES + values.ndim, *values.shape], ">u4")
    return header.tobytes() + numpy.ascontiguousarray(values, numpy.uint8).tobytes()


@contextlib.contextmanager
def _opened(path: Path):
    """Open a file, unpacked where its content is packed by gzip; yields it and whether it is packed."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would wait for its other end
            raise ScorelabError(f"{path}: is neither a file nor a folder")
        with open(path, "rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            if not packed:
                yield file, False
                return
            with gzip.GzipFile(fileobj=file) as unpacked:
                yield unpacked, True
    except FileNotFoundError:
        raise ScorelabError(f"{path}: no such file or folder") from None
    except OSError as error:
        raise ScorelabError(f"{path}: cannot be read ({error.strerror or error})") from None


def _chunk(path, file, size) -> bytes:
    try:
        return file.read(size)
    except EOFError:
        raise ScorelabError(f"{path}: is cut short: the end of its gzip stream is missing") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise ScorelabError(f"{path}: its gzip stream is damaged ({one_line(error)})") from None


def _read(path, file, size: int, what: str) -> bytearray:
    """Exactly so many bytes, a chunk at a time, so that no more is allocated than is there."""
    content = bytearray()
    while len(content) < size and (chunk := _chunk(path, file, min(size - len(content), _CHUNK))):
        content += chunk
    if len(content) < size:
        raise _short(path, what)
    return content


def _short(path, what):
    return ScorelabError(f"{path}: is cut short: it does not have {what}")


def _require_shape(path, shape):
    """Raise ScorelabError for a file of no images, or of so many or so large ones that they cannot be meant."""
    size = numpy.prod(shape, dtype=object)
    if size < 1:
        raise ScorelabError(f"{path}: has the shape {tuple(shape)}, which is empty")
    if size > _MOST_BYTES or any(side > _MOST_SIDE for side in shape[1:]):
        most = f"at most {_MOST_BYTES} bytes and {_MOST_SIDE} pixels a side are allowed"
        raise ScorelabError(f"{path}: has the shape {tuple(shape)}, and {most}")


# Folders of PNG files. ----------------------------------------------------------------------------------------------


def read_folder(path: Path) -> LabelledImages:
    """The PNG files of a folder, or of its folders, whose names are then the labels, in the order of their names.

    All images have to be grey, with 8 bits a pixel, and of one size. Links are not followed.
    """
    files, folders = _entries(path)
    inside = {folder: _entries(folder)[0] for folder in folders}
    inside = {folder: found for folder, found in inside.items() if found}
    if files and inside:
        raise ScorelabError(f"{path}: has PNG files and folders with PNG files; either these or those are needed")
    labels = [folder.name for folder, found in inside.items() for _ in found] or None
    files = files or [file for found in inside.values() for file in found]
    if not files:
        raise ScorelabError(f"{path}: has no PNG file, and no folder with PNG files")
    first = _read_png(files[0], None)
    _require_shape(path, (len(files), *first.shape))
    images = numpy.empty((len(files), *first.shape), numpy.uint8)
    for place, file in zip(images, files, strict=True):
        place[:] = _read_png(file, first.shape)
    return LabelledImages(images, labels)


def _entries(folder: Path) -> tuple[list[Path], list[Path]]:
    """The PNG files and the folders in a folder, in the order of their names; hidden ones and other files do not count.

    Raises ScorelabError for a link, and for a PNG file that is no file.
    """
    try:
        entries = sorted(
            (entry for entry in os.scandir(folder) if not entry.name.startswith(".")), key=lambda e: e.name
        )
    except OSError as error:
        raise ScorelabError(f"{folder}: cannot be read ({error.strerror})") from None
    files, folders = [], []
    for entry in entries:
        png = entry.name.lower().endswith(".png")
        if entry.is_symlink():
            raise ScorelabError(f"{entry.path}: is a link, which is not followed")
        if entry.is_dir():
            folders.append(Path(entry.path))
        elif png and not entry.is_file():
            raise ScorelabError(f"{entry.path}: is no file")
        elif png:
            files.append(Path(entry.path))
    return files, folders


def _read_png(path: Path, shape) -> numpy.ndarray:
    """A grey image, (height, width) uint8. shape: what it has to have; None for any."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=["PNG"]) as image:
                if image.mode not in _GREY:
                    found = _OTHER.get(image.mode.partition(";")[0], f"is of the mode {image.mode}")
                    raise ScorelabError(f"{path}: {found}, and a grey image of 8 bits a pixel is needed")
                height, width = image.height, image.width
                _require_shape(path, (1, height, width))
                if shape is not None and (height, width) != shape:
                    raise ScorelabError(
                        f"{path}: has {height} x {width} pixels, and the images before it have {shape[0]} x {shape[1]}"
                    )
                return numpy.asarray(image.convert("L"))
    except ScorelabError:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise ScorelabError(f"{path}: has too many pixels for an image") from None
    except Exception as error:  # Pillow raises many kinds for a file that is damaged
        raise ScorelabError(f"{path}: not a whole PNG file ({one_line(error)})") from None
