"""Stage `analyse`: the exact curves, the runs beside them, the section `sgd` of metrics.json, and the arrays of the
figures."""

import math

import numpy

from scorelab.laws.estimate import Estimate, mean_and_error
from scorelab.metrics.rates import rate
from scorelab.progress import Progress
from scorelab.randomness import stream_seed
from scorelab.studies.sgd.moments import EQUATIONS, LAWS, gelbrich
from scorelab.studies.sgd.simulation import descents

#: a run has diverged once its squared distance is above this many times |theta_0 - theta*|^2 + sigma^2
_DIVERGED = 1e6
#: what is left of the start, as a share of the limit, where stationary covariances begin to be measured
_FORGOTTEN = 1e-5
#: groups of runs whose means have the spread that gives a stationary covariance its error
_GROUPS = 100
#: values above are not drawn
_DRAWN = 1e145
#: the most points of a drawn curve
_POINTS = 2000
_BEYOND = "it is beyond double precision"
_EXPLODES = "the mean square grows without bound at this step"


def run(study, context):
    """Compute and measure part after part."""
    parts = (_descent, _stationary, _distance)
    found = {
        "protocol": study.protocol,
        "gamma": study.gamma,
        "threshold": study.moments.threshold("sgd") / study.factor,
        "threshold_modified": study.moments.threshold("modified") / study.factor,
    }
    arrays = {}
    with Progress("measuring", len(parts), "parts") as progress:
        for number, part in enumerate(parts):
            progress.update(number, part.__name__.strip("_"))
            numbers, own = part(study, context)
            found |= numbers
            context.update_metrics("sgd", found)
            for figure, values in own.items():
                arrays.setdefault(figure, {}).update(values)
        progress.update(len(parts))
    for figure, values in arrays.items():
        context.save_arrays(figure, {key: numpy.asarray(value) for key, value in values.items()})


def _generator(seed, *name):
    return numpy.random.default_rng(stream_seed(seed, *name))


# Runs over time. ------------------------------------------------------------------------------------------------------


def _descent(study, context):
    """Runs from theta_0, their averages, and the exact moments of every law at each step."""
    moments, sizes, away = study.moments, study.sizes, study.away
    exact = {law: moments.curves(law, sizes, away) for law in LAWS}
    squares = {law: numpy.trace(second, axis1=1, axis2=2) for law, (_, second) in exact.items()}
    averaged = moments.averaged(sizes, away, study.after)
    looked = [t for t in study.measured_at if t < study.steps] + [study.steps]
    seen = _simulate(study, looked, _generator(context.seed, "descent"))
    diverged = seen["first"] < math.inf
    limit = None if not diverged.any() else f"{int(diverged.sum())} of {study.replicas} runs diverged"
    rows = {"t": looked} | {law: [_finite(squares[law][t]) for t in looked] for law in EQUATIONS}
    rows["mean_square"] = _together([_measured(seen["squares"][t], squares["sgd"][t], limit) for t in looked])
    for number in (0, 1):
        own = [_measured(seen["theta"][t][:, number], _theta(study, exact, t, number), limit) for t in looked]
        rows[f"theta_{number + 1}"] = _together(own)
        variances = [_variance(exact["sgd"], t, number) for t in looked]
        pairs = zip(looked, variances, strict=True)
        found = [_measured(_spread(seen["theta"][t][:, number]), one, limit) for t, one in pairs]
        rows[f"variance_{number + 1}"] = _together(found)
        for law in EQUATIONS:
            rows[f"variance_{number + 1}_{law}"] = [_finite(_variance(exact[law], t, number)) for t in looked]
    end = {"mean_square": _measured(seen["squares"][study.steps], squares["sgd"][-1], limit)}
    end |= {law: _finite(squares[law][-1]) for law in EQUATIONS}
    end["average"] = _measured(seen["averages"][study.steps], averaged[-1], limit)
    end["log10_square"] = _log10(seen["squares"][study.steps])
    numbers = {
        "growth": moments.growth(sizes[0]) if study.law == "constant" else Estimate.missing("the step decreases"),
        "tenth_at": _first_below(squares["sgd"], 0.1),
        "hundredth_at": _first_below(squares["sgd"], 0.01),
        "descent": rows,
        "end": end,
        "diverged": _divergence(seen["first"]),
    }
    chosen = numpy.unique(numpy.linspace(0, study.steps, min(study.steps, _POINTS) + 1).astype(int))
    descent = {"t": chosen, "protocol": study.protocol, "gamma": study.gamma, "law": study.law, "sigma": study.sigma}
    descent |= {"error": _drawn(study.error(seen["drawn"][1][:, chosen])), "optimum": study.optimum[:2]}
    descent |= {"theta": _drawn(seen["drawn"][0][:, chosen]), "diverged_at": seen["first"][: study.runs]}
    for law in LAWS:
        means, _ = exact[law]
        descent[f"error.{law}"] = _drawn(study.error(squares[law][chosen]))
        descent[f"mean.{law}"] = _drawn(means[chosen, :2] + study.optimum[:2])
        deviations = [numpy.sqrt(numpy.maximum(_variance(exact[law], chosen, number), 0)) for number in (0, 1)]
        descent[f"deviation.{law}"] = _drawn(numpy.stack(deviations, 1))
    averages = [_measured(seen["averages"].get(t, numpy.zeros(0)), averaged[t], limit) for t in looked]
    models = {"time.t": numpy.arange(1, study.steps + 1), "time.sgd": _drawn(squares["sgd"][1:])}
    models |= {"time.average": _drawn(averaged[1:]), "time.looked": looked}
    for key, values in (("sgd", rows["mean_square"]), ("average", _together(averages))):
        models |= {f"time.measured.{key}": _numbers(values.value, len(looked))}
        models |= {f"time.measured.{key}_standard_error": _numbers(values.standard_error, len(looked))}
    return numbers, {"descent": descent, "models": models}


def _simulate(study, looked, generator):
    """Runs of SGD: squared distances, theta and averages of all replicas at some steps, and some runs at every step."""
    away = numpy.tile(study.away, (study.replicas, 1))
    edge = _DIVERGED * (study.away @ study.away + study.sigma**2)
    first = numpy.full(study.replicas, math.inf)
    found = {"squares": {}, "theta": {}, "averages": {}, "first": first}
    paths, total, optimum = [away[: study.runs]], numpy.zeros_like(away), numpy.array(study.optimum)
    for t, delta in enumerate(descents(study.inputs, study.sigma, away, study.sizes, generator), 1):
        squares = (delta**2).sum(1)
        first[(squares > edge) & (first == math.inf)] = t
        paths.append(delta[: study.runs])
        if t > study.after:
            total = total + delta
        if t in looked:
            found["squares"][t], found["theta"][t] = squares, delta + optimum
            if t > study.after:
                found["averages"][t] = ((total / (t - study.after)) ** 2).sum(1)
    drawn = numpy.stack(paths, 1)
    found["drawn"] = (drawn[..., :2] + optimum[:2], (drawn**2).sum(2))
    return found


def _measured(values, exact, limit=None):
    """The mean over runs beside the exact mean; limit: why a mean over these runs finds nothing, or None."""
    if not math.isfinite(exact):
        return Estimate.missing(_BEYOND)
    if limit is not None or not len(values):
        return Estimate(exact=float(exact))
    return Estimate(*mean_and_error(values), exact=float(exact))


def _together(estimates):
    """Numbers of several steps as one estimate, or the reason that none of them is there."""
    found = Estimate.together(estimates)
    return found if found.value or found.exact else Estimate.missing(estimates[0].not_measured or "no run has it")


def _finite(value):
    return float(value) if math.isfinite(value) else None


def _theta(study, exact, t, number):
    return exact["sgd"][0][t, number] + study.optimum[number]


def _variance(curves, t, number):
    means, second = curves
    with numpy.errstate(invalid="ignore"):
        return second[t, number, number] - means[t, number] ** 2


def _spread(values):
    """Numbers whose mean is the unbiased variance of independent values, and whose spread gives its error."""
    with numpy.errstate(invalid="ignore", over="ignore"):
        return (values - values.mean()) ** 2 * len(values) / (len(values) - 1)


def _log10(squares):
    """The mean of log10 |delta|^2, which is there whether or not the runs diverge."""
    if not numpy.isfinite(squares).all():
        return Estimate.missing(f"{int((~numpy.isfinite(squares)).sum())} runs are beyond double precision")
    return Estimate.mean(numpy.log10(numpy.maximum(squares, 1e-300)))


def _first_below(squares, share):
    """The first step at which the exact mean square is below a share of its start."""
    below = numpy.flatnonzero(squares < share * squares[0])
    return int(below[0]) if len(below) else Estimate.missing(f"it is not reached in {len(squares) - 1} steps")


def _divergence(first):
    """How many runs diverged, and when."""
    found = {"share": Estimate.share(first < math.inf)}
    at = first[first < math.inf]
    for name, value in (("first", numpy.min), ("median", numpy.median), ("last", numpy.max)):
        found[name] = float(value(at)) if len(at) else Estimate.missing("no run diverged")
    return found


def _drawn(values):
    """Values as they are drawn: nan where they are lost, or where an axis could not be computed."""
    with numpy.errstate(invalid="ignore"):
        return numpy.where(numpy.abs(values) < _DRAWN, values, math.nan)


def _numbers(values, count):
    """A list with None as an array with nan."""
    return numpy.array([math.nan] * count if values is None else values, dtype=float)


# Limits. --------------------------------------------------------------------------------------------------------------


def _stationary(study, context):
    """The limit of the covariance for each step size, exact and measured; the exact limits over a range of sizes."""
    moments, found = study.moments, {}
    for number, (name, gamma) in enumerate(study.stationary.steps.items()):
        g = study.factor * gamma
        found[name] = {"gamma": gamma, "growth": moments.growth(g)}
        for law in EQUATIONS:
            limit = moments.stationary(law, g)
            found[name][law] = Estimate.missing(_EXPLODES) if limit is None else float(numpy.trace(limit))
        found[name] |= _limit(study, g, _generator(context.seed, "stationary", number))
    edge = moments.threshold("sgd") / study.factor
    gammas = edge * numpy.geomspace(1e-3, 4, 241)
    curves = {law: [_trace(moments.stationary(law, study.factor * gamma)) for gamma in gammas] for law in LAWS}
    arrays = {f"limit.{law}": curve for law, curve in curves.items()} | {"limit.gamma": gammas, "threshold": edge}
    arrays["threshold_modified"] = moments.threshold("modified") / study.factor
    arrays["two_over_d_plus_two"] = 2 / (len(study.optimum) + 2) / study.factor
    rows = [row for row in found.values() if row["mean_square"].value is not None]
    arrays["limit.measured.gamma"] = [row["gamma"] for row in rows]
    arrays["limit.measured"] = [row["mean_square"].value for row in rows]
    arrays["limit.measured_standard_error"] = [row["mean_square"].standard_error for row in rows]
    return {"stationary": found}, {"models": arrays}


def _trace(covariance):
    return math.nan if covariance is None else float(numpy.trace(covariance))


def _limit(study, g, generator):
    """The covariance of long runs from theta*, over time and runs, beside the exact limit."""
    exact = study.moments.stationary("sgd", g)
    keys = ("mean_square", "covariance", "worst")
    if exact is None:
        return dict.fromkeys(keys, Estimate.missing(_EXPLODES))
    steps = max(math.ceil(math.log(_FORGOTTEN) / math.log(study.moments.growth(g))), 1)
    if 2 * steps > study.stationary.most:
        why = f"{2 * steps} steps are needed, and stationary.most is {study.stationary.most}"
        return dict.fromkeys(keys, Estimate.missing(why))
    size, d = -(-study.replicas // _GROUPS), len(study.optimum)
    start, total = numpy.zeros((size * _GROUPS, d)), 0.0
    for t, delta in enumerate(descents(study.inputs, study.sigma, start, [g] * (2 * steps), generator)):
        if t >= steps:
            groups = delta.reshape(_GROUPS, size, d)
            total = total + groups.transpose(0, 2, 1) @ groups
    products = total / (size * steps)  # means over time and over the runs of a group; groups are independent
    if not numpy.isfinite(products).all():
        return dict.fromkeys(keys, Estimate.missing("some runs diverged"))
    entries = numpy.triu_indices(d)
    mean, error = mean_and_error(products[:, *entries])
    return {
        "mean_square": Estimate(
            *mean_and_error(numpy.trace(products, axis1=1, axis2=2)), exact=float(numpy.trace(exact))
        ),
        "covariance": Estimate(mean.tolist(), error.tolist(), exact=exact[entries].tolist()),
        "worst": float(numpy.abs((mean - exact[entries]) / error).max()),
    }


# Distances. -----------------------------------------------------------------------------------------------------------


def _distance(study, context):
    """What separates SGD from each equation at the time T, exactly, for ever smaller steps, and the orders."""
    T, counts = study.distance.T, study.distance.counts
    apart = {law: {"mean_square": [], "covariance": [], "gelbrich": []} for law in EQUATIONS}
    for count in counts:
        ends = {}
        for law in LAWS:
            means, second = study.moments.curves(law, [T / count] * count, study.away)
            with numpy.errstate(invalid="ignore"):
                covariance = second[-1] - numpy.outer(means[-1], means[-1])
            ends[law] = (means[-1], covariance, float(numpy.trace(second[-1])))
        mean, covariance, square = ends["sgd"]
        for law in EQUATIONS:
            own_mean, own_covariance, own_square = ends[law]
            apart[law]["mean_square"].append(_ratio(own_square, square))
            apart[law]["covariance"].append(_ratio(own_covariance, covariance))
            if numpy.isfinite(own_covariance).all() and numpy.isfinite(covariance).all():
                apart[law]["gelbrich"].append(gelbrich(mean, covariance, own_mean, own_covariance))
            else:
                apart[law]["gelbrich"].append(math.nan)
    g = T / numpy.array(counts)
    arrays = {"distance.g": g}
    found = {"T": T, "counts": counts, "gamma": (g / study.factor).tolist()}
    for law, values in apart.items():
        found[law] = {key: [_finite(value) for value in one] for key, one in values.items()}
        found[law] |= {f"{key}_order": _order(g, numpy.array(one)) for key, one in values.items()}
        arrays |= {f"distance.{law}.{key}": one for key, one in values.items()}
        for key in values:
            arrays[f"distance.{law}.{key}_order"] = _numbers([found[law][f"{key}_order"].value], 1)[0]
    return {"distance": found}, {"models": arrays}


def _ratio(value, right):
    """The size of an error over that of the right value; matrices by their Frobenius norm."""
    with numpy.errstate(invalid="ignore", divide="ignore"):
        return float(numpy.linalg.norm(value - right) / numpy.linalg.norm(right))


def _order(g, values):
    """The slope of log distance against log step over the half of the points with the smallest steps."""
    some = numpy.argsort(g)[: len(g) // 2 + 1]
    if not (numpy.isfinite(values[some]) & (values[some] > 0)).all():
        return Estimate.missing("there is no distance, or none in double precision")
    return Estimate(*rate(numpy.log(g[some]), values[some]))
