"""What `conf/target` may say of spins and of spiked matrices."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, model_validator

from scorelab.options import Count, Natural, NonNegative, OpenUnit
from scorelab.targets.options import TargetOptions, number_or_list, symmetric_rows


def _matrices(n: int) -> float:
    """The bytes of the couplings, (n, n) float64, and of one copy."""
    return 16.0 * n**2


class IsingModel(TargetOptions):
    """exp(beta/2 <x, A x> + <h, x>) on {-1, 1}^n; see `scorelab.targets.Ising`.

    n: number of spins. beta: inverse temperature, >= 0. couplings: how A is made, `sk` (Sherrington-Kirkpatrick:
    symmetric, N(0, 1/n) off the diagonal, N(0, 2/n) on it), `ferromagnet` (1/n each, exact for any n), `hopfield`
    (sum_k xi_k xi_k^T/n for random patterns xi_k) or `matrix` (the rows of `matrix`). disorder_seed: the seed of random
    couplings, apart from the seed of the run. patterns: number of patterns of `hopfield`. field: h, a number or n
    numbers.
    """

    n: Count
    beta: NonNegative
    couplings: Literal["sk", "ferromagnet", "hopfield", "matrix"]
    disorder_seed: Natural
    patterns: Count
    matrix: Annotated[Any, BeforeValidator(symmetric_rows)]
    field: Annotated[Any, BeforeValidator(number_or_list)]

    @model_validator(mode="after")
    def _fitting(self):
        if self.couplings == "matrix" and self.matrix is None:
            raise ValueError("matrix = null: couplings = matrix needs n rows of n numbers, or '${npy:FILE.npy}'")
        if self.couplings != "matrix" and self.matrix is not None:
            raise ValueError(f"matrix: goes with couplings = matrix, and not with couplings = {self.couplings}")
        if self.matrix is not None and len(self.matrix) != self.n:
            raise ValueError(f"matrix has {len(self.matrix)} rows, n = {self.n}: n rows are needed")
        if isinstance(self.field, list) and len(self.field) != self.n:
            raise ValueError(f"field has {len(self.field)} entries, n = {self.n}: n entries are needed")
        return self

    def memory_needed(self):
        return 0.0 if self.couplings == "ferromagnet" else _matrices(self.n)

    def build(self):
        from scorelab.randomness import stream
        from scorelab.targets import curie_weiss, ising

        if self.couplings == "ferromagnet":
            return curie_weiss.CurieWeiss(self.n, self.beta, self.field)
        generator = stream(self.disorder_seed, "disorder")
        if self.couplings == "sk":
            couplings = ising.sherrington_kirkpatrick(self.n, generator)
        elif self.couplings == "hopfield":
            couplings = ising.hopfield(self.n, self.patterns, generator)
        else:
            couplings = self.matrix
        return ising.Ising(couplings, self.beta, self.field)


class Z2Synchronization(TargetOptions):
    """The posterior of signs theta given (strength/n) theta theta^T + W; see `scorelab.targets.SpikedModel`.

    n: number of signs. strength: >= 0; 1 is the threshold as n grows. disorder_seed: the seed of theta and W, apart
    from the seed of the run.
    """

    n: Count
    strength: NonNegative
    disorder_seed: Natural

    def memory_needed(self):
        return _matrices(self.n)

    def make_prior(self):
        """The law of one coordinate of theta."""
        from scorelab.targets.priors import Rademacher

        return Rademacher()

    def build(self):
        from scorelab.randomness import stream
        from scorelab.targets.spiked import SpikedModel

        return SpikedModel.draw(self.n, self.strength, self.make_prior(), stream(self.disorder_seed, "disorder"))


class SpikedMatrix(Z2Synchronization):
    """The same for other priors of the coordinates of theta, each with mean 0 and variance 1.

    prior: `rademacher` (signs), `sparse_rademacher` (0, or +-1/sqrt(sparsity) with probability `sparsity`) or
    `gaussian`. sparsity: strictly between 0 and 1; other priors do not use it.
    """

    prior: Literal["rademacher", "sparse_rademacher", "gaussian"]
    sparsity: OpenUnit

    def make_prior(self):
        from scorelab.targets.priors import prior_named

        return prior_named(self.prior, self.sparsity)
