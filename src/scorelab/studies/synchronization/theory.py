"""The spiked model A = (beta/n) theta theta^T + W by enumeration: theta in {-1, 1}^n, W Gaussian.

`symmetric`: whether W is symmetric, with N(0, 1/n) on and above the diagonal, or has n^2 independent entries N(0, 1/n).
CS 224 lecture 24, section 3.
"""

import math

import numpy
import torch

from scorelab.laws.spin_sums import all_states
from scorelab.targets.ising import sherrington_kirkpatrick

#: matrices whose forms are computed at once
_DRAWS = 500


def printed_log_posterior(forms, beta):
    """-beta/2 <x, A x>, CS 224 lecture 24, section 3; forms: <x, A x>."""
    return -0.5 * beta * forms


def log_posterior_of_symmetric_noise(forms, beta):
    """beta/2 <x, A x>, for a symmetric W with W_ij ~ N(0, 1/n) above the diagonal; forms: <x, A x>."""
    return 0.5 * beta * forms


def log_posterior_of_independent_noise(forms, beta):
    """beta <x, A x>, for a W with n^2 independent entries N(0, 1/n); forms: <x, A x>."""
    return beta * forms


def observe(theta, beta, symmetric, count, generator):
    """`count` draws of A = beta/n theta theta^T + W, shape (count, n, n)."""
    n = len(theta)
    noise = torch.randn(count, n, n, generator=generator, dtype=torch.float64) / math.sqrt(n)
    if symmetric:
        noise = noise.triu() + noise.triu(1).mT
    return beta / n * torch.outer(theta, theta) + noise


def bayes(observed, vectors, beta, symmetric):
    """P(theta | A) for each of `vectors` under the uniform prior, shape (count, 2^n), from the densities of the entries
    of A: the entries on and above the diagonal where W is symmetric, all entries where it is not."""
    n = vectors.shape[1]
    rows, columns = torch.triu_indices(n, n) if symmetric else torch.cartesian_prod(*[torch.arange(n)] * 2).T
    means = beta / n * vectors[:, rows] * vectors[:, columns]
    log_density = [
        torch.distributions.Normal(means, math.sqrt(1 / n)).log_prob(one).sum(1) for one in observed[:, rows, columns]
    ]
    return torch.softmax(torch.stack(log_density), 1)


def posterior(log_form, observed, vectors, beta):
    """The law that a form of the log posterior gives, shape (count, 2^n)."""
    forms = torch.einsum("vi,aij,vj->av", vectors, observed, vectors)
    return torch.softmax(log_form(forms, beta), 1)


def total_variation(one, other):
    """The largest total variation distance between laws (count, 2^n)."""
    return float(0.5 * (one - other).abs().sum(1).max())


def overlaps(law, vectors, theta):
    """E <x, theta>^2/n^2 under each law, shape (count,)."""
    return law @ (vectors @ theta / len(theta)).square()


def trace_variation(strength: float) -> float:
    """The total variation between the laws of the traces of A and of W, N(lambda, 2) and N(0, 2): 2 Phi(lambda/sqrt(8))
    - 1.

    It is a lower bound for A and W themselves, for every n.
    """
    return math.erf(strength / 4)


def second_moment(n: int | None, strength: float) -> float:
    """E L^2 of the likelihood ratio L of A over W, under W: E exp(lambda^2 n R^2/2) over the overlap R = <x, x'>/n of
    two independent sign vectors; None for the limit (1 - lambda^2)^(-1/2) as n grows, lambda < 1.

    The total variation is (1/2) E|L - 1| <= (1/2) (E L^2 - 1)^(1/2).
    """
    if n is None:
        return (1 - strength**2) ** -0.5
    agree = numpy.arange(n + 1)
    factorials = numpy.array([math.lgamma(k + 1) for k in range(n + 1)])
    log_chance = factorials[n] - factorials - factorials[::-1] - n * math.log(2)
    return float(numpy.exp(log_chance + 0.5 * strength**2 * (2 * agree - n) ** 2 / n).sum())


def likelihood_ratios(n: int, strength: float, count: int, generator):
    """L of `count` draws of W, (count,): the mean over all sign vectors of exp(lambda/2 <x, W x> - n lambda^2/4)."""
    vectors = all_states(n)[: 2 ** (n - 1)]  # x and -x have one value
    found = []
    for first in range(0, count, _DRAWS):
        W = torch.stack([sherrington_kirkpatrick(n, generator) for _ in range(min(_DRAWS, count - first))])
        forms = ((vectors @ W) * vectors).sum(2)
        found.append(torch.exp(0.5 * strength * forms - n * strength**2 / 4).mean(1))
    return torch.cat(found)
