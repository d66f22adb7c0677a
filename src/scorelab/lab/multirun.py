"""A sweep from Python."""

import contextlib
import logging
from pathlib import Path

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.types import HydraContext, RunMode
from omegaconf import OmegaConf

from scorelab.errors import ConfigError, ScorelabError, one_line
from scorelab.lab import detach
from scorelab.lab.app import TRACEBACKS, config_folder, job, words_of
from scorelab.lab.hydra_errors import as_config_errors, with_added_keys
from scorelab.lab.hydra_internals import BASE, Callbacks
from scorelab.lab.names import as_override, readable
from scorelab.lab.result import SweepResult
from scorelab.lab.sweep import Sweeper, gathered

#: each job has the log of its own that it has on the command line, and the console stays quiet
_QUIET = ("hydra.job_logging.root.handlers=[file]", "hydra.hydra_logging.root.handlers=[]")


def sweep(overrides, directory: Path | str | None = None, config_dir: Path | str | None = None) -> SweepResult:
    """Do what `python run.py -m OVERRIDES...` does and return the result: a job for each combination of the values that
    have commas between them, as in ["denoiser=relu,tanh", "seed=0,1"], each in a directory of its own.

    directory: of a new sweep; by default outputs/<date>/<time>-sweep below the working directory. config_dir: a folder
    of your own options, as with --config-dir. With sweep.detach=true it returns while the jobs run in the background,
    and `scorelab.load` gives the table as it is later. A job that fails is a row of the table with its reason. Raises
    ScorelabError if no job can run.
    """
    words = readable([*words_of(overrides, config_dir), *_QUIET])
    if directory is not None:
        words.append(f"hydra.sweep.dir={as_override(str(directory))}")
    with _own_logging(), contextlib.ExitStack() as held:
        sweeper, arguments = held.enter_context(_sweeper(words))
        with as_config_errors(words):
            if detach.wanted(sweeper):
                return _in_background(words, sweeper)
            place, jobs = sweeper.prepare(arguments, held)
        if sweeper.config.sweep.dry_run:
            raise ConfigError("sweep.dry_run = true: is for the command line, which prints the jobs")
        if jobs and all(each.error for each in jobs):
            raise ConfigError(f"no job of this sweep can run; job {jobs[0]}: {one_line(jobs[0].error)}")
        place = sweeper.begin(place, jobs, held)
        try:
            sweeper.launch(place, jobs)
        finally:
            table = gathered(place, jobs)
        if sweeper.stopped is not None and not any(table["state"] == "done"):
            raise ScorelabError(f"{place}: the launcher stopped: {sweeper.stopped}")
    extensions = {name: None for each in jobs if each.config for name in each.config.general.extensions}
    return SweepResult(place, table, tuple(extensions), reads=True)


def _in_background(words: list[str], sweeper: Sweeper) -> SweepResult:
    from scorelab.lab.jobs import tabulate

    given = [word for word in words if word not in _QUIET]
    place = detach.start(sweeper, ["-m", *given], TRACEBACKS, quiet=True)
    extensions = tuple(sweeper.config.extensions)
    return SweepResult(place, tabulate(place, extensions), extensions, reads=True)


@contextlib.contextmanager
def _sweeper(words: list[str]):
    """The sweeper of a command line, as Hydra makes it, and the overrides for it."""
    settings = HydraConfig.instance().cfg
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config_folder()), job_name="run", **BASE):
        hydra = GlobalHydra.instance().hydra

        def compose(given):
            return hydra.compose_config("config", given, run_mode=RunMode.MULTIRUN, with_log_configuration=False)

        try:
            with as_config_errors(words):
                config = with_added_keys(compose, words)
            context = HydraContext(config_loader=hydra.config_loader, callbacks=Callbacks(config))
            context.callbacks.on_multirun_start(config=config, config_name="config")
            sweeper = Plugins.instance().instantiate_sweeper(config=config, hydra_context=context, task_function=job)
            if not isinstance(sweeper, Sweeper):
                raise ConfigError("hydra/sweeper: scorelab.sweep needs the sweeper of scorelab; leave it out")
            yield sweeper, OmegaConf.to_container(config.hydra.overrides.task, resolve=False)
        finally:
            HydraConfig.instance().cfg = settings


@contextlib.contextmanager
def _own_logging():
    """Put the handlers and levels of logging back, which Hydra sets for each job."""
    loggers = [logging.getLogger(name) for name in (None, "scorelab", "hydra")]
    before = [(list(logger.handlers), logger.level, logger.disabled) for logger in loggers]
    try:
        yield
    finally:
        for logger, (handlers, level, disabled) in zip(loggers, before, strict=True):
            for handler in set(logger.handlers) - set(handlers):
                handler.close()
            logger.handlers[:] = handlers
            logger.setLevel(level)
            logger.disabled = disabled
