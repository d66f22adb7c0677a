"""What each of the three errors adds to the total variation, and the term that theorem 1 has for it:
CS 224 lecture 24, section 2.2, equation (9). Everything is exact, see `scorelab.studies.discretization.theory`.

Each function returns a row: name -> number. `variation` is a total variation, `bound` the theorem's term with the
constant 1. modes: `Modes`. T: the horizon. steps: of equal length h = T/steps.
"""

import math

from scorelab.studies.discretization.theory import (
    constant_error,
    initial_variation,
    initial_variation_at_the_end,
    orthogonal_shift,
    orthogonal_variance,
    path_kl,
    radial_variation,
    reverse_process,
    shift_variation,
    total_variation,
    weight_error,
)

#: shape -> error of the score that moves the coordinate along a
ALONG = {"along": constant_error, "weight": weight_error}


def printed_initialisation(kl, T):
    """The first term of equation (9)."""
    return math.sqrt(kl) * math.exp(-T)


def printed_discretization(lipschitz, d, h, second_moment_root, T):
    """The second term of equation (9); second_moment_root: m_2."""
    return (lipschitz * math.sqrt(d * h) + lipschitz * second_moment_root * h) * math.sqrt(T)


def printed_score(eps, T):
    """The third term of equation (9)."""
    return eps * math.sqrt(T)


def step_bound(modes, T, h) -> float:
    """The second term of equation (9) for `modes`."""
    return printed_discretization(modes.lipschitz, modes.n, h, math.sqrt(modes.second_moment), T)


def start(modes, T) -> dict[str, float]:
    """N(0, I) in the place of q_T: their distance, what the reversed process leaves of it, and Pinsker's bound."""
    row = {"T": T, "variation": initial_variation(modes, T)}
    row |= {"variation_at_the_end": initial_variation_at_the_end(modes, T), "pinsker": math.sqrt(modes.kl(T) / 2)}
    return row | {"bound": printed_initialisation(modes.kl(), T)}


def frozen_steps(modes, T, steps) -> dict[str, float]:
    """The exact score frozen over steps, from q_T: the law of the end, and the KL divergence of paths."""
    h, law = T / steps, reverse_process(modes, T, steps)
    exact = modes.density(law.y, 0.0)
    row = {"steps": steps, "h": h, "variation": law.variation(modes, exact), "kl": law.kl_from(modes, exact)}
    return row | {"path_kl": path_kl(modes, T, steps), "bound": step_bound(modes, T, h)}


def score_errors(modes, without, T, steps, eps) -> dict[str, float]:
    """Shape of an error of the score of size eps -> total variation between the ends with it and without it.

    without: the law of the end without an error. The shapes `along` and `weight` move the coordinate along a. For n > 1
    there are also `orthogonal`, a constant, and `radial`, along the state: they are orthogonal to a, in closed form.
    """
    values = {name: moved(modes, without, T, steps, shape, eps) for name, shape in ALONG.items()}
    if modes.n == 1:
        return values
    h = T / steps
    variance = orthogonal_variance(h, steps)
    radial = orthogonal_variance(h, steps, eps / math.sqrt(modes.n - 1))
    values["orthogonal"] = shift_variation(orthogonal_shift(h, steps, eps), variance)
    return values | {"radial": radial_variation(modes.n - 1, radial, variance)}


def moved(modes, without, T, steps, shape, eps) -> float:
    """Total variation between the ends with the error eps * shape of the score and without an error, both from q_T."""
    law = reverse_process(modes, T, steps, error=sized(shape, modes, eps))
    return total_variation(law.y, law.density - without.density)


def together(modes, T, steps, eps) -> dict[str, float]:
    """All three errors at once, from N(0, I), with the error of the score that moves weight between the modes."""
    law = reverse_process(modes, T, steps, error=sized(weight_error, modes, eps), from_noise=True)
    bound = printed_initialisation(modes.kl(), T) + step_bound(modes, T, T / steps) + printed_score(eps, T)
    return {"eps": eps, "variation": law.variation(modes, modes.density(law.y, 0.0)), "bound": bound}


def growth(modes, eps, first, second) -> dict[str, float]:
    """How two errors grow from one pair (T, steps) to another: the error of the steps, and the error due to an error
    eps of the score that moves weight between the modes. Each is the total variation for `second` over that for
    `first`."""
    ends = {"discretization": [], "score": []}
    for T, steps in (first, second):
        without = reverse_process(modes, T, steps)
        ends["discretization"].append(without.variation(modes, modes.density(without.y, 0.0)))
        ends["score"].append(moved(modes, without, T, steps, weight_error, eps))
    return {name: later / earlier for name, (earlier, later) in ends.items()}


def sized(shape, modes, eps):
    """eps times a shape of error, a function of (y, u)."""
    return lambda y, u: eps * shape(modes, y, u)
