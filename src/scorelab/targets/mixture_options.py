"""What `conf/target` may say of Gaussian mixtures."""

import itertools
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, model_validator

from scorelab.errors import ConfigError
from scorelab.nodes import HERE
from scorelab.options import Count, Options, Positive, Seed
from scorelab.targets.options import (
    RandomDirection,
    TargetOptions,
    Vector,
    number_or_list,
    symmetric_rows,
    vector,
)


class RandomMeans(Options):
    """`count` means of the Euclidean norm `norm`, their directions drawn uniformly."""

    count: Annotated[Count, Field(le=10_000)]
    norm: Positive


class PowerLaw(Options):
    """Weights in proportion to 1/k^power for the modes k = 1, 2, ...; 0 for equal weights."""

    power: Annotated[float, Field(ge=0, le=20)]


class LowRankCovariance(Options):
    """std^2 I + sum_j u_j u_j^T for the factors u_j, each a `Vector`."""

    std: Positive
    factors: list[Vector] = Field(min_length=1)


def _weights(value: Any) -> Any:
    """Check K numbers > 0, `equal` or {power: a}."""
    if value == "equal":
        return value
    if isinstance(value, dict):
        return PowerLaw.model_validate(value)
    allowed = "K numbers > 0, equal, or {power: a} for weights in proportion to 1/k^a"
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"allowed are {allowed}")
    if not value:
        raise ValueError("is empty: at least one mode is needed")
    found = number_or_list(value, allowed)
    if min(found) <= 0:
        raise ValueError(f"allowed are {allowed}")
    return found


def _means(value: Any) -> Any:
    """Check {count: K, norm: r}; a list stays, for its entries are checked one by one."""
    if isinstance(value, dict):
        return RandomMeans.model_validate(value)
    return value


def _covariance(value: Any) -> Any:
    """Check one covariance: a variance, n variances, n rows of n numbers, or {std: s, factors: [...]}."""
    if isinstance(value, dict):
        return LowRankCovariance.model_validate(value)
    if isinstance(value, (list, tuple)) and value and isinstance(value[0], (list, tuple)):
        return symmetric_rows(value)
    found = number_or_list(value, "a variance, n variances, n rows of n numbers, or {std: s, factors: [u, ...]}")
    if min(found if isinstance(found, list) else [found]) <= 0:
        raise ValueError("variances > 0 are needed")
    return found


#: a number for every coordinate, a list of n numbers, n rows of n numbers, or a `LowRankCovariance`
Covariance = Annotated[Any, BeforeValidator(_covariance)]


class Mixture(TargetOptions):
    """A mixture of K Gaussians.

    n: dimension. weights: K numbers > 0, normalised to sum 1, `equal`, or {power: a} for weights that go as 1/k^a.
    means: K vectors, each a number, a list of n numbers or {norm: r} for a random direction; or {count: K, norm: r} for
    K random directions. std: one number > 0, or K numbers > 0. covariances: null, for modes std_k^2 I; or K entries
    in the place of `std`, each a variance, n variances, n rows of n numbers, or {std: s, factors: [u, ...]} for
    s^2 I + sum_j u_j u_j^T, with the factors as the means. modes_seed: the seed of random means and factors, apart from
    the seed of the run; null for that of the run.
    """

    added: ClassVar = {"direction": None, "covariances": None, "modes_seed": None}

    n: Count
    weights: Annotated[Any, BeforeValidator(_weights)]
    means: Annotated[list[Vector] | RandomMeans, BeforeValidator(_means)]
    std: Positive | list[Positive]
    covariances: list[Covariance] | None = None
    modes_seed: Seed | None = None

    @property
    def modes(self) -> int:
        """K."""
        return self.means.count if isinstance(self.means, RandomMeans) else len(self.means)

    @model_validator(mode="after")
    def _lengths(self):
        modes = self.modes
        if modes < 1:
            raise ValueError("means is empty: at least one mode is needed")
        if isinstance(self.weights, list) and len(self.weights) != modes:
            given = len(self.weights)
            raise ValueError(f"means has {modes} vectors, weights has {given} entries: one per mode is needed")
        if isinstance(self.std, list) and len(self.std) != modes:
            raise ValueError(
                f"std has {len(self.std)} entries, weights has {modes}: one number, or one per mode, is needed"
            )
        if self.covariances is not None:
            self._covariances_fit()
        if isinstance(self.means, list):
            for mode, mean in enumerate(self.means):
                self._fits(mean, f"means[{mode}]")
            self._apart()
        return self

    def _fits(self, entry, name):
        if isinstance(entry, list) and len(entry) != self.n:
            kind = "rows" if isinstance(entry[0], list) else "entries"
            raise ValueError(f"{name} has {len(entry)} {kind}, n = {self.n}: n {kind} are needed")

    def _covariances_fit(self):
        if len(self.covariances) != self.modes:
            given = len(self.covariances)
            raise ValueError(f"covariances has {given} entries, means has {self.modes}: one per mode is needed")
        for mode, entry in enumerate(self.covariances):
            self._fits(entry, f"covariances[{mode}]")
            for number, factor in enumerate(entry.factors if isinstance(entry, LowRankCovariance) else ()):
                self._fits(factor, f"covariances[{mode}].factors[{number}]")

    def _apart(self):
        """Raise ValueError for two modes that are one."""
        widths = self.covariances or (self.std if isinstance(self.std, list) else [self.std] * self.modes)
        fixed = [mean if isinstance(mean, list) else [mean] * self.n for mean in self.means]
        random = [isinstance(mean, RandomDirection) for mean in self.means]
        what = "std" if self.covariances is None else "covariance"
        for (one, first), (other, second) in itertools.combinations(enumerate(zip(fixed, widths, strict=True)), 2):
            if not random[one] and first == second:
                raise ValueError(
                    f"modes {one} and {other} have one mean and one {what}: one mode with both weights does it"
                )

    def memory_needed(self):
        """The means, and the covariances that have n x n entries."""
        square = self.covariances is not None and any(self._is_square(entry) for entry in self.covariances)
        return 24.0 * self.modes * self.n * (self.n if square else 1)

    @staticmethod
    def _is_square(entry):
        return isinstance(entry, list) and isinstance(entry[0], list)

    def build(self, generator):
        import torch

        from scorelab.randomness import stream
        from scorelab.targets.gaussian_mixture import GaussianMixture

        if self.modes_seed is not None:
            generator = stream(self.modes_seed, "modes")
        given = (
            [RandomDirection(norm=self.means.norm)] * self.modes if isinstance(self.means, RandomMeans) else self.means
        )
        means = torch.stack([vector(mean, self.n, generator) for mean in given])
        weights = self.weights
        if not isinstance(weights, list):
            power = 0.0 if weights == "equal" else weights.power
            weights = torch.arange(1, self.modes + 1, dtype=torch.float64) ** -power
        if self.covariances is None:
            return GaussianMixture(weights, means, self.std)
        if all(isinstance(entry, float) for entry in self.covariances):
            return GaussianMixture(weights, means, torch.tensor(self.covariances, dtype=torch.float64).sqrt())
        return self._anisotropic(weights, means, generator)

    def _anisotropic(self, weights, means, generator):
        """The mixture with the class that has the least to compute."""
        import torch

        from scorelab.targets.anisotropic_mixture import AnisotropicMixture, LowRankMixture

        thin = [entry for entry in self.covariances if isinstance(entry, LowRankCovariance)]
        if not thin and not any(map(self._is_square, self.covariances)):
            return AnisotropicMixture(weights, means, torch.stack([vector(e, self.n, None) for e in self.covariances]))
        rank = max((len(entry.factors) for entry in thin), default=0)
        stds, factors, matrices = [], means.new_zeros(self.modes, rank, self.n), []
        for mode, entry in enumerate(self.covariances):
            if isinstance(entry, LowRankCovariance):
                for number, factor in enumerate(entry.factors):
                    factors[mode, number] = vector(factor, self.n, generator)
                stds.append(entry.std)
            elif isinstance(entry, float):
                stds.append(entry**0.5)
            else:
                stds.append(0.0)  # neither: its matrix is all there is to it
                matrix = torch.tensor(entry, dtype=torch.float64)
                matrices.append((mode, matrix if matrix.dim() == 2 else matrix.diag()))
        if not matrices:
            return LowRankMixture(weights, means, torch.tensor(stds, dtype=torch.float64), factors)
        square = torch.tensor(stds, dtype=torch.float64).square().reshape(-1, 1, 1) * torch.eye(self.n).double()
        square = square + factors.mT @ factors
        for mode, matrix in matrices:
            least = float(torch.linalg.eigvalsh(matrix)[0])
            if not least > 0:
                why = f"its least eigenvalue is {least:.3g}, and a positive definite matrix is needed"
                raise ConfigError(f"{HERE}.covariances[{mode}]: {why}")
            square[mode] = matrix
        return AnisotropicMixture(weights, means, square)
