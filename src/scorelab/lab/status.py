"""How far runs and sweeps are, from their directories, and from the queue of Slurm where a sweep was submitted to it.

Nothing is written, and nobody is asked but the files of a run: `status.json` has its state, `.lock` who works there,
`progress.json` how far this process is.
"""

import math
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import pydantic

from scorelab.errors import ScorelabError, one_line
from scorelab.files import checked_by, inside, read_json
from scorelab.lab import locks, slurm_queue
from scorelab.lab.names import pasted
from scorelab.lab.rows import UNREADABLE
from scorelab.lab.runs import PROGRESS, Run, asked, beneath
from scorelab.lab.status_text import text

#: the states of a job, in the order in which they are counted
STATES = ("done", "running", "pending", "interrupted", "failed", UNREADABLE)
#: keys whose values are not what a job was asked for
_HIDDEN = ("hydra", "extensions", "tracking", "sweep")

_Number = Annotated[float, pydantic.Field(ge=0, allow_inf_nan=False)]


class _Progress(pydantic.BaseModel):
    """What has to be true of progress.json; other entries are left out."""

    stage: str | None = None
    what: str | None = None
    done: Annotated[int, pydantic.Field(ge=0)] | None = None
    total: Annotated[int, pydantic.Field(ge=0)] | None = None
    unit: str = ""
    rate: _Number | None = None
    seconds: _Number = 0.0


@dataclass
class Job:
    """A run, as it is now.

    job: its place below the directory. state: pending, running, done, failed, interrupted or unreadable. age: seconds
    since it has this state; for a running job since its process began it. took: seconds that its finished stages took.
    stage, doing, done, total, unit: what it does, and how far it is. rate: units per second, on average. left: seconds
    that this takes at this rate. owner: who works there. queue: its state in the queue of Slurm. asked: the overrides,
    key -> value.
    """

    job: str
    state: str = UNREADABLE
    age: float | None = None
    took: float = 0.0
    stage: str | None = None
    doing: str | None = None
    done: int | None = None
    total: int | None = None
    unit: str = ""
    rate: float | None = None
    left: float | None = None
    owner: str | None = None
    queue: str | None = None
    error: str | None = None
    asked: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Left:
    """The seconds until all jobs have ended, with their spread; or why they are unknown."""

    seconds: float | None = None
    spread: float | None = None
    why: str | None = None


@dataclass
class Status:
    """How far the runs below a directory are; `print` shows it.

    owner: who works at the directory itself, as the process of a sweep. jobs: a `Job` for each run. left: for all of
    them. note: what could not be asked, as a queue.
    """

    directory: Path
    owner: str | None
    jobs: list[Job]
    left: Left
    note: str | None = None

    @property
    def totals(self) -> dict[str, int]:
        """State -> number of jobs, without states that none has."""
        counts = {state: sum(job.state == state for job in self.jobs) for state in STATES}
        return {state: count for state, count in counts.items() if count}

    @property
    def alive(self) -> bool:
        """Whether something may still change of its own accord."""
        return self.owner is not None or any(job.owner or job.queue not in (None, "gone") for job in self.jobs)

    @property
    def table(self):
        """A pandas DataFrame with a row for each job."""
        import pandas

        return pandas.DataFrame([asdict(job) for job in self.jobs])

    @property
    def data(self) -> dict:
        """All of it as plain data, for JSON."""
        jobs = [asdict(job) for job in self.jobs]
        directory = {"directory": str(self.directory), "owner": self.owner, "note": self.note}
        return directory | {"totals": self.totals, "left": asdict(self.left), "jobs": jobs}

    def __str__(self):
        return text(self)


def status(directory: Path | str = "outputs") -> Status:
    """How far a run is, the jobs of a sweep, or all runs at any depth below a directory. Raises ScorelabError for a
    directory that is not there or has no run."""
    directory = Path(directory)
    if not directory.is_dir():
        raise ScorelabError(f"{directory}: no such directory")
    alone = (directory / "status.json").is_file()
    runs = [Run(directory)] if alone else beneath(directory)
    if not runs:
        raise ScorelabError(f"{directory}: no run directory below it")
    owner = None if alone else locks.owner(directory)
    jobs = [_job(run, "." if alone else str(run.path.relative_to(directory))) for run in runs]
    note = _ask_queue(directory, jobs)
    if owner is not None:
        for job in jobs:  # a live sweep comes back to a job that nobody works at, as one of a stack between two turns
            job.state = "pending" if job.state == "interrupted" else job.state
    sweep = (directory / "sweep.json").is_file()
    return Status(directory, owner, jobs, _left_of(jobs, owner, sweep, directory), note)


def _job(run: Run, name: str) -> Job:
    job = Job(name)
    try:
        path = inside(run.path, "status.json")
        known = run.status
        job.owner = None if known["state"] == "done" else locks.owner(run.path)
        job.took, job.error = known["wall_seconds"], known.get("error")
        job.asked = {key: value for key, value in asked(known.get("overrides") or ()).items() if _is_own(key)}
        job.state = known["state"] if known["state"] in STATES else UNREADABLE
        last = (PROGRESS, locks.NAME) if job.state == "interrupted" else ()  # of a process that could not say its end
        job.age = min(_since(each, time.time()) for each in (path, *map(run.__truediv__, last)))
        if job.state in ("running", "interrupted") and (run / PROGRESS).is_file():
            _take_progress(job, run)
    except ScorelabError as error:
        job.state, job.error = UNREADABLE, one_line(error)
    return job


def _ask_queue(directory: Path, jobs: list[Job]) -> str | None:
    """Put what the queue of Slurm says into the jobs that were submitted, `gone` where one is not in it any more. The
    queue is asked once. Return why it could not be asked, None if it could or there was nothing to ask."""
    try:
        names = slurm_queue.submitted(directory)
        asked_for = {number: names[int(job.job)] for number, job in enumerate(jobs) if _in(job, names)}
        known = slurm_queue.ask(asked_for.values())
    except ScorelabError as error:
        return one_line(error)
    for number, name in asked_for.items():
        jobs[number].queue = known[name].state if name in known and not known[name].over else "gone"
    return None


def _in(job: Job, names) -> bool:
    return job.state != "done" and job.job.isdigit() and int(job.job) in names


def _is_own(key: str) -> bool:
    return key.partition(".")[0].partition("/")[0] not in _HIDDEN


def _take_progress(job: Job, run: Run):
    """Put what progress.json says into a job; nothing where it cannot be read: it is written anew in seconds."""
    path = inside(run.path, PROGRESS)
    try:
        said = checked_by(_Progress, path, read_json(path))
    except ScorelabError:
        return
    job.stage, job.doing = said.stage, said.what
    job.done, job.total, job.unit, job.rate = said.done, said.total, said.unit, said.rate
    if job.state != "running":
        return
    since = _since(path, _clock(run.path))
    if math.isfinite(since):  # else it has just ended
        job.age = said.seconds + since
    if said.rate and said.done is not None and said.total is not None:
        job.left = max(said.total - said.done, 0) / said.rate


def _clock(directory: Path) -> float:
    """The time now by the clock of whoever works in a directory: it touches its lock every `locks.BEAT` seconds, so
    that this clock is known to as much, whatever the own one says."""
    now = time.time()
    try:
        touched = (directory / locks.NAME).stat().st_mtime
    except OSError:
        return now
    return min(max(now, touched), touched + locks.BEAT)


def _since(path: Path, now: float) -> float:
    """Seconds since a file was written; 0 for one that a clock ahead of ours has written, infinity without a file."""
    try:
        return max(now - path.stat().st_mtime, 0.0)
    except OSError:
        return math.inf


def _left_of(jobs: list[Job], owner: str | None, sweep: bool, directory: Path) -> Left:
    running = [job for job in jobs if job.state == "running"]
    waiting = sum(job.state in ("pending", "interrupted") for job in jobs) if sweep else 0
    queued = sum(job.queue not in (None, "gone") for job in jobs)
    if not running and not waiting:
        return Left(0.0, 0.0)
    if not running and not owner:
        why = (
            f"{queued} jobs wait in the queue"
            if queued
            else f"nobody works there; {pasted('sweep.resume', directory)} goes on"
        )
        return Left(why=why)
    if not sweep:  # runs of any kind, none of which tells how long another one takes
        known = [job.left for job in running]
        return Left(why="a run does not say it") if None in known else Left(max(known))
    took = [job.took for job in jobs if job.state == "done"]
    return remaining(took, [(job.age or 0.0, job.left or 0.0) for job in running], waiting)


def remaining(took: list[float], running: list[tuple[float, float]], waiting: int) -> Left:
    """The seconds until jobs have ended, if they take what the jobs took that are done.

    took: seconds of the done jobs. running: age and remaining seconds of what each running job does now. waiting: jobs
    that have not begun. With mean m and standard deviation s of k done jobs, n jobs that have not ended and w running
    side by side it is (sum of what is left of the running ones + waiting m) / w, but not less than the longest of them,
    and its spread is s sqrt(n + n^2 / k) / w: of the n jobs, and of the mean itself.
    """
    if not took:
        return Left(why="no job has ended")
    count, workers = len(took), max(len(running), 1)
    mean = math.fsum(took) / count
    each = [max(mean - age, left, 0.0) for age, left in running]
    seconds = max([(math.fsum(each) + waiting * mean) / workers, *each])
    if count == 1:
        return Left(seconds)
    deviation = math.sqrt(math.fsum((one - mean) ** 2 for one in took) / (count - 1))
    left = waiting + len(running)
    return Left(seconds, deviation * math.sqrt(left + left**2 / count) / workers)
