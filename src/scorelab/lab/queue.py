"""The queue of Slurm, for a sweep whose directory says in `submitted.json` which of its jobs is which job there."""

import re
import shutil
import subprocess
from pathlib import Path

from scorelab.errors import ScorelabError
from scorelab.files import inside, read_json

#: the file that says it: {number of the job: {"slurm": "123_4"}}
SUBMITTED = "submitted.json"
_ID = re.compile(r"\d+(_\d+)?")


def ids(directory: Path) -> dict[str, str]:
    """Number of a job -> its name in the queue; empty for a sweep that was not submitted. Raises ScorelabError for a
    file that is damaged."""
    if not (directory / SUBMITTED).is_file():
        return {}
    path = inside(directory, SUBMITTED)
    listed = read_json(path)
    if not isinstance(listed, dict) or not all(isinstance(one, dict) for one in listed.values()):
        raise ScorelabError(f"{path}: a mapping from jobs to their names in the queue is needed")
    named = {number: str(one["slurm"]) for number, one in listed.items() if "slurm" in one}
    for name in named.values():
        if not _ID.fullmatch(name):
            raise ScorelabError(f"{path}: {name}: is no job of Slurm")
    return named


def look(directory: Path, jobs) -> str | None:
    """Write into each job what the queue says of it, `gone` where it is not in it any more. The queue is asked once.
    Return why it could not be asked, None if it could or there was nothing to ask."""
    try:
        named = ids(directory)
    except ScorelabError as error:
        return str(error)
    open_jobs = [job for job in jobs if job.job in named and job.state != "done"]
    if not open_jobs:
        return None
    if shutil.which("squeue") is None:
        return "the queue of Slurm cannot be asked from here (no squeue)"
    known, why = _squeue(sorted({named[job.job].partition("_")[0] for job in open_jobs}))
    for job in open_jobs if why is None else ():
        job.queue = known.get(named[job.job], "gone")
    return why


def _squeue(names: list[str]) -> tuple[dict[str, str], str | None]:
    """Name -> state of what is in the queue, or why it could not be asked."""
    asked = ["squeue", "--noheader", "--array", "--format=%i %T", f"--jobs={','.join(names)}"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.SubprocessError) as error:
        return {}, f"the queue of Slurm does not answer ({type(error).__name__})"
    if done.returncode and "Invalid job id" not in done.stderr:  # so it says when it knows none of them any more
        last = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
        return {}, f"the queue of Slurm does not answer ({last[0]})"
    return dict(line.split(None, 1) for line in done.stdout.splitlines() if len(line.split(None, 1)) == 2), None
