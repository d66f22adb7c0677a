"""State evolution: the overlap of each iterate of approximate message passing (AMP), as n grows.

A vector theta of independent coordinates of a prior is seen through A = (beta/n) theta theta^T + W, W symmetric with
entries N(0, 1/n), and through y = t theta + sqrt(t) G. The fields of an iterate m^{k+1} = eta(z^{k+1}; gamma) of AMP
are z^{k+1} = gamma theta + sqrt(gamma) G as n grows, with gamma = beta^2 q_k + t, so that

    q_{k+1} = E[theta eta(gamma theta + sqrt(gamma) G; gamma)],     q = <m, theta>/n = |m|^2/n,     q_0 = 0

For signs q_{k+1} = E tanh^2(gamma + sqrt(gamma) G), and the limit of q_k is the overlap of the posterior mean
(Deshpande, Abbe and Montanari 2016). For beta < 1 a matrix A = W without theta has the same limits, with a draw from
the law of Sherrington and Kirkpatrick in place of theta (El Alaoui, Montanari and Sellke 2022). All numbers are
float64.
"""

import torch

from scorelab.once import once
from scorelab.targets.priors import Rademacher

#: the interval of a fixed point is halved so many times: to rounding
_HALVINGS = 60


def overlaps(beta: float, t: float, iterations: int, prior=None) -> torch.Tensor:
    """q_1 ... q_K of the iterates of AMP from m^0 = 0, (iterations,). prior: of a coordinate, by default a fair
    sign."""
    prior, found, q = prior or Rademacher(), [], torch.zeros((), dtype=torch.float64)
    for _ in range(iterations):
        q = prior.next_overlap(beta**2 * q + t)
        found.append(q)
    return torch.stack(found)


def fixed_point(beta: float, t) -> torch.Tensor:
    """The largest q in [0, 1] with q = E tanh^2(gamma + sqrt(gamma) G), gamma = beta^2 q + t, for signs.

    t: a number or a tensor >= 0; the result has its shape. It is 0 for t = 0 and beta <= 1. The right side is concave
    in q, so that there is one positive fixed point, or none; it is found by halving an interval.
    """
    return _fixed_point(float(beta), torch.as_tensor(t, dtype=torch.float64)).clone()


@once  # a sampler asks for the precisions of its steps again and again
def _fixed_point(beta, t):
    prior = Rademacher()
    low, high = torch.zeros_like(t), torch.ones_like(t)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        above = prior.next_overlap(beta**2 * middle + t) > middle
        low, high = torch.where(above, middle, low), torch.where(above, high, middle)
    return torch.where((t > 0) | (beta > 1), high, 0.0)
