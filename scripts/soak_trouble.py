"""`soak.py trouble`: disks that are full or read-only, clocks that jump, and two processes at once."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from soak_kill import KINDS, Trial, each_tried, going_on, orphans, said_in, start, went_on

#: Python reads this file when it starts, in every process: after so many seconds the clock is wrong by so many
CLOCK = """
import time
_right, _began = time.time, time.monotonic()
time.time = lambda: _right() + ({jump!r} if time.monotonic() - _began > {after!r} else 0.0)
"""


def trouble(options) -> int:
    """Give processes a trouble each, in turn; print what became of each, and return the number of faults.

    It runs in a namespace of its own, so that what it mounts is seen by nobody else and is gone at its end.
    """
    if os.environ.get("SOAK_NAMESPACE") != "own":
        os.environ["SOAK_NAMESPACE"] = "own"
        os.execvp("unshare", ["unshare", "--map-root-user", "--mount", sys.executable, *sys.argv])
    turn = iter(range(options.count))

    def one(name, draw, where, reference, seconds):
        which = options.troubles[next(turn) // len(options.kinds) % len(options.troubles)]
        trial = Trial(name, which, draw.uniform(0.0, seconds))
        TROUBLES[which](trial, draw, where)
        if any("Traceback" in line for line in said_in(where).read_text().splitlines()):
            trial.faults.append(f"a traceback in {said_in(where)}")
        went_on(trial, where, reference)
        if where.is_mount():
            if trial.faults:
                shutil.copytree(where, where.with_name(f"{where.name}.kept"))
            _mount_off(where)
        return trial

    return each_tried(options, options.kinds, one)


def full(trial: Trial, draw: random.Random, where: Path):
    """A disk with room for less than the results; later there is more room."""
    undisturbed = where.with_name(trial.kind)
    room = int(draw.uniform(0.02, 1.1) * sum(path.stat().st_blocks / 2 for path in undisturbed.rglob("*")))
    trial.signal = f"full {room}k"
    _mount("-t", "tmpfs", "-o", f"size={room}k", "none", where)
    status = start(KINDS[trial.kind].first, where).wait()
    if status not in (0, 1, 2):
        trial.faults.append(f"on a full disk the status is {status}")
    _mount("-o", "remount,size=1g", where)


def read_only(trial: Trial, draw: random.Random, where: Path):
    """A process is killed; what goes on finds a directory that it cannot write, and changes nothing."""
    _killed(trial, where)
    before = _content(where)
    _mount("--bind", where, where)
    _mount("-o", "remount,bind,ro", where)
    status = start(going_on(KINDS[trial.kind], where / "here"), where).wait()
    _mount_off(where)
    if status != 1:
        trial.faults.append(f"in a read-only directory the status is {status}")
    if _content(where) != before:
        trial.faults.append("a read-only directory has changed")


def clock(trial: Trial, draw: random.Random, where: Path):
    """The clock jumps, in each process at another time, and a process is killed."""
    places = where.with_name(f"{where.name}.clock")
    places.mkdir(exist_ok=True)
    jump, after = draw.uniform(-2e5, 2e5), draw.uniform(0.0, trial.after)
    (places / "sitecustomize.py").write_text(CLOCK.format(jump=jump, after=after))
    trial.signal = f"clock{jump / 3600:+.0f} h"
    _killed(
        trial, where, PYTHONPATH=os.pathsep.join([str(places), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    )


def twice(trial: Trial, draw: random.Random, where: Path):
    """A process is killed, and two go on at once: one of them does it, the other one says so or finds it done."""
    _killed(trial, where)
    both = [start(going_on(KINDS[trial.kind], where / "here"), where) for _ in range(2)]
    statuses = sorted(process.wait() for process in both)
    if statuses not in ([0, 0], [0, 1]):
        trial.faults.append(f"two at once ended with statuses {statuses}")


TROUBLES = {"full": full, "read_only": read_only, "clock": clock, "twice": twice}


def _killed(trial: Trial, where: Path, **environment: str):
    process = start(KINDS[trial.kind].first, where, **environment)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(trial.after)
    process.send_signal(signal.SIGKILL)
    process.wait()
    trial.faults += [f"process {pid} is left over" for pid in orphans(process.pid, trial.kind)]


def _mount(*words):
    subprocess.run(["mount", *map(str, words)], check=True)


def _mount_off(where: Path):
    subprocess.run(["umount", where], check=True)


def _content(where: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in where.rglob("*") if path.is_file()}
