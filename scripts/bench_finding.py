"""Time of finding and gathering many runs.

    python scripts/bench_finding.py [--runs 10000] [--gathered 300] [--folder DIR]

One small run is made, and copied into a temporary folder (or into DIR, which stays) with other settings and numbers.
Timed are whole commands in processes of their own, with their start, by the clock and by the CPU: `scorelab ls` cold,
without an index; warm, with one; warm with an expression; after one run has changed; with every column written as CSV;
and `scorelab gather`. `start` is a process that imports pandas and does nothing. `floor` lists the folders and looks at
four files of each run, and does nothing else.
"""

import argparse
import json
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import scorelab

WHERE = "denoiser.L == 6 and metrics.projection.w1 < 0.35"
#: a main job of seconds, with the files and figures of any other
SMALL = ("training.N=200", "training.epochs=2", "sampler.count=500", "sampler.steps=8", "study.trajectories=20")


def varied(node, draws: random.Random):
    """Numbers of a metrics.json, each multiplied by a number about 1."""
    if isinstance(node, dict):
        return {key: varied(value, draws) for key, value in node.items()}
    if isinstance(node, list):
        return [varied(value, draws) for value in node]
    return node * draws.uniform(0.9, 1.1) if isinstance(node, float) else node


def copies(source: Path, folder: Path, count: int, drawn: bool):
    """Make `count` runs in sweeps of 100, 10 sweeps a day, from the files of one. drawn: with the arrays of figures."""
    draws = random.Random(0)
    status = json.loads((source / "status.json").read_text())
    metrics = json.loads((source / "metrics.json").read_text())
    config = (source / "config.yaml").read_text()
    for number in range(count):
        run = folder / f"2026-01-{number // 1000 + 1:02d}" / f"12-{number // 100 % 10:02d}-00-sweep" / f"{number % 100}"
        (run / ".hydra").mkdir(parents=True)
        asked = {"training.N": 100 * (1 + number // 4 % 25), "denoiser.L": 1 + number // 100 % 6, "seed": number % 4}
        state = "failed" if number % 50 == 7 else "done"
        text = config
        for key, value in asked.items():
            text = re.sub(rf"(?m)^( *{key.rpartition('.')[2]}): .*$", rf"\g<1>: {value}", text, count=1)
        overrides = [f"{key}={value}" for key, value in asked.items()]
        (run / "config.yaml").write_text(text)
        (run / ".hydra" / "overrides.yaml").write_text("".join(f"- {override}\n" for override in overrides))
        (run / "status.json").write_text(json.dumps(status | {"state": state, "overrides": overrides}, indent=2))
        if state == "done":
            (run / "metrics.json").write_text(json.dumps(varied(metrics, draws), indent=2))
        shutil.copy(source / "training.csv", run)
        if drawn:
            shutil.copytree(source / "figures", run / "figures")


def seconds(*words, cache: Path) -> tuple[float, float]:
    """The seconds of a command in a process of its own, by the clock and by the CPU; those of the quickest of calls are
    of interest where others use the machine."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = os.environ | {"XDG_CACHE_HOME": str(cache)}
    done = subprocess.run([sys.executable, *map(str, words)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    clock, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return clock, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


#: what no listing can do without
FLOOR = """
import os, sys
for folder, folders, files in os.walk(sys.argv[1]):
    if "status.json" in files:
        folders.clear()
        for name in ("status.json", "config.yaml", "metrics.json", ".hydra/overrides.yaml"):
            os.path.exists(os.path.join(folder, name))
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--gathered", type=int, default=300)
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = (asked.folder or Path(made)).absolute()
        one, many, swept, cache = (folder / name for name in ("one", "many", "swept", "cache"))
        if not one.is_dir():
            scorelab.run(SMALL, one)
            copies(one, many, asked.runs, drawn=False)
            copies(one, swept, asked.gathered, drawn=True)
        shutil.rmtree(cache, ignore_errors=True)
        ls = ("-m", "scorelab.cli", "ls", many)
        rows = {"start": seconds("-c", "import pandas", cache=cache), "floor": seconds("-c", FLOOR, many, cache=cache)}
        rows["ls, cold"] = seconds(*ls, cache=cache)
        rows["ls, warm"] = min(seconds(*ls, cache=cache) for _ in range(3))
        rows["ls, an expression"] = min(seconds(*ls, WHERE, cache=cache) for _ in range(3))
        status = next(many.rglob("status.json"))
        status.write_text(status.read_text() + " ")
        rows["ls, one run changed"] = seconds(*ls, cache=cache)
        rows["ls, every column to CSV"] = seconds(*ls, "--csv", folder / "runs.csv", cache=cache)
        rows[f"gather {asked.gathered}"] = seconds("-m", "scorelab.cli", "gather", swept, cache=cache)
    print(f"{asked.runs} runs{'by the clock':>24s}{'of CPU':>12s}")
    for name, (clock, cpu) in rows.items():
        print(f"{name:24s} {clock:8.2f} s {cpu:10.2f} s")
    print(f"cold over warm: {rows['ls, cold'][1] / rows['ls, warm'][1]:.1f} of CPU")


if __name__ == "__main__":
    main()
