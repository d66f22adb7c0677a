"""Stage `analyse`: the numbers of metrics.json, and the arrays of both figures."""

import math

import numpy

from scorelab.metrics.tables import first_within
from scorelab.processes import Exact
from scorelab.randomness import stream, stream_seed
from scorelab.studies.processes.measurements import distance_of, localization, path


def run(study, context):
    """Write the errors, the evaluations that reach the floor, and how the processes localize."""
    table = context.read_table("processes.csv", texts=("process", "posterior", "exact_paths"))
    distance = distance_of(context.target, study.count)
    processes, _ = study.allowed(context)
    metrics = {"distance": distance.name}
    metrics |= {key: float(table[key][0]) for key in ("error_floor", "error_floor_deviation")}
    # the deviation of exact sets is known better than that of a few sets of samples
    noise = metrics["error_floor_deviation"] * math.sqrt(1 / study.repeats + 1 / study.floor_repeats)
    for kind in ("exact", "learned"):
        found = {}
        for name in dict.fromkeys(table["process"][table["posterior"] == kind].tolist()):
            rows = (table["process"] == name) & (table["posterior"] == kind)
            found[name] = _numbers({key: values[rows] for key, values in table.items()}, noise)
        if found:
            metrics[kind] = found
    arrays = _localization(study, context, processes, metrics["exact"])
    context.update_metrics("processes", metrics)
    context.save_arrays("cost", {**table, "distance": distance.name})
    context.save_arrays("localization", arrays)


def _numbers(rows, noise):
    """The numbers of one process with one posterior."""
    evaluations, error, spread = rows["evaluations"], rows["error"], rows["error_standard_error"]
    reached = first_within(evaluations, error - rows["error_floor"] <= 4 * noise)
    return {
        "evaluations": evaluations.tolist(),
        "error": error.tolist(),
        "error_standard_error": spread.tolist(),
        "error_last": float(error[-1]),
        "error_last_standard_error": float(spread[-1]),
        "error_last_floor": float(rows["error_floor"][0]),
        "end_error": float(rows["end_error"][0]),
        "end_error_standard_error": float(rows["end_error_standard_error"][0]),
        "evaluations_at_floor": None if reached is None else float(reached),
    }


def _localization(study, context, processes, metrics):
    """The arrays of the figure; NAME.risk, NAME.angles and so on. The largest drift goes into `metrics`."""
    wanted, target, arrays = study.localization, context.target, {"names": list(metrics)}
    shares = numpy.linspace(0, 1, wanted.angles)
    for name in metrics:
        process = processes[name]
        angles = shares * float(process.end_angle)
        generator = stream(context.seed, "localization", name)
        found = localization(process, target, angles.tolist(), wanted.draws, generator)
        metrics[name]["largest_drift"] = float(found["drift"].max())
        metrics[name]["risk_at_end"] = float(found["risk"][-1])
        drawn = path(process, Exact(process, target), wanted.steps, stream_seed(context.seed, "path", name))
        for key, values in {"at": angles, **found, **drawn}.items():
            arrays[f"{name}.{key}"] = values
    return arrays
