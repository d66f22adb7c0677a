"""A sweep in the background: `sweep.detach=true`.

The same command is started once more, in a session of its own, which the end of a terminal does not reach. It checks,
reserves and freezes the sweep and takes its locks itself, so that nothing is handed over; its errors are those of the
foreground, which waits until the sweep begins, and then says where it lies and ends. From then on the background writes
into the file `sweep.log` of the sweep.
"""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import threading
from pathlib import Path

from scorelab.errors import ScorelabError, printable
from scorelab.lab.config import sweep_options
from scorelab.lab.names import as_override

#: the log of a sweep in the background, and the variable that tells this process where to say that it begins
LOG, _VARIABLE = "sweep.log", "SCORELAB_DETACHED"


def submits(sweeper) -> bool:
    """Whether the launcher of a detached sweep hands the jobs over to a queue: it has `submit`, which is called as
    `launch` is and does not wait for the jobs."""
    return sweep_options(sweeper.config.sweep).detach and hasattr(sweeper.launcher, "submit")


def wanted(sweeper) -> bool:
    """Whether a process in the background is to launch the jobs. Raises ConfigError for a mistake in `sweep`."""
    options = sweep_options(sweeper.config.sweep)
    return options.detach and not options.dry_run and not submits(sweeper)


def start(sweeper, words: list[str], tracebacks: bool, quiet: bool = False) -> Path:
    """Start the command `scorelab run WORDS...` of a sweep in the background, and return the directory of the sweep
    when it has begun.

    tracebacks: whether its errors have tracebacks. quiet: whether what it prints of an error is raised instead, as a
    ScorelabError; else the process ends with the status of a command that begins no sweep.
    """
    reader, writer = os.pipe()
    environment = os.environ | {_VARIABLE: str(writer), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    if not tracebacks:
        environment.pop("HYDRA_FULL_ERROR", None)  # `main` sets it for itself
    log = f"hydra.job.name={as_override(sweeper.config.hydra.job.name)}"  # the name that the logs of jobs have here
    command = [sys.executable, "-P", "-m", "scorelab.cli", "run", *words, log]
    where = {"stdin": subprocess.DEVNULL, "stderr": subprocess.PIPE if quiet else None}
    child = subprocess.Popen(command, env=environment, pass_fds=[writer], start_new_session=True, **where)
    os.close(writer)
    try:
        with open(reader, "rb") as told:
            directory = told.read()
        printed = ""
        if quiet:
            with child.stderr:
                printed = child.stderr.read().decode(errors="replace")
        if directory:
            threading.Thread(target=child.wait, daemon=True).start()  # or a notebook would keep a process that is gone
            return Path(os.fsdecode(directory))
        status = child.wait()
    except KeyboardInterrupt:
        child.send_signal(signal.SIGINT)
        child.wait()
        raise
    if not quiet:
        sys.exit(status if status >= 0 else 128 - status)
    last = [line for line in printed.splitlines() if line.strip()][-1:] or [f"ended with status {status}"]
    raise ScorelabError(last[0].removeprefix("error: "))


def look(directory: Path) -> str:
    """What to do next with a sweep in the background."""
    where = shlex.quote(str(directory))
    return printable(
        f"{directory}: in the background; scorelab status {where} shows it, scorelab stop {where} stops it"
    )


class Background:
    """This process, if `start` has started it."""

    def __init__(self, pipe: int):
        self._pipe = pipe
        os.set_inheritable(pipe, False)

    @classmethod
    def here(cls) -> "Background | None":
        """This process, once; None for a process that `start` did not start."""
        named = os.environ.pop(_VARIABLE, "")
        return cls(int(named)) if named.isdigit() else None

    def begin(self, directory: Path):
        """Leave the foreground: from here on output goes into the log of the sweep."""
        log = os.open(directory / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o666)
        sys.stdout.flush()
        sys.stderr.flush()
        for stream in (1, 2):
            os.dup2(log, stream)
        os.close(log)
        sys.stdout.reconfigure(line_buffering=True)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a script's background process ignores it
        with contextlib.suppress(BrokenPipeError):  # the foreground is gone, as its terminal may be
            os.write(self._pipe, os.fsencode(directory))
        os.close(self._pipe)
