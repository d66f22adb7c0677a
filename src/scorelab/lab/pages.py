"""Write docs/metrics.md from what the studies declare, and docs/options.md from the option files.

python -m scorelab.lab.pages [FOLDER]
"""

import importlib
import pkgutil
import sys
from pathlib import Path

import scorelab.studies
from scorelab.files import write_text
from scorelab.lab.app import config_folder
from scorelab.lab.help import OptionFile, groups, options
from scorelab.lab.numbers import NOT_MEASURED, RUN
from scorelab.laws.section import Section
from scorelab.markdown import table, text
from scorelab.metrics import numbers as metrics
from scorelab.studies import numbers as shared
from scorelab.studies.base import Study, sections_of

_SHARED = (
    *(shared.TRAINING, shared.PARTS, shared.SAMPLING),
    *(metrics.PROJECTION, metrics.ORTHOGONAL, metrics.PATH_KL, metrics.POSTERIOR_MEAN),
)
_INTRODUCTION = """\
# metrics.json: every number, its unit, its floor

`make docs` writes this page from the declarations beside the code, `numbers.py` in the folder of each study. Each
section below is a section of `metrics.json`; a heading with dots is a place within a section, and a word of capitals
in a heading stands for a name.

*Floor*: what an exact sampler, or the best estimator that knows the family, would score with as many samples.
`NAME_standard_error` is the standard error of `NAME`, in tables of a run as well; `NAME_floor`, `NAME_floor_deviation`,
`NAME_exact` and `NAME_exact_at_T` are its floor, the standard deviation of the floor over sets of samples, the value
that is known exactly, and this value at the finite end of the grid. Directories of earlier runs have `NAME_se`, which
everything that reads a run takes for `NAME_standard_error`. Numbers that JSON cannot hold are `null`.

A number with the unit 1 is a pure number. x is a sample, a the signal direction of the target.
"""


_OPTIONS = """\
# Options: every group, option and key

`make docs` writes this page from the option files in `conf/`; `python run.py GROUP=NAME --help` shows the same.
GROUP=NAME chooses an option, GROUP.key=value changes a value. A grid is chosen with grid@schedule.grid=NAME.
"""


#: group -> where its keys stand, if not below its name
_PLACES = {"grid": "schedule.grid."}


def options_page() -> str:
    """The text of docs/options.md."""
    folder = config_folder()
    lines = [_OPTIONS, "## General keys", "", *_keys(OptionFile.read(folder / "config.yaml"), "")]
    for group in (group for group in groups([folder]) if group != "experiment"):
        files = {name: OptionFile.read(path) for name, path in options(group, [folder]).items()}
        lines += [
            "",
            f"## {group}",
            "",
            *table(
                ("option", "meaning"),
                (
                    (f"[`{name}`](#{(group + name).replace('/', '')})", text(file.meaning))
                    for name, file in files.items()
                ),
            ),
        ]
        for name, file in files.items():
            lines += ["", f"### {group}={name}", "", text(file.text)]
            keys = _keys(file, "" if file.at_root else _PLACES.get(group, f"{group.replace('/', '.')}."))
            lines += ["", *keys] if keys else []
    return "\n".join(lines) + "\n"


def _keys(file: OptionFile, place: str) -> list[str]:
    rows = [(f"`{place}{key}`", _code(value), text(comment)) for key, (value, comment) in file.keys().items()]
    return table(("key", "value", "meaning"), rows) if rows else []


def _code(value: str) -> str:
    return f"`{value}`" if value else ""


def studies() -> list[type[Study]]:
    """The studies of this package, in the order of their folders."""
    folders = [folder.name for folder in pkgutil.iter_modules(scorelab.studies.__path__) if folder.ispkg]
    modules = [importlib.import_module(f"scorelab.studies.{name}") for name in folders]
    return [
        found
        for module in modules
        for found in vars(module).values()
        if isinstance(found, type) and issubclass(found, Study) and found.__module__ == module.__name__
    ]


def sections() -> list[Section]:
    """Every declared section once: sections that studies share, sections of each study, sections of every run."""
    own = (section for study in studies() for section in sections_of(study))
    return list(dict.fromkeys((*_SHARED, *own, RUN, NOT_MEASURED)))


def metrics_page() -> str:
    """The text of docs/metrics.md."""
    return "\n".join([_INTRODUCTION, *(line for section in sections() for line in (*section.lines(), ""))])


def write_pages(folder: Path | str = "docs"):
    """Write docs/metrics.md and docs/options.md, the pages that follow from declarations, or the same into another
    folder."""
    write_text(Path(folder) / "metrics.md", metrics_page())
    write_text(Path(folder) / "options.md", options_page())


if __name__ == "__main__":
    if len(sys.argv) > 2 or any(word.startswith("-") for word in sys.argv[1:]):
        sys.exit(__doc__)
    write_pages(*sys.argv[1:])
