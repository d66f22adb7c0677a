"""One run as a row: what was asked for, its whole configuration, its numbers."""

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from scorelab.errors import ScorelabError, one_line
from scorelab.lab.runs import Run, asked, flat, read_metrics

#: columns that there always are, and come first; then come the classes of the parts, then the keys of the configuration
LEADING = ("directory", "state", "time", "error", "asked")
PARTS = ("target", "denoiser", "schedule", "sampler", "training", "study")
#: what comes before the name of a number of metrics.json
METRICS = "metrics."
#: the state of a run whose files cannot be read
UNREADABLE = "unreadable"
#: the files that a row is made of
_FILES = ("status.json", "config.yaml", "metrics.json", ".hydra/overrides.yaml")
#: keys of a configuration that are not what a run is
_LEFT = ("sweep", "figures", "stage", "run")


def row(path: Path | str) -> dict:
    """The values of a run by the names of their columns, without `directory`; a name that is not there has no value.

    `state` is as status.json has it; see `Run.state_now`. A run whose files are damaged has the state `unreadable`, and
    the reason under `error`.
    """
    run, found = Run(path), {"state": UNREADABLE}
    try:
        status, saved = run.written, run.saved
        found |= {"time": status.get("time"), "error": status.get("error")}
        found["asked"] = " ".join(f"{key}={value}" for key, value in asked(run.overrides).items())
        found |= {part: _class(saved[part]) for part in PARTS if part in saved}
        keys = flat({key: value for key, value in saved.items() if key not in _LEFT})
        found |= {key: value for key, value in keys if not key.endswith("_target_")}
        if (run / "metrics.json").is_file():
            found |= dict(flat(read_metrics(run / "metrics.json"), METRICS))
        found["state"] = status["state"]
    except ScorelabError as error:
        found["error"] = one_line(error)
    return {name: value for name, value in found.items() if value is not None}


def stamp(path: str) -> tuple[tuple[int, ...], ...]:
    """What changes whenever a file changes that the row of a run is made of: for each of them the times of its content
    and of its entry in ns, its size and its number on the disk; nothing for a file that is not there."""
    found = []
    for name in _FILES:
        try:
            of = os.stat(f"{path}/{name}")
        except OSError:
            found.append(())
        else:
            found.append((of.st_mtime_ns, of.st_ctime_ns, of.st_size, of.st_ino))
    return tuple(found)


def in_order(names: Iterable[str]) -> list[str]:
    """Names of columns in order, which does not depend on the runs: the configuration by name, the numbers by name."""
    leading = {name: place for place, name in enumerate((*LEADING, *PARTS))}
    return sorted(names, key=lambda name: (leading.get(name, len(leading)), name.startswith(METRICS), name))


def asked_in(text: str | None) -> dict[str, str]:
    """The overrides of a row, key -> value as text, from its column `asked`."""
    return asked(re.split(r" (?=[\w.@/]+=)", text)) if text else {}


def _class(node) -> str | None:
    return str(node.get("_target_", "")).rpartition(".")[2] or None if isinstance(node, Mapping) else None
