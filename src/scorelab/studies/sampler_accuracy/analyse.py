"""Stage `analyse`: fitted orders and the budgets that reach the floor, in metrics.json, and the figure's arrays."""

import numpy

from scorelab.laws.estimate import Estimate
from scorelab.metrics.tables import first_within

#: W1 within this factor of its floor counts as at the floor
AT_FLOOR = 1.25
#: errors above this many noise floors count for a fitted order
_ABOVE_NOISE = 3.0


def run(study, context):
    """Fit the orders, find the budgets that reach the floor, and write both with the arrays of the figure."""
    table = context.read_table("accuracy.csv", texts=("grid", "sampler"))
    count = context.sampling.count
    arrays = table | _errors(table, count, context.target.n)
    settings = list(dict.fromkeys(zip(table["grid"].tolist(), table["sampler"].tolist(), strict=True)))
    metrics, orders = {}, {}
    for grid, sampler in settings:
        rows = (table["grid"] == grid) & (table["sampler"] == sampler)
        nfe, w1 = table["nfe"][rows], table["w1"][rows]
        reached = first_within(nfe, w1 <= AT_FLOOR * table["w1_floor"][rows])
        values = {"nfe_at_floor": None if reached is None else int(reached)}
        for name in ("w1", "orthogonal_variance"):
            order, points = fit_order(
                table["steps"][rows], arrays[f"{name}_error"][rows], arrays[f"{name}_noise"][rows]
            )
            orders.setdefault(name, []).append(numpy.nan if order is None else order)
            known = (
                order if order is not None else Estimate.missing(f"{points} points are above the noise, 3 are needed")
            )
            values |= {f"{name}_order": known, f"{name}_order_points": points}
        metrics.setdefault(grid, {})[sampler] = values
    floor, deviation = (float(table[key][0]) for key in ("w1_floor", "w1_floor_deviation"))
    w1 = Estimate(floor=floor, floor_deviation=deviation)
    context.update_metrics("sampler_accuracy", {"w1": w1, "grids": metrics})
    arrays |= {"setting_grid": [g for g, _ in settings], "setting_sampler": [s for _, s in settings]}
    arrays["setting_order"] = orders["orthogonal_variance"]
    context.save_arrays("sampler_accuracy", arrays)


def _errors(table, count, n):
    """The three errors, and the noise of each measurement."""
    exact, weight = table["orthogonal_variance_exact"], table["mode_weight_exact"]
    return {
        # W1 of finitely many samples does not go below its floor: the error is what the sampler adds
        "w1_error": numpy.sqrt(numpy.maximum(table["w1"] ** 2 - table["w1_floor"] ** 2, 0)),
        "w1_noise": table["w1_floor"],
        "mode_weight_error": numpy.abs(table["mode_weight"] - weight),
        "mode_weight_noise": numpy.sqrt(weight * (1 - weight) / count),
        "orthogonal_variance_error": numpy.abs(table["orthogonal_variance"] - exact),
        "orthogonal_variance_noise": exact * numpy.sqrt(2 / (count * max(n - 1, 1))),
    }


def fit_order(steps, errors, noise):
    """The slope of log error against log step over the points that are above the noise and below 1/2, and the number of
    these points; the slope is None with fewer than three points."""
    use = (errors > _ABOVE_NOISE * noise) & (errors < 0.5)
    if use.sum() < 3:
        return None, int(use.sum())
    slope = numpy.polyfit(numpy.log(steps[use]), numpy.log(errors[use]), 1)[0]
    return float(-slope), int(use.sum())
