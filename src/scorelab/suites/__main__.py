"""Write the reference numbers of every version that has none, and the figure of each version.

python -m scorelab.suites [FOLDER]    FOLDER gets suite_VERSION.png, by default docs/images

A target whose numbers are there for its configuration, and whose draws are the same, is left as it is: a version is
fixed. To make the numbers of a version anew, remove its file.
"""

import sys
from pathlib import Path

from scorelab.errors import ScorelabError
from scorelab.figures.files import save_figure
from scorelab.figures.style import house_style
from scorelab.files import write_json
from scorelab.suites.figure import figure
from scorelab.suites.named import VERSIONS, Entry, record, recorded, suite
from scorelab.suites.numbers import measured


def made(entry: Entry) -> dict:
    """What the file of a version says of a target."""
    numbers = {name: number.plain() for name, number in measured(entry.target).items()}
    return {"fingerprint": entry.fingerprint, "draws": entry.draws_digest, "numbers": numbers}


def write(version: str, folder: Path):
    """Write the file of a version and its figure. Raises ScorelabError for a target that is no longer what it was."""
    chosen, known = suite(version), recorded(version) if record(version).is_file() else {}
    for entry in chosen:
        here = known.get(entry.name)
        if here is None:
            known[entry.name] = made(entry)
            print(f"{version}/{entry.name}: {len(known[entry.name]['numbers'])} numbers", flush=True)
            _keep(chosen, known)
        elif (here["fingerprint"], here["draws"]) != (entry.fingerprint, entry.draws_digest):
            raise ScorelabError(f"{version}/{entry.name}: differs from its record; a changed target is a new version")
    with house_style():
        save_figure(figure(chosen), folder / f"suite_{version}.png", dpi=150)


def _keep(chosen, known):
    """Write what is known, in the order of the suite."""
    ordered = {entry.name: known[entry.name] for entry in chosen if entry.name in known}
    write_json(record(chosen.version), {"version": chosen.version, "targets": ordered})


if __name__ == "__main__":
    if len(sys.argv) > 2 or any(word.startswith("-") for word in sys.argv[1:]):
        sys.exit(__doc__)
    try:
        for version in VERSIONS:
            write(version, Path(*sys.argv[1:] or ["docs/images"]))
    except ScorelabError as error:
        sys.exit(f"error: {error}")
