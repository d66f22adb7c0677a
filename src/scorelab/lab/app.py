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

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from scorelab.errors import ConfigError, ScorelabError, one_line
from scorelab.figures.own_style import read as read_style
from scorelab.files import config_folder, own_logs, read_numbers, read_yaml
from scorelab.lab import runs
from scorelab.lab.again import existing_run, merge, require_trained, take
from scorelab.lab.config import Config, check
from scorelab.lab.execution import require_device
from scorelab.lab.help import help_text
from scorelab.lab.hydra_errors import as_config_errors, explained, with_added_keys
from scorelab.lab.hydra_internals import BASE, register_resolver
from scorelab.lab.locks import Lock
from scorelab.lab.names import as_given, as_override, override_names, readable
from scorelab.lab.replicas import execute
from scorelab.lab.result import Result, SweepResult
from scorelab.lab.searches import keep_sweeper
from scorelab.nodes import GROUPS, resolve
from scorelab.options import show
from scorelab.progress import labelled
from scorelab.schedules.grids import NAMES
from scorelab.stopping import heeded, require_going
from scorelab.studies.base import lookup
from scorelab.workers import doing_job, end_with_parent

log = logging.getLogger("scorelab")
#: the files of a sweep, or of a folder that was gathered, end so
ENDS = ("json", "csv")
#: how overrides of Hydra's begin that only a sweep heeds
_OF_SWEEPS = tuple(f"hydra{mark}{name}" for name in ("launcher", "sweeper") for mark in "/.")
#: whether the user asked for a traceback with every error; read before `main` sets the variable for its own ends
TRACEBACKS = os.environ.get("HYDRA_FULL_ERROR") == "1"


# The command line. --------------------------------------------------------------------------------------------------


# conf/config.yaml uses the first and the last of these resolvers beside Hydra's own. The second one is for the command
# line and for option files: ${npy:FILE} is the numbers of the file, which a run saves in place of the name.
register_resolver("override_names", override_names)
register_resolver("npy", read_numbers)
register_resolver("help", help_text)


class ReserveDirectory(Callback):
    """Check the configuration and reserve the run's directory before Hydra writes anything into it."""

    #: the lock of the directory of this process's run, for `job`, which gives it back
    lock: ClassVar[Lock | None] = None

    def on_run_start(self, config, **_):
        """Reserve a directory for a new run, or go back to the directory of an existing run."""
        with one_line_errors():
            opened = existing_run(config)
            checked = asked_for(opened, config)
            _require_single(config.hydra.overrides.hydra)
            chosen = any(str(override).startswith("hydra.run.dir=") for override in config.hydra.overrides.hydra)
            listing = checked.study.listing(checked) if opened is None else None
            if listing is not None:
                print(listing)
                sys.exit(0)
            if opened is not None:
                with open_dict(config):
                    config.hydra.output_subdir = None  # what Hydra composed is not the configuration of this run
            if opened is None or checked.samples_anew:
                wanted = Path(config.hydra.run.dir)
                directory = runs.claim(wanted) if chosen else runs.reserve(wanted)
                ReserveDirectory.lock = Lock(directory)
            elif chosen:
                raise ConfigError(f"hydra.run.dir: goes with a new run; this one works in {opened.path}")
            else:
                directory = opened.path
                ReserveDirectory.lock = Lock(directory)
                own_logs(directory)
            config.hydra.run.dir = str(directory)

    def on_multirun_start(self, config, **_):
        """Give a sweep that goes on the sweeper that it began with."""
        with one_line_errors():
            keep_sweeper(config)

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
        config = _prepared(run, config)
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
    logging.raiseExceptions = False  # in a worker too a log whose disk is full stops no job
    require_going()
    try:
        lock = Lock(run.path)
    except ScorelabError as error:
        log.error("%s", error)
        return None
    with heeded(), lock, labelled(f"job {run.path.name}: "), doing_job(HydraConfig.get().job.num):
        try:
            # A job of our own sweeper was checked and frozen when the sweep began.
            frozen = (run / "config.yaml").is_file()
            checked = run.checked(config.extensions) if frozen else _prepared(run, config)
            checked = checked.tracked_by(config.get("tracking")) if frozen else checked
            execute(run, checked)
            return lookup(run.metrics, checked.study.goal)
        except (Exception, SystemExit) as error:
            if run.state != "failed":  # the error came before the run began
                run.mark("failed", error=one_line(error))
            return None


def _prepared(run: runs.Run, config: DictConfig) -> Config:
    """The checked configuration of a run that is about to begin in its directory, which has what it samples from."""
    opened = existing_run(config)
    checked = asked_for(opened, config)
    if opened is not None and checked.samples_anew:
        take(opened, run, checked, as_given(HydraConfig.get().overrides.task))
    return checked


def main(task):
    """Call a task decorated with `hydra.main`, and show errors as one line, also the errors that Hydra raises."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # lets Hydra's own errors through to us
    with one_line_errors(), heeded():
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

    The exit status is 2 for a configuration that is refused, 1 for any other such error, 130 after an interrupt, 128
    and the number of the signal after one of `scorelab.stopping`, and 141 where nobody reads the output any more. Bugs
    keep their traceback; under HYDRA_FULL_ERROR=1 so does any error.
    """

    def __enter__(self):
        return self

    def __exit__(self, kind, error, _):
        if isinstance(error, KeyboardInterrupt):
            ReserveDirectory.give_back()  # at its exit torch may log into a directory that has begun nothing
            sys.exit(getattr(error, "status", 130))
        if isinstance(error, BrokenPipeError) or isinstance(getattr(error, "__context__", None), BrokenPipeError):
            _discard_output()  # rich makes SystemExit of it
            sys.exit(141)
        known = isinstance(error, (ScorelabError, OmegaConfBaseException, HydraException, RecursionError))
        if error is None or TRACEBACKS:
            return
        if not (known or _before_scorelab(error)):
            if (where := _in_code_of_the_users(error)) is not None:
                text = f"{where}: {type(error).__name__}: {one_line(error)}"
                print(f"error: {text}; HYDRA_FULL_ERROR=1 shows the traceback", file=sys.stderr)
                sys.exit(1)
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


def _in_code_of_the_users(error: BaseException) -> str | None:
    """FILE:LINE in a package of the user's own that scorelab called, in which or below which an error was raised; None
    for an error of scorelab's own."""
    ours = Path(__file__).parents[1]
    frames = traceback.extract_tb(error.__traceback__)
    called = [Path(frame.filename).is_relative_to(ours) for frame in frames]
    last = max((place for place, own in enumerate(called) if own), default=len(frames))
    libraries = (sys.prefix, sys.base_prefix)
    for frame in reversed(frames[last + 1 :]):
        if frame.filename.endswith(".py") and not frame.filename.startswith(libraries):
            return f"{frame.filename}:{frame.lineno}"
    return None


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
    The file or the name in `figures.style` becomes the lines of this style.
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
    figures = data.get("figures")
    if isinstance(figures, dict) and isinstance(figures.get("style"), str):
        figures["style"] = read_style(figures["style"])
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


def asked_for(opened: runs.Run | None, composed: DictConfig, in_sweep: bool = False, elsewhere: bool = False) -> Config:
    """The checked configuration of what is asked for: of a new run, of a stage of an existing one, or of a run that is
    sampled from it. elsewhere: whether it is for another machine."""
    of_hydra, data = composed.get("hydra") or HydraConfig.get(), plain(composed)
    _require_own_node(data)
    if opened is None:
        config = check(data)
        require_new(config, in_sweep, elsewhere)
        return config
    config = merge(opened, data, as_given(of_hydra.overrides.task), _option_groups(of_hydra))
    if config.samples_anew:
        require_trained(opened, config)
    return config


def _require_own_node(data: dict):
    """Raise ConfigError for a key that is given under `study` to a study whose keys stand under another node."""
    study = data["study"] if isinstance(data.get("study"), dict) else {}
    given = [key for key in study if key != "_target_"]
    if given and "_target_" in study:
        node = resolve("study", study["_target_"], data.get("extensions") or ()).keys
        if node != "study" and node in data:
            raise ConfigError(
                f"study.{given[0]}: the keys of this study stand under {node}, as in {node}.{given[0]}=..."
            )


def require_new(config: Config, in_sweep: bool, elsewhere: bool = False):
    """Raise ConfigError if a new run is asked for a stage that needs an earlier one, for what only a sweep does, or for
    a device that this machine, unless it runs elsewhere, does not have."""
    if config.general.stage not in ("all", next(iter(config.study.stages))):
        raise ConfigError(f"stage = {config.general.stage}: run=DIR is needed, a run directory with what comes before")
    if config.general.in_place:
        raise ConfigError("in_place = true: goes with stage=sample and run=DIR, whose samples it replaces")
    if not in_sweep and any(dict(config.general.sweep).values()):
        raise ConfigError("sweep: its keys need a sweep, as in python run.py -m ...")
    if not elsewhere:
        require_device(config)


def _require_single(words):
    """Raise ConfigError if a single run is asked for with a launcher or a sweeper, or with keys of one."""
    for word in map(str, words):
        if word.lstrip("+~").startswith(_OF_SWEEPS):
            raise ConfigError(f"{word}: needs a sweep, as in python run.py -m ...")


def _option_groups(of_hydra) -> set[str]:
    return {group for group in GROUPS if group in of_hydra.runtime.choices}


# Python. ------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def composing(words):
    """The configuration that overrides ask for, as Hydra composes it, with Hydra's own part. What Hydra refuses, then
    or in the enclosed block, is a ConfigError."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config_folder()), **BASE), as_config_errors(words):
        yield with_added_keys(
            lambda given: compose("config", overrides=given, return_hydra_config=True), readable(words)
        )


def run(overrides=(), directory: Path | str | None = None, config_dir: Path | str | None = None) -> Result:
    """Do what `python run.py OVERRIDES...` does and return the result.

    directory: of a new run; by default outputs/<date>/<time>-<override names> below the working directory.
    config_dir: a folder of your own options, as with --config-dir. Raises ScorelabError for an error that a user can
    mend. Values that are swept, as in "seed=0,1", are for `scorelab.sweep`.
    """
    with composing(words_of(overrides, config_dir)) as composed:
        opened = existing_run(composed)
        config, tasks = asked_for(opened, composed), as_given(composed.hydra.overrides.task)
        _require_single(composed.hydra.overrides.hydra)
        # compose() leaves hydra.job unset; the pattern of directory names does not need it.
        wanted = Path(OmegaConf.to_container(composed.hydra.run, resolve=True)["dir"])
    in_place = opened is not None and not config.samples_anew
    if in_place and directory is not None:
        raise ConfigError(f"directory = {directory}: goes with a new run; this one works in {opened.path}")
    if not in_place:
        reserved = runs.reserve(wanted) if directory is None else runs.claim(Path(directory))
    done = opened if in_place else runs.Run(reserved)
    with Lock(done.path):
        if in_place:
            own_logs(done.path)
        elif opened is None:
            done.save_overrides(tasks)
        else:
            take(opened, done, config, tasks)
        with _log_file(done / "run.log"):
            execute(done, config)
    return Result(done.path, done.metrics, config)


def words_of(overrides, config_dir) -> list[str]:
    """The overrides of `run` or `sweep`, with one for the folder of options. Raises ConfigError for what are none."""
    listed = isinstance(overrides, Iterable) and not isinstance(overrides, str)
    if not listed or not all(isinstance(word, str) for word in overrides):
        raise ConfigError(f"overrides = {show(overrides)}: a list of words is needed, as in ['seed=1', 'threads=2']")
    if config_dir is None:
        return [*overrides]
    if not Path(config_dir).is_dir():
        raise ConfigError(f"config_dir = {config_dir}: no such folder")
    place = as_override(f"file://{Path(config_dir).absolute()}")
    return [*overrides, f"hydra.searchpath=[{place}]"]


def load(directory: Path | str, extensions=(), reads: bool = False) -> Result | SweepResult:
    """The result of a run that is done, or of a sweep, also of one that still runs; nothing in its directory is
    executed, and nothing is written.

    directory: of a run or a sweep, or any folder that was gathered. extensions: the packages whose classes the run's
    configuration may name, as for a new run. reads: whether the target may be built of data outside of the directory,
    which the configuration names. Raises ScorelabError for a directory without a finished run, and for a configuration
    that names other extensions.
    """
    directory = Path(directory)
    if not (directory / "status.json").is_file() and any((directory / f"sweep.{end}").is_file() for end in ENDS):
        return _sweep_result(directory, extensions, reads)
    if not (directory / "status.json").is_file() and directory.is_dir() and runs.beneath(directory):
        raise ScorelabError(f"{directory}: a folder of runs; scorelab.runs({str(directory)!r}) lists them")
    opened = runs.Run.open(directory)
    return Result(opened.path, opened.metrics, opened.checked(extensions), reads)


def _sweep_result(directory: Path, extensions, reads: bool) -> SweepResult:
    from scorelab.lab.jobs import tabulate

    return SweepResult(directory, tabulate(directory, extensions), tuple(extensions), reads)


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


__all__ = ["Result", "config_folder", "job", "load", "run"]
