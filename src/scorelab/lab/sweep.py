"""Sweeps: one command runs many jobs, each in a directory of its own, and gathers them even if some of them fail.

This is Hydra's basic sweeper with a different course. All jobs are composed and checked before the first job starts.
Their directory is reserved, and their configurations are frozen there, so that a file that is edited meanwhile changes
no job. Any launcher can run the jobs. The results are gathered from the directories alone.
"""

import contextlib
import copy
import logging
import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hydra._internal.config_repository import CachingConfigRepository
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from scorelab.errors import ConfigError, ScorelabError, one_line
from scorelab.files import make_folder, own_logs, read_json, read_yaml, require_closed, write_json
from scorelab.lab import locks
from scorelab.lab.again import existing_run, take
from scorelab.lab.app import asked_for, one_line_errors, plain
from scorelab.lab.config import Config, Sweep, differences, sweep_options
from scorelab.lab.hydra_errors import as_config_errors, with_added_keys
from scorelab.lab.locks import Lock
from scorelab.lab.names import as_override, pasted
from scorelab.lab.runs import Run, below, claim, require_name, reserve
from scorelab.options import show

log = logging.getLogger("scorelab")
#: a number with an exponent, which YAML 1.1 takes for text without a point before it or a sign after it
_EXPONENT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")


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
        return [f"extensions={as_override(self.config.general.extensions)}", "hydra.output_subdir=null"]


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

    #: the error that stopped the launcher, if one did
    stopped: str | None = None

    def sweep(self, arguments):
        """Run the jobs that the overrides `arguments` ask for; exit with status 1 if a job is not done at the end."""
        with contextlib.ExitStack() as held:
            with one_line_errors():
                directory, jobs = self.prepare(arguments, held)
            for job in jobs:
                if job.error is not None:
                    print(f"error: job {job}: {one_line(job.error)}", file=sys.stderr)
            if self._options.dry_run:
                self._list(jobs)
                sys.exit(2 if any(job.error for job in jobs) else 0)
            with one_line_errors():
                directory = self.begin(directory, jobs, held)
            if self._options.detach:
                with one_line_errors():
                    self._detach(directory, jobs)
                return []
            try:
                returns = self.launch(directory, jobs)
            finally:
                from scorelab.lab.gather import print_sweep

                with one_line_errors():
                    print_sweep(gathered(directory, jobs), directory)
        if any(Run(directory / str(job.number)).state != "done" for job in jobs):
            sys.exit(1)
        return returns

    def prepare(self, arguments, held: contextlib.ExitStack) -> tuple[Path | None, list[Job]]:
        """The jobs of the sweep, and the directory of one that goes on. held: takes the lock of this directory."""
        self._options = options = sweep_options(self.config.sweep)
        self._require_supported(options)
        arguments = [*self._of_params(arguments), *arguments]
        if hasattr(self.launcher, "require"):  # our own
            self.launcher.require()
        if hasattr(self.launcher, "submit"):
            self.launcher.waits = not options.detach
        if options.resume is None:
            return None, self._plan(arguments, options)
        directory = Path(options.resume)
        _require_sweep(directory)
        if not options.dry_run:
            held.enter_context(Lock(directory))
            _own_logs(directory)
        return directory, self._resume(directory, arguments, options)

    def begin(self, directory: Path | None, jobs: list[Job], held: contextlib.ExitStack) -> Path:
        """The directory of the sweep; a new one has the jobs, frozen. held: takes its lock. Raises ConfigError if no
        job can run."""
        if all(job.error for job in jobs):
            raise ConfigError("no job of this sweep can run")
        if directory is None:
            directory = self._reserve()
            held.enter_context(Lock(directory))
            _freeze(directory, jobs)
        return directory

    def launch(self, directory: Path, jobs: list[Job]) -> list:
        """Launch the jobs that are not done and not in a queue already, and return what the launcher returns."""
        queued = self.launcher.queued(directory) if hasattr(self.launcher, "queued") else {}
        if queued:
            log.info("sweep %s: %d jobs are in the queue, and not submitted again", directory, len(queued))
        remaining = [job for job in jobs if job.error is None and Run(directory / str(job.number)).state != "done"]
        remaining = [job for job in remaining if job.number not in queued]
        skipped = len(jobs) - len(remaining)
        log.info("sweep %s: %d jobs%s", directory, len(jobs), f", {skipped} of them skipped" if skipped else "")
        for job in remaining:
            if job.launched is not job.overrides:  # the launcher will not tell what the job was asked for
                log.info("job %s", job)
        try:
            if queued and not remaining and self.launcher.waits:
                self.launcher.wait(directory)
            return [self._launch(directory, remaining)] if remaining else []
        except Exception as error:  # a launcher may lose a job or a worker; the other jobs are gathered
            self.stopped = one_line(error)
            log.error("the launcher stopped: %s", self.stopped)
            return []

    def _detach(self, directory: Path, jobs: list[Job]):
        """Submit the jobs, and say how they are looked after. Raises ScorelabError if they are refused."""
        self.launch(directory, jobs)
        if self.stopped is not None:
            raise ScorelabError(f"{directory}: {self.stopped}; {pasted('sweep.resume', directory)} submits again")
        print(f"{directory}\nscorelab gather {shlex.quote(str(directory))} gathers what is done by then")
        if any(job.error for job in jobs):
            sys.exit(1)

    # Before any job starts. -----------------------------------------------------------------------------------------

    def _require_supported(self, options: Sweep):
        """Raise ConfigError for a key of Hydra that would do nothing here."""
        of_hydra = self.config.hydra
        subdir = OmegaConf.to_container(of_hydra.sweep, resolve=False)["subdir"]
        given = {str(override).partition("=")[0].lstrip("+") for override in of_hydra.overrides.hydra}
        if self.max_batch_size is not None:
            key, why = f"hydra.sweeper.max_batch_size = {self.max_batch_size}", "all jobs are launched at once"
            raise ConfigError(f"{key}: {why}; hydra.launcher.n_jobs, with hydra/launcher=joblib, limits how many run")
        if subdir != "${hydra.job.num}":
            raise ConfigError(f"hydra.sweep.subdir = {subdir}: the directories of jobs are their numbers; leave it out")
        if "hydra.run.dir" in given:
            raise ConfigError("hydra.run.dir: is of a single run; hydra.sweep.dir names the directory of a sweep")
        if options.detach and not hasattr(self.launcher, "submit"):
            raise ConfigError("sweep.detach = true: needs a launcher with a queue, as hydra/launcher=slurm")
        if options.resume is not None and "hydra.sweep.dir" in given:
            raise ConfigError(f"hydra.sweep.dir: goes with a new sweep; this one goes on in {options.resume}")

    def _of_params(self, arguments) -> list[str]:
        """The overrides of hydra.sweeper.params whose keys the command line does not set. Raises ConfigError for a
        value that is no text, as a list would be one value and not several."""
        given = {word.partition("=")[0].lstrip("+~") for word in arguments}
        for key, value in self.params.items():
            if OmegaConf.is_config(value):
                where = f"hydra.sweeper.params.{key} = {show(value)}"
                raise ConfigError(f"{where}: dotted keys and texts are needed, as in {{training.N: '100,200'}}")
        return [f"{key}={value}" for key, value in self.params.items() if key.lstrip("+~") not in given]

    def _resume(self, directory: Path, arguments, options: Sweep) -> list[Job]:
        """The jobs of an interrupted sweep. Raises ConfigError if the command line asks for other jobs, or if a job
        needs a place outside of the directory that the command line does not give."""
        frozen = _frozen(directory, self._given["extensions"])
        kinds = ("reads", "writes")
        places = {key for job in frozen if job.config for kind in kinds for key, _ in job.config.places(kind)}
        asked = self._plan(arguments, options, allowing=("extensions", *places))
        if asked is not None:
            _require_same(directory, frozen, asked)
        for number, job in enumerate(frozen):
            if job.config is not None and Run(directory / str(number)).state != "done":
                given = self._given if asked is None else asked[number].given or {}
                for kind in kinds:
                    job.config.require_given(given, kind)
        return frozen

    def _plan(self, arguments, options: Sweep, allowing=()) -> list[Job] | None:
        """The jobs that the command line asks for; None if it only names a sweep to resume. allowing: keys that, with a
        sweep to resume, do not ask for jobs."""
        loader = self.hydra_context.config_loader
        loader.repository = _ReadOnce(loader.repository)
        parsed = OverridesParser.create(config_loader=loader).parse_overrides(list(arguments))
        parsed = [override for override in parsed if not (override.key_or_group or "").startswith("sweep.")]
        others = [override for override in parsed if override.key_or_group not in allowing]
        if options.resume is not None and options.jobs is None and not others:
            return None
        products = self.split_arguments(parsed, None)[0]
        listed = read_jobs(Path(options.jobs)) if options.jobs is not None else [[]]
        overrides = [_join(number, one, product) for number, one in enumerate(listed) for product in products]
        return [self._compose(number, one) for number, one in enumerate(overrides)]

    def _compose(self, number: int, overrides: list[str]) -> Job:
        try:
            with as_config_errors(overrides):
                load = self.hydra_context.config_loader.load_sweep_config
                composed = with_added_keys(lambda words: (load(self.config, words), words), overrides)
            composed, overrides = composed
            origin = existing_run(composed)
            elsewhere = getattr(self.launcher, "elsewhere", False)
            config, given = asked_for(origin, composed, True, elsewhere), plain(composed)
            if self.config.sweep.jobs is not None:
                config.require_given(self._given, "writes")
            if origin is not None and not config.samples_anew:
                key = "in_place" if config.general.in_place else "stage" if config.general.run else "training.resume"
                why = "the jobs of a sweep are new runs; stage=sample run=DIR samples each of them from DIR"
                raise ConfigError(f"{key}: {why}, and sweep.resume goes on with a sweep")
            return Job(number, overrides, config, None, given, origin)
        except Exception as error:
            return Job(number, overrides, None, error)

    @property
    def _given(self) -> dict:
        """What the command line gives to all jobs, as plain data without interpolation."""
        own = [key for key in self.config if key != "hydra"]
        return OmegaConf.to_container(OmegaConf.masked_copy(self.config, own))

    def _list(self, jobs):
        for job in jobs:
            if job.error is None:
                trains = job.config.uses("training") and job.origin is None
                steps = f"{job.config.options('training').total_steps} steps, " if trains else ""
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
            self.config.hydra.overrides.hydra.append(f"hydra.sweep.dir={as_override(str(directory))}")
        if hasattr(self.launcher, "stacks"):
            return self._launch_stacks([(Run(directory / str(job.number)), job.config) for job in jobs], jobs)
        return self._launch_some(jobs)

    def _launch_stacks(self, runs, jobs):
        """Train the jobs of a stack and finish them, one stack after the other."""
        returns = []
        for places in self.launcher.stacks(runs):
            failed = self.launcher.train([runs[place] for place in places])
            some = [jobs[place] for place in places if runs[place][0].path not in failed]
            returns += self._launch_some(some) if some else []
        return returns

    def _launch_some(self, jobs):
        workers = getattr(self.launcher, "joblib", None)
        if workers is not None:  # a worker without a job would not learn that the sweep was killed
            from joblib import effective_n_jobs

            workers["n_jobs"] = min(effective_n_jobs(workers["n_jobs"]), len(jobs))
        return self.launcher.launch(
            [[*job.launched, f"hydra.sweep.subdir='{job.number}'"] for job in jobs], initial_job_idx=0
        )


def gathered(directory: Path, jobs: list[Job]):
    """The table of a sweep, written into its directory."""
    # Importing pandas takes half a second, for which a dry run need not wait.
    from scorelab.lab.gather import gather

    return gather(directory, {name: None for job in jobs if job.config for name in job.config.general.extensions})


def read_jobs(path: Path) -> list[list[str]]:
    """Read the jobs of a YAML file, a list of mappings from keys to values; return each job as a list of overrides.

    Raises ConfigError if the file cannot be read, has no such list, or sets what belongs to the whole command.
    """
    try:
        content = read_yaml(path)
    except ScorelabError as error:
        raise ConfigError(f"sweep.jobs = {error}") from None
    if content is None and not path.is_file():
        raise ConfigError(f"sweep.jobs = {path}: no such file")
    if not isinstance(content, list) or not content or not all(isinstance(one, dict) and one for one in content):
        raise ConfigError(f"sweep.jobs = {path}: a list of jobs is needed, each a mapping such as {{training.N: 5000}}")
    jobs = [[f"{key}={as_override(_numbers(value))}" for key, value in one.items()] for one in content]
    for number, one in enumerate(jobs):
        where = f"sweep.jobs = {path}: job {number}"
        for override in _parsed(where, one):
            _require_of_a_job(where, override)
    return jobs


def _numbers(value):
    """A value with numbers such as 1e-4, which are text for YAML 1.1, as the numbers that they are in option files."""
    if isinstance(value, dict):
        return {key: _numbers(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_numbers(one) for one in value]
    return float(value) if isinstance(value, str) and _EXPONENT.fullmatch(value) else value


def _require_of_a_job(where: str, override) -> None:
    """Raise ConfigError for a parsed override of a file that no job can have."""
    shown = show(override.input_line)
    if _belongs_to(override, {"hydra", "sweep", "extensions"}):
        raise ConfigError(f"{where} sets {shown}: hydra, sweep and extensions stand on the command line alone")
    if override.is_sweep_override():
        raise ConfigError(f"{where} sets {shown}: a job has one value for each key")
    value = override.value()
    if "." not in override.key_or_group and isinstance(value, str) and ".." in value.split("/"):
        raise ConfigError(f"{where} sets {shown}: the name of an option is needed")


def _belongs_to(override, nodes: set[str]) -> bool:
    """Whether an override changes one of these nodes of the whole configuration, by its key or by its package."""
    key, package = (re.split(r"[./]", name or "") for name in (override.key_or_group, override.package))
    return bool(nodes & {key[0], *package})


def _parsed(where: str, overrides: list[str]):
    """The overrides of a file, parsed. Raises ConfigError for one that is not in the grammar of the command line."""
    try:
        return OverridesParser.create().parse_overrides(overrides)
    except (HydraException, OmegaConfBaseException, RecursionError) as error:
        raise ConfigError(f"{where}: {one_line(error)}") from None


def _join(number: int, listed: list[str], swept: list[str]) -> list[str]:
    both = {one.split("=", 1)[0] for one in listed} & {one.lstrip("+").split("=", 1)[0] for one in swept}
    if both:
        raise ConfigError(f"sweep.jobs: job {number} and the command line both set {', '.join(sorted(both))}")
    return [*listed, *swept]


def _freeze(directory: Path, jobs):
    """Write every job's checked configuration into its directory; this file alone decides later what the job does."""
    for job in jobs:
        run = Run(directory / str(job.number))
        make_folder(run.path)
        if job.error is None:
            run.save_config(job.config)
            if job.origin is not None:
                take(job.origin, run, job.config, job.overrides)
            run.mark("pending", fingerprint=job.config.fingerprint, overrides=job.overrides)
        else:
            run.mark("failed", error=one_line(job.error), overrides=job.overrides)
    write_json(directory / "sweep.json", {"command": sys.argv, "jobs": [job.overrides for job in jobs]})


def _require_sweep(directory: Path):
    """Raise ScorelabError unless a directory is a sweep that no link leads out of."""
    if not (directory / "sweep.json").is_file():
        raise ScorelabError(f"sweep.resume = {directory}: not a sweep directory (it has no sweep.json)")
    require_name(directory)
    require_closed(directory)


def _own_logs(directory: Path):
    """Make the logs of a sweep and of its jobs, but for jobs that another process works at, files of their own."""
    for folder in (directory, *(run.path for run in below(directory) if locks.owner(run.path) is None)):
        own_logs(folder)


def _frozen(directory: Path, extensions) -> list[Job]:
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
        for override in _parsed(f"{path}: job {number}", overrides):
            if _belongs_to(override, {"hydra", "sweep"}):
                raise ConfigError(f"{path}: job {number} sets {show(override.input_line)}, which is not of a job")
        run = Run(directory / str(number))
        config = run.checked(extensions) if (run / "config.yaml").is_file() else None
        error = None if config is not None else ScorelabError(str(run.status.get("error")))
        jobs.append(Job(number, overrides, config, error))
    return jobs


def _require_same(directory: Path, frozen: list[Job], asked: list[Job]):
    """Raise ConfigError if the jobs that are asked for differ from the jobs of the sweep."""
    if len(asked) != len(frozen):
        raise ConfigError(f"sweep.resume = {directory}: of {len(frozen)} jobs, {len(asked)} were asked for")
    for old, new in zip(frozen, asked, strict=True):
        if old.config and new.config and old.config.fingerprint != new.config.fingerprint:
            changed = "; ".join(differences(old.config.essential, new.config.essential))
            raise ConfigError(f"sweep.resume = {directory}: of another configuration: job {old.number}: {changed}")
