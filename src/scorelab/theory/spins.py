"""What is known of spin systems in closed form: the limits of the Sherrington-Kirkpatrick model (SK) for beta < 1
without a field, and the magnetization of the Curie-Weiss ferromagnet.

P(x) ~ exp(beta/2 <x, A x> + h <x, 1>) on {-1, 1}^n, as `scorelab.targets.Ising` has it: A symmetric with N(0, 1/n) off
the diagonal and N(0, 2/n) on it for SK, and all entries 1/n for the ferromagnet.
"""

import math

# Sherrington and Kirkpatrick. ---------------------------------------------------------------------------------------


def sk_energy(beta: float) -> float | None:
    """The limit of E <x, A x>/n as n grows, beta for beta < 1; None from beta = 1 on, where it has no simple form."""
    return beta if beta < 1 else None


def sk_free_energy(beta: float) -> float | None:
    """The limit of log(sum of the weights)/n as n grows, log 2 + beta^2/4 for beta <= 1; None above.

    Aizenman, Lebowitz and Ruelle (1987). The part <x, A x>/2 of the diagonal is of the order of 1/sqrt(n).
    """
    return math.log(2) + beta**2 / 4 if beta <= 1 else None


def sk_overlap(beta: float) -> float | None:
    """The limit of n E R^2 as n grows, R = <x, x'>/n for two draws: 1/(1 - beta^2) for beta < 1; None above."""
    return 1 / (1 - beta**2) if beta < 1 else None


# Curie and Weiss. ---------------------------------------------------------------------------------------------------


def magnetization(beta: float, h: float = 0.0) -> float:
    """The solution m = tanh(beta m + h) with the sign of h that is largest in size; for h = 0 the one >= 0.

    For h = 0 it is 0 up to beta = 1, and above it the magnetization tends to m or -m, with probability 1/2 each.
    """
    from scipy.optimize import brentq

    if h == 0 and beta <= 1:
        return 0.0
    lowest = (
        0.0 if h != 0 else min(1.0, math.sqrt(3 * (beta - 1) / beta**3)) / 2
    )  # half of the leading order at beta = 1
    found = brentq(lambda m: math.tanh(beta * m + abs(h)) - m, lowest, 1.0, xtol=1e-15)
    return math.copysign(found, h if h else 1.0)
