"""Spins with pair couplings: the Sherrington-Kirkpatrick, Curie-Weiss and Hopfield models, and any other matrix."""

import math

import torch

from scorelab.laws.spin_sums import SpinSums
from scorelab.targets.couplings import Couplings
from scorelab.targets.finite import FiniteTarget, leading_direction
from scorelab.targets.priors import Rademacher


class Ising(FiniteTarget):
    """P(x) ~ exp(beta/2 <x, A x> + <h, x>) on {-1, 1}^n, by exact sums over the states for n <= 22.

    A (n, n): the couplings, a symmetric matrix of finite numbers. beta: the inverse temperature, >= 0. h: the field,
    (n,) or one number; 0 by default. direction (n,): the leading eigenvector of A, with |d|^2 = n, so that the
    projection <x, d>/n is an overlap; (1, ..., 1) for a ferromagnet.

    The diagonal of A is in the energy and changes nothing else. Above n = 22 the target has its couplings, energy and
    direction, and no samples. Raises ValueError for an A that is not symmetric, and for numbers that are not allowed.
    Source: CS 224 lecture 24, section 3, with the sign +.
    """

    prior = Rademacher()

    def __init__(self, A, beta, h=None):
        A = symmetric(A)
        beta = float(beta)
        if not (0 <= beta < math.inf):
            raise ValueError(f"beta = {beta:g}: a finite number >= 0 is needed")
        h = torch.as_tensor(0.0 if h is None else h, dtype=torch.float64)
        if h.shape not in ((), (len(A),)):
            raise ValueError(f"h has shape {tuple(h.shape)}: a number, or the shape ({len(A)},) of a sample, is needed")
        if not bool(torch.isfinite(h).all()):
            raise ValueError("h: finite numbers are needed")
        self.n, self.A, self.beta = len(A), A, beta
        self.h = h.expand(self.n).clone()
        self.direction = leading_direction(self.A)

    @property
    def couplings(self):
        return Couplings(self.A, self.beta, self.h, Rademacher())

    def make_sums(self):
        return SpinSums.quadratic(self.beta * self.A, self.h)

    def field(self, x, angle) -> torch.Tensor:
        """The field of the posterior of X given x_phi = x, x sin/cos^2 + h, (count, n); infinite at pi/2."""
        return self.tilt(x, angle) + self.h

    def energy(self, x) -> torch.Tensor:
        """<x, A x>/n for states x (count, n), (count,): minus twice the energy a spin. For the Sherrington-Kirkpatrick
        model its mean tends to beta as n grows, for beta < 1."""
        x = torch.as_tensor(x)
        return ((x @ self.A.to(x.dtype)) * x).sum(-1) / self.n

    def mean_energy(self) -> float:
        """The exact mean of `energy`."""
        return float((self.A * self.correlations()).sum()) / self.n


def symmetric(A) -> torch.Tensor:
    """A symmetric matrix (n, n), float64. Raises ValueError for anything else, and for numbers that are not finite."""
    A = torch.as_tensor(A, dtype=torch.float64)
    if A.dim() != 2 or A.shape[0] != A.shape[1] or not len(A):
        raise ValueError(f"A has shape {tuple(A.shape)}: a square matrix (n, n) is needed")
    if not bool(torch.isfinite(A).all()):
        raise ValueError("A: a matrix of finite numbers is needed")
    off = (A - A.T).abs()
    if float(off.max()) > 1e-12 * float(A.abs().max()):
        i, j = divmod(int(off.argmax()), len(A))
        raise ValueError(
            f"A is not symmetric: A[{i}, {j}] = {float(A[i, j]):g}, A[{j}, {i}] = {float(A[j, i]):g}; "
            "a symmetric matrix is needed"
        )
    return 0.5 * (A + A.T)


def sherrington_kirkpatrick(n: int, generator: torch.Generator) -> torch.Tensor:
    """Couplings (n, n): symmetric, N(0, 1/n) off the diagonal and N(0, 2/n) on it."""
    noise = torch.randn(n, n, generator=generator, dtype=torch.float64)
    return (noise + noise.T) / math.sqrt(2 * n)


def ferromagnet(n: int) -> torch.Tensor:
    """Couplings (n, n) of the Curie-Weiss model, 1/n each."""
    return torch.full((n, n), 1 / n, dtype=torch.float64)


def hopfield(n: int, patterns: int, generator: torch.Generator) -> torch.Tensor:
    """Couplings (n, n): sum_k xi_k xi_k^T/n for `patterns` vectors xi_k of fair signs."""
    signs = 2.0 * torch.randint(2, (patterns, n), generator=generator).double() - 1
    return signs.T @ signs / n
