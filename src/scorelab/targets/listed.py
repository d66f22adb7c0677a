"""Posteriors of a law on finitely many listed states, as sums over all of them, in float64.

Each function takes `states`, the pair of the points (S, n) and the logarithms of their weights (S,), and returns
tensors of the dtype of its argument. Memory grows like count S.
"""

import torch

from scorelab.errors import ScorelabError
from scorelab.randomness import choose, uniform

#: squared distance, over the largest squared coordinate, up to which a value is that of a state
_SAME = 1e-9
#: entries of a table of samples and states that are made at a time
_BLOCK = 2**22


def tilted_weights(states, linear, precision=None):
    """The weights of the states under mu(dx) exp(<b, x> - <x, Q x>/2), (count, S); see `Target.tilted_mean`."""
    points, log_weights = states
    exponent = linear.double() @ points.T + log_weights
    if precision is not None:
        precision = precision.double()
        if precision.dim() == 2:
            exponent = exponent - 0.5 * ((points @ precision) * points).sum(1)
        else:
            products = (points.unsqueeze(2) * points.unsqueeze(1)).flatten(1)
            exponent = exponent - 0.5 * precision.flatten(1) @ products.T
    return torch.softmax(exponent, 1)


def tilted_mean(states, linear, precision=None):
    """The mean of the tilted law, (count, n)."""
    rows = torch.arange(len(linear)).split(max(_BLOCK // len(states[0]), 1))
    shared = precision is None or precision.dim() == 2
    means = [
        tilted_weights(states, linear[some], precision if shared else precision[some]) @ states[0] for some in rows
    ]
    return torch.cat(means).to(linear.dtype)


def conditional_weights(states, values, known):
    """The weights of the states given the known coordinates, (count, S). Raises ScorelabError where there is none."""
    points, log_weights = states
    values, known = values.double(), known.double()
    missed = (
        known @ points.square().T - 2 * (known * values) @ points.T + (known * values.square()).sum(1, keepdim=True)
    )
    fits = missed < _SAME * points.square().max()
    if not bool(fits.any(1).all()):
        raise ScorelabError("the known coordinates are those of no state of the target")
    return torch.softmax(torch.where(fits, log_weights, -torch.inf), 1)


def conditional_mean(states, values, known):
    """The mean given the known coordinates, (count, n)."""
    mean = (conditional_weights(states, values, known) @ states[0]).to(values.dtype)
    return torch.where(known.bool(), values, mean)


def conditional_draw(states, values, known, noise):
    """A draw of each coordinate given the known ones, (count, n): for each coordinate the value of a state."""
    weights = conditional_weights(states, values, known)
    chosen = choose(weights.unsqueeze(1), uniform(noise()))
    drawn = torch.gather(states[0].T.expand(len(values), -1, -1), 2, chosen.unsqueeze(2)).squeeze(2)
    return torch.where(known.bool(), values, drawn.to(values.dtype))
