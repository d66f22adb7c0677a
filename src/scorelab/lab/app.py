"""From a command line or a notebook to a finished run directory."""

import contextlib
import logging
import os
import re
import shutil
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from scorelab.errors import ConfigError, ScorelabError, one_line
from scorelab.files import own_logs, read_numbers, read_yaml, write_text
from scorelab.lab import runs
from scorelab.lab.config import Config, check, differences
from scorelab.lab.execution import require_device
from scorelab.lab.help import help_text
from scorelab.lab.hydra_errors import as_config_errors, explained, with_added_keys
from scorelab.lab.locks import Lock
from scorelab.lab.names import as_given, as_override, override_names, readable
from scorelab.lab.replicas import execute
from scorelab.lab.result import Result
from scorelab.nodes import GROUPS
from scorelab.options import show
from scorelab.schedules.grids import NAMES
from scorelab.studies.base import lookup
from scorelab.workers import end_with_parent

log = logging.getLogger("scorelab")
#: whether the user asked for a traceback with every error; read before `main` sets the variable for its own ends
_TRACEBACKS = os.environ.get("HYDRA_FULL_ERROR") == "1"


# The command line. --------------------------------------------------------------------------------------------------


# conf/config.yaml uses the first and the last of these resolvers beside Hydra's own. The second one is for the command
# line and for option files: ${npy:FILE} is the numbers of the file, which a run saves in place of the name.
OmegaConf.register_new_resolver("override_names", override_names, replace=True)
OmegaConf.register_new_resolver("npy", read_numbers, replace=True)
OmegaConf.register_new_resolver("help", help_text, replace=True)


class ReserveDirectory(Callback):
    """Check the configuration and reserve the run's directory before Hydra writes anything into it."""

    #: the lock of the directory of this process's run, for `job`, which gives it back
    lock: ClassVar[Lock | None] = None

    def on_run_start(self, config, **_):
        """Reserve a directory for a new run, or go back to the directory of an existing run."""
        with one_line_errors():
            opened = existing_run(config)
            chosen = any(str(override).startswith("hydra.run.dir=") for override in config.hydra.overrides.hydra)
            if opened is not None:
                existing = opened.path
                if chosen:
                    raise ConfigError(f"hydra.run.dir: goes with a new run; this one works in {existing}")
                merge(opened, plain(config), as_given(config.hydra.overrides.task), _option_groups(config.hydra))
                ReserveDirectory.lock = Lock(existing)
                own_logs(existing)
                with open_dict(config):
                    config.hydra.output_subdir = None  # .hydra keeps what the run was first asked for
                config.hydra.run.dir = str(existing)
                return
            checked = check(plain(config))
            require_existing_for(checked)
            listing = checked.study.listing(checked)
            if listing is not None:
                print(listing)
                sys.exit(0)
            wanted = Path(config.hydra.run.dir)
            directory = runs.claim(wanted) if chosen else runs.reserve(wanted)
            ReserveDirectory.lock = Lock(directory)
            config.hydra.run.dir = str(directory)

    @classmethod
    def give_back(cls):
        """Remove the directory that was reserved, if the run did not begin: it holds an empty log and what Hydra wrote
        before it calls a run."""
        lock, cls.lock = cls.lock, None
        if lock is not None:
            lock.release()
            written = [path for path in lock.directory.iterdir() if path.name != ".hydra"]
            if all(path.is_file() and not path.stat().st_size for path in written):
                shutil.rmtree(lock.directory)


def job(config: DictConfig):
    """The task that Hydra calls, once for a run and once for each job of a sweep."""
    of_hydra = HydraConfig.get()
    run = runs.Run(of_hydra.runtime.output_dir)
    if not OmegaConf.is_missing(of_hydra.job, "num"):  # only the jobs of a sweep have a number
        return _job_of_sweep(run, config)
    # Until it has begun, a run that ends gives its directory back.
    with one_line_errors(), ReserveDirectory.lock or Lock(run.path):
        if existing_run(config) is not None:
            config = merge(run, plain(config), as_given(of_hydra.overrides.task), _option_groups(of_hydra))
        else:
            config = check(plain(config))
        execute(run, config)
        from scorelab.lab.summary import summary

        summary(run, config.study)
    ReserveDirectory.lock = None
    return None


def _job_of_sweep(run: runs.Run, config: DictConfig):
    """Run one job and return the number that a sweeper may minimise; a failure is recorded in the job's directory.

    A job that another process works at is left alone.
    """
    end_with_parent()
    try:
        lock = Lock(run.path)
    except ScorelabError as error:
        log.error("%s", error)
        return None
    with lock:
        try:
            # A job of our own sweeper was checked and frozen when the sweep began.
            frozen = (run / "config.yaml").is_file()
            checked = run.checked(config.extensions) if frozen else check(plain(config))
            execute(run, checked)
            return lookup(run.metrics, checked.study.goal)
        except (Exception, SystemExit) as error:
            if run.state != "failed":  # the error came before the run began
                run.mark("failed", error=one_line(error))
            return None


def main(task):
    """Call a task decorated with `hydra.main`, and show errors as one line, also the errors that Hydra raises."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # lets Hydra's own errors through to us
    with one_line_errors():
        if any(word.startswith("--e") for word in sys.argv[1:]):  # Hydra takes any unique beginning
            raise ConfigError("--experimental-rerun: loads a pickle, which can run anything; run=DIR opens a run")
        if os.getcwd() not in sys.path:
            sys.path.append(os.getcwd())  # where a notebook and `python -m` find packages too
        logging.raiseExceptions = False  # a reader that is gone, as of `| head`, stops no run
        sys.argv[1:] = readable(sys.argv[1:])
        done = with_added_keys(lambda words: _call(task, words), sys.argv[1:])
        sys.stdout.flush()
        return done


def _call(task, words: list[str]):
    sys.argv[1:] = words
    return task()


class one_line_errors:
    """End the process with one line for an error that a user can mend.

    The exit status is 2 for a configuration that is refused, 1 for any other such error, 130 after an interrupt, and
    141 where nobody reads the output any more. Bugs keep their traceback; under HYDRA_FULL_ERROR=1 so does any error.
    """

    def __enter__(self):
        return self

    def __exit__(self, kind, error, _):
        if isinstance(error, KeyboardInterrupt):
            ReserveDirectory.give_back()  # at its exit torch may log into a directory that has begun nothing
            sys.exit(130)
        if isinstance(error, BrokenPipeError) or isinstance(getattr(error, "__context__", None), BrokenPipeError):
            _discard_output()  # rich makes SystemExit of it
            sys.exit(141)
        known = isinstance(error, (ScorelabError, OmegaConfBaseException, HydraException, RecursionError))
        if error is None or _TRACEBACKS or not (known or _before_scorelab(error)):
            return
        ReserveDirectory.give_back()
        cause = f" ({error.__cause__})" if isinstance(error, ValueError) and error.__cause__ else ""
        print(f"error: {explained(error, sys.argv[1:]) or one_line(error) + cause}", file=sys.stderr)
        sys.exit(1 if isinstance(error, ScorelabError) and not isinstance(error, ConfigError) else 2)


def _discard_output():
    """Let what is left to be written at the end of the process go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.__stdout__.fileno())
    os.close(nowhere)


def _before_scorelab(error: BaseException) -> bool:
    """Whether an error was raised by Hydra alone, which composes a configuration and sets up the log before it calls
    anything of scorelab."""
    frames = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__)]
    return (
        isinstance(error, Exception)
        and "hydra.main" in frames
        and not any(
            name.startswith(("scorelab.", "hydra_plugins.scorelab")) for name in frames[frames.index("hydra.main") :]
        )
    )


# Configurations. ----------------------------------------------------------------------------------------------------


def plain(config) -> dict:
    """A composed configuration as plain data, without Hydra's own node.

    A name in `schedule.grid` that is not a name of scorelab stands for a file grid/NAME.yaml in a folder of the user's.
    Raises ConfigError for a missing value and for an interpolation that fails.
    """
    of_hydra = config.get("hydra") or (HydraConfig.get() if HydraConfig.initialized() else None)
    with open_dict(config):
        own = OmegaConf.masked_copy(config, [key for key in config if key != "hydra"])
    own._set_parent(None)
    try:
        data = OmegaConf.to_container(own, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        raise ConfigError(f"{error.full_key}: a value is needed") from None
    except OmegaConfBaseException as error:
        text = one_line(error).split(": ", 1)[-1].split(" full_key: ")[0]
        text = re.sub(r"^\w*Error raised while resolving interpolation: ", "", text)
        raise ConfigError(f"{error.full_key}: {text}" if text.startswith("Interpolation") else text) from None
    except RecursionError:
        raise ConfigError("the configuration is nested too deeply") from None
    chosen = of_hydra.runtime.choices if of_hydra is not None else ()
    if of_hydra is not None and data.get("setting") is not None and not any("experiment" in name for name in chosen):
        raise ConfigError(f"setting = {data['setting']}: goes with a preset, as in +experiment=fig02_relu")
    schedule = data.get("schedule")
    if of_hydra is not None and isinstance(schedule, dict) and "grid" in schedule:
        schedule["grid"] = _own_grid(schedule["grid"], of_hydra.runtime.config_sources)
    return data


def _own_grid(grid, sources):
    """Return the node in the user's file for a name that is not a name of scorelab; anything else stays as it is."""
    if isinstance(grid, str) and grid.isidentifier() and grid not in NAMES:
        for path in (Path(source.path) / "grid" / f"{grid}.yaml" for source in sources if source.schema == "file"):
            if path.is_file():
                try:
                    return read_yaml(path)
                except ScorelabError as error:
                    raise ConfigError(str(error)) from None
    return grid


def existing_run(config) -> runs.Run | None:
    """The run that `run` or `training.resume` names; None for a new run. Raises ConfigError if both name one, and
    ScorelabError, with the key, where there is none."""
    named = {key: OmegaConf.select(config, key) for key in ("run", "training.resume")}
    named = {key: str(name) for key, name in named.items() if name is not None}
    if len(named) > 1:
        raise ConfigError("run and training.resume: only one of them can name a run directory")
    for key, name in named.items():
        return runs.Run.open(name, key)
    return None


def require_existing_for(config: Config):
    """Raise ConfigError if a new run is asked for a stage that needs an earlier one, or for what only a sweep does."""
    if config.general.stage not in ("all", next(iter(config.study.stages))):
        raise ConfigError(f"stage = {config.general.stage}: run=DIR is needed, a run directory with what comes before")
    if config.general.sweep.jobs or config.general.sweep.resume or config.general.sweep.dry_run:
        raise ConfigError("sweep: its keys need a sweep, as in python run.py -m ...")
    require_device(config)


def merge(run: runs.Run, asked: dict, overrides: list[str], groups: set[str]) -> Config:
    """The configuration of an existing run, changed by the overrides that are given now.

    asked: the whole configuration that is composed now; the run's extensions, and places outside of it, have to be in
    it as well. groups: the groups whose options have names. A stage may change only what this stage and the stages
    after it depend on; a resumed training may change nothing. Raises ConfigError for any other change.
    """
    given, before = asked, run.checked(asked.get("extensions") or ())
    data, asked = OmegaConf.create(before.data), OmegaConf.create(asked)
    for override in overrides:
        group, _, package = override.lstrip("+~").split("=", 1)[0].partition("@")
        key = package or group
        value = OmegaConf.select(asked, key)
        if "." not in key and key not in asked and override in run.overrides:
            continue  # a preset, named again so that the places and extensions that it names are given
        if key == "study" and value.get("_target_") == data["study"]["_target_"]:
            continue  # named again so that its keys can be given; those that are not given stay as the run has them
        whole = key in groups or (OmegaConf.is_dict(value) and "_target_" in value)  # a node is replaced as a whole
        OmegaConf.update(data, key, value, merge=not whole, force_add=True)
    for key in ("run", "stage"):  # of this command, not of the last one in the directory
        data[key] = given.get(key)
    for group in GROUPS:  # the study that is asked for now may use more groups
        if group not in data:
            data[group] = asked[group]
    config = check(OmegaConf.to_container(data))
    stage = config.general.stage
    resuming = config.general.run is None
    if resuming and stage != "all":
        raise ConfigError(f"training.resume: goes with stage=all, not with stage={stage}")
    if not resuming and stage in ("all", "train"):
        raise ConfigError(f"run = {run.path}: goes with stage=sample, analyse or plot, not with stage={stage}")
    free = config.study.changes.get(stage, ())
    if config.uses("training") and config.options("training").angles == "native":  # on the schedule's time
        free = tuple(group for group in free if group != "schedule")
    old, new = ({key: value for key, value in one.essential.items() if key not in free} for one in (before, config))
    changed = differences(old, new)
    if changed:
        what = "training.resume" if resuming else f"stage={stage}"
        raise ConfigError(f"{run.path}: of another configuration, {what} cannot change {'; '.join(changed)}")
    config.require_given(given, "reads", "" if resuming else "target.")  # every stage reads the data of a target
    config.require_given(given, "writes")
    require_device(config)
    return config


def _option_groups(of_hydra) -> set[str]:
    return {group for group in GROUPS if group in of_hydra.runtime.choices}


# Python. ------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def composing(words):
    """The configuration that overrides ask for, as Hydra composes it, with Hydra's own part. What Hydra refuses, then
    or in the enclosed block, is a ConfigError."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config_folder()), version_base="1.3"), as_config_errors(words):
        yield with_added_keys(
            lambda given: compose("config", overrides=given, return_hydra_config=True), readable(words)
        )


def run(overrides=(), directory: Path | str | None = None, config_dir: Path | str | None = None) -> Result:
    """Do what `python run.py OVERRIDES...` does and return the result.

    directory: the run directory; by default outputs/<date>/<time>-<override names> below the working directory.
    config_dir: a folder of your own options, as with --config-dir. Raises ScorelabError for an error that a user can
    mend.
    """
    with composing(_words(overrides, config_dir)) as composed:
        groups = _option_groups(composed.hydra)
        tasks = as_given(composed.hydra.overrides.task)
        asked, opened = plain(composed), existing_run(composed)
        # compose() leaves hydra.job unset; the pattern of directory names does not need it.
        wanted = Path(OmegaConf.to_container(composed.hydra.run, resolve=True)["dir"])
    existing = opened is not None
    if not existing:
        config = check(asked)
        require_existing_for(config)
        opened = runs.Run(runs.reserve(wanted) if directory is None else runs.claim(Path(directory)))
    with Lock(opened.path):
        if existing:
            config = merge(opened, asked, tasks, groups)
            own_logs(opened.path)
        else:
            (opened / ".hydra").mkdir()
            write_text(opened / ".hydra" / "overrides.yaml", yaml.safe_dump(tasks))
        with _log_file(opened / "run.log"):
            execute(opened, config)
    return Result(opened.path, opened.metrics, config)


def _words(overrides, config_dir) -> list[str]:
    """The overrides of `run`, with one for the folder of options. Raises ConfigError for what are none."""
    listed = isinstance(overrides, Iterable) and not isinstance(overrides, str)
    if not listed or not all(isinstance(word, str) for word in overrides):
        raise ConfigError(f"overrides = {show(overrides)}: a list of words is needed, as in ['seed=1', 'threads=2']")
    if config_dir is None:
        return [*overrides]
    if not Path(config_dir).is_dir():
        raise ConfigError(f"config_dir = {config_dir}: no such folder")
    place = as_override(f"file://{Path(config_dir).absolute()}")
    return [*overrides, f"hydra.searchpath=[{place}]"]


def load(directory: Path | str, extensions=(), reads: bool = False) -> Result:
    """The result of a run that is done; nothing in its directory is executed.

    extensions: the packages whose classes the run's configuration may name, as for a new run. reads: whether the target
    may be built of data outside of the directory, which the configuration names. Raises ScorelabError for a directory
    without a finished run, and for a configuration that names other extensions.
    """
    opened = runs.Run.open(directory)
    return Result(opened.path, opened.metrics, opened.checked(extensions), reads)


@contextlib.contextmanager
def _log_file(path: Path):
    """Write the log of the enclosed block to a file, as Hydra does for the command line; the console stays quiet."""
    handler, level = logging.FileHandler(path), log.level
    handler.setFormatter(logging.Formatter("[%(asctime)s] %(message)s", "%H:%M:%S"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        handler.close()


def config_folder() -> Path:
    """The folder `conf`, in an installed package or at the root of a checkout. Raises ScorelabError without it."""
    here = Path(__file__).resolve().parents[1]
    for folder in (here / "conf", here.parents[1] / "conf"):
        if (folder / "config.yaml").is_file():
            return folder
    raise ScorelabError(f"conf: not found beside {here}")


__all__ = ["Result", "job", "load", "run"]
