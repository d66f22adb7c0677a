"""Stage `analyse`: fitted orders and the budgets that reach the floor, in metrics.json, and the figure's arrays."""

import numpy

from scorelab.errors import ScorelabError
from scorelab.laws.estimate import Estimate
from scorelab.metrics.tables import first_within

#: W1 within this factor of its floor counts as at the floor
AT_FLOOR = 1.25
#: errors above this many noise floors count for a fitted order
_ABOVE_NOISE = 3.0


def run(study, context):
    """Fit the orders, find the budgets that reach the floor, and write both with the arrays of the figure.

    Raises ScorelabError for a table of an earlier version, which has no floors of the weight and the variance.
    """
    table = context.read_table("accuracy.csv", texts=("grid", "sampler"))
    if "orthogonal_variance_floor" not in table:
        raise ScorelabError("accuracy.csv: it is of an earlier version, without all floors; do stage=sample again")
    law = context.target.projection(context.target.direction)
    scales = {"w1": numpy.sqrt(float(law.variance)), "orthogonal_variance": table["orthogonal_variance_exact"] / 2}
    arrays = table | _errors(table)
    settings = list(dict.fromkeys(zip(table["grid"].tolist(), table["sampler"].tolist(), strict=True)))
    metrics, orders = {}, {}
    for grid, sampler in settings:
        rows = (table["grid"] == grid) & (table["sampler"] == sampler)
        nfe, w1 = table["nfe"][rows], table["w1"][rows]
        reached = first_within(nfe, w1 <= AT_FLOOR * table["w1_floor"][rows])
        values = {"nfe_at_floor": None if reached is None else int(reached)}
        for name in ("w1", "orthogonal_variance"):
            largest = numpy.broadcast_to(scales[name], rows.shape)
            columns = (table["steps"], arrays[f"{name}_error"], arrays[f"{name}_noise"], largest)
            order, points = fit_order(*(column[rows] for column in columns))
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


def _errors(table):
    """The three errors, and the noise of each measurement."""
    names = ("mode_weight", "orthogonal_variance")
    # W1 of finitely many samples does not go below its floor: the error is what the sampler adds
    found = {"w1_error": numpy.sqrt(numpy.maximum(table["w1"] ** 2 - table["w1_floor"] ** 2, 0))}
    found |= {f"{name}_error": numpy.abs(table[name] - table[f"{name}_exact"]) for name in names}
    return found | {f"{name}_noise": table[f"{name}_floor"] for name in ("w1", *names)}


def fit_order(steps, errors, noise, largest):
    """The slope of log error against log step over the points that are above the noise and below the error `largest`,
    and the number of these points; the slope is None with fewer than three points. All arrays are (points,)."""
    use = (errors > _ABOVE_NOISE * noise) & (errors < largest)
    if use.sum() < 3:
        return None, int(use.sum())
    slope = numpy.polyfit(numpy.log(steps[use]), numpy.log(errors[use]), 1)[0]
    return float(-slope), int(use.sum())
