"""The gradient at high noise, and power iteration: section 8.2 a and appendix D."""

import math

import torch

from scorelab.claims import CORRECTED, Evidence, at_least, at_most, claim, equal
from scorelab.claims.panels import panel, panels
from scorelab.theory.arrays import evenly, evenly_in_log, largest_of, vector
from scorelab.theory.student import high_noise_constants
from scorelab.theory.two_modes import localization_gradient, plane, power_direction

SEED = "Visconti 2025"


def _relative(found, expected) -> float:
    """The largest |expected - found|/|found| of vectors (count, n)."""
    return float(((expected - found).norm(dim=-1) / found.norm(dim=-1)).max())


def printed_gradient(mu, star, t):
    """2t [-2 (mu.mu*) mu* + |mu|^2 mu] for mu (..., n), star (n,)."""
    return -2 * t * power_direction(mu, star, 2.0, 1.0)


def right_gradient(mu, star, t):
    """4t/(t+1)^3 [|mu|^2 mu - (mu.mu*) mu*]."""
    return -4 * t / (t + 1) ** 3 * power_direction(mu, star, 1.0, 1.0)


def linear_loss(mu, star, t):
    """E|X - y - <y,mu> mu|^2 less its part without mu, (...,), from E[y y^T] = t^2 C + t I and E[X y^T] = t C,
    C = I + mu* mu*^T."""
    q = mu.square().sum(-1)
    seen = q + (mu @ star).square()
    power = t**2 * seen + t * q
    return q * power - 2 * (t * seen - power)


@claim(
    "S0-22",
    source=f"{SEED}, section 8.2 a and appendix D (empty)",
    statement="At high noise E grad L = 2t [-2 (mu.mu*) mu* + |mu|^2 mu].",
    corrected="It is 4t/(t+1)^3 [-(mu.mu*) mu* + |mu|^2 mu], to leading order in t.",
    recorded=CORRECTED,
    fault="error",
    finding="By quadrature the constants before -t (mu.mu*) mu* and t |mu|^2 mu are {signal:.6f} and {norm:.6f}; "
    "printed are 4 and 2. Over random mu and mu* in five dimensions at t = {t:g} the printed gradient is off by "
    "{printed:.3g} of its length, the right one by {right:.1g}, and by {tenth:.1f} times less at a tenth of the time. "
    "The text's own linear network, y + <y,mu> mu, has the right constants (autograd of its loss: {linear:.1g} off at "
    "t = {t:g}): what is lost is the factor 2 in the gradient of t |mu|^4.",
)
def gradient_at_high_noise(budget):
    """Compare both forms with quadrature at small t, and with autograd of the linear network's loss."""
    signal, norm = high_noise_constants()
    generator = budget.stream()
    star = torch.randn(5, generator=generator, dtype=torch.float64)
    mu = torch.randn(budget.of(200, 20), 5, generator=generator, dtype=torch.float64)
    t = 1e-5

    def off(form, time):
        return _relative(localization_gradient(mu, star, time), form(mu, star, time))

    free = mu.clone().requires_grad_()
    (linear,) = torch.autograd.grad(linear_loss(free, star, t).sum(), free)
    right = off(right_gradient, t)
    return Evidence(
        stated=[
            equal("constant before -t (mu.mu*) mu*", signal, 4, tolerance=1e-5),
            equal("constant before t |mu|^2 mu", norm, 2, tolerance=1e-5),
            at_most("relative distance of the printed gradient", off(printed_gradient, t), 1e-2),
        ],
        corrected=[
            equal("constant before -t (mu.mu*) mu*", signal, 4, tolerance=1e-5),
            equal("constant before t |mu|^2 mu", norm, 4, tolerance=1e-5),
            at_most("relative distance of the corrected gradient", right, 1e-2),
            equal("order in t of what is left", math.log10(right / off(right_gradient, t / 10)), 1, tolerance=0.01),
            at_most(
                "relative distance of the linear network's gradient",
                _relative(linear, right_gradient(mu, star, t)),
                1e-2,
            ),
        ],
        numbers={
            "t": t,
            "signal": signal,
            "norm": norm,
            "printed": off(printed_gradient, t),
            "right": right,
            "tenth": right / off(right_gradient, t / 10),
            "linear": _relative(linear, right_gradient(mu, star, t)),
        },
        counterexample="mu = mu* at any t: the gradient is 0, the printed one -2t |mu*|^2 mu*",
        figures={"claim": panels(_distance_panel(), _drift_panel())},
    )


def _distance_panel():
    """Relative distance of both forms over t, |mu| = |mu*| = 1, cosine 0.6."""
    times = evenly_in_log(-5, 1, 61)
    mu, star = plane(1.0, 1.0, math.acos(0.6))
    forms = {"printed": printed_gradient, "corrected": right_gradient}
    lines = {
        name: [_relative(localization_gradient(mu, star, float(t)), form(mu, star, float(t))) for t in times]
        for name, form in forms.items()
    }
    axes = {"xscale": "log", "yscale": "log", "xlabel": "$t$", "ylabel": "distance / |gradient|"}
    return panel(
        r"$|\mu| = |\mu^*| = 1$, cosine 0.6", times, {name: vector(*each) for name, each in lines.items()}, **axes
    )


def _drift_panel():
    """-gradient along mu*, over the length of mu = alpha mu*/|mu*|."""
    t, size = 0.01, evenly(0, 1.7, 69)
    mu, star = torch.stack([size, 0 * size], -1), vector(1.0, 0.0)
    forms = {"quadrature": localization_gradient, "printed": printed_gradient, "corrected": right_gradient}
    drift = {name: -form(mu, star, t)[:, 0] / t for name, form in forms.items()}
    lines = {"quadrature": drift.pop("quadrature")}
    title, label = r"$\mu$ along $\mu^*$, $|\mu^*| = 1$, $t = 0.01$", "$-$gradient / $t$"
    return panel(title, size, lines, xlabel=r"$|\mu|$", ylabel=label, dashed=drift | {"0": 0 * size})


def printed_eigenvalues(length, star_length, rate, t):
    """(lambda_1, lambda_0) of the matrix of one step."""
    shrunk = 1 - 2 * rate * t * length**2
    return shrunk + 4 * rate * t * star_length**2, shrunk


def right_eigenvalues(length, star_length, rate, t):
    """(lambda_1, lambda_0) as corrected: 1 - c (|mu|^2 - |mu*|^2) and 1 - c |mu|^2, c = 4 rate t/(t+1)^3."""
    each = 4 * rate * t / (t + 1) ** 3
    return 1 - each * (length**2 - star_length**2), 1 - each * length**2


def printed_update(mu, star, rate, t):
    """mu - eta 2t [(mu.mu*) mu* + |mu|^2 mu]."""
    return mu + 2 * rate * t * power_direction(mu, star, -1.0, 1.0)


def printed_matrix_update(mu, star, rate, t):
    """(I - 2 eta t |mu|^2 I + 4 eta t mu* mu*^T) mu."""
    return mu + rate * t * power_direction(mu, star, 4.0, 2.0)


@claim(
    "S0-23",
    source=f"{SEED}, section 8.2 a",
    statement="A step of rate eta is mu - eta 2t [(mu.mu*) mu* + |mu|^2 mu], that is a power iteration: mu* has the "
    "eigenvalue 1 - 2 eta t |mu|^2 + 4 eta t |mu*|^2, all orthogonal directions have 1 - 2 eta t |mu|^2, which is "
    "smaller.",
    corrected="It is a power iteration, to leading order in t: mu* has the eigenvalue 1 - 4 eta t |mu|^2 + 4 eta t "
    "|mu*|^2, orthogonal directions have 1 - 4 eta t |mu|^2.",
    recorded=CORRECTED,
    fault="error",
    finding="A step at t = {t:g}, |mu| = {length:g}, |mu*| = {star:g} multiplies the component along mu* by "
    "{along:.5f} (printed {along_printed:.5f}, corrected {along_right:.5f}) and the one across by {across:.5f} "
    "(printed {across_printed:.5f}, corrected {across_right:.5f}). The order of the eigenvalues is right, so that the "
    "direction is found; the length at which the step stands still is not: sqrt(2) |mu*| as printed, {still:.6f} "
    "|mu*| by quadrature. The update line has lost the factor -2 of its first term: as printed it turns away from mu*.",
)
def steps_are_power_iteration(budget):
    """Measure the two components of one step by quadrature."""
    t, length, size, angle = 1e-6, 1.2, 0.9, 1.0
    rate = 0.02 / t
    mu, star = plane(length, size, angle)
    along, across = (float(value) for value in (mu - rate * localization_gradient(mu, star, t)) / mu)
    printed, right = (form(length, size, rate, t) for form in (printed_eigenvalues, right_eigenvalues))
    still = length_at_rest(size, t, 0.5, 2.0, 50) / size
    update = printed_update(mu, star, rate, t) - printed_matrix_update(mu, star, rate, t)
    stops = _still(printed_eigenvalues, size, rate, t), _still(right_eigenvalues, size, rate, t)
    return Evidence(
        stated=[
            equal("factor along mu*", along, printed[0], tolerance=1e-5),
            equal("factor across", across, printed[1], tolerance=1e-5),
            at_least("their difference", along - across, 0),
            equal("length that stands still, over |mu*|", still, stops[0] / size, tolerance=1e-5),
            equal("largest difference of the update to its matrix form", largest_of(update), 0, tolerance=1e-12),
        ],
        corrected=[
            equal("factor along mu*", along, right[0], tolerance=1e-5),
            equal("factor across", across, right[1], tolerance=1e-5),
            at_least("their difference", along - across, 0),
            equal("length that stands still, over |mu*|", still, stops[1] / size, tolerance=1e-5),
        ],
        numbers={
            "t": t,
            "length": length,
            "star": size,
            "along": along,
            "across": across,
            "along_printed": printed[0],
            "across_printed": printed[1],
            "along_right": right[0],
            "across_right": right[1],
            "still": still,
        },
        counterexample="mu = mu* at any t and eta: the gradient is 0 and the step stands still, the printed "
        "eigenvalue is 1 + 2 eta t |mu*|^2",
    )


def length_at_rest(star_length, t, low, high, steps) -> float:
    """The |mu| at which the gradient of the loss along mu* changes sign: bisection between `low` and `high` |mu*|."""
    low, high, star = low * star_length, high * star_length, vector(star_length, 0.0)
    for _ in range(steps):
        middle = 0.5 * (low + high)
        grows = float(localization_gradient(vector(middle, 0.0), star, t)[0]) < 0
        low, high = (middle, high) if grows else (low, middle)
    return low


def _still(eigenvalues, star_length, rate, t) -> float:
    """The |mu| at which the eigenvalue of mu* is 1: it is 1 + c (k |mu*|^2 - |mu|^2)."""
    at = [eigenvalues(length, star_length, rate, t)[0] - 1 for length in (0.0, star_length)]
    return star_length * math.sqrt(at[0] / (at[0] - at[1]))
