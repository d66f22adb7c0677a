"""Stopping what works in a directory, by the signal that lets a training write a checkpoint first."""

import os
import signal
import time
from pathlib import Path

from scorelab.errors import ScorelabError, one_line
from scorelab.lab import locks, slurm_queue
from scorelab.lab.runs import Run, beneath

#: seconds that the ends of the processes are waited for
PATIENCE = 10.0


def stop(directory: Path | str) -> tuple[list[str], list[str]]:
    """Interrupt every process of this machine that works at a run, or at a sweep and its jobs, by SIGTERM, wait a while
    for their ends, and cancel what a sweep has in the queue of Slurm.

    A process is known by the lock that it holds, so that no other one can be meant. Return what was stopped, and what
    could not be, each as a line. Raises ScorelabError for a directory where nobody works.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise ScorelabError(f"{directory}: no such directory")
    owners = {}
    for folder in (directory, *(run.path for run in beneath(directory))):
        if (owner := locks.owner(folder)) is not None:
            owners.setdefault(owner, folder)
    submitted = slurm_queue.submitted(directory)
    waiting = [name for number, name in submitted.items() if Run(directory / str(number)).state != "done"]
    if not owners and not waiting:
        raise ScorelabError(f"{directory}: nobody works there")
    stopped, left = _cancel(waiting) if waiting else ([], [])
    asked = {}
    for owner, folder in owners.items():
        process = locks.process_of(owner)
        if process is None:
            if not waiting:  # else it is a job of the queue, which is told there
                left.append(f"{folder}: {owner} works there, and can be stopped there alone")
            continue
        try:
            os.kill(process, signal.SIGTERM)
            asked[owner] = folder
        except ProcessLookupError:
            continue
        except PermissionError:
            left.append(f"{folder}: {owner} is of another user")
    until = time.monotonic() + PATIENCE
    while (going := [owner for owner in asked if locks.owner(asked[owner]) == owner]) and time.monotonic() < until:
        time.sleep(0.1)
    for owner, folder in asked.items():
        said = "is asked to stop, and goes on to the end of its epoch" if owner in going else "is stopped"
        stopped.append(f"{folder}: {owner} {said}")
    return stopped, left


def _cancel(names: list[str]) -> tuple[list[str], list[str]]:
    try:
        slurm_queue.cancel(names)
    except ScorelabError as error:
        return [], [one_line(error)]
    return [f"{len(names)} jobs in the queue of Slurm are cancelled"], []
