"""Run directories: reserve, write, read.

    status.json    state (pending, running, done, failed, interrupted), stages done, fingerprint, error
    config.yaml    the checked configuration, from which the run can be repeated
    metrics.json, training.csv, posterior_mean.csv, path_kl.csv, samples.npy, denoiser.safetensors, figures/
    checkpoint.safetensors    while training is unfinished

A directory is a result if, and only if, its state is `done`. Every file is written whole or not at all.
"""

import datetime
from collections.abc import Mapping
from pathlib import Path

import yaml

from scorelab.errors import ConfigError, ScorelabError
from scorelab.files import read_json, read_yaml, require_closed, write_json, write_text
from scorelab.lab import locks
from scorelab.lab.config import Config, General, check
from scorelab.laws.estimate import spelled_out
from scorelab.options import show


def reserve(wanted: Path) -> Path:
    """Make and return a new directory: `wanted`, or `wanted-2`, `wanted-3` ... if the name is taken.

    mkdir either makes a directory or fails, so that two runs never get the same directory. Raises ScorelabError if no
    directory can be made.
    """
    for number in range(1, 10_000):
        directory = wanted if number == 1 else wanted.with_name(f"{wanted.name}-{number}")
        try:
            directory.mkdir(parents=True)
            return directory
        except FileExistsError:
            continue
        except OSError as error:
            raise ScorelabError(f"{directory}: cannot be made ({error.strerror})") from None
    raise ScorelabError(f"{wanted}: every name up to {wanted.name}-9999 is taken")


def claim(directory: Path) -> Path:
    """Make and return exactly this directory. Raises ScorelabError if it exists and is not empty.

    The first file in it is made exclusively, so that one of two runs gets an empty directory, and the other an error.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if any(directory.iterdir()):
            raise FileExistsError
        (directory / locks.NAME).touch(exist_ok=False)
    except FileExistsError:
        owner = locks.owner(directory) if directory.is_dir() else None
        why = f"is running, {owner}" if owner else "exists and is not empty; a new run needs a directory of its own"
        raise ScorelabError(f"{directory}: {why}") from None
    except OSError as error:
        raise ScorelabError(f"{directory}: cannot be made ({error.strerror})") from None
    return directory


def below(directory: Path) -> list["Run"]:
    """The runs in the folders of a directory; jobs of a sweep are in the order of their numbers."""
    found = (path.parent for path in directory.glob("*/status.json"))
    return [Run(path) for path in sorted(found, key=lambda path: in_order_of(path.name))]


def in_order_of(name: str) -> tuple:
    """The sort key of a run's name: numbers come first, by their value, then other names."""
    return (0, int(name), "") if name.isdigit() else (1, 0, name)


def asked(overrides) -> dict[str, str]:
    """The values that overrides ask for: key -> value, as text."""
    pairs = (str(override).lstrip("+~").partition("=") for override in overrides)
    return {key: value for key, _, value in pairs}


def read_metrics(path: Path) -> dict:
    """The content of a metrics.json; a key NAME_se of an earlier run becomes NAME_standard_error.

    Raises ScorelabError if the file is missing or damaged, or has no sections.
    """
    metrics = read_json(path)
    sections = metrics.values() if isinstance(metrics, dict) else [None]
    if not all(isinstance(section, dict) for section in sections):
        raise ScorelabError(f"{path}: sections are needed, each with its numbers")
    if not all(isinstance(why, str) for why in metrics.get("not_measured", {}).values()):
        raise ScorelabError(f"{path}: not_measured has a key without a reason")
    return spelled_out(metrics)


class Run:
    """One run directory."""

    def __init__(self, directory: Path | str):
        self.path = Path(directory)

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    @classmethod
    def open(cls, directory: Path | str) -> "Run":
        """An existing run directory, to work in. Raises ScorelabError if there is none or a link leads out of it."""
        run = cls(directory)
        if not (run / "status.json").is_file():
            raise ScorelabError(f"{directory}: not a run directory (it has no status.json)")
        require_closed(directory)
        return run

    @property
    def status(self) -> dict:
        """The content of status.json; a run that no process works at is `interrupted`. Raises ScorelabError if the file
        is missing or damaged."""
        status = read_json(self / "status.json")
        if not isinstance(status, dict) or not isinstance(status.get("state"), str):
            raise ScorelabError(f"{self / 'status.json'}: has no state")
        if not isinstance(status.setdefault("stages", []), list):
            raise ScorelabError(f"{self / 'status.json'}: has no list of stages")
        if not isinstance(status.setdefault("wall_seconds", 0.0), (int, float)):
            raise ScorelabError(f"{self / 'status.json'}: wall_seconds is no number")
        if status["state"] == "running" and locks.owner(self.path) is None:
            status["state"] = "interrupted"
        return status

    def mark(self, state: str, **more):
        """Write the state and the entries `more` into status.json; other entries stay."""
        known = read_json(self / "status.json") if (self / "status.json").is_file() else {"stages": []}
        cleared = {"error": None} if state in ("running", "done") else {}
        write_json(self / "status.json", {**known, **cleared, "state": state, "time": _now(), **more})

    @property
    def state(self) -> str:
        """The state; `pending` if there is no status.json yet."""
        return self.status["state"] if (self / "status.json").is_file() else "pending"

    def begin(self, config: Config, stages):
        """Mark the run as running and save its configuration. stages: the stages that are asked for now.

        If a stage is done again, this stage and the stages after it no longer count as done. An unfinished training
        goes on where it stopped. Raises ConfigError if a stage before them is not done.
        """
        done = self.status["stages"] if (self / "status.json").is_file() else []
        if config.general.stage != "all":
            every = tuple(config.study.stages)
            needed = every[: every.index(stages[0])]
            missing = [stage for stage in needed if stage not in done]
            if missing:
                raise ConfigError(f"stage = {stages[0]}: {self.path} has no finished stage {missing[0]}")
            done = [stage for stage in done if stage in needed]
        self.save_config(config)
        self.mark("running", stages=done, fingerprint=config.fingerprint)

    def needs(self, stage: str) -> bool:
        """Whether a stage is still to be done."""
        return stage not in self.status["stages"]

    def finish_stage(self, stage: str, seconds: float):
        """Count a stage as done and add its seconds to the seconds of the run."""
        status = self.status
        self.mark("running", stages=[*status["stages"], stage], wall_seconds=status["wall_seconds"] + seconds)

    @property
    def config(self) -> Config:
        """The saved configuration of a run without extensions; see `checked`."""
        return self.checked()

    def checked(self, extensions=()) -> Config:
        """The configuration that was saved with the run, checked.

        extensions: the packages that the user gave now. Raises ScorelabError if the configuration cannot be read, and
        ConfigError before anything is imported if it names extensions that the user did not give.
        """
        saved = _in_todays_keys(self.saved)
        if not saved:
            raise ScorelabError(f"{self / 'config.yaml'}: cannot be read (no such file, or empty)")
        named = saved.get("extensions")
        for name in named if isinstance(named, list) else ():
            if name not in extensions:
                raise ConfigError(
                    f"{self / 'config.yaml'}: extensions = {show(name)}: a saved configuration imports nothing of its "
                    f"own accord; 'extensions=[{show(','.join(map(str, named)))}]' on the command line allows it"
                )
        # Runs of earlier versions hold keys of studies that they did not do, without a value.
        return check({key: value for key, value in saved.items() if value is not None or key in General.model_fields})

    @property
    def saved(self) -> dict:
        """The configuration that was saved with the run, unchecked; empty if there is none. Raises ScorelabError if it
        cannot be read."""
        path = self / "config.yaml"
        saved = read_yaml(path) or {}
        if not isinstance(saved, Mapping):
            raise ScorelabError(f"{path}: a mapping from keys to values is needed")
        return saved

    @property
    def overrides(self) -> list[str]:
        """The overrides that the run was made with."""
        overrides = self.status.get("overrides") or read_yaml(self / ".hydra" / "overrides.yaml")
        return [str(override) for override in overrides] if isinstance(overrides, list) else []

    def save_config(self, config: Config):
        """Write config.yaml."""
        write_text(self / "config.yaml", yaml.safe_dump(config.data, sort_keys=False))

    @property
    def metrics(self) -> dict:
        """The content of metrics.json. Raises ScorelabError unless the run is done."""
        state = self.status["state"]
        if state != "done":
            raise ScorelabError(f"{self.path}: the run is {state}; only a run that is done has results")
        return read_metrics(self / "metrics.json")


def _in_todays_keys(node):
    """A saved configuration with the keys of today: `rho` of the grid `karras` was once a key of the schedule."""
    if isinstance(node, list):
        return [_in_todays_keys(entry) for entry in node]
    if not isinstance(node, dict):
        return node
    node = {key: _in_todays_keys(value) for key, value in node.items()}
    if "rho" in node and str(node.get("_target_")).startswith("scorelab.schedules.") and "grid" in node:
        rho = node.pop("rho")
        if node["grid"] == "karras":
            node["grid"] = {"_target_": "scorelab.schedules.grids.Karras", "rho": rho}
    return node


def _now() -> str:
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")
