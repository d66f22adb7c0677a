"""One-dimensional statistics of projected samples against an exact law."""

import itertools
import math
from dataclasses import replace

import numpy
import torch

from scorelab.laws.estimate import Estimate
from scorelab.laws.tabulated import in_a_table
from scorelab.once import once
from scorelab.randomness import choose, stream
from scorelab.targets import CAPABILITIES

#: how far below a point, in standard deviations, the left limit of a distribution function with jumps is taken
_BELOW = 1e-9
#: multinomial draws behind the floor of the largest deviation of a count of a mode
_COUNTS = 1000
#: values of sets that are compared with a law at once
_AT_ONCE = 2**16


def density(law, x):
    """The density of a law on the line at x; None for a law without a density, which has no `pdf`, None in its place,
    or one that raises TypeError or NotImplementedError. Any other error is a fault and comes through."""
    pdf = getattr(law, "pdf", None)
    try:
        return None if pdf is None else pdf(x)
    except (TypeError, NotImplementedError):
        return None


class LawComparison:
    """Distances of sets of `count` numbers to an exact law; what depends only on the law and the count is kept.

    law: an object with the methods of `ProjectedLaw`. A law without a density may have atoms. table: the law, in a
    table if it has many components.
    """

    def __init__(self, law, count: int):
        self.law, self.count = law, count
        self.below = 0.0 if density(law, 0.0) is not None else _BELOW * math.sqrt(law.variance)
        self.levels = torch.arange(1, count, dtype=torch.float64) / count
        self.table = in_a_table(law)
        self.crossings = self.table.quantile(self.levels)

    def wasserstein_1(self, values) -> float:
        """W1 = int |F_count(x) - F(x)| dx, computed exactly, for values (count,)."""
        return float(self._wasserstein_1(_in_order(values)))

    def kolmogorov_smirnov(self, values) -> float:
        """sup |F_count - F| for values (count,)."""
        return float(self._kolmogorov_smirnov(_in_order(values)))

    def distances(self, values) -> dict[str, float]:
        """The two distances by name, `w1` and `ks`, for values (count,)."""
        x = _in_order(values)
        return {"w1": float(self._wasserstein_1(x)), "ks": float(self._kolmogorov_smirnov(x))}

    def floor(self, repeats: int, generator) -> dict[str, tuple[float, float]]:
        """The mean and the standard deviation of each distance, by name, over `repeats` sets of exact samples."""
        return self._mean_and_deviation(self.law.sample(self.count, generator) for _ in range(repeats))

    def standard_errors(self, values, repeats: int, generator) -> dict[str, float]:
        """The bootstrap standard error of each distance, by name, from `repeats` resampled sets."""
        values = torch.as_tensor(values, dtype=torch.float64)
        draws = (torch.randint(self.count, (self.count,), generator=generator) for _ in range(repeats))
        spread = self._mean_and_deviation(values[draw] for draw in draws)
        return {name: deviation for name, (_, deviation) in spread.items()}

    def _mean_and_deviation(self, sets):
        """Mean and standard deviation of each distance, by name, over an iterable of sets of values (count,)."""
        found, at_once = {"w1": [], "ks": []}, max(_AT_ONCE // self.count, 1)
        sets = iter(sets)
        while some := list(itertools.islice(sets, at_once)):
            x = _in_order(torch.stack(some))
            found["w1"] += self._wasserstein_1(x).tolist()
            found["ks"] += self._kolmogorov_smirnov(x).tolist()
        return {name: (float(numpy.mean(each)), float(numpy.std(each, ddof=1))) for name, each in found.items()}

    def _wasserstein_1(self, x):
        """W1 of sets of values in increasing order, (..., count), shape (...).

        Between two order statistics F_count is constant, F crosses F_count at a quantile of the law, and the integral
        of F has a closed form.
        """
        integral = self.table.integrated_cdf(x)
        low, high = x[..., :-1], x[..., 1:]
        crossing = torch.minimum(torch.maximum(self.crossings, low), high)
        at_crossing = torch.where(crossing > low, integral[..., 1:], integral[..., :-1])
        inside = (low < crossing) & (crossing < high)  # few are: most quantiles are beyond an end of their stretch
        at_crossing[inside] = self.table.integrated_cdf(crossing[inside])
        above = self.levels * (crossing - low) - (at_crossing - integral[..., :-1])
        below = (integral[..., 1:] - at_crossing) - self.levels * (high - crossing)
        tails = integral[..., 0] + self.table.integrated_survival(x[..., -1].contiguous())
        return above.clamp_min(0).sum(-1) + below.clamp_min(0).sum(-1) + tails

    def _kolmogorov_smirnov(self, x):
        """sup |F_count - F| of sets of values in increasing order, (..., count), shape (...).

        Between two order statistics F_count is constant and F grows. So the supremum is at an order statistic or just
        below one; F differs between these two places if the law has an atom there.
        """
        cdf = self.table.cdf(x)
        steps = torch.arange(self.count + 1, dtype=torch.float64) / self.count
        if not self.below:  # of equal values the last is highest above, and the first farthest below
            return torch.maximum(steps[1:] - cdf, cdf - steps[:-1]).amax(-1)
        last = torch.searchsorted(x, x, right=True)  # how many values are not larger; several values may be equal
        first = torch.searchsorted(x, x)  # how many values are smaller
        above, under = steps[last] - cdf, self.table.cdf(x - self.below) - steps[first]  # the left limit of F
        return torch.maximum(above.abs(), under.abs()).amax(-1)


@once
def exact_floor(law, count: int, repeats: int) -> dict[str, tuple[float, float]]:
    """`LawComparison.floor` of a law by the same draws for every run, whose reference it is."""
    return LawComparison(law, count).floor(repeats, stream(0, "floors"))


def _in_order(values):
    return torch.sort(torch.as_tensor(values, dtype=torch.float64)).values


def project(samples, direction) -> torch.Tensor:
    """<x, d>/|d|^2 for samples (count, *shape) and a direction of their shape, in float64, on the CPU."""
    direction = torch.as_tensor(direction, dtype=torch.float64)
    scaled = (direction / direction.square().sum()).flatten()
    return torch.cat([(block.double().flatten(1) @ scaled.to(block.device)).cpu() for block in _blocks(samples)])


def _blocks(samples, size: int = 8192):
    """Yield the samples as tensors, `size` at a time; so a memory-mapped file is never read as a whole."""
    for first in range(0, len(samples), size):
        block = samples[first : first + size]
        yield block if isinstance(block, torch.Tensor) else torch.tensor(numpy.asarray(block))


def projection_metrics(samples, target, output_law, repeats: int, generator, shared: bool = False) -> tuple[dict, dict]:
    """The estimates of numbers of <x, a>/|a|^2 by name, and the arrays of the figure.

    There are no arrays for a target without a signal direction a. output_law: a target, the law that samples of an
    exact sampler would have at the finite end of its grid; None if the law is not known. shared: whether the floors of
    the distances are those of `exact_floor`, and not draws of the generator.
    """
    why = target.lacks("direction")
    if why is not None:
        names = ("w1", "w1_at_T", "ks", "mean", "variance")
        return dict.fromkeys(names, Estimate.missing(why)) | mode_weights(samples, target, output_law, generator), {}
    direction = target.direction
    values = project(samples, direction)
    law = target.projection(direction) if target.can("projection") else None
    law_at_T = None if output_law is None or output_law.lacks("projection") else output_law.projection(direction)
    metrics = _distances(values, law, law_at_T, target, repeats, generator, shared)
    metrics |= _moments(values, law, law_at_T, target) | mode_weights(samples, target, output_law, generator)
    return metrics, _arrays(values, law, law_at_T)


def _distances(values, law, law_at_T, target, repeats, generator, shared):
    """The estimates of W1 and of the Kolmogorov-Smirnov distance."""
    count, at_T = len(values), Estimate.missing(_unknown_at_T(target))
    if law_at_T is not None:
        at_T = Estimate(LawComparison(law_at_T, count).wasserstein_1(values))
    if law is None:
        return dict.fromkeys(("w1", "ks"), Estimate.missing(target.lacks("projection"))) | {"w1_at_T": at_T}
    comparison = LawComparison(law, count)
    floor = exact_floor(law, count, repeats) if shared else comparison.floor(repeats, generator)
    error = comparison.standard_errors(values, repeats, generator)
    found = {name: Estimate(value, error[name], *floor[name]) for name, value in comparison.distances(values).items()}
    return {"w1": found["w1"], "w1_at_T": at_T, "ks": found["ks"]}


def _unknown_at_T(target):
    """Why the law of samples at a finite time is not known."""
    return target.lacks("projection") or CAPABILITIES["output_law"].lacking


def _moments(values, law, law_at_T, target):
    """The estimates of the mean and the variance."""
    mean, variance, count = float(values.mean()), float(values.var()), len(values)
    fourth = float(((values - mean) ** 4).mean())
    error = math.sqrt(max(fourth - variance**2, 0.0) / count)
    found = {"mean": Estimate(mean, math.sqrt(variance / count)), "variance": Estimate(variance, error)}
    if law is None:
        why = Estimate.missing(target.lacks("projection"))
        found |= {"mean_exact": why, "variance_exact": why}
    else:
        floor = math.sqrt(law.variance / count)
        found["mean"] = replace(found["mean"], exact=law.mean, floor=floor)
        found["variance"] = replace(found["variance"], exact=law.variance)
    if law_at_T is None:
        return found | {"variance_exact_at_T": Estimate.missing(_unknown_at_T(target))}
    return found | {"variance": replace(found["variance"], exact_at_T=law_at_T.variance)}


def _arrays(values, law, law_at_T):
    """The projections, a grid, and on it the exact densities, or the distribution function of a law without density."""
    if law is None:
        low, high = torch.quantile(values, torch.tensor([0.001, 0.999]).double()).tolist()
        margin = 0.03 * (high - low)
        return {"values": values.numpy(), "grid": numpy.linspace(low - margin, high + margin, 1201)}
    grid = numpy.linspace(*_window(values, law), 1201)
    arrays = {"values": values.numpy(), "grid": grid}
    if density(law, 0.0) is None:
        return arrays | {"exact_cdf": law.cdf(grid).cpu().numpy()}
    arrays["exact"] = law.pdf(grid).cpu().numpy()
    at_T = None if law_at_T is None else density(law_at_T, grid)
    return arrays | ({} if at_T is None else {"exact_at_T": at_T.cpu().numpy()})


def mode_weights(samples, target, output_law, generator) -> dict:
    """The mean posterior weight of each mode; its expectation over exact samples is the weight of the mode.

    `mode_weight` is the number of the first mode, and `mode_weights` is the list for all modes; see `mode_counts` for
    the other two. The floor is the standard deviation of the mean over as many exact samples. output_law: as in
    `projection_metrics`; the posterior is that of this law, as the noise that is left in exact outputs would shift the
    posterior of the target. Where the law is not known the posterior is that of the target, without an exact value.
    """
    why = target.lacks("modes")
    if why is not None:
        return dict.fromkeys(("mode_weight", "mode_weights"), Estimate.missing(why))
    known = output_law is not None and output_law.can("modes")
    law = output_law if known else target
    gamma = weights_given(samples, law)
    first, spread = Estimate.mean(gamma[:, 0]), gamma.std(0) / math.sqrt(len(gamma))
    every = Estimate(gamma.mean(0).tolist(), spread.tolist())
    if not known:
        missing = Estimate.missing(_unknown_at_T(target))
        found = {"mode_weight": first, "mode_weights": every}
        return found | {"mode_weight_exact": missing, "mode_weights_exact": missing}
    first = replace(first, floor=weight_floor(law, len(samples), generator), exact=float(law.weights[0]))
    found = {"mode_weight": first, "mode_weights": replace(every, exact=law.weights.tolist())}
    return found | mode_counts(gamma, law.weights.double().cpu(), stream(generator.initial_seed(), "modes"))


def weights_given(samples, law) -> torch.Tensor:
    """The posterior weights of the modes of a law given each sample, (count, K), float64."""
    return torch.cat([law.posterior_weights(block, math.pi / 2).double() for block in _blocks(samples)])


def mode_counts(gamma, weights, generator) -> dict:
    """How far the counts of all modes are from those of exact samples, `mode_chi_squared` and `mode_deviation`.

    gamma (count, K): the posterior weights of the modes; weights (K,): the exact ones. A mode is drawn for each sample
    from its posterior. For exact samples the counts N_k are multinomial, whatever the overlap of the modes, so that
    Pearson's sum_k (N_k - N w_k)^2/(N w_k) has the mean K - 1 and the variance 2 (K - 1) + (sum_k 1/w_k - K^2 - 2 K
    + 2)/N exactly. The largest |N_k - N w_k|/sqrt(N w_k (1 - w_k)) has its floor from multinomial draws. For one
    mode there is neither.
    """
    count, modes = gamma.shape
    if modes < 2:
        return {}
    drawn = choose(gamma, torch.rand(count, generator=generator, dtype=torch.float64).to(gamma.device)).cpu()
    counts = torch.bincount(drawn, minlength=modes)
    again = numpy.random.default_rng(generator.initial_seed()).multinomial(
        count, (weights / weights.sum()).numpy(), _COUNTS
    )

    def deviations(counts):
        return (counts - count * weights).abs() / (count * weights * (1 - weights)).sqrt()

    chi_squared = float(((counts - count * weights).square() / (count * weights)).sum())
    variance = 2 * (modes - 1) + (float((1 / weights).sum()) - modes**2 - 2 * modes + 2) / count
    largest = deviations(torch.from_numpy(again)).amax(1)
    return {
        "mode_chi_squared": Estimate(chi_squared, None, modes - 1.0, math.sqrt(variance)),
        "mode_deviation": Estimate(float(deviations(counts).max()), None, float(largest.mean()), float(largest.std())),
    }


def weight_floor(law, count: int, generator) -> float:
    """The standard deviation of the mean posterior weight of the first mode over `count` exact samples. It is below
    that of the share of the mode where modes overlap; measured on 4096 samples."""
    gamma = law.posterior_weights(law.sample(4096, generator), math.pi / 2)[:, 0]
    return float(gamma.double().std() / math.sqrt(count))


def orthogonal_floor(law, direction, count: int, generator) -> float:
    """The standard deviation of the variance of `orthogonal_metrics` over sets of `count` exact samples. It is
    sqrt(2/(count (n - 1))) times the variance for modes of one width on a line along the direction, and larger for
    others; measured on 4096 samples."""
    return orthogonal_spread(law.sample(4096, generator), direction)[1] * math.sqrt(4096 / count)


def _window(values, law):
    """The range of the figure, which holds nearly all of the law and nearly all of the values."""
    ends = torch.cat([law.quantile([1e-5, 1 - 1e-5]), torch.quantile(values, torch.tensor([0.001, 0.999]).double())])
    margin = 0.03 * float(ends.max() - ends.min())
    return float(ends.min()) - margin, float(ends.max()) + margin


def orthogonal_metrics(samples, target, output_law) -> dict:
    """The mean variance of a coordinate in the space orthogonal to `a`; it is too small if the samples have collapsed.

    The exact values are the mean variances of the target in the same space. In one dimension all numbers are 0.
    output_law: as in `projection_metrics`.
    """
    why = target.lacks("direction")
    if why is not None:
        return {"variance": Estimate.missing(why)}
    found, missing = Estimate(*orthogonal_spread(samples, target.direction)), {}
    why = target.lacks("orthogonal_variance")
    if why is None:
        found = replace(found, exact=target.orthogonal_variance(target.direction))
    else:
        missing["variance_exact"] = Estimate.missing(why)
    if output_law is not None and output_law.can("orthogonal_variance"):
        found = replace(found, exact_at_T=output_law.orthogonal_variance(target.direction))
    else:
        missing["variance_exact_at_T"] = Estimate.missing(why or _unknown_at_T(target))
    return {"variance": found} | missing


def orthogonal_spread(samples, direction) -> tuple[float, float]:
    """The mean variance of a coordinate orthogonal to a direction, and its standard error.

    The error is that of the mean squared length of the samples around their mean: the coordinates of a sample are not
    independent, as modes of different widths, or modes apart in this space, make them long or short together.
    """
    count, dimension = len(samples), max(direction.numel() - 1, 1)
    mean = sum(block.sum(0) for block in _orthogonal(samples, direction)) / count
    lengths = torch.cat([(block - mean).square().sum(1) for block in _orthogonal(samples, direction)])
    return float(lengths.sum()) / ((count - 1) * dimension), float(lengths.std()) / (dimension * math.sqrt(count))


def _orthogonal(samples, direction):
    """Yield the parts of the samples orthogonal to a direction, (some, n) at a time, float64, on the CPU."""
    unit = (direction / direction.norm()).flatten().cpu()
    for block in _blocks(samples):
        block = block.double().flatten(1).cpu()
        yield block - torch.outer(block @ unit, unit)
