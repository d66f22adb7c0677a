"""Run directories: reserve, write, read.

    status.json    state (pending, running, done, failed, interrupted), stages done, fingerprint, error
    config.yaml    the checked configuration, from which the run can be repeated
    metrics.json, training.csv, posterior_mean.csv, path_kl.csv, samples.npy, denoiser.safetensors, figures/
    checkpoint.safetensors    while training is unfinished

A directory is a result if, and only if, its state is `done`. Every file is written whole or not at all.
"""

import datetime
import os
from pathlib import Path

import yaml

from scorelab.errors import ConfigError, ScorelabError
from scorelab.files import read_json, write_json, write_text
from scorelab.lab.config import Config, General, check
from scorelab.laws.estimate import spelled_out


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
    """Make and return exactly this directory. Raises ScorelabError if it exists and is not empty."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if any(directory.iterdir()):
            raise ScorelabError(f"{directory}: exists and is not empty; a new run needs a directory of its own")
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

    Raises ScorelabError if the file is missing or damaged.
    """
    return spelled_out(read_json(path))


class Run:
    """One run directory."""

    def __init__(self, directory: Path | str):
        self.path = Path(directory)

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    @classmethod
    def open(cls, directory: Path | str) -> "Run":
        """An existing run directory. Raises ScorelabError if there is none."""
        run = cls(directory)
        if not (run / "status.json").is_file():
            raise ScorelabError(f"{directory}: not a run directory (it has no status.json)")
        return run

    @property
    def status(self) -> dict:
        """The content of status.json; a run whose process is gone is `interrupted`."""
        status = read_json(self / "status.json")
        if status["state"] == "running" and not _alive(status):
            status["state"] = "interrupted"
        return status

    def mark(self, state: str, **more):
        """Write the state and the entries `more` into status.json; other entries stay."""
        known = read_json(self / "status.json") if (self / "status.json").is_file() else {"stages": []}
        owner = {"pid": os.getpid(), "host": os.uname().nodename} if state == "running" else {}
        cleared = {"error": None} if state in ("running", "done") else {}
        write_json(self / "status.json", {**known, **cleared, **owner, "state": state, "time": _now(), **more})

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
        wall_seconds = status.get("wall_seconds", 0.0) + seconds
        self.mark("running", stages=[*status["stages"], stage], wall_seconds=wall_seconds)

    @property
    def config(self) -> Config:
        """The configuration that was saved with the run, checked. Raises ScorelabError if it cannot be read."""
        try:
            saved = _in_todays_keys(yaml.safe_load((self / "config.yaml").read_text()))
            # Runs of earlier versions hold keys of studies that they did not do, without a value.
            return check(
                {key: value for key, value in saved.items() if value is not None or key in General.model_fields}
            )
        except (OSError, yaml.YAMLError) as error:
            raise ScorelabError(f"{self / 'config.yaml'}: cannot be read ({error})") from None

    @property
    def saved(self) -> dict:
        """The configuration that was saved with the run, unchecked; empty if there is none."""
        path = self / "config.yaml"
        return (yaml.safe_load(path.read_text()) or {}) if path.is_file() else {}

    @property
    def overrides(self) -> list[str]:
        """The overrides that the run was made with."""
        overrides, path = self.status.get("overrides"), self / ".hydra" / "overrides.yaml"
        if not overrides and path.is_file():
            overrides = yaml.safe_load(path.read_text())
        return overrides or []

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


def _alive(status: dict) -> bool:
    if status.get("host") != os.uname().nodename:
        return True  # a process on another machine cannot be asked
    try:
        os.kill(status["pid"], 0)
    except (ProcessLookupError, KeyError):
        return False
    except PermissionError:
        pass
    return True


def _now() -> str:
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")
