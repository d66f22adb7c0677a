"""Stage `analyse`: metrics.json, posterior_mean.csv, path_kl.csv, and the arrays of every figure."""

import logging
import math

import torch

from scorelab.channel import HALF_PI
from scorelab.files import remove
from scorelab.laws.estimate import Estimate, flatten
from scorelab.metrics.floors import estimated_means
from scorelab.metrics.path_kl import path_kl
from scorelab.metrics.posterior_mean import compare_posterior_means, exact_line, published_angles
from scorelab.metrics.projection import orthogonal_metrics, projection_metrics
from scorelab.randomness import BLOCK, stream
from scorelab.samplers.loop import draw_samples
from scorelab.studies.generate import images, plane
from scorelab.studies.generate.trajectories import Record, law_metrics, observed_angles, trajectory_metrics

log = logging.getLogger("scorelab")


def run(study, context):
    """Measure everything that the target allows; each number has its floor and its standard error."""
    other = context.config.other_process
    log.info("measuring: projection%s", "" if other else f", path KL at {study.path_kl_angles} angles, posterior mean")
    _projection(study, context)
    _plane(context)
    why = f"the process is {other}" if other else context.denoiser.incomparable(context.target)
    if why is None:
        floor = estimated_means(context.compared, context.target, _trained_on(context))
        context.save_arrays("errors", _path_kl(study, context, *floor) | _posterior_mean(study, context, *floor))
    else:
        _without_posterior_mean(context, why)
    _trajectories(study, context)
    images.measure(study, context, why)
    if (context.run / "training.csv").is_file():
        context.save_arrays("training", context.read_table("training.csv", texts=("part",)))


def _trained_on(context):
    return context.training.train_count if context.training.trains(context.denoiser) else None


def _projection(study, context):
    target, generator = context.target, stream(context.seed, "floors")
    output_law = _output_law(context)
    given = context.samples, target, output_law, study.floor_repeats, generator
    metrics, arrays = projection_metrics(*given, shared=True)
    context.update_metrics("projection", metrics)
    context.update_metrics("orthogonal", orthogonal_metrics(context.samples, target, output_law))
    if arrays:
        if context.process is None and (end := context.sampling.end_angle(context.schedule)) < HALF_PI:
            arrays["T"] = math.tan(end) ** 2
        context.save_arrays("projection", arrays)


def _output_law(context):
    """The law that the samples of an exact sampler have, a target; None if it is not known."""
    target, process = context.target, context.process
    if process is None:
        return target.output_law(context.sampling.end_angle(context.schedule), context.sampling.output)
    return target if process.end_angle >= HALF_PI else None  # at the end of which all is known


def _without_posterior_mean(context, why):
    """Write why the denoiser cannot be compared with the exact posterior mean, in place of the numbers."""
    missing = Estimate.missing(why)
    end = {}
    if context.process is None:
        end = {"end_angle": context.schedule.end_angle, "T": context.schedule.end_snr}
    context.update_metrics("path_kl", {"total": missing, "parametric_floor": missing} | end)
    names = ("relative_error", "squared_error", "bayes_risk")
    context.update_metrics("posterior_mean", dict.fromkeys(names, missing))


def _path_kl(study, context, estimated, why):
    end = context.schedule.end_angle
    numbers = end, study.path_kl_angles, study.path_kl_draws, stream(context.seed, "path kl")
    result = context.ahead("path_kl") or path_kl(context.compared, context.target, *numbers)
    names = ("angle", "t", "squared_error", "squared_error_standard_error", "density", "density_standard_error")
    columns = {name: getattr(result, name).cpu().numpy() for name in names}
    context.write_table(
        "path_kl.csv", [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    )
    floor = None if estimated is None else estimated.path_kl(context.schedule.end_snr)
    metrics = {name: getattr(result, name) for name in ("total", "standard_error", "rule_error")}
    metrics["parametric_floor"] = floor if why is None else Estimate.missing(why)
    context.update_metrics("path_kl", metrics | {"end_angle": end, "T": context.schedule.end_snr})
    return {f"path_kl_{name}": values for name, values in columns.items()}


def _posterior_mean(study, context, estimated, why):
    angles = published_angles(study.posterior_mean_switches)
    rows, arrays = context.ahead("posterior_mean") or _compared(study, context, angles, estimated)
    rows = [flatten(row)[0] for row in rows]
    context.write_table("posterior_mean.csv", rows)
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    missing = {} if why is None else {"relative_error_floor": Estimate.missing(why)}
    context.update_metrics("posterior_mean", columns | missing)
    if arrays:
        shown = {name: columns[name] for name in ("angle", "t", "relative_error")}
        line = exact_line(context.target, angles, arrays["signal"])
        context.save_arrays("posterior_mean", arrays | shown | line)
    return {f"posterior_mean_{name}": values for name, values in columns.items()}


def _compared(study, context, angles, estimated):
    generator, count = stream(context.seed, "posterior mean"), study.posterior_mean_draws
    if study.posterior_mean_data == "samples":
        clean = torch.tensor(context.samples[:count])
    else:
        clean = context.target.sample(count, generator)
    return compare_posterior_means(context.compared, context.target, clean, angles, generator, estimated)


def _plane(context):
    """The samples, and where the denoiser can be compared its field, in the plane that the target is drawn in."""
    plane.clear(context)
    drawn_in = plane.plane_of(context.target)
    if drawn_in is None:
        return
    context.save_arrays("plane", plane.samples(context, drawn_in, _output_law(context)))
    arrays = {} if context.process else plane.fields(context, drawn_in)
    if arrays:
        context.save_arrays("fields", arrays)


def _trajectories(study, context):
    """Draw the first samples of the run once more, and observe their paths."""
    figures = ("trajectories", "laws")
    for path in (path for name in figures for path in (context.run / "figures").glob(f"{name}.*")):
        remove(path)  # an earlier run of this stage may have left them, and this run may have no paths
    if not _has_paths(study, context):
        context.update_metrics("trajectories", {"count": 0})
        return
    other = context.config.other_process
    why = context.target.lacks("direction") if other is None else f"the process is {other}"
    if why is not None:
        context.update_metrics("trajectories", {"count": Estimate.missing(why)})
    if (observers := observers_of(study, context)) is None:
        return
    record, paths = context.ahead("paths") or _observe(study, context, observers)
    if paths is not None:
        context.save_arrays("flow", plane.flow(study, context, paths))
    if record is None:
        return
    generator = stream(context.seed, "trajectories")
    measured = (trajectory_metrics, law_metrics)
    results = [metrics_of(record, study.floor_repeats, generator) for metrics_of in measured]
    context.update_metrics("trajectories", {key: value for metrics, _ in results for key, value in metrics.items()})
    for name, (_, arrays) in zip(figures, results, strict=True):
        if arrays:
            context.save_arrays(name, arrays)


def _has_paths(study, context):
    """Whether paths of a run are asked for, and whether they go from one angle to another."""
    if not study.trajectories:
        return False
    return context.config.other_process is not None or float(context.angles[-1]) > float(context.angles[0])


def observers_of(study, context):
    """What observes the paths of a run along its schedule, a `Record` and a `plane.Paths`, or None in the place of one
    that the target has no use for; None if there is nothing to observe."""
    if not _has_paths(study, context) or context.config.other_process is not None:
        return None
    target, angles, record = context.target, context.angles, None
    if target.can("direction"):
        count, bridges = first_samples(study, context).count, stream(context.seed, "bridges")
        record = Record(target, angles, count, bridges, observed_angles(target, angles))
    drawn_in = plane.plane_of(target)
    paths = None if drawn_in is None else plane.Paths(drawn_in)
    return None if record is paths is None else (record, paths)


def first_samples(study, context):
    """The job that draws the first samples of a run once more, whose paths are observed, as one batch."""
    count = min(study.trajectories, context.sampling.count)
    return context.sampling.model_copy(update={"count": count, "batch_size": count + BLOCK, "output": "scaled"})


def _observe(study, context, observers):
    """Draw the first samples of a run once more, show their states to its observers, and return these."""

    def observe(k, angle, x):
        for each in filter(None, observers):
            each(k, angle, x)

    job, seed = first_samples(study, context), context.sampling_seed
    where = {"angles": context.angles, "observe": observe, "device": context.device}
    for _ in draw_samples(job, context.schedule, context.denoiser, context.target.shape, seed, **where):
        pass
    return observers
