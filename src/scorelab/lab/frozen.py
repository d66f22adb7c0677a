"""The jobs of a sweep, whose configurations are frozen in its directory when it begins."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scorelab.errors import ConfigError, ScorelabError, one_line
from scorelab.files import make_folder, own_logs, read_json, require_closed
from scorelab.lab import locks
from scorelab.lab.again import take
from scorelab.lab.config import Config, differences
from scorelab.lab.job_words import belongs_to, parsed_words
from scorelab.lab.names import as_override
from scorelab.lab.runs import Run, below, require_name
from scorelab.options import show


@dataclass(frozen=True)
class Job:
    """One job of a sweep.

    overrides: what it was asked for. config: its checked configuration; None if the check raised `error`. given: the
    configuration before the check; None for a job that is only read from the directory of its sweep. origin: the run
    that the job is to be sampled from, if it is not to be trained.
    """

    number: int
    overrides: list[str]
    config: Config | None
    error: Exception | None
    given: Mapping | None = None
    origin: Run | None = None

    def __str__(self):
        return f"#{self.number}  {' '.join(self.overrides)}"

    @property
    def launched(self) -> list[str]:
        """The overrides for the launcher. A job that goes on, or is sampled from another run, has its configuration in
        its directory; of what the file of the sweep says, nothing is composed."""
        if self.given is not None and self.origin is None:
            return self.overrides
        general = self.config.general
        given = {"extensions": general.extensions, "tracking": general.tracking}
        return [*(f"{key}={as_override(value)}" for key, value in given.items()), "hydra.output_subdir=null"]


def freeze(directory: Path, job: Job):
    """Write a job's checked configuration into its directory; this file alone decides later what the job does."""
    run = Run(directory / str(job.number))
    make_folder(run.path)
    if job.error is None:
        run.save_config(job.config)
        if job.origin is not None:
            take(job.origin, run, job.config, job.overrides)
        run.mark("pending", fingerprint=job.config.fingerprint, overrides=job.overrides)
    else:
        run.mark("failed", error=one_line(job.error), overrides=job.overrides)


def require_sweep(directory: Path):
    """Raise ScorelabError unless a directory is a sweep that no link leads out of."""
    if not (directory / "sweep.json").is_file():
        raise ScorelabError(f"sweep.resume = {directory}: not a sweep directory (it has no sweep.json)")
    require_name(directory)
    require_closed(directory)


def own_logs_of(directory: Path):
    """Make the logs of a sweep and of its jobs, but for jobs that another process works at, files of their own."""
    for folder in (directory, *(run.path for run in below(directory) if locks.owner(run.path) is None)):
        own_logs(folder)


def frozen_jobs(directory: Path, extensions) -> list[Job]:
    """The jobs of a sweep, with the configurations that were frozen when it began.

    extensions: the packages that the user gave. Raises ScorelabError if sweep.json has no list of jobs, and ConfigError
    if a job sets what belongs to the whole command or needs another extension.
    """
    path = directory / "sweep.json"
    saved = read_json(path)
    listed = saved.get("jobs") if isinstance(saved, dict) else None
    if not isinstance(listed, list) or not all(isinstance(one, list) and {*map(type, one)} <= {str} for one in listed):
        raise ScorelabError(f"{path}: has no list of jobs")
    jobs = []
    for number, overrides in enumerate(listed):
        for override in parsed_words(f"{path}: job {number}", overrides):
            if belongs_to(override, {"hydra", "sweep"}):
                raise ConfigError(f"{path}: job {number} sets {show(override.input_line)}, which is not of a job")
        run = Run(directory / str(number))
        config = run.checked(extensions) if (run / "config.yaml").is_file() else None
        why = str(run.status.get("error")) if config is None and run.path.exists() else "its directory was removed"
        error = None if config is not None else ScorelabError(why)
        jobs.append(Job(number, overrides, config, error))
    return jobs


def require_same(directory: Path, frozen: list[Job], asked: list[Job]):
    """Raise ConfigError if the jobs that are asked for differ from the jobs of the sweep."""
    if len(asked) != len(frozen):
        count = f"of {len(frozen)} jobs, {len(asked)} were asked for"
        raise ConfigError(f"sweep.resume = {directory}: {count}; its overrides are those that it began with, or none")
    for old, new in zip(frozen, asked, strict=True):
        if old.config and new.config and old.config.fingerprint != new.config.fingerprint:
            changed = "; ".join(differences(old.config.essential, new.config.essential))
            raise ConfigError(f"sweep.resume = {directory}: of another configuration: job {old.number}: {changed}")
