"""Markov chains on spins beside the diffusion: Glauber dynamics, and parallel tempering. Many chains run at once.

The cost of a sweep, n spins drawn anew given the others, is that of one product of the matrix A with a vector.
"""

from collections.abc import Callable

import numpy

#: spins between two updates of all fields, which are a matrix product
_BLOCK = 24


class Spins:
    """Chains of P(x) ~ exp(beta/2 <x, A x>), each with an inverse temperature of its own.

    A (n, n): a symmetric array; its diagonal changes nothing and is left out. betas (chains,): > 0. generator: of
    numpy. x (n, chains): the states, at first random signs. fields: A x, kept up to date.
    """

    def __init__(self, A, betas, generator):
        self.A = numpy.asarray(A).astype(float)
        numpy.fill_diagonal(self.A, 0.0)
        self.betas, self.generator = numpy.asarray(betas, dtype=float), generator
        self.x = generator.choice([-1.0, 1.0], size=(len(self.A), len(self.betas)))
        self.fields = self.A @ self.x

    def sweep(self):
        """Draw every spin anew, one after the other, from its law given the others: P(x_i = 1) = 1/(1 + e^(-2 beta
        (A x)_i))."""
        uniform = self.generator.random(self.x.shape)
        below = (numpy.log(uniform) - numpy.log1p(-uniform)) / (2 * self.betas)
        for first in range(0, len(self.A), _BLOCK):
            block = slice(first, first + _BLOCK)
            fields, before = self.fields[block].copy(), self.x[block].copy()
            for i, row in enumerate(self.A[block, block]):  # the fields of the block alone are kept up to date in it
                new = numpy.where(below[first + i] < fields[i], 1.0, -1.0)
                fields += row[:, None] * (new - before[i])
                self.x[first + i] = new
            self.fields += self.A[:, block] @ (self.x[block] - before)

    def forms(self):
        """<x, A x> without the diagonal, (chains,)."""
        return (self.x * self.fields).sum(0)

    def exchange(self, first, second):
        """Exchange the states of two sets of chains (pairs,) with the probability that keeps both their laws."""
        forms = self.forms()
        log_ratio = 0.5 * (self.betas[first] - self.betas[second]) * (forms[second] - forms[first])
        accepted = numpy.log(self.generator.random(len(first))) < log_ratio
        one, other = first[accepted], second[accepted]
        for values in (self.x, self.fields):
            values[:, one], values[:, other] = values[:, other], values[:, one].copy()


def glauber(A, beta: float, count: int, sweeps: int, generator, observe: Callable | None = None):
    """`count` chains of Glauber dynamics from random signs; their states (count, n) after so many sweeps.

    observe(cost, x) is called after each sweep, cost: products of the matrix with a vector so far for one sample.
    """
    chains = Spins(A, numpy.full(count, beta), generator)
    for sweep in range(1, sweeps + 1):
        chains.sweep()
        if observe is not None:
            observe(sweep, chains.x.T)
    return chains.x.T.copy()


def tempering(A, beta: float, count: int, sweeps: int, generator, levels: int, observe: Callable | None = None):
    """`count` systems of parallel tempering from random signs; the states (count, n) at beta after so many sweeps.

    A system has `levels` chains at beta/levels, 2 beta/levels ... beta. After a sweep of all of them neighbours may
    exchange their states, odd and even pairs in turn. A sweep of a system costs `levels` sweeps of one chain.
    """
    chains = Spins(A, numpy.repeat(beta * numpy.arange(1, levels + 1) / levels, count), generator)
    places = numpy.arange(levels * count).reshape(levels, count)
    for sweep in range(1, sweeps + 1):
        chains.sweep()
        pairs = numpy.arange(sweep % 2, levels - 1, 2)
        chains.exchange(places[pairs].flatten(), places[pairs + 1].flatten())
        if observe is not None:
            observe(sweep * levels, chains.x[:, places[-1]].T)
    return chains.x[:, places[-1]].T.copy()
