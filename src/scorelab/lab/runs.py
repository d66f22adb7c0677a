"""Run directories: reserve, write, read.

    status.json    state (pending, running, done, failed, interrupted), stages done, the tables and arrays of each,
                   fingerprint, error
    config.yaml    the checked configuration, from which the run can be repeated
    metrics.json, training.csv, posterior_mean.csv, path_kl.csv, samples.npy, denoiser.safetensors, figures/
    checkpoint.safetensors    while training is unfinished
    progress.json    while a process works at the run: how far it is

A directory is a result if, and only if, its state is `done`. Every file is written whole or not at all.
"""

import datetime
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, get_args

import pydantic
import yaml

from scorelab.errors import ConfigError, ScorelabError
from scorelab.files import (
    checked_by,
    inside,
    is_part,
    make_folder,
    read_json,
    read_yaml,
    remove,
    remove_all_but,
    require_closed,
    write_json,
    write_text,
)
from scorelab.lab import before, locks
from scorelab.lab.config import Config, Format, General, check
from scorelab.lab.names import pasted
from scorelab.laws.estimate import spelled_out
from scorelab.options import show

log = logging.getLogger("scorelab")

#: what a directory has before a run has its status.json, and what the directory of a job has before the job starts
OF_START, _OF_WAITING_JOB = {".lock", ".hydra", "run.log", "config.yaml"}, {"config.yaml", "status.json"}
#: the file that says how far a run is while it is worked at; see `scorelab.progress.reported`
PROGRESS = "progress.json"

#: a section of metrics.json, among the names of what a stage wrote: this, and the name of the section
SECTION = "metrics.json/"
#: the ends of the names of errors, and the largest integer that a number of metrics.json may be
_ERRORS, _LARGEST = ("_standard_error", "standard_error", "_floor_deviation"), 1e300


class _Status(pydantic.BaseModel, extra="allow"):
    """What has to be true of status.json."""

    state: str
    stages: list[str] = []
    wall_seconds: Annotated[float, pydantic.Field(ge=0, allow_inf_nan=False)] = 0.0
    error: str | None = None
    overrides: list[str] | None = None
    files: dict[str, list[str]] = {}


def reserve(wanted: Path) -> Path:
    """Make and return a new directory: `wanted`, or `wanted-2`, `wanted-3` ... if the name is taken.

    mkdir either makes a directory or fails, so that two runs never get the same directory. Raises ScorelabError if no
    directory can be made.
    """
    require_name(wanted)
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
    What a process left that was killed before its run or its sweep could be resumed does not count, and is removed.
    """
    require_name(directory)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _remove_start(directory)
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


def require_name(directory: Path | str):
    """Raise ScorelabError for a directory that Hydra cannot work in: it takes `${` in a path for a reference."""
    if "${" in str(Path(directory).absolute()):
        raise ScorelabError(f"{directory}: a path with ${{ in it cannot be used; rename it")


def _remove_start(directory: Path):
    """Remove what a killed process left that had begun no run and no sweep; its lock file tells that it was one.

    A lock file that is still empty is of a process that has claimed the directory, and is about to lock it.
    """
    lock = directory / locks.NAME
    if not (lock.is_file() and lock.stat().st_size) or not _only_begun(directory) or locks.owner(directory):
        return
    with locks.Lock(directory):
        if _only_begun(directory):
            remove_all_but(directory, {locks.NAME})


def _only_begun(directory: Path) -> bool:
    """Whether a directory has nothing but what comes before status.json of a run, or sweep.json of a sweep."""
    for path in directory.iterdir():
        job = Run(path) if path.name.isdigit() and path.is_dir() and not path.is_symlink() else None
        if not (path.name in OF_START or is_part(path) or (job is not None and job.waits and job.is_untouched)):
            return False
    return True


def below(directory: Path) -> list["Run"]:
    """The runs in the folders of a directory; jobs of a sweep are in the order of their numbers."""
    found = (path.parent for path in directory.glob("[!.]*/status.json"))
    return [Run(path) for path in sorted(found, key=lambda path: in_order_of(path.name))]


def beneath(directory: Path) -> list["Run"]:
    """The runs at any depth below a directory, also the jobs of sweeps there, in the order of their paths."""
    return [Run(directory / place) for place in places(directory)]


def places(directory: Path) -> list[str]:
    """The paths of the runs of `beneath`, from the directory. Links, hidden folders and what is inside of a run are
    passed over, and so are folders that cannot be read."""
    found, folders = [], [""]
    while folders:
        above = folders.pop()
        try:
            with os.scandir(directory / above) as entries:
                below = [
                    f"{above}{one.name}" for one in entries if one.name[0] != "." and one.is_dir(follow_symlinks=False)
                ]
        except OSError:
            continue
        for place in below:
            status = f"{directory}/{place}/status.json"
            is_run = os.path.lexists(status) and not os.path.isdir(status)
            (found if is_run else folders).append(place if is_run else f"{place}/")
    return sorted(found, key=lambda place: [*map(in_order_of, place.split("/"))])


def in_order_of(name: str) -> tuple:
    """The sort key of a run's name: numbers come first, by their value, then other names."""
    return (0, int(name), "") if name.isdigit() else (1, 0, name)


def asked(overrides) -> dict[str, str]:
    """The values that overrides ask for: key -> value, as text."""
    pairs = (str(override).lstrip("+~").partition("=") for override in overrides)
    return {key: value for key, _, value in pairs}


def flat(node: Mapping, prefix: str = ""):
    """Yield (dotted name, value) of what is neither a mapping nor a list, of nested mappings."""
    for key, value in node.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        elif not isinstance(value, list):
            yield f"{prefix}{key}", value


def read_metrics(path: Path) -> dict:
    """The content of a metrics.json; a key NAME_se of an earlier run becomes NAME_standard_error.

    Raises ScorelabError if the file is missing or damaged, has no sections, or has a standard error that is none of the
    number of its name.
    """
    metrics = read_json(path)
    sections = metrics.values() if isinstance(metrics, dict) else [None]
    if not all(isinstance(section, dict) for section in sections):
        raise ScorelabError(f"{path}: sections are needed, each with its numbers")
    if not all(isinstance(why, str) for why in metrics.get("not_measured", {}).values()):
        raise ScorelabError(f"{path}: not_measured has a key without a reason")
    metrics = spelled_out(metrics)
    _require_errors(path, metrics)
    return metrics


def without_sections(metrics: Mapping, names) -> dict:
    """The content of a metrics.json without some of its sections, and without what was not measured of them."""
    left = {name: section for name, section in metrics.items() if name not in {*names, "not_measured"}}
    missing = {key: why for key, why in metrics.get("not_measured", {}).items() if key.partition(".")[0] in left}
    return left | ({"not_measured": missing} if missing else {})


def _require_errors(path: Path, metrics: Mapping, prefix: str = ""):
    """Raise ScorelabError for a number beyond double precision, and for a standard error, or the deviation of a floor,
    that is negative or not of the form of its number: one number, or a list of as many."""
    for key, value in metrics.items():
        if isinstance(value, Mapping):
            _require_errors(path, value, f"{prefix}{key}.")
            continue
        values = value if isinstance(value, list) else [value]
        if any(isinstance(one, int) and abs(one) > _LARGEST for one in values):
            raise ScorelabError(f"{path}: {prefix}{key} = {show(value)}: beyond the numbers of double precision")
        of = next((key.removesuffix(end) for end in _ERRORS if key.endswith(end)), None)
        if of is None:
            continue
        where = f"{path}: {prefix}{key} = {show(value)}"
        if not all(one is None or (_is_number(one) and one >= 0) for one in values):
            raise ScorelabError(f"{where}: a number >= 0 is needed, or a list of them")
        number = metrics.get(of.removesuffix("_floor")) if of else None
        others = number if isinstance(number, list) else [number]
        if not all(one is None or _is_number(one) for one in others):
            raise ScorelabError(f"{path}: {prefix}{of} = {show(number)}: has a standard error, and is not a number")
        if isinstance(value, list) and isinstance(number, list) and len(value) != len(number):
            raise ScorelabError(f"{where}: {prefix}{of} has {len(number)} values, and this has {len(value)}")


def _is_number(value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


class Run:
    """One run directory."""

    def __init__(self, directory: Path | str):
        self.path = Path(directory)

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    @classmethod
    def open(cls, directory: Path | str, key: str | None = None) -> "Run":
        """An existing run directory, to work in. key: what names it in the configuration, for the message.

        Raises ScorelabError if there is none or a link leads out of it.
        """
        run = cls(directory)
        if not (run / "status.json").is_file():
            named = f"{key} = {directory}" if key else directory
            raise ScorelabError(f"{named}: not a run directory (it has no status.json)")
        require_name(directory)
        require_closed(directory)
        return run

    @property
    def status(self) -> dict:
        """The content of status.json; a run that no process works at is `interrupted`. Raises ScorelabError if the file
        is missing or damaged."""
        status = self.written
        return status | {"state": self.state_now(status["state"])}

    @property
    def written(self) -> dict:
        """The content of status.json as a process left it, with a state `running` also where this process is gone."""
        path = self / "status.json"
        status = checked_by(_Status, path, read_json(path)).model_dump(exclude_unset=True)
        return {"stages": [], "wall_seconds": 0.0} | status

    def state_now(self, written: str) -> str:
        """The state of a run whose status.json has the state `written`."""
        return "interrupted" if written == "running" and locks.owner(self.path) is None else written

    def mark(self, state: str, **more):
        """Write the state and the entries `more` into status.json; other entries stay.

        A run that was done before a stage of it failed or was interrupted is again what it was; see `begin`.
        """
        failed = state in ("failed", "interrupted")
        try:
            if failed and before.put_back(self.path):
                return
            known = read_json(self / "status.json") if (self / "status.json").is_file() else {"stages": []}
            cleared = {"error": None} if state in ("running", "done") else {}
            write_json(self / "status.json", {**known, **cleared, "state": state, "time": _now(), **more})
        except ScorelabError as error:
            if not failed:
                raise
            log.error("%s", error)  # whoever calls has the reason, and is about to tell it
        if state == "done":
            before.forget(self.path)

    @property
    def state(self) -> str:
        """The state; `pending` if there is no status.json yet."""
        return self.status["state"] if (self / "status.json").is_file() else "pending"

    @property
    def waits(self) -> bool:
        """Whether this is a job of a sweep that no process has begun; False where its status cannot be read."""
        try:
            return locks.owner(self.path) is None and self.state in ("pending", "failed")
        except ScorelabError:
            return False

    @property
    def is_untouched(self) -> bool:
        """Whether a job that waits has nothing in its directory but what its sweep put there."""
        taken = (self / "status.json").is_file() and "sampled_from" in self.status
        return taken or {path.name for path in self.path.iterdir()} <= _OF_WAITING_JOB

    def begin(self, config: Config, stages):
        """Mark the run as running and save its configuration. stages: the stages that are asked for now.

        If a stage is done again, this stage and the stages after it no longer count as done. An unfinished training
        goes on where it stopped. A run that is done is kept as it is until it is done again, and if it comes to no
        end it is put back. Raises ConfigError if a stage before them is not done.
        """
        known = self.status if (self / "status.json").is_file() else {"stages": [], "state": "pending"}
        done = known["stages"]
        if config.general.stage != "all":
            every = tuple(config.study.stages)
            needed = every[: every.index(stages[0])]
            missing = [stage for stage in needed if stage not in done]
            if missing:
                raise ConfigError(f"stage = {stages[0]}: {self.path} has no finished stage {missing[0]}")
            done = [stage for stage in done if stage in needed]
        if known["state"] == "done":
            before.keep(self.path)
            self.mark("running")  # from here on, a process that is killed leaves a run that is put back
        try:
            self.save_config(config)
            self.mark("running", stages=done, fingerprint=config.fingerprint)
        except ScorelabError:
            before.put_back(self.path)
            raise

    def needs(self, stage: str) -> bool:
        """Whether a stage is still to be done."""
        return stage not in self.status["stages"]

    def finish_stage(self, stage: str, seconds: float, written=()):
        """Count a stage as done and add its seconds to the seconds of the run.

        written: the weights, the tables, the arrays and the sections of metrics.json that it wrote. Tables, arrays and
        sections that only an earlier run of the stage wrote are out of date, and are removed with their pictures.
        """
        status = self.status
        files = status.get("files", {}) | {stage: sorted(written)}
        current = {name for names in files.values() for name in names}
        gone = set(status.get("files", {}).get(stage, ())) - current
        sections = {name.removeprefix(SECTION) for name in gone if name.startswith(SECTION)}
        if sections:
            write_json(self / "metrics.json", without_sections(read_metrics(self / "metrics.json"), sections))
        for name in gone:
            path = inside(self.path, name)
            if path.suffix in (".csv", ".npz"):  # no file may name anything else to be removed
                for extension in (path.suffix, *(f".{each}" for each in get_args(Format) if path.suffix == ".npz")):
                    remove(path.with_suffix(extension))
        seconds += status["wall_seconds"]
        self.mark("running", stages=[*status["stages"], stage], wall_seconds=seconds, files=files)

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
                    f"own accord; {show(pasted('extensions', named))} on the command line allows it"
                )
        # Runs of earlier versions hold keys of studies that they did not do, without a value.
        known = {key: value for key, value in saved.items() if value is not None or key in General.model_fields}
        known.pop("tracking", None)  # of a command, which no saved configuration chooses
        return check(known)

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
        overrides = self.written.get("overrides") or read_yaml(self / ".hydra" / "overrides.yaml")
        return [str(override) for override in overrides] if isinstance(overrides, list) else []

    def save_overrides(self, overrides: list[str]):
        """Write the overrides that the run is made with, where Hydra does not."""
        make_folder(self / ".hydra")
        write_text(self / ".hydra" / "overrides.yaml", yaml.safe_dump(list(overrides)))

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
