"""Disturb scorelab for a while, and check that it keeps what docs/reliability.md promises.

python scripts/soak.py kill --count N [--seed S] [--kinds run sweep workers stage] [--where DIR]
python scripts/soak.py fuzz --count N [--seed S]

`kill` starts small runs and sweeps in a scratch directory, kills the process at a random moment and resumes. It prints
a row for each and ends with status 1 if something that was finished is lost, if a number differs in one bit from those
of a process that nobody disturbed, if something half-written is read as a result, or if a file or a process is left.

`fuzz` changes values of configurations at random; each has to be refused in one line, or to run to finite numbers or to
one line.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from soak_fuzz import fuzz

from scorelab.errors import ScorelabError
from scorelab.lab.gather import gather
from scorelab.lab.runs import Run, below, read_metrics

RUN = Path(__file__).parents[1] / "run.py"
#: a run of a few seconds that is at work in every stage
SMALL = (
    *("target.n=8", "denoiser.m=8", "training.N=400", "training.epochs=60", "training.batch_size=20"),
    *("training.checkpoint_every=1", "sampler.count=2000", "sampler.steps=50", "study.path_kl_angles=8"),
    *("study.path_kl_draws=200", "study.posterior_mean_draws=50", "study.floor_repeats=20", "study.trajectories=0"),
    *("figures.dpi=50", "threads=1"),
)
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
#: seconds that the workers of a killed process may take to end: each looks for it every second
PATIENCE = 30
#: numbers of the clock, and names of what only a process at work may have in a directory
TIMES = ("seconds", "samples_per_second", "wall_seconds")
LEFT_OVER = (".*.part", ".before*", ".lock", "*.back", "checkpoint*")


@dataclass
class Kind:
    """What is killed. first: the command line that begins. again: the one that goes on. copies: whether it begins in a
    copy of the reference, as a stage that is done again does."""

    first: tuple[str, ...]
    again: tuple[str, ...]
    copies: bool = False


_SWEEP = ("-m", *SMALL, "seed=0,1", "hydra.sweep.dir=here")
_WORKERS = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
_STAGE = ("run=here", "stage=sample", "in_place=true")
KINDS = {
    "run": Kind((*SMALL, "hydra.run.dir=here"), ("training.resume=here",)),
    "sweep": Kind(_SWEEP, ("-m", "sweep.resume=here")),
    "workers": Kind((*_SWEEP, *_WORKERS), ("-m", "sweep.resume=here", *_WORKERS)),
    "stage": Kind(_STAGE, _STAGE, copies=True),
}


@dataclass
class Trial:
    """One process that was killed: what it was, when, what was found, and what is wrong."""

    kind: str
    signal: str
    after: float
    found: str = ""
    went_on: str = ""
    faults: list[str] = field(default_factory=list)


# The command line of scorelab. --------------------------------------------------------------------------------------


def start(arguments, where: Path) -> subprocess.Popen:
    """A process of run.py, in a session of its own, that a signal of the terminal does not reach."""
    return subprocess.Popen(
        [sys.executable, str(RUN), *arguments],
        cwd=where,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def of_session(leader: int) -> list[int]:
    """The processes of a session that still run."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, session = path.read_text().rpartition(")")[2].split()[:4]
        except OSError:  # it has ended meanwhile
            continue
        if int(session) == leader and state != "Z":
            found.append(int(path.parent.name))
    return found


def orphans(leader: int) -> list[int]:
    """The processes of a session that do not end within the time that they may take."""
    until = time.monotonic() + PATIENCE
    while (left := of_session(leader)) and time.monotonic() < until:
        time.sleep(0.2)
    return left


# What is compared. --------------------------------------------------------------------------------------------------


def runs_of(directory: Path) -> dict[str, Run]:
    """The run, or the jobs of the sweep, by name."""
    if (directory / "status.json").is_file():
        return {"run": Run(directory)}
    return {run.path.name: run for run in below(directory)}


def results(run: Run) -> dict[str, bytes]:
    """What a run found, without times: the numbers and the files of a run that is done."""
    metrics = read_metrics(run / "metrics.json")
    plain = {
        section: {key: value for key, value in values.items() if key not in TIMES}
        for section, values in metrics.items()
    }
    plain["run"].pop("git_commit", None)
    files = {name: (run / name).read_bytes() for name in ("samples.npy", "denoiser.safetensors", "posterior_mean.csv")}
    return files | {"metrics.json": json.dumps(plain, sort_keys=True).encode()}


def half_written(directory: Path) -> list[str]:
    """What is read as a result and is none, before anybody puts the directory in order."""
    faults = []
    for name, run in runs_of(directory).items():
        try:
            if run.state == "done":
                results(run)
        except (ScorelabError, OSError, KeyError) as error:
            faults.append(f"{name} is {run.path} and cannot be read: {error}")
    if (directory / "sweep.json").is_file():
        try:
            gather(directory)
        except ScorelabError as error:
            faults.append(f"cannot be gathered: {error}")
    return faults


def compared(directory: Path, reference: dict[str, dict], kept: dict[str, int]) -> list[str]:
    """What is wrong with a directory after it went on. kept: job -> time at which its numbers were written before."""
    faults, runs = [], runs_of(directory)
    for name, wanted in reference.items():
        run = runs.get(name)
        if run is None or run.state != "done":
            faults.append(f"{name} is {'missing' if run is None else run.state}")
            continue
        found = results(run)
        faults += [f"{name}/{file} differs" for file in wanted if found[file] != wanted[file]]
        if name in kept and (run / "metrics.json").stat().st_mtime_ns != kept[name]:
            faults.append(f"{name} was done, and was done again")
    for pattern in LEFT_OVER:
        faults += [f"{path.relative_to(directory)} is left over" for path in directory.rglob(pattern)]
    return faults


# Trials. ------------------------------------------------------------------------------------------------------------


def undisturbed(kind: Kind, where: Path) -> tuple[dict[str, dict], float]:
    """The results of a process that nobody disturbs, and the seconds that it takes."""
    started = time.monotonic()
    status = start(kind.first, where).wait()
    if status:
        sys.exit(f"error: {' '.join(kind.first)} ended with status {status} undisturbed")
    return {name: results(run) for name, run in runs_of(where / "here").items()}, time.monotonic() - started


def going_on(kind: Kind, directory: Path) -> tuple[str, ...]:
    """The command line for what was killed: it is resumed, or begun again where it came to nothing that can be."""
    begun = (directory / "sweep.json").is_file() or (directory / "status.json").is_file()
    return kind.again if begun else kind.first


def tried(name: str, draw: random.Random, where: Path, reference: dict, seconds: float) -> Trial:
    """Start, kill after a random time, look, go on, compare."""
    kind, number = KINDS[name], draw.choice(SIGNALS)
    trial = Trial(name, number.name, draw.uniform(0.0, seconds))
    process = start(kind.first, where)
    try:
        process.wait(trial.after)
        trial.found = "ended before"
    except subprocess.TimeoutExpired:
        process.send_signal(number)
        process.wait()
    left = orphans(process.pid)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    trial.faults += [f"process {pid} is left over" for pid in left]
    directory = where / "here"
    states = {job: run.state for job, run in runs_of(directory).items()} if directory.is_dir() else {}
    trial.found = trial.found or ", ".join(states.values()) or "nothing"
    trial.faults += half_written(directory)
    # a stage that is done again is meant to write its numbers anew
    done = [] if kind.copies else [job for job, state in states.items() if state == "done"]
    kept = {job: (runs_of(directory)[job] / "metrics.json").stat().st_mtime_ns for job in done}
    arguments = going_on(kind, directory)
    trial.went_on = "resumed" if arguments == kind.again else "begun again"
    status = start(arguments, where).wait()
    if status:
        trial.faults.append(f"going on ended with status {status}")
    trial.faults += compared(directory, reference, kept)
    return trial


def kill(options) -> int:
    """Kill processes at random moments, and print what became of each; return the number of faults."""
    scratch = Path(tempfile.mkdtemp(prefix="soak-", dir=options.where))
    references, faults = {}, 0
    print(f"{'':4}{'kind':9}{'signal':9}{'after (s)':>9}  {'found':22}{'then':13}faults")
    for number in range(options.count):
        draw = random.Random(f"{options.seed} {number}")
        name = options.kinds[number % len(options.kinds)]
        if name not in references:
            references[name] = reference_of(name, scratch / name)
        reference, seconds = references[name]
        where = scratch / str(number)
        if KINDS[name].copies:
            shutil.copytree(scratch / name / "here", where / "here")
        else:
            where.mkdir()
        trial = tried(name, draw, where, reference, seconds)
        told = "; ".join(trial.faults) or "none"
        print(
            f"{number:<4}{name:9}{trial.signal:9}{trial.after:9.2f}  {trial.found:22}{trial.went_on:13}{told}",
            flush=True,
        )
        faults += len(trial.faults)
        if not trial.faults:
            shutil.rmtree(where)
    print(f"{options.count} processes, {faults} faults" + (f"; see {scratch}" if faults else ""))
    if not faults:
        shutil.rmtree(scratch)
    return faults


def reference_of(name: str, where: Path) -> tuple[dict[str, dict], float]:
    """The undisturbed results of a kind, whose processes work below `where`, and their seconds."""
    where.mkdir()
    if not KINDS[name].copies:
        return undisturbed(KINDS[name], where)
    undisturbed(KINDS["run"], where)
    return undisturbed(KINDS[name], where)


def main() -> int:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    killing = commands.add_parser("kill", help="kill processes at random moments, then resume")
    killing.add_argument("--count", type=int, default=10, help="processes to kill")
    killing.add_argument("--seed", type=int, default=0, help="of the moments and the signals")
    killing.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="what is killed, in turn")
    killing.add_argument("--where", type=Path, help="folder for the scratch directory")
    killing.set_defaults(call=kill)
    fuzzing = commands.add_parser("fuzz", help="check odd configurations, and run those that are accepted and small")
    fuzzing.add_argument("--count", type=int, default=100, help="configurations")
    fuzzing.add_argument("--seed", type=int, default=0, help="of the configurations")
    fuzzing.set_defaults(call=fuzz)
    options = parser.parse_args()
    return min(options.call(options), 1)


if __name__ == "__main__":
    sys.exit(main())
