"""Worker processes that do not outlive the process that started them, the share of the CPUs that each has, and threads
that do not wait for each other."""

import contextlib
import contextvars
import functools
import multiprocessing
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

#: seconds between two looks at the parent
LOOK = 1.0
#: how OpenMP and the libraries of linear algebra are told how many threads to take; torch takes the first one
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "BLIS_NUM_THREADS")
#: how a process knows that others work beside it
BESIDE = "SCORELAB_JOBS_AT_ONCE"
_JOB = contextvars.ContextVar("the number of the job of a sweep that this process does", default=0)


def end_with_parent():
    """End this process within about `LOOK` seconds after the process that started it is gone, even by SIGKILL.

    It does nothing in a process that `multiprocessing` or joblib did not start. The end is like a kill: files are whole
    or not there, and the kernel gives the locks back.
    """
    _watch_parent()


@functools.cache
def _watch_parent():
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_watch, args=(parent.pid, os.getppid()), daemon=True).start()


def _watch(parent: int, above: int):
    """above: the process above this one, which is not its parent where a server of processes forked it."""
    while os.getppid() == above and _exists(parent):
        time.sleep(LOOK)
    os._exit(1)


def cpus() -> int:
    """The CPUs that this process may use: those that it is bound to, at most the quota of its container (cgroup), and
    at most the CPUs of its Slurm task."""
    from joblib import cpu_count

    of_slurm = os.environ.get("SLURM_CPUS_PER_TASK", "")
    return min(cpu_count(), int(of_slurm)) if of_slurm.isdecimal() and int(of_slurm) else cpu_count()


@contextlib.contextmanager
def sharing(workers: int):
    """Share the CPUs out among several processes that are started meanwhile: each takes max(1, cpus() // workers)
    threads, by its environment. A variable of the environment that the user has set stays as it is. They share the
    GPUs as well; see `place`."""
    missing = [name for name in THREADS if name not in os.environ] if workers > 1 else []
    given = {name: str(max(cpus() // workers, 1)) for name in missing}
    given |= {BESIDE: str(workers)} if workers > 1 else {}
    os.environ.update(given)
    try:
        yield
    finally:
        for name in given:
            os.environ.pop(name, None)


@contextlib.contextmanager
def computing(threads: int | None):
    """Let torch and the libraries of linear algebra compute with so many threads, of which sums depend in their last
    digits; None: as many as torch takes by itself, at most `cpus`. A library that is loaded meanwhile keeps the number.
    """
    import torch
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    threads = threads or min(before, cpus())
    given = {name: str(threads) for name in THREADS[1:] if name not in os.environ}
    torch.set_num_threads(threads)
    os.environ.update(given)
    try:
        with threadpool_limits(threads, user_api="blas"):
            yield
    finally:
        for name in given:
            os.environ.pop(name, None)
        torch.set_num_threads(before)  # the next job of a sweep, or a notebook, finds the number that was there


@contextlib.contextmanager
def doing_job(number: int):
    """Do the job of a sweep that has this number."""
    before = _JOB.set(number)
    try:
        yield
    finally:
        _JOB.reset(before)


def place() -> int:
    """The place of this process among those that share the GPUs of this machine: that of its task where Slurm runs
    several on a node, the number of its job where a launcher works at several at once, and else 0."""
    of_slurm = os.environ.get("SLURM_LOCALID", "")
    if of_slurm.isdecimal() and int(of_slurm):
        return int(of_slurm)
    return _JOB.get() if BESIDE in os.environ else 0


@contextlib.contextmanager
def side_by_side():
    """A function (function, items) -> [function(item) for item in items], which takes as many threads as torch may use,
    one for each item; meanwhile torch itself takes one thread for an operation.

    Threads that share every operation wait for each other some thousand times a second, which on a machine that does
    something else beside takes ten times as long; these wait once.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield lambda function, items: list(pool.map(function, items))
    finally:
        torch.set_num_threads(threads)


def _exists(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
