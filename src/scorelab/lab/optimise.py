"""A sweep that optimises: `hydra/sweeper=optimise` lets Optuna choose the values of the next jobs by what jobs found.

Each trial is a job of the sweep, with a directory of its own, whose configuration is checked and frozen before it
starts, and any launcher runs it. What a trial found is read from its directory. Optuna's record stands beside the jobs;
with the directories it is all that a sweep needs that goes on.
"""

import contextlib
import difflib
import logging
import sys
from pathlib import Path

from omegaconf import OmegaConf

from scorelab.errors import ConfigError, ScorelabError, one_line
from scorelab.files import write_json
from scorelab.lab import asking
from scorelab.lab.config import Config, Sweep
from scorelab.lab.frozen import Job, freeze, frozen_jobs
from scorelab.lab.hydra_internals import read_once
from scorelab.lab.job_words import belongs_to, parsed_words
from scorelab.lab.locks import Lock
from scorelab.lab.numbers import RUN
from scorelab.lab.runs import Run
from scorelab.lab.searches import saved_search
from scorelab.lab.space import Search, parse
from scorelab.lab.sweep import Sweeper
from scorelab.lab.trials import best_of, objective_values
from scorelab.laws.section import matches
from scorelab.options import show
from scorelab.studies.base import sections_of

log = logging.getLogger("scorelab")
#: so many of the first trials are tried before anything runs, and so many a dry run lists
_TRIED, _LISTED = 3, 10


class Optimiser(Sweeper):
    """The sweeper whose next jobs follow from what the jobs before them found.

    given: the options of a `scorelab.lab.space.Search`; max_batch_size and params are those of a `Sweeper`.
    """

    #: whether every trial came to an end
    finished = False

    def __init__(self, max_batch_size=None, params=None, **given):
        super().__init__(max_batch_size, params)
        self._asked = given

    # Before any job starts. -----------------------------------------------------------------------------------------

    def _require_supported(self, options: Sweep):
        super()._require_supported(options)
        if options.jobs is not None:
            raise ConfigError(
                "sweep.jobs: is a list of jobs, and hydra/sweeper=optimise chooses the jobs; leave it out"
            )
        asking.require_optuna()
        plain = {
            key: OmegaConf.to_container(one) if OmegaConf.is_config(one) else one for key, one in self._asked.items()
        }
        self.search = Search.of(plain)

    def _plan(self, arguments, options: Sweep, allowing=()) -> list[Job]:
        """Check a new sweep. Return no job, as none is known yet, but for a dry run, which lists the first ones."""
        extensions = [word for word in arguments if word.startswith("extensions=")]
        self._read([word for word in arguments if word not in extensions] + extensions)
        first = []
        for job in self._first():
            first.append(job)
            if not options.dry_run and (job.error is None or len(first) == _TRIED):
                break
        checked = next((job for job in first if job.error is None), None)
        if checked is None:
            raise ConfigError(f"no trial can run; the first one is {first[0]}: {one_line(first[0].error)}")
        objective = self.search.objective or self._goal(checked.config)
        self.search = self.search.of_numbers(objective)
        for key in objective:
            _require_declared(checked.config, key)
        return first if options.dry_run else []

    def _read(self, words: list[str]):
        """Take the overrides of the command line apart."""
        loader = self.hydra_context.config_loader
        read_once(loader)
        self.words = words
        self.fixed, self.space = parse(words, loader)
        asking.sampler(self.search, self.space, 0)

    def _first(self):
        """Yield the first trials, as they will be asked for as long as nothing is known."""
        study = asking.new_study(["minimise"] * len(self.search.objective or ["the goal"]))
        for _ in range(min(_LISTED, self.search.n_trials)):
            if not asking.is_exhausted(study, self.search, self.space):
                trial = asking.ask(study, self.search, self.space)
                yield self._job(trial.number, trial.params)

    def _goal(self, config: Config) -> list[str]:
        name = type(config.study).__name__
        if any(dimension.key.lstrip("+") == "study" for dimension in self.space):
            raise ConfigError("hydra.sweeper.objective: is needed where study is searched")
        if config.study.goal is None:
            raise ConfigError(f"hydra.sweeper.objective: is needed, as the study {name} declares no goal")
        return [config.study.goal]

    def _job(self, number: int, params: dict) -> Job:
        """The job of a trial."""
        if {dimension.key for dimension in self.space} != {*params}:
            return Job(number, [], None, ScorelabError("the sweep was killed while it chose the values of this trial"))
        chosen = [dimension.override(params[dimension.key]) for dimension in self.space]
        job = self._compose(number, [*self.fixed, *chosen])
        if job.error is None and self._options.resume is not None:
            try:
                for kind in ("reads", "writes"):
                    job.config.require_given(self._given, kind)
            except ConfigError as error:
                return Job(number, job.overrides, None, error)
        return job

    def _list(self, jobs):
        super()._list(jobs)
        for dimension in self.space:
            print(f"searched: {dimension.key}: {_described(dimension)}")
        goals = zip(self.search.directions, self.search.objective, strict=True)
        print(f"{self.search.n_trials} trials by {self.search.sampler}: {', '.join(map(' '.join, goals))}")

    # A sweep that goes on. ------------------------------------------------------------------------------------------

    def _resume(self, directory: Path, arguments, options: Sweep) -> list[Job]:
        """The jobs of an interrupted sweep. Raises ConfigError if the command line asks for another search, but for the
        number of trials and how many are launched at a time."""
        path, saved = directory / "sweep.json", saved_search(directory)
        if saved is None:
            raise ConfigError(f"sweep.resume = {directory}: chose no trials; leave hydra/sweeper=optimise out")
        asked, (search, words) = self.search, saved
        names = {str(override).partition("=")[0].lstrip("+") for override in self.config.hydra.overrides.hydra}
        for key in (key for key in Search.model_fields if f"hydra.sweeper.{key}" in names):
            if key in ("n_trials", "n_jobs"):
                search = search.model_copy(update={key: getattr(asked, key)})
            elif getattr(asked, key) != getattr(search, key):
                here, there = show(getattr(search, key)), show(getattr(asked, key))
                raise ConfigError(
                    f"sweep.resume = {directory}: of another search: hydra.sweeper.{key}: {here} -> {there}"
                )
        given = [word for word in arguments if not word.startswith("sweep.")]
        for word in given:
            if word not in words and not word.startswith("extensions="):
                raise ConfigError(
                    f"sweep.resume = {directory}: of another search: {show(word)}; it has {' '.join(words)}"
                )
        self.search = search
        _require_of_a_search(path, [word for word in words if word not in given])
        extensions = [word for word in given if word.startswith("extensions=")]
        self._read([word for word in words if not word.startswith("extensions=")] + extensions)
        frozen = frozen_jobs(directory, self._given["extensions"])
        for job in frozen:
            if job.config is not None and Run(directory / str(job.number)).state not in ("done", "failed"):
                for kind in ("reads", "writes"):
                    job.config.require_given(self._given, kind)
        return frozen

    def begin(self, directory: Path | None, jobs: list[Job], held: contextlib.ExitStack) -> Path:
        """The directory of the sweep, where sweep.json says what is searched. held: takes its lock."""
        if directory is None:
            directory = self._reserve()
            held.enter_context(Lock(directory))
        self._save(directory, jobs)
        return directory

    def _save(self, directory: Path, jobs: list[Job]):
        node = {**self.search.model_dump(mode="json"), "words": self.words}
        content = {"command": sys.argv, "jobs": [job.overrides for job in jobs], "optimise": node}
        write_json(directory / "sweep.json", content)

    # The trials. ----------------------------------------------------------------------------------------------------

    def launch(self, directory: Path, jobs: list[Job]) -> list:
        """Ask for trials, launch them and tell what they found, until there are as many as are wanted; return what the
        launcher returns. jobs: gets the new jobs."""
        study = asking.recorded(directory, self.search.directions)
        log.info("sweep %s: %d trials by %s", directory, self.search.n_trials, self.search.sampler)
        returns = []
        while batch := self._batch(directory, study, jobs):
            for job in batch:
                log.info("trial %s", job)
            try:
                returns.append(self._launch(directory, batch))
            except Exception as error:  # a launcher may lose a job or a worker; the others go on
                self.stopped = one_line(error)
                log.error("the launcher stopped: %s", self.stopped)
            told = [self._tell(directory, study, job.number) for job in batch]
            if not any(told):  # no job has begun, or another process works at them
                return returns
        self.finished = True
        return returns

    def _batch(self, directory: Path, study, jobs: list[Job]) -> list[Job]:
        """The next jobs: of trials that were asked for and have no end yet, and of new trials."""
        batch = []
        for trial in _running(study):
            job = self._frozen(directory, study, jobs, trial.number)
            if job.error is not None or Run(directory / str(trial.number)).state in ("done", "failed"):
                self._tell(directory, study, trial.number)
            else:
                batch.append(job)
        while len(batch) < self.search.n_jobs and len(study.trials) < self.search.n_trials:
            if asking.is_exhausted(study, self.search, self.space):
                log.info("every point of the grid has its trial")
                break
            trial = asking.ask(study, self.search, self.space)
            job = self._frozen(directory, study, jobs, trial.number)
            if job.error is None:
                batch.append(job)
            else:
                print(f"error: trial {job}: {one_line(job.error)}", file=sys.stderr)
                self._tell(directory, study, trial.number)
        return batch

    def _frozen(self, directory: Path, study, jobs: list[Job], number: int) -> Job:
        """The job of a trial that was asked for; a new one has its directory from here on."""
        trials = study.get_trials(deepcopy=False)
        while len(jobs) <= number:
            job = self._job(len(jobs), trials[len(jobs)].params)
            freeze(directory, job)
            jobs.append(job)
            self._save(directory, jobs)
        return jobs[number]

    def _tell(self, directory: Path, study, number: int) -> bool:
        """Tell what a trial found, as its directory has it; return whether it came to an end.

        A trial without a finite value of each objective is a job that failed, and says why.
        """
        run = Run(directory / str(number))
        state = run.state
        if state in ("pending", "running"):
            return False
        if state == "interrupted":
            run.mark("failed", error="the process of this trial is gone")
        values = None
        try:
            values = objective_values(run, self.search.objective)
        except ScorelabError as error:
            if state == "done":
                run.mark("failed", error=one_line(error))
        asking.tell(study, number, values)
        _say(study, number, self.search)
        return True

    def ended_well(self, directory: Path, jobs: list[Job]) -> bool:
        """Whether the exit status is 0: every trial came to an end, and at least one has a value. A trial that failed
        is a result of the search."""
        return self.finished and any(Run(directory / str(job.number)).state == "done" for job in jobs)


def _running(study) -> list:
    from optuna.trial import TrialState

    return study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))


def _say(study, number: int, search: Search):
    """Log what a trial found, and which trial is the best so far."""
    import numpy

    trials = study.get_trials(deepcopy=False)
    nothing = [numpy.nan] * len(search.objective)
    best = best_of(numpy.array([trial.values or nothing for trial in trials], float), search.directions)
    found = trials[number].values
    pairs = zip(search.objective, found or [], strict=False)
    text = ", ".join(f"{key} = {value:.4g}" for key, value in pairs) or "failed"
    log.info("trial %d: %s; best: %s", number, text, ", ".join(f"trial {each}" for each in best) or "none yet")


def _described(dimension) -> str:
    if dimension.texts is not None:
        return ", ".join(dimension.texts)
    kind = "an integer" if dimension.integer else "a number"
    return f"{kind} from {dimension.low:g} to {dimension.high:g}{', even in its logarithm' if dimension.log else ''}"


def _require_declared(config: Config, key: str):
    """Raise ConfigError for a number that the study does not declare, where it declares its numbers."""
    names = [name for section in sections_of(type(config.study)) for name in section.keys]
    if not names or any(matches(name.split("."), key.split(".")) for name in [*names, *RUN.keys]):
        return
    close = difflib.get_close_matches(key, names, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    raise ConfigError(
        f"hydra.sweeper.objective = {show(key)}: no number of the study {type(config.study).__name__}; {hint}"
        "docs/metrics.md has their names"
    )


def _require_of_a_search(path: Path, words: list[str]):
    """Raise ConfigError for an override of a file, which the command line does not repeat, that belongs to the whole
    command, or that looks up something when it is read."""
    for override in parsed_words(f"{path}: words", words):
        shown = show(override.input_line)
        if belongs_to(override, {"hydra", "sweep"}):
            raise ConfigError(f"{path}: sets {shown}, which is not of a job")
        if "${" in override.input_line:
            raise ConfigError(f"{path}: {shown}: is looked up only where the command line gives it again")
