"""Commands for the directory of a sweep, or of runs, also while they go on."""

import json
import sys
import time
from pathlib import Path


def gather(accepted, words):
    """Write sweep.csv, sweep.md and the figures of the runs below a directory, also of a sweep that still runs.

    What is not done is a row with its state:

        scorelab gather outputs/2026-11-27/12-00-00-sweep
    """
    from scorelab.lab.gather import gather, print_sweep

    accepted.add_argument("directory", metavar="DIR", help="a directory with runs, as of a sweep; the files go there")
    accepted.add_argument("extensions", nargs="*", help="packages of your own whose studies the runs are of")
    chosen = accepted.parse_args(words)
    print_sweep(gather(chosen.directory, chosen.extensions), Path(chosen.directory))


def status(accepted, words):
    """States, ages, progress and remaining time of a run, a sweep, or all runs below a directory.

    It reads the directories alone, and asks the queue of Slurm once for a sweep that was submitted to it.

        scorelab status outputs/2026-11-27/12-00-00-sweep --watch 5
    """
    from scorelab.lab.status import status
    from scorelab.lab.status_text import text

    accepted.add_argument("directory", nargs="?", default="outputs", metavar="DIR", help="by default outputs")
    accepted.add_argument("--all", action="store_true", help="list every job, however many there are")
    accepted.add_argument("--json", action="store_true", help="all of it as JSON")
    accepted.add_argument("--watch", type=_seconds, metavar="SECONDS", help="again and again, until nobody works there")
    chosen = accepted.parse_args(words)
    while True:
        found = status(chosen.directory)
        if chosen.watch and sys.stdout.isatty():
            print("\033[H\033[2J", end="")  # clears the terminal
        print(json.dumps(found.data, indent=2) if chosen.json else text(found, chosen.all), flush=True)
        if not (chosen.watch and found.alive):
            return
        time.sleep(chosen.watch)


def _seconds(word: str) -> float:
    value = float(word)
    if not 0 < value <= 86400:
        raise ValueError
    return value


def stop(accepted, words):
    """Interrupt who works at a run, or at a sweep and its jobs; a training first writes a checkpoint.

    sweep.resume=DIR or training.resume=DIR goes on later.

    The exit status is 1 if something still works there that cannot be stopped from here.
    """
    from scorelab.lab.stop import stop

    accepted.add_argument("directory", metavar="DIR", help="of a run or a sweep")
    stopped, left = stop(accepted.parse_args(words).directory)
    print(*stopped, sep="\n")
    if left:
        sys.exit("\n".join(left))
