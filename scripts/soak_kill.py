"""`soak.py kill`: processes that are killed at random moments, and what has to be true of their directories then."""

import contextlib
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

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
SIGNALS = ("SIGKILL", "SIGTERM", "SIGINT")
#: seconds that the workers of a killed process may take to end: each looks for it every second; and that two helpers of
#: Ray's own may take, which wait a minute for an answer of what is gone
PATIENCE, PATIENCE_OF_RAY = 30, 150
#: numbers of the clock, and names of what only a process at work may have in a directory
TIMES = ("seconds", "samples_per_second", "wall_seconds")
LEFT_OVER = (".*.part", ".before*", ".lock", "*.back", "checkpoint*")


@dataclass
class Kind:
    """What is killed. first: the command line that begins. again: the one that goes on. copies: whether it begins in a
    copy of the reference, as a stage that is done again does. rounds: whether a number may differ by rounding, as that
    of a training may which was computed with others, and goes on alone."""

    first: tuple[str, ...]
    again: tuple[str, ...]
    copies: bool = False
    rounds: bool = False


#: launcher -> its options. The jobs of submitit's go on when their sweep is killed, as on a cluster, and are not here.
LAUNCHERS = {
    "basic": (),
    "joblib": ("hydra.launcher.n_jobs=2",),
    "stacked": (),
    "ray": ("hydra.launcher.n_jobs=2",),
}


def _of_launcher(name: str) -> Kind:
    words = (f"hydra/launcher={name}", *LAUNCHERS[name])
    first = ("-m", *SMALL, "seed=0,1,2", "hydra.sweep.dir=here", *words)
    return Kind(first, ("-m", "sweep.resume=here", *words), rounds=name == "stacked")


_STAGE = ("run=here", "stage=sample", "in_place=true")
KINDS = {
    "run": Kind((*SMALL, "hydra.run.dir=here"), ("training.resume=here",)),
    "stage": Kind(_STAGE, _STAGE, copies=True),
    **{name: _of_launcher(name) for name in LAUNCHERS},
}
#: those that need no package beside those of `make`
USUAL = [name for name in KINDS if name != "ray"]


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


def start(arguments, where: Path, **environment: str) -> subprocess.Popen:
    """A process of run.py, in a session of its own, that a signal of the terminal does not reach; what it says is added
    to said.txt beside the folder it works in. environment: variables, beside those of ours."""
    with open(said_in(where), "a") as said:
        return _started(arguments, where, said, environment)


def said_in(where: Path) -> Path:
    """The file of what the processes in a folder say."""
    return where.with_name(f"{where.name}.said.txt")


def _started(arguments, where, said, environment):
    return subprocess.Popen(
        [sys.executable, str(RUN), *arguments],
        cwd=where,
        stdout=said,
        stderr=said,
        start_new_session=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
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


def orphans(leader: int, kind: str) -> list[int]:
    """The processes of a session that do not end within the time that they may take."""
    until = time.monotonic() + (PATIENCE_OF_RAY if kind == "ray" else PATIENCE)
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


def differing(found: dict[str, bytes], wanted: dict[str, bytes], rounds: bool) -> list[str]:
    """The files that differ. rounds: the loss of the training may differ by rounding, and what follows it as well."""
    if not rounds:
        return [file for file in wanted if found[file] != wanted[file]]
    one, other = (json.loads(each["metrics.json"])["training"]["loss"] for each in (found, wanted))
    return [] if math.isclose(one, other, rel_tol=1e-3) else ["metrics.json"]


def compared(directory: Path, reference: dict[str, dict], kept: dict[str, int], rounds: bool) -> list[str]:
    """What is wrong with a directory after it went on. kept: job -> time at which its numbers were written before."""
    faults, runs = [], runs_of(directory)
    for name, wanted in reference.items():
        run = runs.get(name)
        if run is None or run.state != "done":
            faults.append(f"{name} is {'missing' if run is None else run.state}")
            continue
        faults += [f"{name}/{file} differs" for file in differing(results(run), wanted, rounds)]
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


def tried(name: str, draw: random.Random, where: Path, reference: dict, seconds: float, options) -> Trial:
    """Start, kill after a random time, look, go on, compare."""
    kind, number = KINDS[name], signal.Signals[draw.choice(options.signals)]
    trial = Trial(name, number.name, draw.uniform(0.0, seconds))
    process = start(kind.first, where)
    try:
        process.wait(trial.after)
        trial.found = "ended before"
    except subprocess.TimeoutExpired:
        others = [each for each in of_session(process.pid) if each != process.pid]
        if options.workers and others:
            trial.signal = "worker"
            with contextlib.suppress(ProcessLookupError):
                os.kill(draw.choice(others), signal.SIGKILL)
        else:
            process.send_signal(number)
        process.wait()
    left = orphans(process.pid, trial.kind)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    trial.faults += [f"process {pid} is left over" for pid in left]
    went_on(trial, where, reference)
    return trial


def went_on(trial: Trial, where: Path, reference: dict):
    """Look at what a process left, go on, and compare."""
    kind, directory = KINDS[trial.kind], where / "here"
    states = {job: run.state for job, run in runs_of(directory).items()} if directory.is_dir() else {}
    trial.found = trial.found or ", ".join(states.values()) or "nothing"
    trial.faults += half_written(directory)
    # a stage that is done again is meant to write its numbers anew
    done = [] if kind.copies else [job for job, state in states.items() if state == "done"]
    kept = {job: (runs_of(directory)[job] / "metrics.json").stat().st_mtime_ns for job in done}
    arguments = going_on(kind, directory)
    trial.went_on = "resumed" if arguments == kind.again else "begun again"
    process = start(arguments, where)
    status = process.wait()
    if status:
        trial.faults.append(f"going on ended with status {status}")
    trial.faults += [f"process {pid} is left over at the end" for pid in orphans(process.pid, trial.kind)]
    trial.faults += compared(directory, reference, kept, kind.rounds)


def kill(options) -> int:
    """Kill processes at random moments, and print what became of each; return the number of faults."""
    kinds = [options.launcher] if options.launcher else options.kinds

    def one(name, draw, where, reference, seconds):
        return tried(name, draw, where, reference, seconds, options)

    return each_tried(options, kinds, one)


def each_tried(options, kinds: list[str], one) -> int:
    """Make as many trials as are asked for, and print what became of each; return the number of faults.

    one: (kind, random numbers, folder, reference, seconds) -> Trial.
    """
    for name in LAUNCHERS if options.bare else ():
        KINDS[name] = replace(KINDS[name], first=(*KINDS[name].first, "figures.formats=[]"))
    scratch = Path(tempfile.mkdtemp(prefix="soak-", dir=options.where))
    references, faults = {}, 0
    print(f"{'':4}{'kind':9}{'signal':10}{'after (s)':>9}  {'found':36}{'then':13}faults")
    for number in range(options.count):
        draw = random.Random(f"{options.seed} {number}")
        name = kinds[number % len(kinds)]
        if name not in references:
            references[name] = reference_of(name, scratch / name)
        reference, seconds = references[name]
        where = scratch / str(number)
        if KINDS[name].copies:
            shutil.copytree(scratch / name / "here", where / "here")
        else:
            where.mkdir()
        trial = one(name, draw, where, reference, seconds)
        told = "; ".join(trial.faults) or "none"
        print(
            f"{number:<4}{name:9}{trial.signal:10}{trial.after:9.2f}  {trial.found:36}{trial.went_on:13}{told}",
            flush=True,
        )
        faults += len(trial.faults)
        if not trial.faults:
            shutil.rmtree(where)
            said_in(where).unlink()
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
