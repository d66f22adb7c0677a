"""Targets on alphabet^n, such as spins, whose posterior is computed by exact sums over all states."""

import abc
import math
from functools import cached_property

import torch

from scorelab.channel import posterior_mean_to_score, sin_cos
from scorelab.errors import ScorelabError
from scorelab.laws.atoms import Atoms
from scorelab.laws.spin_sums import SpinSums, too_many
from scorelab.randomness import choose, uniform
from scorelab.targets import listed
from scorelab.targets.base import CAPABILITIES, NO_SCORE, Target
from scorelab.targets.signal import orthogonal_variance

#: the most atoms of a projection whose law with noise is given, a mixture with a mode an atom
_FEW_ATOMS = 512
#: what needs the sums over all states
_SUMMED = (
    *("sample", "posterior_mean", "noisy_log_prob", "noisy_score", "projection", "noisy_projection"),
    *("orthogonal_variance", "correlations", "covariance"),
    *("states", "tilted_mean", "conditional_mean", "conditional_draw"),
)
#: the most states that are listed
_LISTED = 2**14


class FiniteTarget(Target):
    """A law on alphabet^n, where alphabet has few letters: {-1, 1} by default.

    A subclass sets `n`, and `make_sums`, which returns the `SpinSums` of the law. All capabilities that need the sums
    are given up where there are more than 2^22 states, which is n > 22 for spins; the reason is one line. At the angle
    pi/2 the law has atoms, and neither a density nor a score, so that it does not have the capability `score`.
    """

    alphabet: tuple[float, ...] = (-1.0, 1.0)

    @abc.abstractmethod
    def make_sums(self) -> SpinSums:
        """The sums over all states, made once."""

    @cached_property
    def sums(self) -> SpinSums:
        """The sums over all states. Raises ScorelabError if there are too many."""
        if self.too_many is not None:
            raise ScorelabError(self.too_many)
        return self.make_sums()

    @property
    def too_many(self) -> str | None:
        """Why nothing is summed over the states; None if it is."""
        return too_many(self.n, len(self.alphabet))

    def _own(self, attribute):
        if attribute == "noisy_score" or (attribute in _SUMMED and self.too_many is not None):
            return False  # a target with the capability `score` has one at pi/2 as well
        if attribute == "states" and len(self.alphabet) ** self.n > _LISTED:
            return False
        return super()._own(attribute) and (attribute != "noisy_projection" or self._has_few_atoms())

    def lacks(self, *names):
        for name in names:
            if (why := super().lacks(name)) is not None:
                needed = {name, *CAPABILITIES[name].derived_from}
                summed = any(attribute in _SUMMED for each in needed for attribute in CAPABILITIES[each].attributes)
                return (self.too_many if summed else None) or (NO_SCORE if name == "score" else why)
        return None

    # The law itself. ------------------------------------------------------------------------------------------------

    def sample(self, count, generator, dtype=torch.float32):
        return self.sums.sample(count, generator).to(dtype)

    def log_partition(self, tilt=None) -> torch.Tensor:
        """The logarithm of the sum of the weights of all states; () for no tilt, or (B,), see `SpinSums`."""
        found = self.sums.log_partition(tilt)
        return found[0] if tilt is None else found

    def marginals(self) -> torch.Tensor:
        """E x_i, (n,); for spins P(x_i = 1) = (1 + E x_i)/2."""
        return self.sums.means()[0]

    def correlations(self) -> torch.Tensor:
        """E[x x^T], (n, n)."""
        return self.sums.pair_moments()[0]

    @property
    def covariance(self) -> torch.Tensor:
        """Cov X, (n, n)."""
        mean = self.marginals()
        return self.correlations() - torch.outer(mean, mean)

    def entropy(self) -> float:
        """-E log P(x), in nats."""
        return float(self.sums.entropy())

    # The noisy state. -----------------------------------------------------------------------------------------------

    def tilt(self, x, angle) -> torch.Tensor:
        """What x_phi = x (count, n) says of the coordinates: a tilt of `sums`.

        For the alphabet {-a, a} it is the field x sin/cos^2, (count, n), infinite at pi/2. For any other it is the
        logarithms sin a (x - sin a/2)/cos^2 of the factors of the letters a, (count, n, letters); at pi/2 the letter
        nearest to x is certain.
        """
        x = x.double()
        sin, cos = sin_cos(angle, x)
        letters = torch.tensor(self.alphabet, dtype=torch.float64, device=x.device)
        if len(letters) == 2 and float(letters.sum()) == 0:
            return torch.where((x == 0) & (cos == 0), 0.0, x * sin / cos**2)
        if not bool((cos == 0).any()):
            return (
                sin.unsqueeze(-1)
                * letters
                * (x.unsqueeze(-1) - 0.5 * sin.unsqueeze(-1) * letters)
                / cos[..., None] ** 2
            )
        distance = (x.unsqueeze(-1) - letters).abs()
        nearest = torch.nn.functional.one_hot(distance.argmin(-1), len(letters)).bool()
        return torch.where(nearest, 0.0, -torch.inf)

    def posterior_mean(self, x, angle):
        lost = x.isnan()  # of a sampler that diverges, which says so itself
        mean = self.sums.means(self.tilt(torch.where(lost, 0.0, x), angle)).to(x.dtype)
        return torch.where(lost.any(1, keepdim=True), torch.nan, mean)

    def posterior_pair_moments(self, x, angle) -> torch.Tensor:
        """E[X X^T | x_phi = x], (count, n, n)."""
        return self.sums.pair_moments(self.tilt(x, angle)).to(x.dtype)

    def posterior_sample(self, x, angle, generator) -> torch.Tensor:
        """One exact draw of X given x_phi = x for each row of x, (count, n)."""
        return self.sums.sample(len(x), generator, self.tilt(x, angle)).to(x.dtype)

    def noisy_log_prob(self, x, angle):
        """`density`: log p_phi(x), (count,), the law of noise with a mode at each state. Raises ValueError at pi/2."""
        noisy = x.double()
        sin, cos = sin_cos(angle, noisy)
        if bool((cos == 0).any()):
            raise ValueError("angle = pi/2: a law with finitely many states has no density")
        letters = torch.tensor(self.alphabet, dtype=torch.float64, device=x.device)
        squared = ((noisy.unsqueeze(-1) - sin.unsqueeze(-1) * letters) / cos.unsqueeze(-1)) ** 2
        found = self.sums.log_partition(-0.5 * squared) - self.sums.log_partition()
        scale = torch.log(cos.expand(len(x), self.n)) if cos.dim() else cos.log().expand(len(x), self.n)
        return (found - 0.5 * self.n * math.log(2 * math.pi) - scale.sum(1)).to(x.dtype)

    def noisy_score(self, x, angle):
        """grad log p_phi(x), (count, n). Raises ValueError at pi/2, where there is no density."""
        return posterior_mean_to_score(self.posterior_mean(x, angle), x, angle)

    @property
    def risk_draws(self):
        """4096 for 2^16 states or fewer, as many sums in all for more states, and at least 256."""
        return max(256, min(4096, 4096 * 2**16 // len(self.alphabet) ** self.n))

    def posterior_risk(self, clean, x, angle):
        """The posterior variance, which has the mean of the squared error and less noise, (count,)."""
        return self.sums.means_and_variances(self.tilt(x, angle))[1].sum(1)

    # Other observations. --------------------------------------------------------------------------------------------

    @property
    def spins(self):
        """Whether every coordinate is -1 or 1; None if not."""
        return tuple(self.alphabet) == (-1.0, 1.0) or None

    def states(self):
        return self.sums.states(), self.sums.log_weights.flatten()

    def tilted_mean(self, linear, precision=None):
        if precision is not None and self.spins and not bool((precision.tril(-1) != 0).any()):
            precision = None  # a diagonal changes nothing, as x_i^2 = 1
        if precision is not None and (precision.dim() == 3 or self.gives("states")):
            # a field and a matrix that nearly cancel: their sum is taken for each state
            return listed.tilted_mean(self.states(), linear, precision)
        sums = self.sums if precision is None else self.sums.tilted(precision)
        return sums.means(linear).to(linear.dtype)

    def _given(self, values, known):
        """The tilt that keeps the states which have the known coordinates, (count, n, letters)."""
        letters = torch.tensor(self.alphabet, dtype=torch.float64)
        other = known.bool().unsqueeze(2) & ((values.double().unsqueeze(2) - letters).abs() > 1e-6)
        return torch.where(other, -torch.inf, 0.0).double()

    def conditional_mean(self, values, known):
        return self.sums.means(self._given(values, known)).to(values.dtype)

    def conditional_draw(self, values, known, noise):
        letter = choose(self.sums.marginals(self._given(values, known)), uniform(noise()))
        return torch.where(known.bool(), values, torch.tensor(self.alphabet, dtype=values.dtype)[letter])

    # Projections. ---------------------------------------------------------------------------------------------------

    def projection(self, direction) -> Atoms:
        """`projection`: the exact law of <X, d>/|d|^2, which has atoms; values that agree up to rounding are one."""
        direction = torch.as_tensor(direction, dtype=torch.float64)
        return self.sums.projection(direction / direction.square().sum())

    def noisy_projection(self, direction, angle):
        """`noisy_projection`: exact, where <X, d> has at most 512 values."""
        direction = torch.as_tensor(direction, dtype=torch.float64)
        sin, cos = (float(value) for value in sin_cos(angle, direction.new_zeros(())))
        return self.projection(direction).noisy(sin, (cos / float(direction.norm())) ** 2)

    def _has_few_atoms(self) -> bool:
        """Whether the projection on the target's own direction has few values."""
        direction = self.direction
        if len(self.alphabet) ** self.n <= _FEW_ATOMS:
            return True
        return direction is not None and bool((direction == direction.abs().max()).all())

    def orthogonal_variance(self, direction):
        return orthogonal_variance(self.covariance, direction)


def leading_direction(matrix) -> torch.Tensor:
    """The leading eigenvector d (n,) of a symmetric matrix (n, n), with |d|^2 = n, so that <x, d>/|d|^2 is the overlap
    of x with d. Its largest entry in size, the first of several, is positive; (1, ..., 1) for a matrix of zeros."""
    n = len(matrix)
    if not bool(matrix.any()):
        return torch.ones(n, dtype=torch.float64)
    vector = torch.linalg.eigh(matrix).eigenvectors[:, -1]
    size = vector.abs()
    first = int(torch.nonzero(size >= float(size.max()) * (1 - 1e-9))[0, 0])
    vector = vector * torch.sign(vector[first]) * math.sqrt(n)
    rounded = vector.sign()  # a vector of signs comes out as one exactly
    return rounded if bool((vector - rounded).abs().max() < 1e-9) else vector
