"""Exact moments of SGD on least squares and of the equations that model it, for any inputs of equal, independent
coordinates. Ge's thesis, sections 3.2 and 4; the equation of second order is that of Li, Tai and E (2019).

With delta = theta - theta*, H = E x x^T, F(S) = E x x^T S x x^T, c = sigma^2 H and g the factor of x (<theta,x> - y) in
a step,

    SGD             delta' = (I - g x x^T) delta + g xi x
                    S' = S - g (HS + SH) + g^2 (F(S) + c),                  S = E delta delta^T
    modified        d delta = -H delta dt + (g Sigma(delta))^(1/2) dB
                    Sigma(delta) = F(delta delta^T) + c - H delta delta^T H
                    dS/dt = -(HS + SH) + g (F(S) - HSH + c)
    second order    the same with the drift -(H + g H^2/2) delta
    OU              the same as `modified` with Sigma = c, its value at theta*

A step of SGD takes the time g. Every law has linear second moments, so that a step of one size is a matrix: of the
recursion itself, and the matrix exponential of the equation's. Where g changes from step to step the equation has the
noise of the present step during the time of this step.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy
from scipy import linalg

#: name of a law -> the name that tables and figures show
LAWS = {"sgd": "SGD", "modified": "modified equation", "second_order": "second order", "ou": "OU process"}
EQUATIONS = tuple(LAWS)[1:]
#: second moments above this are beyond double precision before long; they are infinite here
LARGEST = 1e290
_CHUNK = 2048  # matrix exponentials at once


# The inputs. ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Inputs:
    """Independent coordinates of one law. moments: E x^k for k = 0 ... 4. top: the coordinates are uniform on [0, top];
    None if they are standard normal."""

    moments: tuple[float, ...]
    top: float | None

    @classmethod
    def normal(cls):
        """N(0, I)."""
        return cls((1.0, 0.0, 1.0, 0.0, 3.0), None)

    @classmethod
    def uniform(cls, top: float):
        """Uniform on [0, top] in each coordinate."""
        return cls(tuple(top**k / (k + 1) for k in range(5)), top)

    def draw(self, count: int, d: int, generator: numpy.random.Generator):
        """x (count, d), float64."""
        shape = (count, d)
        return generator.standard_normal(shape) if self.top is None else generator.uniform(0.0, self.top, shape)

    def tensor(self, d: int, degree: int):
        """E x_i x_j ... (d, ..., d) with `degree` indices: a product over the coordinates that the indices name."""
        index = numpy.indices((d,) * degree)
        moments = numpy.array(self.moments)
        return numpy.prod([moments[(index == coordinate).sum(0)] for coordinate in range(d)], axis=0)


# Second moments. ------------------------------------------------------------------------------------------------------


class Moments:
    """The linear maps of the first and second moments of delta.

    inputs: the law of x. noise: sigma. d: the number of coordinates. A second moment is kept as its coordinates in an
    orthonormal basis of the symmetric matrices, (d (d+1)/2,), with a 1 behind them, so that each map is a matrix.
    """

    def __init__(self, inputs: Inputs, noise: float, d: int):
        self.inputs, self.noise, self.d = inputs, noise, d
        self.hessian = inputs.tensor(d, 2)

    @cached_property
    def basis(self):
        """Q (d^2, d (d+1)/2) with Q^T Q = I, whose columns are symmetric matrices."""
        rows, columns = numpy.triu_indices(self.d)
        found = numpy.zeros((self.d, self.d, len(rows)))
        number = numpy.arange(len(rows))
        found[rows, columns, number] += 0.5
        found[columns, rows, number] += 0.5
        found = found.reshape(self.d**2, -1)
        return found / numpy.linalg.norm(found, axis=0)

    def _both_sides(self, B):
        """S -> BS + SB in the basis, for a symmetric B."""
        identity = numpy.eye(self.d)
        return self.basis.T @ (numpy.kron(B, identity) + numpy.kron(identity, B)) @ self.basis

    @cached_property
    def fourth(self):
        """F in the basis."""
        return self.basis.T @ self.inputs.tensor(self.d, 4).reshape(self.d**2, -1) @ self.basis

    @cached_property
    def sandwich(self):
        """S -> HSH in the basis."""
        return self.basis.T @ numpy.kron(self.hessian, self.hessian) @ self.basis

    @cached_property
    def source(self):
        """c = sigma^2 H in the basis."""
        return self.noise**2 * self.basis.T @ self.hessian.ravel()

    def packed(self, S):
        """A second moment (d, d) as a vector."""
        return numpy.append(self.basis.T @ numpy.asarray(S).ravel(), 1.0)

    def unpacked(self, states):
        """Vectors (..., d (d+1)/2 + 1) as second moments (..., d, d)."""
        return (states[..., :-1] @ self.basis.T).reshape(*states.shape[:-1], self.d, self.d)

    def drift(self, law: str, g: float):
        """B (d, d) of d E delta = -B E delta dt of an equation."""
        return self.hessian + (0.5 * g * self.hessian @ self.hessian if law == "second_order" else 0.0)

    def generator(self, law: str, g: float):
        """The matrix G of dz/dt = G z, for the vector z of a second moment under an equation."""
        noise = 0.0 if law == "ou" else g * (self.fourth - self.sandwich)
        return _affine(noise - self._both_sides(self.drift(law, g)), g * self.source, 0.0)

    def maps(self, law: str, sizes):
        """What steps of the sizes g (count,) do to E delta, (count, d, d), and to the vector of S, (count, k, k)."""
        if law != "sgd":
            drifts = numpy.stack([-g * self.drift(law, g) for g in sizes])
            return linalg.expm(drifts), linalg.expm(numpy.stack([g * self.generator(law, g) for g in sizes]))
        g = numpy.asarray(sizes, float)[:, None, None]
        first = numpy.eye(self.d) - g * self.hessian
        linear = numpy.eye(len(self.source)) - g * self._both_sides(self.hessian) + g**2 * self.fourth
        steps = [_affine(A, size**2 * self.source, 1.0) for A, size in zip(linear, sizes, strict=True)]
        return first, numpy.stack(steps)

    def curves(self, law: str, sizes, start):
        """E delta (steps + 1, d) and S (steps + 1, d, d) after each step, from delta = start (d,).

        sizes: g of each step. What is beyond 1e290 at some step is infinite there, and at every later step.
        """
        sizes = numpy.asarray(sizes, float)
        mean, state = numpy.array(start, float), self.packed(numpy.outer(start, start))
        means, states = [mean], [state]
        with numpy.errstate(all="ignore"):
            for first in range(0, len(sizes), _CHUNK):
                chunk = sizes[first : first + _CHUNK]
                different, place = numpy.unique(chunk, return_inverse=True)
                firsts, seconds = self.maps(law, different)
                for number in place:
                    mean, state = firsts[number] @ mean, seconds[number] @ state
                    if not numpy.abs(state).max() < LARGEST:  # also nan
                        mean, state = numpy.full_like(mean, math.inf), numpy.full_like(state, math.inf)
                    means.append(mean)
                    states.append(state)
            found = self.unpacked(numpy.array(states))
            found[~numpy.isfinite(states).all(1)] = math.inf
        return numpy.array(means), found

    def growth(self, g: float) -> float:
        """The spectral radius of S -> E (I - g x x^T) S (I - g x x^T): a step of SGD multiplies large second moments by
        it, and steps are stable in the mean square where it is below 1."""
        linear = numpy.eye(len(self.source)) - g * self._both_sides(self.hessian) + g**2 * self.fourth
        return float(numpy.abs(numpy.linalg.eigvals(linear)).max())

    def threshold(self, law: str) -> float:
        """The g from which on second moments grow without bound; infinite for the OU process.

        L(S) = HS + SH has a positive inverse and the noise g N is a positive map, so that -L + g N is stable as long as
        g is below 1 over the spectral radius of L^-1 N; for SGD N = F, for the modified equation N = F - H . H. With
        x ~ N(0, I_d) these are 2/(d+2) and 2/(d+1).
        """
        if law == "ou":
            return math.inf
        if law not in ("sgd", "modified"):
            raise ValueError(f"law = {law}: a threshold is known of sgd, modified and ou")
        noise = self.fourth - (self.sandwich if law == "modified" else 0.0)
        ratios = numpy.linalg.solve(self._both_sides(self.hessian), noise)
        return 1 / float(numpy.abs(numpy.linalg.eigvals(ratios)).max())

    def stationary(self, law: str, g: float):
        """The limit of S (d, d) for steps of one size g, or None where there is none."""
        if law == "sgd":
            stable = self.growth(g) < 1
            matrix = g * self._both_sides(self.hessian) - g**2 * self.fourth
            source = g**2 * self.source
        else:
            whole = self.generator(law, g)
            matrix, source = -whole[:-1, :-1], whole[:-1, -1]
            stable = numpy.linalg.eigvals(matrix).real.min() > 0
        return self.unpacked(numpy.append(numpy.linalg.solve(matrix, source), 1.0)) if stable else None

    def averaged(self, sizes, start, after: int):
        """E |mean of delta over the steps after + 1 ... t|^2 for SGD, (steps + 1,); nan up to the step `after`.

        With a = sum of delta over these steps, M = I - g H and C = E delta a^T, a step has E delta' a^T = M C, hence
        C' = M C + S' and E a' a'^T = E a a^T + M C + (M C)^T + S'.
        """
        S = self.curves("sgd", sizes, start)[1]
        mixed, total = numpy.zeros((self.d, self.d)), numpy.zeros((self.d, self.d))
        found = numpy.full(len(S), math.nan)
        with numpy.errstate(all="ignore"):
            for t in range(after + 1, len(S)):
                carried = mixed - sizes[t - 1] * self.hessian @ mixed
                total = total + carried + carried.T + S[t]
                mixed = carried + S[t]
                found[t] = numpy.trace(total) / (t - after) ** 2
        return numpy.where(numpy.arange(len(S)) > after, numpy.nan_to_num(found, nan=math.inf), math.nan)


def _affine(matrix, vector, last):
    """The matrix that takes (z, 1) to (matrix z + vector, last): last is 1 for a step, 0 for a rate."""
    size = len(vector)
    found = numpy.zeros((size + 1, size + 1))
    found[:size, :size], found[:size, size], found[size, size] = matrix, vector, last
    return found


# Distances. -----------------------------------------------------------------------------------------------------------


def gelbrich(mean, covariance, other_mean, other_covariance) -> float:
    """The Wasserstein-2 distance of two normal laws, which is the least of any two laws with these moments: Gelbrich
    (1990). (|m - m'|^2 + tr(C + C' - 2 (C^1/2 C' C^1/2)^1/2))^(1/2)."""
    # tr (C^1/2 C' C^1/2)^1/2 is the nuclear norm of R^T R' for any roots C = R R^T, C' = R' R'^T; and the distance is
    # the least |R - R' O| over rotations O, which does not cancel where the covariances agree.
    root, other = _root(covariance), _root(other_covariance)
    left, _, right = numpy.linalg.svd(other.T @ root)
    apart = root - other @ (left @ right)
    return math.sqrt(float(((mean - other_mean) ** 2).sum() + (apart**2).sum()))


def _root(covariance):
    values, vectors = numpy.linalg.eigh(covariance)
    return vectors * numpy.sqrt(numpy.clip(values, 0, None))
