"""Stage `sample`: processes.csv, one row for each process, posterior and number of steps."""

import logging
import math

from scorelab.errors import ScorelabError
from scorelab.processes import Exact, Learned
from scorelab.progress import Progress
from scorelab.randomness import stream, stream_seed
from scorelab.studies.processes.measurements import distance_of, end_of, floor_of, sampled

log = logging.getLogger("scorelab")


def run(study, context):
    """Measure every setting of the processes that the target allows."""
    target, distance = context.target, distance_of(context.target, study.count)
    processes, _ = study.allowed(context)
    floor = floor_of(distance, target, study.count, study.floor_repeats, stream(context.seed, "floors"))
    posteriors = {(name, "exact"): Exact(process, target) for name, process in processes.items()}
    for name in study.learn:
        posteriors[name, "learned"] = Learned(processes[name], context.load_denoiser(f"denoiser-{name}"), target)
    jobs = [(name, kind, steps) for name, kind in posteriors for steps in budgets(processes[name], study.steps)]
    ends = {}
    rows = []
    with Progress("processes", len(jobs), "settings") as progress:
        for done, (name, kind, steps) in enumerate(jobs):
            progress.update(done, f"{name} {kind} {steps}")
            process = processes[name]
            if name not in ends:
                seed = stream_seed(context.seed, "processes", name)
                ends[name] = end_of(process, target, distance, study.count, seed, study.repeats).keys("end_error")
            seed = stream_seed(context.seed, "processes", name, steps)
            try:
                found = sampled(process, posteriors[name, kind], distance, study.count, steps, study.repeats, seed)
            except ScorelabError as error:
                log.info("%s with %d steps left out: %s", name, steps, error)
                continue
            # a few sets know their deviation poorly; it is not smaller than that of sets of exact samples
            least = floor.floor_deviation / math.sqrt(study.repeats)
            found["error_standard_error"] = max(found["error_standard_error"], least)
            row = {"process": name, "posterior": kind, "steps": len(process.angles(steps)) - 1}
            rows.append(row | {"exact_paths": not process.refines} | found | ends[name] | floor.keys("error"))
            context.grow_table("processes.csv", rows)
        progress.update(len(jobs))
    if not rows:
        raise ScorelabError("study: no process could be sampled")
    context.write_table("processes.csv", rows)


def budgets(process, steps) -> list[int]:
    """The numbers of steps that make different paths, in increasing order; the largest alone where paths are exact."""
    if not process.refines:
        return [max(steps)]
    return sorted({len(process.angles(number)): number for number in sorted(steps, reverse=True)}.values())
