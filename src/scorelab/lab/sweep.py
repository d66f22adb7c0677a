"""Sweeps: one command runs many jobs, each in a directory of its own, and gathers them even if some of them fail.

It reads what Hydra's basic sweeper reads, and takes a different course. All jobs are composed and checked before the
first job starts. Their directory is reserved, and their configurations are frozen there, so that a file that is edited
meanwhile changes no job. Any launcher can run the jobs. The results are gathered from the directories alone.
"""

import contextlib
import json
import logging
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.plugins import sweeper
from omegaconf import OmegaConf, open_dict, read_write

from scorelab.errors import ConfigError, ScorelabError, one_line
from scorelab.files import remove_all_but, write_json
from scorelab.lab import detach, locks
from scorelab.lab.again import existing_run
from scorelab.lab.app import TRACEBACKS, asked_for, one_line_errors, plain
from scorelab.lab.config import Sweep, sweep_options
from scorelab.lab.detach import Background
from scorelab.lab.frozen import Job, freeze, frozen_jobs, own_logs_of, require_same, require_sweep
from scorelab.lab.globs import in_folders
from scorelab.lab.hydra_errors import as_config_errors, with_added_keys
from scorelab.lab.hydra_internals import read_once
from scorelab.lab.job_words import joined, products, read_jobs
from scorelab.lab.launching import each_once, ends_together, launch_shared, require, stopped_together
from scorelab.lab.locks import Lock
from scorelab.lab.names import as_override, pasted
from scorelab.lab.replicas import execute
from scorelab.lab.runs import Run, claim, reserve
from scorelab.options import show

log = logging.getLogger("scorelab")


class Sweeper(sweeper.Sweeper):
    """A sweeper of Hydra that checks and freezes all jobs first, then launches and gathers them.

    max_batch_size: has to be None. params: key -> values with commas between them, which are swept unless the command
    line sets the key.
    """

    #: the error that stopped the launcher, if one did
    stopped: str | None = None

    def __init__(self, max_batch_size: int | None = None, params: Mapping[str, str] | None = None):
        self.max_batch_size, self.params = max_batch_size, params or {}

    def setup(self, *, hydra_context, task_function, config):
        """What Hydra calls before `sweep`."""
        self.hydra_context, self.config = hydra_context, config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments):
        """Run the jobs that the overrides `arguments` ask for; exit with status 1 if a job is not done at the end."""
        background = Background.here()
        with one_line_errors():
            if background is None and detach.wanted(self):
                print(detach.look(detach.start(self, sys.argv[1:], TRACEBACKS)))
                sys.exit(0)
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
            if background is not None:
                background.begin(directory)
            if detach.submits(self):
                with one_line_errors():
                    self._submit(directory, jobs)
                return []
            try:
                returns = self.launch(directory, jobs)
            finally:
                from scorelab.lab.gather import print_sweep

                with one_line_errors():
                    print_sweep(gathered(directory, jobs), directory)
        if not self.ended_well(directory, jobs):
            sys.exit(1)
        return returns

    def ended_well(self, directory: Path, jobs: list[Job]) -> bool:
        """Whether the exit status is 0: all jobs are done."""
        return all(Run(directory / str(job.number)).state == "done" for job in jobs)

    def prepare(self, arguments, held: contextlib.ExitStack) -> tuple[Path | None, list[Job]]:
        """The jobs of the sweep, and the directory of one that goes on. held: takes the lock of this directory."""
        self._options = options = sweep_options(self.config.sweep)
        self._require_supported(options)
        arguments = [*self._of_params(arguments), *arguments]
        require(self.launcher)
        if options.resume is None:
            return None, self._plan(arguments, options)
        directory = Path(options.resume)
        require_sweep(directory)
        if not options.dry_run:
            held.enter_context(Lock(directory))
            own_logs_of(directory)
        return directory, self._resume(directory, arguments, options)

    def begin(self, directory: Path | None, jobs: list[Job], held: contextlib.ExitStack) -> Path:
        """The directory of the sweep; a new one has the jobs, frozen. held: takes its lock. Raises ConfigError if no
        job can run."""
        if all(job.error for job in jobs):
            raise ConfigError("no job of this sweep can run")
        if directory is None:
            directory = self._reserve()
            held.callback(_give_back, directory)
            held.enter_context(Lock(directory))
            try:
                for job in jobs:
                    freeze(directory, job)
                write_json(directory / "sweep.json", {"command": sys.argv, "jobs": [job.overrides for job in jobs]})
            except BaseException:  # as of Ctrl-C: a sweep that has not begun cannot be resumed, and leaves nothing
                remove_all_but(directory, {locks.NAME})
                raise
        return directory

    def launch(self, directory: Path, jobs: list[Job]) -> list:
        """Launch the jobs that are not done and not in a queue already, and return what the launcher returns."""
        queued = self.launcher.queued(directory) if hasattr(self.launcher, "queued") else {}
        if queued:
            log.info("sweep %s: %d jobs are in the queue, and not submitted again", directory, len(queued))
        states = {job.number: Run(directory / str(job.number)).state for job in jobs}
        _settle(directory, [job for job in jobs if job.error is None and states[job.number] == "done"])
        remaining = [job for job in jobs if job.error is None and states[job.number] != "done"]
        remaining = [job for job in remaining if job.number not in queued]
        # Where jobs share a process, one that ends it would keep the others from their turn each time: it is the last.
        remaining.sort(key=lambda job: states[job.number] == "interrupted")
        skipped = len(jobs) - len(remaining)
        log.info("sweep %s: %d jobs%s", directory, len(jobs), f", {skipped} of them skipped" if skipped else "")
        for job in remaining:
            if job.launched is not job.overrides:  # the launcher will not tell what the job was asked for
                log.info("job %s", job)
        try:
            if queued and not remaining and not detach.submits(self):
                self.launcher.wait(directory)
            with stopped_together([Run(directory / str(job.number)) for job in remaining]):
                return [self._launch(directory, remaining)] if remaining else []
        except Exception as error:  # as of a stack; what is done is gathered
            self.stopped = one_line(error)
            log.error("the launcher stopped: %s", self.stopped)
            return []

    def _submit(self, directory: Path, jobs: list[Job]):
        """Submit the jobs, and say how they are looked after. Raises ScorelabError if they are refused."""
        self.launch(directory, jobs)
        if self.stopped is not None:
            raise ScorelabError(f"{directory}: {self.stopped}; {pasted('sweep.resume', directory)} submits again")
        print(detach.look(directory))
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
        frozen = frozen_jobs(directory, self._given["extensions"])
        kinds = ("reads", "writes")
        places = {key for job in frozen if job.config for kind in kinds for key, _ in job.config.places(kind)}
        asked = self._plan(arguments, options, allowing=("extensions", "tracking", *places))
        if asked is not None:
            require_same(directory, frozen, asked)
        for number, job in enumerate(frozen):
            if job.config is not None and Run(directory / str(number)).state != "done":
                given = self._given if asked is None else asked[number].given or {}
                for kind in kinds:
                    job.config.require_given(given, kind)
        names = self._given["tracking"]
        return [replace(job, config=job.config and job.config.tracked_by(names)) for job in frozen]

    def _plan(self, arguments, options: Sweep, allowing=()) -> list[Job] | None:
        """The jobs that the command line asks for; None if it only names a sweep to resume. allowing: keys that, with a
        sweep to resume, do not ask for jobs."""
        loader = self.hydra_context.config_loader
        read_once(loader)
        parser = OverridesParser.create(config_loader=loader)
        parsed = [in_folders(each, loader, parser) for each in parser.parse_overrides(list(arguments))]
        parsed = [override for override in parsed if not (override.key_or_group or "").startswith("sweep.")]
        others = [override for override in parsed if override.key_or_group not in allowing]
        if options.resume is not None and options.jobs is None and not others:
            return None
        swept = products(parsed)
        listed = read_jobs(Path(options.jobs)) if options.jobs is not None else [[]]
        overrides = [joined(number, one, product) for number, one in enumerate(listed) for product in swept]
        return apart([self._compose(number, one) for number, one in enumerate(overrides)])

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
        place = f"hydra.sweep.dir={as_override(str(directory))}"
        with read_write(self.config.hydra), open_dict(self.config.hydra):
            self.config.hydra.sweep.dir = str(directory)
            if place not in self.config.hydra.overrides.hydra:
                self.config.hydra.overrides.hydra.append(place)
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
        """Launch jobs, and those that are left where the launcher stops."""
        directory = Path(self.config.hydra.sweep.dir)
        by_path = {directory / str(job.number): job for job in jobs}

        def launch(runs):
            some = [by_path[run.path] for run in runs]
            words = [[*job.launched, f"hydra.sweep.subdir='{job.number}'"] for job in some]
            return launch_shared(self.launcher, words, some[0].number, detach.submits(self))

        returns, stopped = each_once(launch, [Run(path) for path in by_path], ends_together(self.launcher))
        self.stopped = stopped or self.stopped
        return returns


def apart(jobs: list[Job]) -> list[Job]:
    """The jobs, with an error for each that has a seed of an earlier job and is the same otherwise: a mean over both
    would count one run twice. With replicas=R a job has the seeds seed, ..., seed + R - 1."""
    seeds, checked = {}, []
    for job in jobs:
        if job.error is None:
            others = {key: value for key, value in job.given.items() if key != "seed"}
            known = seeds.setdefault(json.dumps(others, sort_keys=True, default=str), {})
            seed, replicas = job.config.general.seed, job.config.general.replicas
            own = range(seed, seed + replicas)
            if (shared := next((each for each in own if each in known), None)) is not None:
                job = replace(job, config=None, error=ConfigError(_shared(seed, replicas, shared, known[shared])))
            else:
                known |= dict.fromkeys(own, job.number)
        checked.append(job)
    return checked


def _shared(seed: int, replicas: int, shared: int, other: int) -> str:
    if replicas == 1:
        return f"seed = {seed}: job #{other} is the same run"
    why = f"with replicas = {replicas} it has seed {shared} in common with job #{other}"
    return f"seed = {seed}: {why}; seeds that are {replicas} apart are needed"


def _give_back(directory: Path):
    """Remove the directory of a sweep that has not begun, in which nothing is."""
    with contextlib.suppress(OSError):
        directory.rmdir()


def _settle(directory: Path, done: list[Job]):
    """Put the directories of jobs in order whose process was killed right after they were done."""
    for job in done:
        run = Run(directory / str(job.number))
        if (run / locks.NAME).exists():
            with contextlib.suppress(ScorelabError), Lock(run.path):  # unless a process does so at this moment
                execute(run, job.config)


def gathered(directory: Path, jobs: list[Job]):
    """The table of a sweep, written into its directory."""
    # Importing pandas takes half a second, for which a dry run need not wait.
    from scorelab.lab.gather import gather

    return gather(directory, {name: None for job in jobs if job.config for name in job.config.general.extensions})
