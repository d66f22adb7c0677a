"""Whether samples are more concentrated than exact ones: each statistic with its standard error and its noise floor.

    trace          mean of |x - mean_k|^2/(n s_k^2), k the mode that x belongs to: variance within the modes
    participation  tr(C_k)^2/(n tr(C_k^2)) of the covariance C_k within a mode: the share of directions that it fills
    neighbour      mean distance to the nearest other sample
    training       mean distance to the nearest training sample

Each statistic is divided by its mean over sets of as many exact samples: the ratio is 1 for an exact sampler and below
1 for a sampler that collapses. A small `training` says that training samples are repeated. The standard deviation over
the sets of exact samples is the floor.
"""

import math

import numpy
import torch

from scorelab.channel import HALF_PI, mix
from scorelab.laws.estimate import mean_and_error
from scorelab.samplers.loop import simulate
from scorelab.studies.collapse.jackknife import ROWS, neighbour, participation


class Concentration:
    """Statistics of sets of `count` samples against a law.

    law: the `GaussianMixture` of exact samples, with the noise that is left at the end of the grid. train: the training
    samples (N, n), or None. repeats: number of sets of exact samples.
    """

    def __init__(self, law, count: int, repeats: int, generator, train=None):
        self.law, self.count, self.train = law, count, None if train is None else train.float()
        sets = [
            {name: value for name, (value, _) in self._raw(law.sample(count, generator)).items()}
            for _ in range(repeats)
        ]
        self.exact = {name: float(numpy.mean([one[name] for one in sets])) for name in sets[0]}
        self.deviation = {name: float(numpy.std([one[name] for one in sets], ddof=1)) for name in sets[0]}
        self.repeats = repeats

    @property
    def floor(self) -> dict[str, float]:
        """Standard deviation of each statistic over sets of exact samples, as a share of its mean."""
        return {name: self.deviation[name] / self.exact[name] for name in self.exact}

    def measure(self, samples, repeated: bool = True) -> dict[str, float]:
        """Every statistic of samples (count, n) over its mean on exact samples, each NAME with NAME_standard_error, and
        the mean posterior weight of the first mode, which is not divided.

        repeated: whether `training`, which takes longest, is one of the statistics.
        """
        found = {}
        for name, (value, error) in self._raw(samples, repeated).items():
            share, of_exact = value / self.exact[name], self.deviation[name] / math.sqrt(self.repeats)
            found |= {name: share, f"{name}_standard_error": math.hypot(error, share * of_exact) / self.exact[name]}
        weight = mean_and_error(self.law.posterior_weights(samples, HALF_PI)[:, 0].double())
        return found | dict(zip(("mode_weight", "mode_weight_standard_error"), weight, strict=True))

    def _raw(self, samples, repeated=True) -> dict[str, tuple[float, float]]:
        """name -> value and standard error."""
        samples = torch.as_tensor(samples).float()
        scaled, mode = within_modes(samples, self.law)
        squared = scaled.square().mean(1).double()
        found = {"trace": mean_and_error(squared), "participation": participation(scaled, mode)}
        found["neighbour"] = neighbour(samples)
        if repeated and self.train is not None:
            found["training"] = mean_and_error(nearest(samples, self.train).double())
        return found


def within_modes(samples, law):
    """The samples within their modes, (x - mean_k)/s_k, shape (count, n), and the modes, shape (count,).

    A sample belongs to its most probable mode k, and mean_k is the mean of the N_k samples of this mode. The result is
    scaled by sqrt(N_k/(N_k - 1)), so that its mean square is the sample variance."""
    mode = law.posterior_weights(samples, HALF_PI).argmax(1)
    scaled = torch.empty_like(samples)
    for k in mode.unique().tolist():
        rows = mode == k
        count = max(int(rows.sum()), 2)
        scaled[rows] = (samples[rows] - samples[rows].mean(0)) * math.sqrt(count / (count - 1)) / float(law.std[k])
    return scaled, mode


def nearest(samples, others):
    """Distances (count,) of samples (count, n) to the nearest of `others` (N, n)."""
    return torch.cat([torch.cdist(block, others).amin(1) for block in samples.split(ROWS)])


@torch.no_grad()
def shrinkage(denoiser, target, angles, draws: int, generator) -> list[dict[str, float]]:
    """How much a denoiser shrinks towards the modes: for each angle a row, from the least-squares fit of m_hat - m on
    the exact m - sum_k gamma_k mu_k over `draws` exact states.

    size: minus the slope of the fit times tan(psi), which is a share of the root of the Bayes risk, with
    size_standard_error. error: the root mean square of the whole m_hat - m, as such a share. psi: tan(psi) = s
    tan(phi), where s is the standard deviation of all modes.
    """
    std, rows = float(target.std[0]), []
    for angle in angles:
        clean = target.sample(draws, generator)
        x = mix(clean, torch.randn(clean.shape, generator=generator), angle)
        error = (denoiser(x, angle) - target.posterior_mean(x, angle)).double()
        within = target.posterior_mean(x, angle).double() - target.posterior_weights(x, angle).double() @ target.means
        tangent = std * math.tan(angle)
        product, square = -(error * within).sum(1), within.square().sum(1)
        slope = float(product.mean() / square.mean())
        spread = float((product - slope * square).std() / (square.mean() * math.sqrt(draws)))
        risk = target.n * std**2 / (1 + tangent**2)
        row = {"angle": angle, "psi": math.atan(tangent)}
        row |= {"size": slope * tangent, "size_standard_error": spread * tangent}
        rows.append(row | {"error": math.sqrt(float(error.square().sum(1).mean()) / risk)})
    return rows


def lost_by_rule(rule, angles, size: float, band) -> float:
    """The share of the variance of N(0, 1) that a rule loses if the posterior mean is shrunk by `size` cos x in a band
    of angles. It is exact, and relative to the variance of the same rule with the exact posterior mean."""
    shrunk, exact = (variance_of_rule(rule, shrunken_mean(each, band), angles) for each in (size, 0.0))
    return 1 - shrunk / exact


def shrunken_mean(size: float, band):
    """The posterior mean sin x of N(0, 1), minus size cos x in a band of angles, as a function of (x, angle)."""

    def mean(x, angle):
        inside = band[0] - 1e-9 <= angle < band[1] - 1e-9  # the grid's angles are rounded
        return (math.sin(angle) - (size * math.cos(angle) if inside else 0.0)) * x

    return mean


@torch.no_grad()
def variance_of_rule(rule, denoiser, angles, schedule=None) -> float:
    """The exact variance, in float64, of one coordinate of the last state of a rule whose denoiser is linear in x.

    The state is a linear function of the start and of every draw of noise, also where a rule remembers earlier steps.
    Each row follows one of them, which is 1 while the others are 0, and the variance is the sum of the squared rows.
    """
    rows = 2 * (len(angles) - 1) + 1
    x = torch.zeros(rows, 1, dtype=torch.float64)
    x[0] = 1.0
    drawn = iter(range(1, rows))

    def noise():
        impulse = torch.zeros(rows, 1, dtype=torch.float64)
        impulse[next(drawn)] = 1.0
        return impulse

    return float(simulate(rule, denoiser, angles, x, noise, schedule=schedule).square().sum())
