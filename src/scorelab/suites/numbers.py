"""The reference numbers of a target: what two papers compare, each exact or with its standard error."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from scorelab.channel import mix
from scorelab.laws.atoms import Atoms
from scorelab.laws.estimate import Estimate, mean_and_error, shown
from scorelab.laws.projected_law import ProjectedLaw
from scorelab.metrics.projection import LawComparison, project
from scorelab.randomness import stream
from scorelab.targets import Target

#: name -> an angle at which the Bayes risk is given, in radians
ANGLES = {"pi/8": math.pi / 8, "pi/4": math.pi / 4, "3pi/8": 3 * math.pi / 8}
#: sizes of the sets of exact samples behind the floors, and how many sets
COUNTS, SETS = (1000, 10_000), 100
#: draws behind an entropy and a risk that are measured, and how many at a time
_DRAWS, _AT_A_TIME = 2**16, 2**12


@dataclass(frozen=True)
class Reference:
    """A reference number.

    value: the number, or a list of them. error: its standard error; None where it is exact, which is to rounding or to
    1e-6 of it where it is an integral.
    """

    value: float | Sequence[float]
    error: float | None = None

    @property
    def exact(self) -> bool:
        return self.error is None

    def __str__(self):
        if isinstance(self.value, Sequence):
            return ", ".join(f"{each:.4g}" for each in self.value)
        return shown(self.value, self.error)

    def plain(self) -> dict:
        """As the file has it: ten digits, and the word exact in the place of an error."""
        value = [_rounded(each) for each in self.value] if isinstance(self.value, Sequence) else _rounded(self.value)
        return {"value": value, "error": "exact" if self.exact else _rounded(self.error, 3)}

    @classmethod
    def read(cls, plain: dict) -> "Reference":
        """The number that `plain` wrote."""
        return cls(plain["value"], None if plain["error"] == "exact" else plain["error"])


def _rounded(number: float, digits: int = 10) -> float:
    return float(f"{number:.{digits}g}")


def measured(target: Target, sets: int = SETS, seed: int = 0) -> dict[str, Reference]:
    """Name -> reference number of a target; what it does not know is left out.

    variance: tr Cov X. projection.mean and .variance: of the law along the direction. weights: of the modes.
    log_partition: of spins, the logarithm of the sum over their states. entropy: -E log p(X), in nats: no model has a
    smaller mean of -log p on samples of the target. bayes_risk.ANGLE: E |X - E[X | x]|^2 at x = sin X + cos G: the
    least squared error of any denoiser. floor.w1.COUNT and floor.ks.COUNT: what so many exact samples have as the
    distance from the law of the projection; floor.w1.COUNT.deviation: the standard deviation over sets of samples.

    sets: how many sets of exact samples are behind a floor, >= 2. seed: of all draws.
    """
    found = {}
    if target.can("covariance"):
        found["variance"] = Reference(float(target.covariance.trace()))
    elif target.can("points"):
        found["variance"] = Reference(float(target.squared_lengths().mean()) + target.n * target.std**2)
    if target.can("projection"):
        law = target.projection(target.direction)
        found |= {"projection.mean": Reference(law.mean), "projection.variance": Reference(law.variance)}
    if target.can("modes"):
        found["weights"] = Reference(target.weights.tolist())
    if hasattr(target, "log_partition"):
        found["log_partition"] = Reference(float(target.log_partition()))
    found |= _entropy(target, seed)
    if target.can("bayes_risk"):
        found |= {f"bayes_risk.{name}": _risk(target, angle, seed) for name, angle in ANGLES.items()}
    for count in COUNTS if target.can("projection") else ():
        drawn = law if isinstance(law, ProjectedLaw | Atoms) else _Drawn(target, law)
        comparison, generator = LawComparison(drawn, count), stream(seed, "floor", count)
        rows = [comparison.distances(drawn.sample(count, generator)) for _ in range(sets)]
        for name in rows[0]:
            values = torch.tensor([row[name] for row in rows], dtype=torch.float64)
            found[f"floor.{name}.{count}"] = Reference(*mean_and_error(values))
            found[f"floor.{name}.{count}.deviation"] = _deviation(values)
    return found


def _risk(target, angle, seed) -> Reference:
    """The Bayes risk at an angle: that of the target, or the mean over draws of what it knows of the posterior."""
    if target.gives("bayes_risk"):
        risk, error = target.bayes_risk_and_error(torch.tensor(angle, dtype=torch.float64))
        return Reference(float(risk), None if error is None else float(error))
    generator = stream(seed, "risk")

    def risks(clean):
        noise = torch.randn(clean.shape, generator=generator, dtype=torch.float64)
        return target.posterior_risk(clean, mix(clean, noise, angle), angle)

    return _mean(target, generator, risks)


def _mean(target, generator, function) -> Reference:
    """The mean of a function over draws of the target; exact where the function is constant."""
    draws = (target.sample(_AT_A_TIME, generator, torch.float64) for _ in range(_DRAWS // _AT_A_TIME))
    found = Estimate.mean(torch.cat([function(x) for x in draws]))
    constant = found.standard_error <= 1e-12 * abs(found.value)
    return Reference(found.value, None if constant else found.standard_error)


def _deviation(values) -> Reference:
    """The standard deviation of values (sets,), and its standard error by their fourth moment."""
    deviation = float(values.std())
    fourth = float((values - values.mean()).pow(4).mean())
    return Reference(deviation, math.sqrt(max(fourth - deviation**4, 0.0) / len(values)) / (2 * deviation))


class _Drawn:
    """The law of a projection, drawn by projecting samples: that is quicker than the quantiles of a table."""

    def __init__(self, target, law):
        self.target, self.law = target, law

    def __getattr__(self, name):
        return getattr(self.law, name)

    def sample(self, count, generator):
        return project(self.target.sample(count, generator, torch.float64), self.target.direction)


def _entropy(target, seed) -> dict[str, Reference]:
    if hasattr(target, "entropy"):
        return {"entropy": Reference(target.entropy())}
    if target.can("points") and target.std == 0:
        counts = torch.unique(target.points.flatten(1), dim=0, return_counts=True)[1]
        shares = counts.double() / len(target.points)
        return {"entropy": Reference(float(-(shares * shares.log()).sum()))}
    if target.lacks("density", "samples") is not None:
        return {}
    return {"entropy": _mean(target, stream(seed, "entropy"), lambda x: -target.noisy_log_prob(x, math.pi / 2))}
