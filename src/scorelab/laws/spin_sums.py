"""Exact sums over all states of n coordinates with few values each, as {-1, 1}^n, in bounded memory.

    P(x) ~ w(x) prod_i g_i(x_i),      x in alphabet^n,      for instance g_i(x_i) = exp(b_i x_i)

The coordinates are split into two halves. The weights of the states are a matrix W (rows: states of the first half,
columns: states of the second half), and a product of factors is an outer product u v^T. So a sum over the states is a
matrix product,

    Z = sum_x w(x) prod_i g_i(x_i) = u^T W v,

and a batch of B fields at n = 20 takes two products of (B, 1024) with (1024, 1024) in place of B 2^20 exponentials.
"""

from dataclasses import dataclass
from functools import cached_property

import torch

from scorelab.errors import ScorelabError
from scorelab.laws.atoms import Atoms
from scorelab.movable import Movable
from scorelab.randomness import choose

#: the most states that are summed: spins up to n = 22
LARGEST = 2**22
#: the values of a spin
SPINS = (-1.0, 1.0)
#: numbers in one block of a computation
_BLOCK = 2**20
#: a sum below this, where the largest weight and the largest factor are 1, is computed again from logarithms
_TINY = 1e-200


def largest_n(letters: int = 2) -> int:
    """The largest n whose letters^n states are summed: 22 for spins, 13 for three letters."""
    n = 0
    while letters ** (n + 1) <= LARGEST:
        n += 1
    return n


def too_many(n: int, letters: int = 2) -> str | None:
    """Why the sums over letters^n states are not made; None if they are."""
    most = largest_n(letters)
    return f"n = {n}: exact sums over the {letters}^n states are made up to n = {most}" if n > most else None


def all_states(n: int, alphabet=SPINS) -> torch.Tensor:
    """All of alphabet^n, shape (letters^n, n), float64; the last coordinate changes first."""
    letters = torch.as_tensor(alphabet, dtype=torch.float64)
    if n == 0:
        return torch.zeros(1, 0, dtype=torch.float64)
    return torch.cartesian_prod(*[letters] * n).reshape(-1, n)


class SpinSums(Movable):
    """The law P(x) ~ exp(log_weights(x)) on alphabet^n, and every law P(x) prod_i g_i(x_i) beside it.

    log_weights: (letters^n,) in the order of `all_states`, or the same as a matrix with a row for each state of the
    first half; -inf for a state that cannot be. alphabet: the values of a coordinate, in increasing order.

    A tilt is what most methods take: fields b (B, n), for the factors exp(b_i x_i), or the logarithms of the factors
    (B, n, letters) themselves, letters in the order of the alphabet. A field of +-inf fixes its coordinate at the last
    or at the first letter, and -inf among the logarithms excludes a letter. None stands for one law without a tilt.
    Results are float64 and begin with the axis B.

    Raises ScorelabError for more than 2^22 states, and ValueError for a tilt that leaves no state.
    """

    def __init__(self, log_weights, n: int, alphabet=SPINS):
        self.n, self.alphabet = n, torch.as_tensor(alphabet, dtype=torch.float64)
        if (why := too_many(n, len(self.alphabet))) is not None:
            raise ScorelabError(why)
        self.rows, self.columns = all_states(n - n // 2, alphabet), all_states(n // 2, alphabet)
        log_weights = torch.as_tensor(log_weights, dtype=torch.float64)
        self.log_weights = log_weights.reshape(len(self.rows), len(self.columns))
        self.largest = float(self.log_weights.max())
        self.weights = torch.exp(self.log_weights - self.largest)

    @classmethod
    def quadratic(cls, matrix, field=None, alphabet=SPINS) -> "SpinSums":
        """The law P(x) ~ exp(<x, M x>/2 + <h, x>) for a symmetric matrix M (n, n) and a field h (n,)."""
        n = len(matrix)
        if (why := too_many(n, len(alphabet))) is not None:
            raise ScorelabError(why)
        empty = cls(torch.zeros(len(alphabet) ** n, dtype=torch.float64), n, alphabet)
        return empty.tilted(-torch.as_tensor(matrix, dtype=torch.float64), field)

    def tilted(self, precision, field=None) -> "SpinSums":
        """The law P(x) exp(<h, x> - <x, Q x>/2) for a symmetric Q (n, n) and a field h (n,)."""
        precision = torch.as_tensor(precision, dtype=torch.float64)
        half, rows, columns = self.rows.shape[1], self.rows, self.columns
        field = torch.zeros(self.n, dtype=torch.float64) if field is None else torch.as_tensor(field).double()
        above = rows @ field[:half] - 0.5 * ((rows @ precision[:half, :half]) * rows).sum(1)
        beside = columns @ field[half:] - 0.5 * ((columns @ precision[half:, half:]) * columns).sum(1)
        across = (rows @ precision[:half, half:]) @ columns.T
        return self.reweighted(above.unsqueeze(1) + beside - across)

    def reweighted(self, log_factors) -> "SpinSums":
        """The law P(x) exp(log_factors(x)); the factors have the shape of the weights, or are (letters^n,)."""
        log_factors = torch.as_tensor(log_factors, dtype=torch.float64).reshape(self.log_weights.shape)
        return SpinSums(self.log_weights + log_factors, self.n, self.alphabet)

    # States. --------------------------------------------------------------------------------------------------------

    @property
    def squares(self):
        """|x|^2 of every state, with the shape of the weights."""
        return self.rows.square().sum(1, keepdim=True) + self.columns.square().sum(1)

    def states(self, rows: slice = slice(None)):
        """The states of some rows of the weights, (states, n)."""
        above = self.rows[rows]
        parts = above.repeat_interleave(len(self.columns), 0), self.columns.repeat(len(above), 1)
        return torch.cat(parts, 1)

    # Tilts. ---------------------------------------------------------------------------------------------------------

    def log_factors(self, tilt):
        """The logarithms of the factors, (B, n, letters), with the largest of each coordinate 0; and what was taken
        from them, (B,). Nothing is taken for an infinite field, which makes its coordinate certain."""
        if tilt is None:
            return torch.zeros(1, self.n, len(self.alphabet), dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
        tilt = torch.as_tensor(tilt, dtype=torch.float64)
        tilt = tilt.unsqueeze(0) if tilt.dim() == 1 else tilt
        if tilt.dim() == 2:
            endless = tilt.isinf()
            finite = torch.where(endless, 0.0, tilt).unsqueeze(2) * self.alphabet
            last = torch.arange(len(self.alphabet)) == torch.where(tilt > 0, len(self.alphabet) - 1, 0).unsqueeze(2)
            tilt = torch.where(endless.unsqueeze(2) & ~last, -torch.inf, finite)
        most = tilt.amax(2)
        if not bool(torch.isfinite(most).all()):
            raise ValueError("a tilt has a coordinate without any letter, or a number that is not one")
        return tilt - most.unsqueeze(2), most.sum(1)

    def _pieces(self, tilt):
        """Yield `_Piece`s that together have every law of a batch once."""
        log_factors, taken = self.log_factors(tilt)
        half = self.rows.shape[1]
        for index in torch.arange(len(log_factors)).split(max(1, _BLOCK // len(self.rows))):
            factors = torch.exp(log_factors[index])
            piece = _Piece(self, index, _products(factors[:, :half]), _products(factors[:, half:]), self.weights)
            piece.offset = taken[index] + self.largest
            well = piece.totals > _TINY
            if bool(well.all()):
                yield piece
                continue
            if bool(well.any()):
                chosen = _Piece(self, index[well], piece.u[well], piece.v[well], self.weights)
                chosen.offset = piece.offset[well]
                yield chosen
            for one in index[~well].tolist():
                yield self._from_logarithms(log_factors[one : one + 1], taken[one], one)

    def _from_logarithms(self, log_factors, taken, index):
        """The `_Piece` of one law, whose weights have its factors."""
        half = self.rows.shape[1]
        above, beside = _sums(log_factors[:, :half]), _sums(log_factors[:, half:])
        logs = self.log_weights + above.T + beside
        largest = logs.max()
        if not bool(torch.isfinite(largest)):
            raise ValueError("a tilt leaves no state")
        piece = _Piece(self, torch.tensor([index]), torch.ones_like(above), torch.ones_like(beside), None)
        piece.weights, piece.offset = torch.exp(logs - largest), taken + largest
        return piece

    def _gather(self, tilt, measure):
        """The results of `measure` (pieces -> tensors) for all laws of a batch, in order."""
        found = [(piece.index, measure(piece)) for piece in self._pieces(tilt)]
        order = torch.argsort(torch.cat([index for index, _ in found]))
        return torch.cat([values for _, values in found])[order]

    # Sums. ----------------------------------------------------------------------------------------------------------

    def log_partition(self, tilt=None):
        """log sum_x w(x) prod_i g_i(x_i), (B,). With infinite fields it is the sum over the states that have the
        letters that they fix, times the factors of the other coordinates."""
        return self._gather(tilt, lambda piece: torch.log(piece.totals) + piece.offset)

    def marginals(self, tilt=None):
        """P(x_i = letter), (B, n, letters), each with full relative accuracy."""
        return self._gather(tilt, _Piece.marginals)

    def means(self, tilt=None):
        """E x, (B, n)."""
        return self._mean_of(self.marginals(tilt))

    def means_and_variances(self, tilt=None):
        """E x and Var x_i, (B, n) each; a variance has full relative accuracy, however nearly certain x_i is."""
        chances = self.marginals(tilt)
        squares = (self.alphabet.unsqueeze(1) - self.alphabet).square()
        return self._mean_of(chances), 0.5 * torch.einsum("bik,kl,bil->bi", chances, squares, chances)

    def _mean_of(self, chances):
        """The means of coordinates with the marginals (B, n, letters)."""
        if len(self.alphabet) == 2 and float(self.alphabet.sum()) == 0:  # in [-1, 1] also after rounding
            return float(self.alphabet[1]) * (chances[..., 1] - chances[..., 0]).clamp(-1, 1)
        return chances @ self.alphabet

    def pair_moments(self, tilt=None):
        """E[x x^T], (B, n, n)."""
        return self._gather(tilt, _Piece.pair_moments)

    def expectation(self, values, tilt=None):
        """E f(x), (B, ...).

        values: f of every state, with the shape of the weights or (letters^n,); or a function from states (states, n)
        to numbers (states, ...), which is called for a block of states at a time.
        """
        if not callable(values):
            table = torch.as_tensor(values, dtype=torch.float64).reshape(self.weights.shape)
            return self._gather(tilt, lambda piece: piece.expectation(table))
        return self._gather(tilt, lambda piece: piece.expectation_of(values))

    def entropy(self, tilt=None):
        """-E log P(x), in nats, (B,)."""
        log_factors, taken = self.log_factors(tilt)
        weights = torch.where(self.weights > 0, self.log_weights - self.largest, 0.0)
        factors = torch.where(log_factors > -torch.inf, log_factors, 0.0)
        used = self.expectation(weights, tilt) + (self.marginals(tilt) * factors).sum((1, 2))
        return (self.log_partition(tilt) - self.largest - taken - used).clamp_min(0.0)

    def sample(self, count: int, generator: torch.Generator, tilt=None):
        """Exact draws, (count, n): all of one law, or one of each law of a batch of `count` laws."""
        chance = torch.rand(2, count, generator=generator, dtype=torch.float64)
        if tilt is None or torch.as_tensor(tilt).dim() == 1 or len(tilt) == 1:
            (piece,) = self._pieces(tilt)
            return piece.draws(chance)
        if len(tilt) != count:
            raise ValueError(f"{len(tilt)} laws, {count} draws: one draw of each law is made")
        return self._gather(tilt, lambda piece: piece.draws(chance[:, piece.index]))

    def projection(self, direction, tilt=None) -> Atoms:
        """The exact law of <x, d>, for a direction d (n,) and one law."""
        direction = torch.as_tensor(direction, dtype=torch.float64)
        half = self.rows.shape[1]
        values = (self.rows @ direction[:half]).unsqueeze(1) + self.columns @ direction[half:]
        (piece,) = self._pieces(tilt)
        masses = piece.u.T * piece.weights * piece.v
        rounding = 1e-13 * float(direction.abs().sum() * self.alphabet.abs().max())
        return Atoms(values.flatten(), masses.flatten(), max(rounding, 1e-300))


@dataclass(eq=False)
class _Piece:
    """Some laws of a batch: P(row, column) ~ u(row) W(row, column) v(column).

    index: their places in the batch (b,). u: (b, rows). v: (b, columns). weights: (rows, columns), the same for all
    laws. offset: what the logarithm of the total lacks, (b,).
    """

    sums: SpinSums
    index: torch.Tensor
    u: torch.Tensor
    v: torch.Tensor
    weights: torch.Tensor | None
    offset: torch.Tensor | None = None

    @cached_property
    def row_masses(self):
        return self.u * (self.v @ self.weights.T)

    @cached_property
    def column_masses(self):
        return self.v * (self.u @ self.weights)

    @cached_property
    def totals(self):
        return self.row_masses.sum(1)

    def marginals(self):
        letters = self.sums.alphabet
        rows, columns = (
            (states.unsqueeze(2) == letters).double().flatten(1) for states in (self.sums.rows, self.sums.columns)
        )
        masses = torch.cat([self.row_masses @ rows, self.column_masses @ columns], 1)
        masses = masses.reshape(len(masses), -1, len(letters))
        return masses / masses.sum(2, keepdim=True)

    def pair_moments(self):
        rows, columns = self.sums.rows, self.sums.columns
        above, below = rows.shape[1], columns.shape[1]
        moments = self.u.new_empty(len(self.u), above + below, above + below)
        for states, masses, place in (
            (rows, self.row_masses, slice(None, above)),
            (columns, self.column_masses, slice(above, None)),
        ):
            products = (states.unsqueeze(2) * states.unsqueeze(1)).flatten(1)
            moments[:, place, place] = (masses @ products).reshape(len(masses), *[states.shape[1]] * 2)
        for i in range(above):
            across = (self.v * ((self.u * rows[:, i]) @ self.weights)) @ columns
            moments[:, i, above:] = moments[:, above:, i] = across
        return moments / self.totals.reshape(-1, 1, 1)

    def expectation(self, table):
        return (self.v * (self.u @ (self.weights * table))).sum(1) / self.totals

    def expectation_of(self, function):
        total, size = 0.0, max(1, _BLOCK // (len(self.sums.columns) * max(len(self.u), self.sums.n)))
        for first in range(0, len(self.sums.rows), size):
            some = slice(first, first + size)
            values = torch.as_tensor(function(self.sums.states(some)), dtype=torch.float64)
            masses = (self.u[:, some].unsqueeze(2) * self.weights[some] * self.v.unsqueeze(1)).flatten(1)
            total = total + masses @ values.reshape(len(values), -1)
        return (total / self.totals.unsqueeze(1)).reshape(len(self.u), *values.shape[1:])

    def draws(self, chance):
        """Exact draws (count, n) from uniform numbers (2, count): a row, then a column given the row. One draw of each
        law, or all draws of the only one."""
        found = []
        for some in torch.arange(chance.shape[1]).split(max(1, _BLOCK // len(self.sums.rows))):
            law = some if len(self.u) > 1 else torch.zeros_like(some)
            masses = self.row_masses if len(self.u) == 1 else self.row_masses[law]
            row = choose(masses, chance[0, some])
            column = choose(self.weights[row] * self.v[law], chance[1, some])
            found.append(torch.cat([self.sums.rows[row], self.sums.columns[column]], 1))
        return torch.cat(found)


def _products(factors):
    """prod_i of the factors (B, n, letters) for all states of the n coordinates, (B, letters^n)."""
    found = factors.new_ones(len(factors), 1)
    for each in factors.unbind(1):
        found = (found.unsqueeze(2) * each.unsqueeze(1)).flatten(1)
    return found


def _sums(log_factors):
    """The same sums of logarithms."""
    found = log_factors.new_zeros(len(log_factors), 1)
    for each in log_factors.unbind(1):
        found = (found.unsqueeze(2) + each.unsqueeze(1)).flatten(1)
    return found
