"""Keep the runs of the published networks as a table: python scripts/keep_published_networks.py DIR.

DIR is the sweep of scripts/jobs/published_networks.yaml. A network that was sampled up to another time than the others
is sampled once more, up to their time, in DIR/equal_T. The table has every run that is done.
"""

import math
import shutil
import sys
from pathlib import Path

import pandas

import scorelab
from scorelab.errors import ScorelabError
from scorelab.files import write_text
from scorelab.lab.runs import Run, below
from scorelab.studies.generate.published_networks import EQUAL_T, TABLE
from scorelab.tensorfile import read_tensors

COMMAND = "make published-networks"
#: key of metrics.json -> column
NUMBERS = {
    "sampling.T": "T",
    "projection.w1": "w1",
    "projection.w1_floor": "w1_floor",
    "projection.ks": "ks",
    "projection.ks_floor": "ks_floor",
    "projection.mode_weight": "mode_weight",
    "projection.mode_weight_exact": "mode_weight_exact",
    "path_kl.total": "path_kl",
}
#: overrides that all jobs share
SHARED = ("seed=", "threads=", "study.", "figures.", "sampler.", "target.")


def main(folder: Path):
    """Write the table of the sweep in `folder`."""
    jobs = [job for job in below(folder) if job.state == "done"]
    rows = []
    for job in jobs:
        rows.append(row(job))
        if not math.isclose(rows[-1]["T"], EQUAL_T, rel_tol=1e-3):
            longer = at_equal_time(job, folder / "equal_T" / job.path.name)
            rows += [row(longer)] if longer else []
        print(f"{job.path.name}: {rows[-1]['network']} seed {rows[-1]['seed']}", flush=True)
    commits = sorted({job.metrics["run"]["git_commit"] for job in jobs})
    rows = pandas.DataFrame(rows).to_csv(index=False, float_format="%.6g")
    write_text(TABLE, f"# {COMMAND}; code of commit {', '.join(commits)}\n{rows}")
    print(f"{len(jobs)} runs in {TABLE}")


def at_equal_time(job: Run, copy: Path) -> Run | None:
    """The run, sampled up to EQUAL_T, in a copy of its directory; None if its samples diverge on the way."""
    if Run(copy).state != "done" or Run(copy).metrics["sampling"]["T"] == job.metrics["sampling"]["T"]:
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(job.path, copy)
        try:
            words = [f"run={copy}", "stage=sample", "in_place=true"]
            scorelab.run([*words, f"schedule.alpha_max={math.atan(math.sqrt(EQUAL_T))}"])
        except ScorelabError as error:
            print(f"{job.path.name}: not sampled up to T = {EQUAL_T}: {error}")
            return None
    return Run(copy)


def row(job: Run) -> dict:
    """What the table has of one run."""
    metrics = job.metrics
    found = {"network": network(job), "seed": metrics["run"]["seed"], "steps": metrics["training"]["steps"]}
    for key, column in NUMBERS.items():
        section, name = key.split(".")
        found[column] = metrics[section][name]
    of_mean = metrics["posterior_mean"]
    found |= {f"error_{t:.3g}": error for t, error in zip(of_mean["t"], of_mean["relative_error"], strict=True)}
    return found | split(job)


def network(job: Run) -> str:
    """The name of the network: its preset, and what the job changes of the preset."""
    own = [each for each in job.overrides if not each.startswith(SHARED)]
    return " ".join(own).removeprefix("+experiment=")


def split(job: Run) -> dict:
    """How one network a mode splits the data: the share of the larger side, and |cos| of the direction with a."""
    weights, _ = read_tensors(job / "denoiser.safetensors")
    if "centres" not in weights:
        return {"share": math.nan, "cosine": math.nan}
    apart = weights["centres"][0] - weights["centres"][1]
    cosine = apart.sum().abs() / (apart.norm() * math.sqrt(len(apart)))  # a is (1, ..., 1)
    return {"share": float(weights["shares"].max()), "cosine": float(cosine)}


if __name__ == "__main__":
    if len(sys.argv) != 2 or not (Path(sys.argv[1]) / "sweep.json").is_file():
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
