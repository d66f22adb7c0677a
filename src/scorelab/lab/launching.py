"""Launching the jobs of a sweep: the share of the CPUs that each has, and what is done where a launcher loses a job.

Any launcher of Hydra can be asked. A launcher knows processes, and here are jobs: the directories tell which of them
have begun, are done, or were lost with their process.
"""

import contextlib
import logging
import os
import re
import time

from hydra.plugins.launcher import Launcher

from scorelab.errors import ConfigError, ScorelabError, one_line, printable
from scorelab.lab import locks
from scorelab.lab.runs import Run
from scorelab.stopping import passed_on
from scorelab.workers import cpus, end_with_parent, sharing

log = logging.getLogger("scorelab")


def require(launcher: Launcher):
    """Raise ConfigError for a launcher that cannot launch anything, as it is asked for."""
    if hasattr(launcher, "require"):  # our own
        launcher.require()
    options = getattr(launcher, "joblib", None)
    if options is not None and options["n_jobs"] == 0:
        raise ConfigError("hydra.launcher.n_jobs = 0: an integer >= 1 is needed, or -1 for one job a CPU")


def launch_shared(launcher: Launcher, words: list[list[str]], first: int = 0, submitted: bool = False) -> list:
    """Launch the jobs that lists of overrides ask for, each with its share of the CPUs; return what they return.

    first: the number of the first job. submitted: whether they are only put into the queue that the launcher has.

    The share depends on the launcher and on the machine, and not on the number of jobs: a job that is resumed computes
    with as many threads as before.
    """
    options, workers = getattr(launcher, "joblib", None), at_once(launcher)
    launch = launcher.submit if submitted else launcher.launch
    with sharing(workers):
        if options is None:
            return launch(words, initial_job_idx=first)
        launcher.joblib = options | of_joblib(workers, len(words))
        try:
            return launch(words, initial_job_idx=first)
        finally:
            launcher.joblib = options


def at_once(launcher: Launcher) -> int:
    """How many jobs share the CPUs of this machine. A launcher that hands its jobs over to other machines counts as one
    job, which takes what it is given there."""
    if getattr(launcher, "_EXECUTOR", None) == "local":  # submitit's, which starts all jobs at once
        return cpus()
    options = getattr(launcher, "joblib", None)
    wanted = options["n_jobs"] if options is not None else getattr(launcher, "n_jobs", None) or 1
    return wanted if wanted > 0 else max(cpus() + 1 + wanted, 1)


def ends_together(launcher: Launcher) -> bool:
    """Whether a launcher ends its other processes when one has ended, as joblib does; also where it works for another
    launcher, which then says so by `by_joblib`."""
    return hasattr(launcher, "joblib") or getattr(launcher, "by_joblib", False)


def of_joblib(workers: int, jobs: int) -> dict:
    """What joblib is asked for. Two workers or more are processes of their own, also for a single job, and a worker
    ends with the sweep, also before its first job."""
    return {"n_jobs": min(workers, max(jobs, 2)), "initializer": end_with_parent}


def each_once(launch, runs: list[Run], together: bool) -> tuple[list, str | None]:
    """Launch runs, and again those that are left where the launcher stops, because a process of its ended in the
    middle of a job; return what the jobs returned, and why the launcher stopped if it could not go on.

    launch: runs -> what they return, a list. A run whose process ended is marked as failed. together: whether the
    launcher ends its other processes when one has ended; then nobody knows which of several was the first, and each of
    them is launched once more, alone.
    """
    returns, groups, stopped = [], [runs], None
    while groups:
        some = groups.pop(0)
        before = [_written(run) for run in some]
        try:
            returns += launch(some) or []
            continue
        except Exception as error:
            stopped = _first_line(error)
            log.error("the launcher stopped: %s", stopped)
            codes = re.search(r"exit codes of the workers are \{(.+?)\}", str(error))  # of joblib, as SIGKILL(-9)
        _wait_for(runs)  # a launcher may stop before its jobs do
        waits = [_written(run) == then for run, then in zip(some, before, strict=True)]
        left = [run for run, still in zip(some, waits, strict=True) if still]
        lost = [run for run, still in zip(some, waits, strict=True) if not still and run.state == "interrupted"]
        if len(left) == len(some):
            return returns, stopped
        if together and len(lost) > 1:
            log.info("jobs %s: once more, each alone", ", ".join(run.path.name for run in lost))
            groups += [[run] for run in lost]
        else:
            why = f": {codes[1] if codes else stopped}" if len(lost) == 1 else ""
            for run in lost:
                run.mark("failed", error=f"its process ended in the middle of the job{why}")
        if left:
            groups.insert(0, left)
    if stopped is not None:
        _wait_for(runs)
    return returns, None


@contextlib.contextmanager
def stopped_together(runs: list[Run]):
    """Pass a signal that stops this process on to the processes of this machine that work at runs, and wait for their
    ends first: their trainings write checkpoints."""

    def others():
        owners = {locks.process_of(locks.owner(run.path)) for run in runs}
        return owners - {None, os.getpid()}

    def pass_on(signum):
        for process in others():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(process, signum)
        while others():
            time.sleep(0.2)

    with passed_on(pass_on):
        yield


def _written(run: Run) -> tuple[int, int] | None:
    """What tells that the state of a run was written anew."""
    try:
        status = (run / "status.json").stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns


def _wait_for(runs: list[Run]):
    while any(locks.owner(run.path) for run in runs):
        time.sleep(0.2)


def _first_line(error: Exception) -> str:
    """What a launcher says; what comes below is the output of the job, which its own log has."""
    if isinstance(error, ScorelabError):
        return one_line(error)
    lines = str(error).strip().splitlines()
    return printable(f"{type(error).__name__}: {lines[0] if lines else ''}")
