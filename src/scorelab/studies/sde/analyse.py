"""Stage `analyse`: the errors of the schemes and the OU process, the section `sde` of metrics.json, and the arrays of
the figures."""

import math

import numpy

from scorelab.laws.estimate import Estimate, mean_and_error
from scorelab.metrics.rates import rate
from scorelab.progress import Progress
from scorelab.randomness import stream_seed
from scorelab.studies.sde import paths, theory

#: the most points of a drawn path
_POINTS = 2000
KINDS = ("strong", "weak", "weak_second")


def run(study, context):
    """Measure the schemes, then the OU process."""
    found = {"protocol": study.protocol}
    with Progress("measuring", 2, "parts") as progress:
        for number, part in enumerate((_schemes, _ornstein)):
            progress.update(number, part.__name__.strip("_"))
            own, figure, arrays = part(study, context.seed)
            found |= own
            context.update_metrics("sde", found)
            context.save_arrays(figure, {key: numpy.asarray(value) for key, value in arrays.items()})
        progress.update(2)


# Strong and weak errors. ----------------------------------------------------------------------------------------------


def _schemes(study, seed):
    """For each equation and scheme the three errors at each number of steps, and their orders."""
    options = study.schemes
    size, given = options.paths // options.batches, (options.mu, options.sigma, options.start, options.T)
    found, arrays = {"T": options.T, "counts": options.counts}, {"h": [options.T / count for count in options.counts]}
    for equation in theory.EQUATIONS:
        generator, differences = numpy.random.default_rng(stream_seed(seed, equation)), {}
        for _ in range(options.batches):
            x, ends = paths.ends(equation, *given, options.counts, size, generator)
            for (scheme, count), w in ends.items():
                parts = numpy.stack([(w - x) ** 2, w - x, w**2 - x**2])
                differences.setdefault(scheme, {}).setdefault(count, []).append(parts)
        for scheme, by_count in differences.items():
            values = numpy.stack([numpy.stack(by_count[count]) for count in options.counts])  # count, batch, kind, path
            exact = [_exact(equation, scheme, count, options) for count in options.counts]
            numbers = _errors(values, numpy.array(exact), numpy.array(arrays["h"]))
            found[f"{equation}_{scheme}"] = numbers
            for kind in KINDS:
                arrays |= {f"{equation}_{scheme}.{key}": one for key, one in numbers[kind].keys(kind).items()}
                arrays[f"{equation}_{scheme}.{kind}_order"] = _number(numbers[f"{kind}_order"].value)
    arrays["names"] = [key for key in found if key not in ("T", "counts")]
    return {"schemes": found}, "orders", arrays


def _number(value):
    return math.nan if value is None else value


def _exact(equation, scheme, count, options):
    """The three errors of a scheme, exactly; they are linear in the start."""
    values = {"mu": options.mu, "sigma": options.sigma, "start": options.start, "T": options.T}
    return theory.errors_at_the_end(equation, count, lag=0, scheme=scheme, **values)


def _errors(values, exact, h):
    """Estimates of the errors (counts,), and of their orders.

    values (counts, batches, 3, paths): (w - X)^2, w - X and w^2 - X^2. exact (counts, 3). An order is the slope of log
    error on log h; its standard error is the jackknife's over the batches, which have paths of their own.
    """
    means, found = values.mean(3), {}
    for number, kind in enumerate(KINDS):
        own = values[:, :, number].reshape(len(h), -1)
        average, error = mean_and_error(own, axis=1)
        if kind == "strong":  # the root of a mean: its error is that of the mean over twice the root
            average, error = numpy.sqrt(average), error / (2 * numpy.sqrt(average))
        size = numpy.abs(average)
        found[kind] = Estimate(size.tolist(), error.tolist(), exact=exact[:, number].tolist())
        left = (means[:, :, number].sum(1, keepdims=True) - means[:, :, number]) / (means.shape[1] - 1)
        left = numpy.sqrt(left) if kind == "strong" else numpy.abs(left)
        found[f"{kind}_order"] = _order(h, size, error, left, exact[:, number])
    return found


def _order(h, size, error, left, exact):
    """The order over the smaller half of the steps at which the error is 4 or more standard errors, beside that of the
    exact errors there. left (counts, batches): the errors without each batch."""
    seen = numpy.flatnonzero(size > 4 * error)  # the steps are in the order of their size, the largest first
    if len(seen) < 3:
        return Estimate.missing("the error is within 4 standard errors of 0 at all but two numbers of steps")
    seen = seen[-max(len(seen) // 2 + 1, 3) :]
    slopes = numpy.array([rate(numpy.log(h[seen]), one)[0] for one in left[seen].T])
    count = len(slopes)
    deviation = math.sqrt((count - 1) / count * float(((slopes - slopes.mean()) ** 2).sum()))
    return Estimate(rate(numpy.log(h[seen]), size[seen])[0], deviation, exact=rate(numpy.log(h[seen]), exact[seen])[0])


# The OU process. ------------------------------------------------------------------------------------------------------


def _ornstein(study, seed):
    """Paths of Euler-Maruyama, and their mean and variance at some times beside the exact ones."""
    options, generator = study.ou, numpy.random.default_rng(stream_seed(seed, "ou"))
    optimum, steps, law = numpy.array(options.optimum), study.steps, (study.kappa, study.volatility)
    start = numpy.full((options.replicas, len(optimum)), options.start)
    looked = numpy.unique(numpy.linspace(0, steps, 11).astype(int))[1:]
    drawn, seen = [start[0]], {}
    states = paths.ornstein_uhlenbeck_paths(*law, optimum, start, options.dt, steps, generator)
    for k, x in enumerate(states, 1):
        drawn.append(x[0])
        if k in looked:
            seen[k] = x
    means = [_mean(study, k, seen[k]) for k in looked]
    variances = [_variance(study, k, seen[k]) for k in looked]
    t = options.dt * steps
    mean, deviation = _mean_of(study, t), math.sqrt(paths.ornstein_uhlenbeck_variance(t, *law))
    last = numpy.abs(seen[steps] - mean) < 2 * deviation
    end = {"mean": means[-1], "variance": variances[-1]}
    end["mean_scheme"] = float(paths.scheme_mean(steps, study.kappa, optimum, options.start, options.dt)[0])
    end["variance_scheme"] = float(paths.scheme_variance(steps, *law, options.dt))
    inside = Estimate.share(last.ravel())
    found = {
        "kappa": study.kappa,
        "volatility": study.volatility,
        "stationary_variance": study.volatility**2 / (2 * study.kappa),
        "t": (options.dt * looked).tolist(),
        "mean": Estimate.together(means),
        "variance": Estimate.together(variances),
        "end": end,
        "inside": Estimate(inside.value, inside.standard_error, exact=math.erf(math.sqrt(2))),
    }
    chosen = numpy.unique(numpy.linspace(0, steps, min(steps, _POINTS) + 1).astype(int))
    times = options.dt * chosen
    arrays = {"t": times, "paths": numpy.array(drawn)[chosen], "optimum": optimum, "kappa": study.kappa}
    arrays["mean"] = _mean_of(study, times[:, None])
    arrays["deviation"] = numpy.sqrt(paths.ornstein_uhlenbeck_variance(times, *law))
    arrays |= {"looked": found["t"], **found["variance"].keys("variance")}
    arrays["stationary_variance"] = found["stationary_variance"]
    return {"ou": found}, "ou", arrays


def _mean_of(study, t):
    return paths.ornstein_uhlenbeck_mean(t, study.kappa, numpy.array(study.ou.optimum), study.ou.start)


def _mean(study, k, x):
    """The mean of the first coordinate after k steps."""
    return Estimate(*mean_and_error(x[:, 0]), exact=float(_mean_of(study, k * study.ou.dt)[0]))


def _variance(study, k, x):
    """The variance after k steps, over all coordinates, about the exact mean of the scheme."""
    options = study.ou
    mean = paths.scheme_mean(k, study.kappa, numpy.array(options.optimum), options.start, options.dt)
    exact = paths.ornstein_uhlenbeck_variance(k * options.dt, study.kappa, study.volatility)
    return Estimate(*mean_and_error(((x - mean) ** 2).ravel()), exact=float(exact))
