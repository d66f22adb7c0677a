"""Sweeps on a cluster: `hydra/launcher=slurm` and its presets, by submitit and Hydra's launcher for it.

The jobs of a sweep are tasks of arrays of Slurm, or several of them are one task. The launcher writes the names that
Slurm gives them into `submitted.json`, and waits for their end, unless the sweep is detached. Each job works in its
directory as under any launcher. A job whose time is nearly over gets a signal (`scorelab.stopping`): it writes its
checkpoint, and its script puts it into the queue again; there it finds its directory, and goes on.
"""

import logging
import re
import shutil
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import pydantic
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from omegaconf import OmegaConf
from pydantic import Field

from scorelab.errors import ConfigError, ScorelabError, one_line
from scorelab.lab import slurm_queue
from scorelab.lab.locks import Lock
from scorelab.lab.names import as_override, pasted
from scorelab.lab.runs import Run
from scorelab.options import Count, Natural, Options, Positive, explain
from scorelab.stopping import heeded
from scorelab.studies.base import lookup

log = logging.getLogger("scorelab")

#: seconds between two looks at the queue: the first, and the longest
FIRST, LONGEST = 1.0, 30.0
#: the exit statuses of a job that was told that its time is over: 128 and SIGUSR1 or SIGUSR2
OVER = (138, 140)
_SUBDIR = re.compile(r"hydra\.sweep\.subdir='(\d+)'")


class Request(Options):
    """What a job of Slurm is given, and how many there are: the keys of conf/hydra/launcher/slurm.yaml."""

    timeout_min: Count
    cpus_per_task: Annotated[Count, Field(le=512)]
    mem_gb: Positive | None
    gpus_per_node: Natural
    tasks_per_node: Annotated[Count, Field(le=512)]
    array_parallelism: Count
    array_size: Count
    signal_delay_s: Count
    max_num_timeout: Natural
    name: str
    partition: str | None
    account: str | None
    qos: str | None
    constraint: str | None
    gres: str | None
    exclude: str | None
    comment: str | None
    setup: list[str]
    additional_parameters: dict[str, Any]

    @pydantic.model_validator(mode="after")
    def _time_for_the_signal(self):
        if self.signal_delay_s >= 60 * self.timeout_min:
            raise ValueError(f"signal_delay_s = {self.signal_delay_s}: less than the {self.timeout_min} min of a job")
        return self

    def of_submitit(self) -> dict[str, Any]:
        """The parameters of submitit's executor. The script sets the number of threads, gives it to the tasks, which do
        not inherit it, and puts the job into the queue again after all its tasks were told that their time is over."""
        given = self.model_dump(exclude={"array_size", "max_num_timeout"}, exclude_none=True)
        shared = {"timeout_min", "cpus_per_task", "mem_gb", "gpus_per_node", "tasks_per_node", "name"}
        cpus = self.cpus_per_task
        given["setup"] = [f"export OMP_NUM_THREADS={cpus} MKL_NUM_THREADS={cpus}", *self.setup]
        given["srun_args"] = [f"--cpus-per-task={cpus}", "--kill-on-bad-exit=0"]
        given["teardown"] = [
            "status=$?",
            f'if [ "${{SLURM_RESTART_COUNT:-0}}" -lt {self.max_num_timeout} ]; then',
            f'  case $status in {"|".join(map(str, OVER))}) scontrol requeue "$SLURM_JOB_ID" ;; esac',
            "fi",
            "exit $status",
        ]
        given["additional_parameters"] = {"requeue": True, **self.additional_parameters}
        if self.gres is not None or not self.gpus_per_node:
            del given["gpus_per_node"]
        return {key if key in shared else f"slurm_{key}": value for key, value in given.items()}


class SlurmLauncher(Launcher):
    """Hydra's launcher for Slurm, with a queue that a sweep can ask.

    given: the keys of `Request`.
    """

    #: the jobs run on other machines, which may have what this one has not
    elsewhere = True

    def __init__(self, **given):
        super().__init__()
        self.given = given

    def setup(self, *, hydra_context, task_function, config):
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def require(self):
        """Raise ConfigError for values that cannot be, and where Slurm or the package for it is missing."""
        values = {
            key: OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
            for key, value in self.given.items()
        }
        try:
            self.request = Request.model_validate(values)
        except pydantic.ValidationError as error:
            raise explain(error, "hydra.launcher", Request.model_fields) from None
        if find_spec("submitit") is None or find_spec("hydra_plugins.hydra_submitit_launcher") is None:
            raise ConfigError("hydra/launcher=slurm: needs hydra-submitit-launcher, as by pip install -e '.[slurm]'")
        for program in ("sbatch", "srun", "squeue"):
            if shutil.which(program) is None:
                raise ConfigError(f"hydra/launcher=slurm: no {program} here; a machine of the cluster is needed")

    def queued(self, directory: Path) -> dict[int, slurm_queue.Known]:
        """The jobs of a sweep that wait or run already, by their numbers."""
        return slurm_queue.waiting(directory)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Submit jobs, and wait for their end; return what each returned, None if it failed."""
        directory = Path(self.config.hydra.sweep.dir)
        numbers = self.submit(job_overrides, initial_job_idx)
        self.wait(directory)
        return [_returned(Run(directory / str(number)), self.config.get("extensions") or ()) for number in numbers]

    def submit(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[int]:
        """Put jobs into the queue, record their names there, and return their numbers. Raises ScorelabError if Slurm
        refuses them."""
        import submitit
        from hydra_plugins.hydra_submitit_launcher.submitit_launcher import SlurmLauncher as OfHydra

        logging.getLogger("submitit").setLevel(logging.ERROR)
        place = Path(self.config.hydra.sweep.dir).absolute()
        numbers = [_number(each, initial_job_idx + place) for place, each in enumerate(job_overrides)]
        of_hydra, request = OfHydra(), self.request
        of_hydra.setup(hydra_context=self.hydra_context, task_function=self.task_function, config=self.config)
        where = f"hydra.sweep.dir={as_override(str(place))}"
        jobs = [([*words, where], number) for words, number in zip(job_overrides, numbers, strict=True)]
        tasks = [_Task(of_hydra, place, some) for some in _parts(jobs, request.tasks_per_node)]
        for some in _parts(tasks, request.array_size):
            try:
                executor = submitit.AutoExecutor(folder=place / ".submitit" / "%j", cluster="slurm")
                executor.update_parameters(**request.of_submitit())
                names = [job.job_id for job in executor.map_array(_do, some)]
            except Exception as error:  # of submitit, which has the words of sbatch in many lines
                raise ScorelabError(f"Slurm refused the jobs: {_reason(error)}") from None
            for link in (place / ".submitit").glob(".submission_file_*"):
                link.unlink()  # it has a whole path, and would lead out of a directory that is moved
            slurm_queue.record(place, {n: name for task, name in zip(some, names, strict=True) for n in task.numbers})
        log.info("%d jobs are submitted to Slurm; squeue --me shows them", len(jobs))
        return numbers

    def wait(self, directory: Path):
        """Wait until no job of a sweep is in the queue any more, and note in the directories of those that did not come
        to their end what Slurm knows of it."""
        names = slurm_queue.submitted(directory)
        left, pause, told = set(names), FIRST, None
        try:
            while left:
                try:
                    known = slurm_queue.ask(names[number] for number in left)
                except ScorelabError as error:  # a controller that is away for a while
                    now = one_line(error)
                else:
                    queue = {number for number in left if names[number] in known and not known[names[number]].over}
                    for number in left - queue:  # at once, as Slurm soon forgets them
                        _note(Run(directory / str(number)), known.get(names[number]))
                    left, waits = queue, sum(known[names[number]].state == "PENDING" for number in queue)
                    now = f"{len(left) - waits} jobs run, {waits} wait"
                if left and now != told:
                    log.info("Slurm: %s", now)
                    told = now
                time.sleep(pause if left else 0)
                pause = min(1.5 * pause, LONGEST)
        except KeyboardInterrupt:
            log.warning("the jobs stay in Slurm, where scancel ends them; %s", pasted("sweep.resume", directory))
            raise


def _note(run: Run, known: slurm_queue.Known | None):
    """Write what Slurm knows of the end of a job into its directory, unless the job came to its own end."""
    begun = run.state != "pending"
    try:
        with Lock(run.path):
            if known is not None and run.state not in ("done", "failed"):
                run.mark("interrupted" if begun else "pending", error=str(known))
    except ScorelabError as error:
        log.debug("%s", error)


class _Task:
    """What one task of an array does: its jobs, side by side, each in a process that srun starts."""

    def __init__(self, launcher, directory: Path, jobs: list[tuple[list[str], int]]):
        self.launcher, self.directory, self.jobs = launcher, directory, jobs
        self.state = Singleton.get_state()

    @property
    def numbers(self) -> list[int]:
        return [number for _, number in self.jobs]

    def __call__(self):
        """Do the job of this process; exit with 0 if it is done, and with another status if it is not."""
        import submitit

        rank = submitit.JobEnvironment().global_rank
        if rank >= len(self.jobs):
            return
        words, number = self.jobs[rank]
        with heeded(force=True):  # before this, submitit heeds some of them
            try:
                self.launcher(words, "hydra.sweep.dir", number, str(number), self.state)
            except KeyboardInterrupt as error:
                sys.exit(getattr(error, "status", 130))
        sys.exit(Run(self.directory / str(number)).state != "done")


def _do(task: _Task):
    return task()


def _parts(items: Sequence, size: int) -> list[Sequence]:
    return [items[first : first + size] for first in range(0, len(items), size)]


def _number(words: Sequence[str], place: int) -> int:
    """The number of a job, which is the name of its directory. place: its number where the words do not say it."""
    said = [_SUBDIR.fullmatch(word) for word in words]
    return next((int(each[1]) for each in reversed(said) if each), place)


def _returned(run: Run, extensions) -> JobReturn:
    """What a job returned, read from its directory: the number that a sweeper may minimise; None if it is not done."""
    value = lookup(run.metrics, run.checked(extensions).study.goal) if run.state == "done" else None
    return JobReturn(status=JobStatus.COMPLETED, _return_value=value)


def _reason(error: Exception) -> str:
    """The last line that sbatch wrote, of an error of submitit; what is fatal comes last."""
    lines = [re.match(r"sbatch: (?:error|fatal): *(.+)", line) for line in str(error).splitlines()]
    said = [line[1] for line in lines if line]
    return said[-1].strip() if said else one_line(error)
