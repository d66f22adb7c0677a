"""The status of runs, a `scorelab.lab.status.Status`, as text for a terminal."""

import sys

from scorelab.errors import printable
from scorelab.lab.rows import UNREADABLE

#: so many jobs are all listed; of more, those that wait or are done are only counted
MANY = 40
_QUIET = ("done", "pending")


def text(status, every: bool = False) -> str:
    """The jobs as a table, with a line of totals below. every: whether jobs that wait or are done are listed too where
    there are many."""
    from rich.console import Console
    from rich.table import Table

    listed = status.jobs
    if len(listed) > MANY and not every:
        listed = [job for job in listed if job.state not in _QUIET]
    varied = _varied(status.jobs)
    rows = [_cells(job, varied) for job in listed]
    names = [name for name in (rows[0] if rows else ()) if any(row[name] for row in rows)]
    table = Table(*names, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(printable(row[name]).replace("[", r"\[") for name in names))
    console = Console(width=None if sys.stdout.isatty() else 10_000, highlight=False)
    with console.capture() as caught:
        if rows:
            console.print(table)
    lines = [line.rstrip() for line in caught.get().splitlines()]
    if len(listed) < len(status.jobs):
        lines.append(f"{len(status.jobs) - len(listed)} jobs that wait or are done are not listed; --all lists them")
    lines += [printable(line) for line in (_totals(status), status.note) if line]
    return "\n".join(lines)


def _totals(status) -> str:
    where = f"; {status.owner} works there" if status.owner else ""
    counts = ", ".join(f"{count} {state}" for state, count in status.totals.items())
    number = len(status.jobs)
    return f"{status.directory}: {number} {'job' if number == 1 else 'jobs'}, {counts}{_left(status.left)}{where}"


def _left(left) -> str:
    if left.why is not None:
        return f"; time left unknown: {left.why}"
    if not left.seconds:
        return ""
    spread = "" if left.spread is None else f" ± {duration(left.spread)}"
    return f"; about {duration(left.seconds)}{spread} left"


def _cells(job, varied: list[str]) -> dict[str, str]:
    """Heading -> text of a job."""
    stage = ": ".join(dict.fromkeys(filter(None, (job.stage, job.doing))))
    given = " ".join(f"{key.rpartition('.')[2]}={job.asked[key]}" for key in varied if key in job.asked)
    if job.state == "done":
        stage = f"took {duration(job.took)}"
    return {
        "job": job.job,
        "asked": given if len(given) <= 60 else f"{given[:57]}...",
        "state": job.state,
        "age": "" if job.age is None else duration(job.age),
        "stage": stage,
        "progress": "" if job.total is None else f"{job.done}/{job.total} {job.unit}",
        "rate": f"{job.rate:.3g}/s" if job.rate else "",
        "left": "" if job.left is None else duration(job.left),
        "queue": job.queue or "",
        "where": job.owner or "",
        "error": job.error or "",
    }


def _varied(jobs) -> list[str]:
    """The keys that were asked for with several values."""
    jobs = [job for job in jobs if job.state != UNREADABLE]
    keys = dict.fromkeys(key for job in jobs for key in job.asked)
    return [key for key in keys if len({job.asked.get(key) for job in jobs}) > 1]


def duration(seconds: float) -> str:
    """Seconds in two units at most, as `2 h 5 min`."""
    whole = round(seconds)
    for size, name, smaller, below in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {name}" + (f" {rest} {below}" if rest else "")
    return f"{whole} s" if whole or not seconds else f"{seconds:.1g} s"
