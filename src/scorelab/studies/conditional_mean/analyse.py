"""Stage `analyse`: conditional_mean.csv, t_sharp.csv, metrics.json, and the arrays of the figure."""

import math

import numpy
import torch

from scorelab.laws.estimate import Estimate
from scorelab.laws.mode_pairs import undecided
from scorelab.studies.conditional_mean.theory import COORDINATES

_REGION = 0.99  # a curve is drawn solid in the densest region that has this share of the exact law of the abscissa
_MARGIN = 0.6  # the abscissa goes so far beyond the means of the modes, which are 1 apart


def run(study, context):
    """Evaluate the closed form for the tables, metrics.json and the figure."""
    exact = study.exact(context.target)
    angle = context.target.speciation_angle()
    speciation = None if angle is None else math.tan(angle) ** 2
    t = torch.from_numpy(numpy.geomspace(study.t_min, study.t_max, study.points))
    by_time = {"t": t} | _at(context.target, exact, t)
    threshold = _thresholds(exact, study)
    by_threshold = {"threshold": threshold} | _sharp(exact, threshold)
    context.write_table("conditional_mean.csv", _rows(_lists(by_time)))
    context.write_table("t_sharp.csv", _rows(_lists(by_threshold)))
    context.update_metrics("conditional_mean", _metrics(study, context.target, exact, speciation))
    early, late = exact.nonlinearity_limits(t)
    arrays = by_time | {"nonlinearity_early": early, "nonlinearity_late": late} | by_threshold
    arrays |= _curves(study, exact)
    arrays |= {f"slope_sup_{name}": exact.largest_slope(name) for name in COORDINATES}
    arrays |= {"switch": list(study.switches), "switch_t": list(study.switches.values())}
    arrays |= {"steepest_t": exact.steepest_time, "speciation_t": math.nan if speciation is None else speciation}
    arrays["speciation_t_estimate"] = 1 / exact.a_squared
    context.save_arrays("conditional_mean", {name: numpy.asarray(values) for name, values in arrays.items()})


def _at(target, exact, t):
    """The numbers that are drawn against the time, each with the shape of t (points,)."""
    values = {f"slope_{name}": exact.slope(t, name) for name in COORDINATES}
    values |= {"mean_slope": exact.mean_slope(t), "transition": exact.transition(t)}
    shares = [exact.nonlinearity(value) for value in t.tolist()]
    values |= {"nonlinearity": torch.tensor(shares, dtype=torch.float64)}
    return values | {"undecided": undecided(target, t.sqrt().atan())[0] / (2 * exact.p * (1 - exact.p))}


def _sharp(exact, threshold):
    """t_sharp in every coordinate, each with the shape of the thresholds; infinite where no time has the slope."""
    times = {f"sharp_t_{name}": exact.sharp_time(threshold, name) for name in COORDINATES}
    return times | {"sharp_until_t_state": exact.sharp_until(threshold)}


def _thresholds(exact, study):
    """Thresholds (points,) from below the listed ones to beyond the largest possible slope. They are closer together
    where t_sharp goes to infinity."""
    largest = [exact.largest_slope(name) for name in COORDINATES]
    low, high = 0.5 * min(*study.thresholds, *largest), 2 * max(*study.thresholds, *largest)
    near = [value * (1 - numpy.geomspace(1e-6, 0.5, study.points)) for value in largest]
    grid = numpy.concatenate([numpy.geomspace(low, high, study.points), *near, largest])
    return torch.from_numpy(numpy.unique(grid))


def _curves(study, exact):
    """The family of curves: the posterior mean (times, points) on abscissae u (points,), and where u is likely."""
    low = exact.centre - exact.p - _MARGIN
    u = torch.linspace(low, low + 1 + 2 * _MARGIN, study.points, dtype=torch.float64)
    times = torch.tensor(study.times, dtype=torch.float64)
    likely = torch.stack([exact.law(t).pdf(u) >= exact.density_level(t, _REGION) for t in study.times])
    return {"curve_t": times, "u": u, "mean": exact.mean(u, times.unsqueeze(1)), "likely": likely}


def _metrics(study, target, exact, speciation):
    metrics = {"p": exact.p, "a_squared": exact.a_squared, "std": exact.std}
    never = Estimate.missing("E[gamma (1 - gamma)] does not fall to half of its value without any signal")
    metrics |= {"speciation_t": never if speciation is None else speciation}
    metrics |= {"speciation_t_estimate": 1 / exact.a_squared}
    metrics |= {f"slope_sup_{name}": exact.largest_slope(name) for name in COORDINATES}
    steepest = exact.steepest_time
    limit = float(exact.mean_slope(steepest)) if math.isfinite(steepest) else 1.0
    metrics |= {"mean_slope_max": limit, "mean_slope_max_t": steepest}
    metrics["nonlinearity_max"], metrics["nonlinearity_max_t"] = exact.most_nonlinear()
    threshold = torch.tensor(study.thresholds, dtype=torch.float64)
    metrics |= {"threshold": study.thresholds} | _lists(_sharp(exact, threshold))
    marked = study.switches | ({} if speciation is None else {"speciation": speciation})
    at = _at(target, exact, torch.tensor(list(marked.values()), dtype=torch.float64))
    columns = {"t": list(marked.values())} | _lists(at)
    metrics["at"] = dict(zip(marked, _rows(columns), strict=True))
    return metrics


def _lists(tensors):
    return {name: values.tolist() for name, values in tensors.items()}


def _rows(columns):
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
