"""Stage `sample`: accuracy.csv, one row for each grid, sampler and budget."""

import logging
import math
import time

import torch

from scorelab.errors import ScorelabError
from scorelab.laws.estimate import mean_and_error
from scorelab.metrics.projection import LawComparison, mode_weights, orthogonal_floor, orthogonal_metrics, project
from scorelab.progress import Progress
from scorelab.randomness import stream, stream_seed
from scorelab.samplers.ends import on_target
from scorelab.samplers.loop import draw_samples
from scorelab.samplers.risk import remembered, risk_of

log = logging.getLogger("scorelab")


def run(study, context):
    """Measure every setting. The log names each sampler that is left out, as it cannot run or diverges."""
    target = context.target
    comparison = LawComparison(target.projection(target.direction), context.sampling.count)
    floor, deviation = comparison.floor(study.floor_repeats, stream(context.seed, "floors"))["w1"]
    settings = [(grid, name, budget) for grid in study.grids for name in study.samplers for budget in study.evaluations]
    rows, why, risks = [], None, {}  # risks: what a grid adapts to -> the risk, which all samplers and budgets share
    with Progress("sampling", len(settings), "settings") as progress:
        for number, (grid, name, budget) in enumerate(settings):
            progress.update(number, f"{grid} {name} {budget}")
            job = study.job(name, budget, context.sampling)
            schedule = on_target(study.schedule(grid, context.config), target)
            try:
                job.require(schedule, context.denoiser)
                adapts_to = schedule.grid.adapts_to
                if adapts_to not in risks:
                    risks[adapts_to] = remembered(risk_of(schedule, target, context.denoiser))
                row = _measure(study, context, job, schedule, risks[adapts_to], comparison)
            except (ScorelabError, ValueError) as error:
                why = str(error)
                log.info("%s on the grid %s with %d evaluations left out: %s", name, grid, budget, why)
                continue
            row |= {"w1_floor": floor, "w1_floor_deviation": deviation}
            rows.append({"grid": grid, "sampler": name, "steps": job.steps, "nfe": job.nfe} | row)
            context.grow_table("accuracy.csv", rows)
        progress.update(len(settings))
    if not rows:
        raise ScorelabError(f"study: none of study.samplers can run on this schedule with this denoiser: {why}")
    context.write_table("accuracy.csv", rows)


def _measure(study, context, job, schedule, risk, comparison):
    """W1 of the projection, weight of the first mode and orthogonal variance: means over sets, with standard errors,
    and for the last two the standard deviation over sets of as many exact samples."""
    target, angles = context.target, job.angles(schedule, risk if job.rule.visits_grid else None)
    law = target.output_law(job.end_angle(schedule), job.output)
    if law is None:
        raise ScorelabError(f"sampler.output = {job.output}: the law of exact outputs is not known at this end")
    found, started = [], time.perf_counter()
    for repeat in range(study.repeats):
        seed = stream_seed(context.seed, "sampling", repeat)
        samples = torch.cat(list(draw_samples(job, schedule, context.denoiser, target.shape, seed, angles=angles)))
        weight = mode_weights(samples, target, law, stream(context.seed, "mode weights"))["mode_weight"]
        orthogonal = orthogonal_metrics(samples, target, law)["variance"]
        w1 = comparison.wasserstein_1(project(samples, target.direction))
        found.append((w1, weight.value, orthogonal.value))
    seconds = (time.perf_counter() - started) / study.repeats
    means, errors = mean_and_error(torch.tensor(found, dtype=torch.float64))
    errors = errors / _share_of_deviation(study.repeats)
    columns = ("w1", "mode_weight", "orthogonal_variance")
    row = {}
    for name, mean, error in zip(columns, means.tolist(), errors.tolist(), strict=True):
        row |= {name: mean, f"{name}_standard_error": error}
    floor = orthogonal_floor(law, target.direction, job.count, stream(context.seed, "orthogonal variance"))
    row |= {"mode_weight_exact": weight.exact, "mode_weight_floor": weight.floor}
    row |= {"orthogonal_variance_exact": orthogonal.exact_at_T, "orthogonal_variance_floor": floor}
    return row | {"seconds": seconds}


def _share_of_deviation(count: int) -> float:
    """The expected standard deviation of so many normal numbers over their true one, which is 0.8 for two."""
    return math.sqrt(2 / (count - 1)) * math.exp(math.lgamma(count / 2) - math.lgamma((count - 1) / 2))
