"""One-dimensional statistics of projected samples against an exact law."""

import math

import numpy
import torch

from scorelab.laws.projected_law import ProjectedLaw


class LawComparison:
    """Distances of sets of `count` numbers to an exact law; what depends on the law and the count alone is kept."""

    def __init__(self, law: ProjectedLaw, count: int):
        self.law, self.count = law, count
        self.levels = torch.arange(1, count, dtype=torch.float64) / count
        self.crossings = law.quantile(self.levels)

    def wasserstein_1(self, values) -> float:
        """W1 = int |F_count(x) - F(x)| dx, exactly: between two order statistics F_count is constant, F crosses it at
        a quantile of the law, and F has a closed-form integral."""
        x = torch.sort(torch.as_tensor(values, dtype=torch.float64)).values
        integral = self.law.integrated_cdf(x)
        low, high = x[:-1], x[1:]
        crossing = torch.minimum(torch.maximum(self.crossings, low), high)
        at_crossing = self.law.integrated_cdf(crossing)
        above = self.levels * (crossing - low) - (at_crossing - integral[:-1])
        below = (integral[1:] - at_crossing) - self.levels * (high - crossing)
        tails = integral[0] + self.law.integrated_survival(x[-1])
        return float(above.clamp_min(0).sum() + below.clamp_min(0).sum() + tails)

    def kolmogorov_smirnov(self, values) -> float:
        """sup |F_count - F|."""
        x = torch.sort(torch.as_tensor(values, dtype=torch.float64)).values
        cdf = self.law.cdf(x)
        steps = torch.arange(self.count + 1, dtype=torch.float64) / self.count
        return float(torch.maximum(steps[1:] - cdf, cdf - steps[:-1]).max())

    def distances(self, values) -> dict[str, float]:
        """Both distances, by name."""
        return {"w1": self.wasserstein_1(values), "ks": self.kolmogorov_smirnov(values)}

    def floor(self, repeats: int, generator) -> dict[str, tuple[float, float]]:
        """Mean and standard deviation of both distances over `repeats` sets of exact samples."""
        return _mean_and_deviation(self.distances(self.law.sample(self.count, generator)) for _ in range(repeats))

    def standard_errors(self, values, repeats: int, generator) -> dict[str, float]:
        """Bootstrap standard errors of both distances."""
        values = torch.as_tensor(values, dtype=torch.float64)
        draws = (torch.randint(self.count, (self.count,), generator=generator) for _ in range(repeats))
        spread = _mean_and_deviation(self.distances(values[draw]) for draw in draws)
        return {name: deviation for name, (_, deviation) in spread.items()}


def _mean_and_deviation(sets):
    """Mean and standard deviation, by name, of an iterable of dictionaries."""
    rows = list(sets)
    values = {name: [row[name] for row in rows] for name in rows[0]}
    return {name: (float(numpy.mean(column)), float(numpy.std(column, ddof=1))) for name, column in values.items()}


def project(samples, direction) -> torch.Tensor:
    """<x, d>/|d|^2 for samples (count, n), in float64."""
    direction = torch.as_tensor(direction, dtype=torch.float64)
    scaled = direction / direction.square().sum()
    return torch.cat([block.double() @ scaled for block in _blocks(samples)])


def _blocks(samples, size: int = 8192):
    """The samples, some at a time, as tensors; a mapped file is read as it goes."""
    for first in range(0, len(samples), size):
        yield torch.tensor(numpy.asarray(samples[first : first + size]))


def projection_metrics(samples, target, output_law, repeats: int, generator) -> tuple[dict, dict]:
    """Everything about <x, a>/|a|^2: metrics, and the arrays of the figure.

    output_law: the law that samples of an exact sampler would have at the finite end of its grid, a target.
    """
    direction = target.direction
    values = project(samples, direction)
    law = target.projection(direction)
    law_at_T = output_law.projection(direction)
    comparison = LawComparison(law, len(values))
    floor = comparison.floor(repeats, generator)
    error = comparison.standard_errors(values, repeats, generator)
    mean, variance = float(values.mean()), float(values.var())
    fourth = float(((values - mean) ** 4).mean())
    count = len(values)
    metrics = {"w1": comparison.wasserstein_1(values), "w1_standard_error": error["w1"]}
    metrics |= {"w1_floor": floor["w1"][0], "w1_floor_deviation": floor["w1"][1]}
    metrics["w1_at_T"] = LawComparison(law_at_T, count).wasserstein_1(values)
    metrics |= {"ks": comparison.kolmogorov_smirnov(values), "ks_standard_error": error["ks"]}
    metrics |= {"ks_floor": floor["ks"][0], "ks_floor_deviation": floor["ks"][1]}
    metrics |= {"mean": mean, "mean_standard_error": math.sqrt(variance / count)}
    metrics |= {"mean_exact": law.mean, "mean_floor": math.sqrt(law.variance / count)}
    metrics |= {"variance": variance, "variance_exact": law.variance, "variance_exact_at_T": law_at_T.variance}
    metrics["variance_standard_error"] = math.sqrt(max(fourth - variance**2, 0.0) / count)
    metrics |= mode_weights(samples, target, generator)
    grid = numpy.linspace(*_window(values, law), 1201)
    arrays = {"values": values.numpy(), "grid": grid}
    arrays |= {"exact": law.pdf(grid).numpy(), "exact_at_T": law_at_T.pdf(grid).numpy()}
    return metrics, arrays


def mode_weights(samples, target, generator) -> dict:
    """The mean posterior weight of each mode, whose expectation over exact samples is the mode's weight, and the floor:
    the standard deviation of that mean over as many exact samples. `mode_weight` is that of the first mode."""
    count = len(samples)
    gamma = torch.cat([target.posterior_weights(block, math.pi / 2).double() for block in _blocks(samples)])
    exact = target.posterior_weights(target.sample(4096, generator), math.pi / 2).double()
    return {
        "mode_weight": float(gamma[:, 0].mean()),
        "mode_weight_standard_error": float(gamma[:, 0].std() / math.sqrt(count)),
        "mode_weight_exact": float(target.weights[0]),
        "mode_weight_floor": float(exact[:, 0].std() / math.sqrt(count)),
        "mode_weights": gamma.mean(0).tolist(),
        "mode_weights_exact": target.weights.tolist(),
    }


def _window(values, law):
    """The range of the figure: nearly all of the law and of the values."""
    ends = torch.cat([law.quantile([1e-5, 1 - 1e-5]), torch.quantile(values, torch.tensor([0.001, 0.999]).double())])
    margin = 0.03 * float(ends.max() - ends.min())
    return float(ends.min()) - margin, float(ends.max()) + margin


def orthogonal_metrics(samples, target, output_law) -> dict:
    """The mean variance a coordinate in the space orthogonal to `a`, where nothing happens: its shrinkage is collapse.

    Exact values average the target's own variance over the same space. In one dimension all of them are 0.
    """
    unit = target.direction / target.direction.norm()
    total = torch.zeros((), dtype=torch.float64)
    first_moment = torch.zeros(target.n, dtype=torch.float64)
    for block in _blocks(samples):
        block = block.double()
        orthogonal = block - torch.outer(block @ unit, unit)
        total += orthogonal.square().sum()
        first_moment += orthogonal.sum(0)
    count, dimension = len(samples), max(target.n - 1, 1)
    variance = float((total - first_moment.square().sum() / count) / ((count - 1) * dimension))
    return {
        "variance": variance,
        "variance_standard_error": variance * math.sqrt(2 / (count * dimension)),
        "variance_exact": target.orthogonal_variance(target.direction),
        "variance_exact_at_T": output_law.orthogonal_variance(target.direction),
    }
