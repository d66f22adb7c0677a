"""What Slurm knows of the jobs of a sweep. `submitted.json` in the directory of the sweep has Slurm's name of each job,
and Slurm's own commands are asked; nothing here needs a package.

    {"0": {"slurm": "1234_0"}, "1": {"slurm": "1234_1"}}

Jobs that run side by side in one job of Slurm have the same name there.
"""

import logging
import re
import signal
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from scorelab.errors import ScorelabError, printable
from scorelab.files import read_json, write_json

log = logging.getLogger("scorelab")

NAME = "submitted.json"
_NUMBER, _JOB = re.compile(r"[0-9]{1,9}"), re.compile(r"[0-9]{1,18}(_[0-9]{1,9})?")
#: seconds that an answer of Slurm is waited for
PATIENCE = 60
#: the states in which a job of Slurm is over; in any other it waits or runs, or is about to do so again
OVER = {"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED"}
OVER |= {"REVOKED", "TIMEOUT"}


@dataclass(frozen=True)
class Known:
    """What Slurm says of one of its jobs. name: as "1234_0". state: as "PENDING". reason: why it waits. status: of its
    exit, as a shell has it: 128 and the number of the signal after a signal."""

    name: str
    state: str
    reason: str = ""
    status: int = 0

    @property
    def over(self) -> bool:
        """Whether it neither waits nor runs, nor will."""
        return self.state in OVER

    def __str__(self):
        more = ""
        if self.state == "PENDING" and self.reason not in ("", "None"):
            more = f" ({self.reason})"
        elif self.state == "FAILED" and self.status:
            names = {128 + each: each.name for each in signal.Signals}
            more = f" ({names.get(self.status, f'exit status {self.status}')})"
        return f"job {self.name} of Slurm: {self.state}{more}"


def submitted(directory: Path | str) -> dict[int, str]:
    """Number of a job -> its name in Slurm, for the jobs of a sweep that were submitted. Raises ScorelabError if
    submitted.json is damaged."""
    path = Path(directory) / NAME
    if not path.is_file():
        return {}
    said = read_json(path)
    if not (isinstance(said, dict) and all(map(_is_entry, said.items()))):
        raise ScorelabError(f'{path}: {{"0": {{"slurm": "1234_0"}}, ...}} is needed')
    return {int(number): one["slurm"] for number, one in said.items()}


def record(directory: Path | str, names: Mapping[int, str]):
    """Add the names of jobs to submitted.json; a job that was submitted again has its new name."""
    known = submitted(directory) | names
    write_json(Path(directory) / NAME, {str(number): {"slurm": known[number]} for number in sorted(known)})


def ask(names: Iterable[str]) -> dict[str, Known]:
    """What Slurm still knows of jobs, by their names. Raises ScorelabError where it does not answer."""
    names = set(names)
    if not names:
        return {}
    jobs = ",".join(sorted({name.partition("_")[0] for name in names}, key=int))
    columns = "JobArrayID:|,State:|,exit_code:|,Reason:|"
    try:
        told = _call("squeue", "--noheader", "--array", "--states=all", f"--jobs={jobs}", f"--Format={columns}")
    except ScorelabError as error:
        if "Invalid job id" not in str(error):  # so it says where it has forgotten all of them
            raise
        told = ""
    known = {}
    for line in told.splitlines():
        name, state, status, reason, *_ = [*line.split("|"), *[""] * 4]
        known[name] = Known(name, state, reason, _status(status))
    return {name: known[name] for name in names if name in known} | _from_accounting(names - {*known})


def waiting(directory: Path | str) -> dict[int, Known]:
    """The jobs of a sweep that wait or run in Slurm, by their numbers. Raises ScorelabError where Slurm does not
    answer, and for a damaged submitted.json."""
    names = submitted(directory)
    known = ask(names.values())
    return {number: known[name] for number, name in names.items() if name in known and not known[name].over}


def told(directory: Path | str) -> dict[int, str]:
    """What Slurm knows of each job of a sweep, as a line; empty where none was submitted, or Slurm does not answer."""
    try:
        names = submitted(directory)
        known = ask(names.values())
    except ScorelabError as error:
        log.debug("%s", error)
        return {}
    gone = "job {} of Slurm, which does not know it any more"
    return {number: str(known.get(name, gone.format(name))) for number, name in names.items()}


def cancel(names: Iterable[str]):
    """Take jobs out of the queue. Raises ScorelabError where Slurm does not answer, or refuses it."""
    _call("scancel", *names)


def _from_accounting(names: set[str]) -> dict[str, Known]:
    """What the accounting of Slurm, where there is one, has of jobs that the queue has forgotten."""
    if not names:
        return {}
    jobs = ",".join(sorted({name.partition("_")[0] for name in names}, key=int))
    try:
        lines = _call("sacct", "-X", "--noheader", "--parsable2", f"--jobs={jobs}", "--format=JobID,State,ExitCode")
    except ScorelabError:
        return {}
    known = {}
    for line in lines.splitlines():
        name, state, code, *_ = [*line.split("|"), *[""] * 3]
        status, _, signum = code.partition(":")
        own = 128 + int(signum) if signum.isdigit() and int(signum) else int(status) if status.isdigit() else 0
        known[name] = Known(name, state.partition(" ")[0], "", own)  # it says CANCELLED by 1000
    return {name: known[name] for name in names if name in known}


def _status(text: str) -> int:
    """The status of an exit, of the number that `wait` returns."""
    raw = int(text) if text.isdigit() else 0
    return 128 + (raw & 127) if raw & 127 else raw >> 8


def _call(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    except (OSError, subprocess.TimeoutExpired) as error:
        why = "not installed here" if isinstance(error, FileNotFoundError) else "does not answer"
        raise ScorelabError(f"{command[0]}: {why}") from None
    if done.returncode:
        raise ScorelabError(f"{command[0]}: {printable(done.stderr) or f'exit status {done.returncode}'}")
    return done.stdout


def _is_entry(pair) -> bool:
    number, one = pair
    name = one.get("slurm") if isinstance(one, dict) else None
    return isinstance(name, str) and bool(_NUMBER.fullmatch(number)) and bool(_JOB.fullmatch(name))
