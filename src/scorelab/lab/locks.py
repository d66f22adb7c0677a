"""One process at a time in a directory.

A process holds the lock of a directory as long as it works there. The lock is `flock` on the file `.lock` of the
directory: the kernel releases it whenever and however the process ends. The file says whose it is, and its owner
touches it every `BEAT` seconds: a file system that several machines share may hide their locks from each other, and
then an owner on another machine counts as alive until `STALE` seconds after the last touch.
"""

import contextlib
import errno
import fcntl
import json
import os
import re
import stat
import threading
import time
from pathlib import Path

from scorelab.errors import ScorelabError
from scorelab.files import remove_parts
from scorelab.lab import before

NAME = ".lock"
#: seconds between two touches, and after the last one until the owner counts as gone
BEAT, STALE = 20, 180
#: seconds that a lock is waited for: a process that only looks whether it is held has it for an instant
PATIENCE = 1.0


class Lock:
    """The lock of a directory, held from the moment that the object is made until `release`, or the end of `with`.

    What a killed process left half-done in the directory is cleared up. Raises ScorelabError if another process holds
    the lock, or another object of this process.
    """

    def __init__(self, directory: Path | str):
        self.directory = Path(directory)
        self._file = _hold(self.directory)
        try:
            _say(self._file)
        except OSError as error:
            self._give_back()
            raise ScorelabError(f"{self.directory / NAME}: cannot be written ({error.strerror})") from None
        self._over = threading.Event()
        self._beat = threading.Thread(target=self._touch, daemon=True)
        self._beat.start()
        try:
            for folder in (self.directory, self.directory / "figures"):
                remove_parts(folder)
            if (self.directory / before.NAME).exists():
                before.settle(self.directory)
        except ScorelabError:
            self.release()
            raise

    def __enter__(self) -> "Lock":
        return self

    def __exit__(self, *_):
        self.release()

    def release(self):
        """Give the lock back and remove its file; what was given back stays so."""
        if self._over.is_set():
            return
        self._over.set()
        self._beat.join()
        self._give_back()

    def _give_back(self):
        if _is(self.directory / NAME, self._file):
            with contextlib.suppress(OSError):  # as on a file system that became read-only
                (self.directory / NAME).unlink()
        os.close(self._file)

    def _touch(self):
        while not self._over.wait(BEAT):
            with contextlib.suppress(OSError):
                os.utime(self._file)


def owner(directory: Path | str) -> str | None:
    """Who holds the lock of a directory, as "pid 123 on host"; None if nobody does. It changes nothing."""
    try:
        file = _open(Path(directory) / NAME, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        return _owner(file, fcntl.LOCK_SH)
    finally:
        os.close(file)


def process_of(owner: str | None) -> int | None:
    """The process that an `owner` names, if it is one of this machine; None for any other."""
    named = re.match(r"pid (\d+) on ([\w.-]+)", owner or "")
    return int(named[1]) if named and named[2] == os.uname().nodename else None


def _hold(directory: Path) -> int:
    """The lock file, opened and locked."""
    path, until = directory / NAME, time.monotonic() + PATIENCE
    while True:
        try:
            file = _open(path, os.O_RDWR | os.O_CREAT)
        except FileNotFoundError:
            raise ScorelabError(f"{directory}: no such directory") from None
        try:
            held = _owner(file, fcntl.LOCK_EX)
            if held is None and _is(path, file):  # else its owner removed it after it was opened here
                if os.fstat(file).st_nlink > 1:
                    raise ScorelabError(f"{path}: has a second name elsewhere, and is not written to; delete it")
                file, taken = None, file
                return taken
        finally:
            if file is not None:
                os.close(file)
        if held is not None and time.monotonic() > until:
            raise ScorelabError(f"{directory}: is running, {held}")
        time.sleep(0.02)


def _open(path: Path, how: int) -> int:
    try:
        file = os.open(path, how | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ScorelabError(f"{path}: cannot be opened ({error.strerror})") from None
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise ScorelabError(f"{path}: is no file; delete it")
    return file


def _owner(file: int, kind: int) -> str | None:
    """Lock an open file, and return None; or else return who holds it, without waiting."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
        visible = True
    except BlockingIOError:
        pid, host, _ = _said(file)
        return f"pid {pid} on {host}" if pid else "in a process that is just starting"
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK):
            raise
        visible = False  # a file system without locks: the age alone decides
    pid, host, start = _said(file)
    age = time.time() - os.fstat(file).st_mtime
    gone = (visible and host == os.uname().nodename) or _is_over(start)
    if pid and not gone and abs(age) < STALE:
        return f"pid {pid} on {host}, seen {max(age, 0):.0f} s ago; it counts as gone {STALE} s after it was last seen"
    return None


def _say(file: int):
    said = {"pid": os.getpid(), "host": os.uname().nodename, "slurm": _start_of_slurm()}
    os.ftruncate(file, 0)
    os.pwrite(file, json.dumps({key: value for key, value in said.items() if value}).encode(), 0)


def _said(file: int) -> tuple[int, str, list | None]:
    """The process, the host and the start of Slurm's job that a lock file names; (0, "", None) if it names none."""
    try:
        said = json.loads(os.pread(file, 4096, 0))
        pid, host, start = int(said["pid"]), str(said["host"]), said.get("slurm")
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError, AttributeError):
        return 0, "", None
    return (pid, host, start) if 0 < pid < 2**32 and re.fullmatch(r"[\w.-]{1,255}", host) else (0, "", None)


def _start_of_slurm() -> list | None:
    """The job of Slurm that this process is of, and how many times Slurm has requeued it; None outside of Slurm."""
    job, restarts = os.environ.get("SLURM_JOB_ID"), os.environ.get("SLURM_RESTART_COUNT", "0")
    return [job, int(restarts)] if job and restarts.isdigit() else None


def _is_over(start) -> bool:
    """Whether this process is of a later start of the same job of Slurm, which has ended the earlier ones."""
    own = _start_of_slurm()
    if own is None or not (isinstance(start, list) and len(start) == 2 and type(start[1]) is int):
        return False
    return start[0] == own[0] and start[1] < own[1]


def _is(path: Path, file: int) -> bool:
    """Whether an open file still has its name."""
    try:
        named, opened = os.stat(path, follow_symlinks=False), os.fstat(file)
    except FileNotFoundError:
        return False
    return (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino)
