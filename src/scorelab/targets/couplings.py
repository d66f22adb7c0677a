"""What a target with coupled coordinates says of itself to an algorithm that needs no sum over its states."""

from typing import Any, NamedTuple

import torch


class Couplings(NamedTuple):
    """P(x) ~ prod_i prior(x_i) exp(beta/2 <x, A x> + <h, x>), and times exp(-beta^2/(4n) |x|^4) where |x|^2 is not
    fixed.

    A (n, n): symmetric, with entries of variance 1/n, float64. beta: >= 0. h (n,): the field, float64. prior: of a
    coordinate, one of `scorelab.targets.priors`.
    """

    A: torch.Tensor
    beta: float
    h: torch.Tensor
    prior: Any
