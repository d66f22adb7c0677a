"""Stage `analyse`: the tables, the section `spin_glass` of metrics.json, and the arrays of the figure."""

import math

import numpy
import torch

from scorelab.denoisers.exact import ExactDenoiser
from scorelab.laws.estimate import Estimate, columns, flatten
from scorelab.metrics import spins
from scorelab.progress import Progress
from scorelab.randomness import stream, stream_seed
from scorelab.samplers.spins import Paths, localize, signs, times
from scorelab.studies.spin_glass import chains, theory
from scorelab.studies.spin_glass.measurements import iterates
from scorelab.targets.ising import Ising, sherrington_kirkpatrick
from scorelab.theory.spins import sk_energy, sk_overlap

#: matrices on which the iterates of AMP are measured, and draws for each
_MATRICES, _DRAWS = 8, 4
#: sizes and inverse temperatures at which the exact speed of Glauber dynamics is computed
_RATE_SIZES, _RATE_BETAS = (8, 10, 12), tuple(round(0.1 * k, 1) for k in range(1, 16))


def run(study, context):
    """Measure everything, part after part."""
    parts = {"exact": _exact, "large": _large, "iterates": _iterates, "chains": _chains, "glauber": _glauber}
    found, arrays = {}, {}
    with Progress("measuring", len(parts), "parts") as progress:
        for number, (name, part) in enumerate(parts.items()):
            progress.update(number, name)
            rows = part(study, context.seed)
            context.write_table(f"{name}.csv", [flatten(row)[0] for row in rows])
            table = columns(rows)
            found[name] = table | _SUMMARIES.get(name, lambda *_: {})(rows, study)
            arrays |= {f"{name}.{key}": numpy.asarray(values) for key, values in flatten(table)[0].items()}
        progress.update(len(parts))
    scale = {"T": study.T, "steps": study.steps, "products": _products(study, study.steps)}
    context.update_metrics("spin_glass", scale | found)
    context.save_arrays("spin_glass", {key: _numbers(values) for key, values in arrays.items()})


def _numbers(values):
    """An array whose missing numbers are nan."""
    return values.astype(float) if values.dtype == object else values


def _model(seed, n, beta, matrix=0):
    return Ising(sherrington_kirkpatrick(n, stream(seed, "matrix", n, matrix)), beta)


def _products(study, steps):
    """Products of the matrix with a vector for one sample: an evaluation for each step, and one for the signs."""
    return (steps + 1) * study.amp.on(_model(0, 2, 0.5)).products


# Small n. -----------------------------------------------------------------------------------------------------------


def _exact(study, seed):
    """A row for each beta and n, over all matrices."""
    return [_against_sums(study, seed, n, beta) for beta in study.betas for n in study.exact.sizes]


def _against_sums(study, seed, n, beta):
    """AMP against the exact posterior mean on the same paths, and the samples of both against sums over all states."""
    found = []
    for matrix in range(study.exact.matrices):
        target = _model(seed, n, beta, matrix)
        shape, own = (study.exact.samples, n), stream_seed(seed, "exact", n, matrix)
        paths = Paths(times(study.T, study.steps), shape, own, torch.float64)
        means, exact = (localize(each, paths) for each in (study.amp.on(target), ExactDenoiser(target)))
        x, ideal = (signs(each, stream(own, "signs")) for each in (means, exact))
        correlations = target.correlations()
        found.append(
            {
                "correlations": spins.correlation_error(x, correlations),
                "correlations_with_exact_mean": spins.correlation_error(ideal, correlations),
                "distance": spins.distance(means, exact),
                "energy": spins.energy(target, x),
                "overlap": spins.squared_overlap(x, exact=theory.mean_squared_overlap(target)),
            }
        )
    pooled = {key: _over_matrices([row[key] for row in found]) for key in found[0]}
    distances = numpy.array([row["distance"].value for row in found])
    return {"beta": beta, "n": n} | pooled | {"distance": Estimate.mean(distances)}


def _over_matrices(estimates):
    """The mean over matrices, with the error that the samples of all of them leave."""

    def mean(part):
        values = [getattr(each, part) for each in estimates]
        return None if values[0] is None else float(numpy.mean(values))

    errors = numpy.array([each.standard_error for each in estimates])
    error = float(numpy.sqrt((errors**2).sum()) / len(errors))
    return Estimate(mean("value"), error, floor=mean("floor"), exact=mean("exact"))


# Large n. -----------------------------------------------------------------------------------------------------------


def _large(study, seed):
    """A row for each beta and n: energy and overlap, and what half the steps or iterations change on the same paths."""
    return [_against_limits(study, seed, n, beta) for beta in study.betas for n in study.large.sizes]


def _against_limits(study, seed, n, beta):
    target, own = _model(seed, n, beta), stream_seed(seed, "large", n)
    paths = Paths(times(study.T, study.steps), (study.large.samples, n), own)
    denoiser = study.amp.on(target)
    means = localize(denoiser, paths)
    x = signs(means, stream(own, "signs"))
    return {
        "beta": beta,
        "n": n,
        "energy": spins.energy(target, x),
        "energy_limit": sk_energy(beta),
        "overlap": spins.squared_overlap(x),
        "overlap_limit": sk_overlap(beta),
        "half_the_steps": spins.distance(means, localize(denoiser, paths, stride=2)),
        "half_the_iterations": spins.distance(means, localize(study.amp.half.on(target), paths)),
    }


def _iterates(study, seed):
    """A row for each beta, t and k: |m^k|^2/n beside state evolution, at the largest n."""
    n, rows = max(study.large.sizes), []
    for beta in study.betas:
        for t in study.iterates_at:
            found = iterates(study.amp, n, beta, t, _MATRICES, _DRAWS, stream_seed(seed, "iterates"))
            rows += [{"beta": beta, "t": t, "n": n} | row for row in found]
    return rows


# Chains. ------------------------------------------------------------------------------------------------------------


def _chains(study, seed):
    """A row for each method, beta and cost: energy and overlap after so many products of the matrix with a vector."""
    options, rows = study.chains, []
    budget = _products(study, max(options.steps))
    for beta in options.betas:
        target = _model(seed, options.n, beta)
        limit = {"overlap_limit": sk_overlap(beta), "energy_limit": sk_energy(beta)}

        def look(method, cost, x, beta=beta, target=target, limit=limit):
            x = torch.as_tensor(x).clone()
            measured = {"energy": spins.energy(target, x), "overlap": spins.squared_overlap(x)}
            rows.append({"method": method, "beta": beta, "cost": cost} | measured | limit)

        def now_and_then(method, look=look):
            """Look at the costs that double, and at the whole budget."""
            due = [2**k for k in range(math.ceil(math.log2(budget)))] + [budget // options.levels * options.levels]

            def observe(cost, x):
                if cost >= due[0]:
                    look(method, cost, x)
                    due[:] = [later for later in due if later > cost] or [math.inf]

            return observe

        for steps in options.steps:
            own = stream_seed(seed, "diffusion", options.n)
            means = localize(study.amp.on(target), Paths(times(study.T, steps), (options.count, options.n), own))
            look("diffusion", _products(study, steps), signs(means, stream(own, "signs")))
        draws = numpy.random.default_rng(stream_seed(seed, "chains", options.n))
        chains.glauber(target.A, beta, options.count, budget, draws, now_and_then("glauber"))
        sweeps = budget // options.levels
        chains.tempering(target.A, beta, options.count, sweeps, draws, options.levels, now_and_then("tempering"))
    return rows


def _glauber(study, seed):
    """A row for each n and beta: the exact rate of Glauber dynamics, and its lower bound."""
    models = (_model(seed, n, beta) for n in _RATE_SIZES for beta in _RATE_BETAS)
    return [
        {"n": model.n, "beta": model.beta, "rate": theory.glauber_rate(model), "bound": theory.guaranteed_rate(model)}
        for model in models
    ]


# Summaries. ---------------------------------------------------------------------------------------------------------


def _of_exact(rows, study):
    ratios = [row["correlations"].value / row["correlations"].floor for row in rows if row["beta"] < 1]
    return {"error_over_floor": max(ratios, default=None)}


def _of_large(rows, study):
    last = [row for row in rows if row["n"] == max(study.large.sizes) and row["beta"] < 1]
    off = {key: [abs(row[key].value / row[f"{key}_limit"] - 1) for row in last] for key in ("energy", "overlap")}
    return {f"{key}_off": max(values, default=None) for key, values in off.items()}


def _of_iterates(rows, study):
    off = [abs(row["overlap"].value - row["predicted"]) for row in rows if row["beta"] < 1]
    return {"off": max(off, default=None)}


_SUMMARIES = {"exact": _of_exact, "large": _of_large, "iterates": _of_iterates}
