"""Stage `analyse`: overlaps.csv, the section `synchronization` of metrics.json, and the arrays of the figure."""

import numpy
import torch

from scorelab.denoisers.amp import AMPDenoiser
from scorelab.denoisers.state_evolution import fixed_point
from scorelab.laws.estimate import Estimate, columns, flatten
from scorelab.progress import Progress
from scorelab.randomness import stream_seed
from scorelab.samplers.spins import times
from scorelab.studies.synchronization import measurements
from scorelab.targets.spiked import spectral_limit


def run(study, context):
    """Measure small and large matrices at every strength."""
    parts, found, arrays = {"exact": _exact, "large": _large}, {}, {}
    with Progress("measuring", 2 * len(study.strengths), "strengths") as progress:
        for place, (name, part) in enumerate(parts.items()):
            rows = []
            for number, strength in enumerate(study.strengths):
                progress.update(place * len(study.strengths) + number, f"{name}, lambda = {strength:g}")
                rows.append({"strength": strength} | part(study, context.seed, strength))
                context.grow_table(f"{name}.csv", [flatten(row)[0] for row in rows])
            context.write_table(f"{name}.csv", [flatten(row)[0] for row in rows])
            table = columns(rows)
            found[name] = {"n": getattr(study, name).n} | table | _summary(rows)
            arrays |= {f"{name}.{key}": numpy.asarray(values, float) for key, values in flatten(table)[0].items()}
        progress.update(2 * len(study.strengths))
    context.update_metrics("synchronization", {"T": study.T, "steps": study.steps} | found)
    strengths = numpy.linspace(0, 1.05 * max(study.strengths), 211)
    limits = {"strength": strengths, "bayes": _bayes(strengths), "spectral": spectral_limit(strengths)}
    context.save_arrays("synchronization", arrays | {f"limits.{key}": values for key, values in limits.items()})


def _bayes(strengths):
    """The Bayes overlap at strengths (count,)."""
    return numpy.array([float(fixed_point(float(strength), 0.0)) for strength in strengths])


def _over_matrices(rows):
    """The mean over matrices of each number, and of the gap between the two overlaps of samples."""
    columns = {key: numpy.array([row[key] for row in rows]) for key in rows[0]}
    columns["gap"] = columns["with_theta"] - columns["among"]
    return {key: Estimate.mean(values) for key, values in columns.items()}


def _exact(study, seed, strength):
    """AMP and the exact posterior on the same matrices."""
    options, rows = study.exact, []
    for matrix in range(options.matrices):
        target = measurements.model(options.n, strength, seed, matrix)
        own = stream_seed(seed, "exact", matrix)
        grid, denoiser = times(study.T, study.steps), study.amp.on(target)
        sampled = measurements.sampled(target, denoiser, grid, options.samples, own, torch.float64)
        rows.append(sampled | {f"{key}_summed": value for key, value in measurements.summed(target).items()})
    return _over_matrices(rows)


def _large(study, seed, strength):
    """Samples, the spectral estimator and AMP from it, with their limits as n grows."""
    options, rows = study.large, []
    for matrix in range(options.matrices):
        target = measurements.model(options.n, strength, seed, matrix)
        own = stream_seed(seed, "large", matrix)
        sampled = measurements.sampled(target, study.amp.on(target), times(study.T, study.steps), options.samples, own)
        denoiser = AMPDenoiser(target.couplings, study.estimate_iterations, 0)
        row = {"spectral": measurements.spectral(target)} | measurements.estimated(target, denoiser)
        rows.append(sampled | row)
    limits = {"bayes": float(fixed_point(strength, 0.0)), "spectral_limit": float(spectral_limit(strength))}
    return _over_matrices(rows) | limits


def _summary(rows):
    """The largest gap, and the largest distance to its limit where it is known."""
    found = {"gap_largest": max(abs(row["gap"].value) for row in rows)}
    if "bayes" in rows[0]:
        found["off"] = max(abs(row["with_theta"].value - row["bayes"] ** 2) for row in rows)
    return found
