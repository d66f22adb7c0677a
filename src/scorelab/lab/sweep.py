"""Sweeps: one command runs many jobs, each in a directory of its own, and gathers them even if some of them fail.

This is Hydra's basic sweeper with a different course. All jobs are composed and checked before the first job starts.
Their directory is reserved, and their configurations are frozen there, so that a file that is edited meanwhile changes
no job. Any launcher can run the jobs. The results are gathered from the directories alone.
"""

import copy
import logging
import sys
from pathlib import Path

import yaml
from hydra._internal.config_repository import CachingConfigRepository
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import open_dict

from scorelab.errors import ConfigError, ScorelabError, one_line
from scorelab.files import read_json, write_json
from scorelab.lab.app import one_line_errors, plain
from scorelab.lab.config import Config, Sweep, check, differences, sweep_options
from scorelab.lab.runs import Run, claim, reserve

log = logging.getLogger("scorelab")


class Job:
    """One job of a sweep: its overrides, and either its checked configuration or the error that the check raised."""

    def __init__(self, number: int, overrides: list[str], config: Config | None, error: Exception | None):
        self.number, self.overrides, self.config, self.error = number, overrides, config, error

    def __str__(self):
        return f"#{self.number}  {' '.join(self.overrides)}"


class _ReadOnce(CachingConfigRepository):
    """Configuration files as they were when they were first read.

    Hydra copies its repository for each composition and changes what it loads. Here all compositions share one cache,
    and each load returns a copy.
    """

    def __deepcopy__(self, memo):
        return self

    def load_config(self, config_path):
        return copy.deepcopy(super().load_config(config_path))


class Sweeper(BasicSweeper):
    """Hydra's sweeper that checks and freezes all jobs first, then launches and gathers them."""

    def sweep(self, arguments):
        """Run the jobs that the overrides `arguments` ask for; exit with status 1 if a job is not done at the end."""
        with one_line_errors():
            options = sweep_options(self.config.sweep)
            jobs = self._plan(arguments, options)
            if options.resume is not None:
                directory = Path(options.resume)
                jobs = _resume(directory, jobs)
            for job in jobs:
                if job.error is not None:
                    print(f"error: job {job}: {one_line(job.error)}", file=sys.stderr)
            if options.dry_run:
                self._list(jobs)
                sys.exit(2 if any(job.error for job in jobs) else 0)
            if all(job.error for job in jobs):
                raise ConfigError("no job of this sweep can run")
            if options.resume is None:
                directory = self._reserve()
                _freeze(directory, jobs)
            remaining = [job for job in jobs if job.error is None and Run(directory / str(job.number)).state != "done"]
            skipped = len(jobs) - len(remaining)
            log.info("sweep %s: %d jobs%s", directory, len(jobs), f", {skipped} of them skipped" if skipped else "")
        returns = []
        try:
            if remaining:
                returns.append(self._launch(directory, remaining))
        except Exception as error:  # a launcher may lose a job or a worker; the other jobs are gathered
            log.error("the launcher stopped: %s", one_line(error))
        finally:
            # Importing pandas takes half a second, for which a dry run need not wait.
            from scorelab.lab.gather import gather, print_sweep

            with one_line_errors():
                print_sweep(gather(directory), directory)
        if any(Run(directory / str(job.number)).state != "done" for job in jobs):
            sys.exit(1)
        return returns

    # Before any job starts. -----------------------------------------------------------------------------------------

    def _plan(self, arguments, options: Sweep) -> list[Job] | None:
        """The jobs that the command line asks for; None if the command line only names a sweep to resume."""
        loader = self.hydra_context.config_loader
        loader.repository = _ReadOnce(loader.repository)
        parsed = OverridesParser.create(config_loader=loader).parse_overrides(list(arguments))
        parsed = [override for override in parsed if not (override.key_or_group or "").startswith("sweep.")]
        if options.resume is not None and options.jobs is None and not parsed:
            return None
        products = self.split_arguments(parsed, None)[0]
        listed = read_jobs(Path(options.jobs)) if options.jobs is not None else [[]]
        overrides = [_join(number, one, product) for number, one in enumerate(listed) for product in products]
        return [self._compose(number, one) for number, one in enumerate(overrides)]

    def _compose(self, number: int, overrides: list[str]) -> Job:
        try:
            composed = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
            config = check(plain(composed))
            resumed = config.uses("training") and config.options("training").resume
            if config.general.stage not in ("all", next(iter(config.study.stages))) or config.general.run or resumed:
                raise ConfigError("stage, run and training.resume: a sweep trains; use sweep.resume to go on with one")
            return Job(number, overrides, config, None)
        except Exception as error:
            return Job(number, overrides, None, error)

    def _list(self, jobs):
        for job in jobs:
            if job.error is None:
                steps = f"{job.config.options('training').total_steps} steps, " if job.config.uses("training") else ""
                print(f"job {job}  ({steps}{job.config.fingerprint})")
        print(f"{len(jobs)} jobs, {sum(job.error is not None for job in jobs)} that cannot run; nothing was started")

    def _reserve(self) -> Path:
        wanted = Path(self.config.hydra.sweep.dir)
        chosen = any(str(override).startswith("hydra.sweep.dir=") for override in self.config.hydra.overrides.hydra)
        return claim(wanted) if chosen else reserve(wanted)

    # The jobs. ------------------------------------------------------------------------------------------------------

    def _launch(self, directory: Path, jobs):
        with open_dict(self.config):
            self.config.hydra.sweep.dir = str(directory)
            self.config.hydra.overrides.hydra.append(f"hydra.sweep.dir='{directory}'")
        return self.launcher.launch(
            [[*job.overrides, f"hydra.sweep.subdir='{job.number}'"] for job in jobs], initial_job_idx=0
        )


def read_jobs(path: Path) -> list[list[str]]:
    """Read the jobs of a YAML file, a list of mappings from keys to values; return each job as a list of overrides.

    Raises ConfigError if the file cannot be read or has no such list.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"sweep.jobs = {path}: cannot be read ({one_line(error)})") from None
    if not isinstance(content, list) or not content or not all(isinstance(one, dict) and one for one in content):
        raise ConfigError(f"sweep.jobs = {path}: a list of jobs is needed, each a mapping such as {{training.N: 5000}}")
    return [[f"{key}={_as_override(value)}" for key, value in one.items()] for one in content]


def _as_override(value) -> str:
    """A YAML value in the grammar of Hydra's command line."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_as_override(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_as_override, value)) + "]"
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'" if not value.isidentifier() else value
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)


def _join(number: int, listed: list[str], swept: list[str]) -> list[str]:
    both = {one.split("=", 1)[0] for one in listed} & {one.lstrip("+").split("=", 1)[0] for one in swept}
    if both:
        raise ConfigError(f"sweep.jobs: job {number} and the command line both set {', '.join(sorted(both))}")
    return [*listed, *swept]


def _freeze(directory: Path, jobs):
    """Write every job's checked configuration into its directory; this file alone decides later what the job does."""
    for job in jobs:
        run = Run(claim(directory / str(job.number)))
        if job.error is None:
            run.save_config(job.config)
            run.mark("pending", fingerprint=job.config.fingerprint, overrides=job.overrides)
        else:
            run.mark("failed", error=one_line(job.error), overrides=job.overrides)
    write_json(directory / "sweep.json", {"command": sys.argv, "jobs": [job.overrides for job in jobs]})


def _resume(directory: Path, asked: list[Job] | None) -> list[Job]:
    """The jobs of an interrupted sweep, with the configurations that were frozen when it began.

    asked: the jobs that the command line asks for, None if it asks for none. Raises ScorelabError if the directory is
    not a sweep, ConfigError if the jobs that are asked for differ from the jobs of the sweep.
    """
    if not (directory / "sweep.json").is_file():
        raise ScorelabError(f"sweep.resume = {directory}: not a sweep directory (it has no sweep.json)")
    jobs = []
    for number, overrides in enumerate(read_json(directory / "sweep.json")["jobs"]):
        run = Run(directory / str(number))
        config = run.config if (run / "config.yaml").is_file() else None
        error = None if config is not None else ScorelabError(str(run.status.get("error")))
        jobs.append(Job(number, overrides, config, error))
    if asked is not None:
        if len(asked) != len(jobs):
            raise ConfigError(f"sweep.resume = {directory}: of {len(jobs)} jobs, {len(asked)} were asked for")
        for old, new in zip(jobs, asked, strict=True):
            if old.config and new.config and old.config.fingerprint != new.config.fingerprint:
                changed = "; ".join(differences(old.config.essential, new.config.essential))
                raise ConfigError(f"sweep.resume = {directory}: of another configuration: job {old.number}: {changed}")
    return jobs
