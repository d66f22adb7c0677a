"""Euler-Maruyama: the verdict on the orders that Ge's thesis, section 8.2, says it has."""

import math

import numpy

from scorelab.claims import CORRECTED, Evidence, claim, equal
from scorelab.claims.panels import panel, panels
from scorelab.studies.sde import theory

_NAMES = {"black_scholes": "geometric Brownian motion", "langevin": "OU"}


def _order_comparisons(orders):
    """Measured orders held against strong orders 1/2 and 1, and weak order 1 of the first two moments."""
    found = []
    for equation, strong in (("black_scholes", 0.5), ("langevin", 1.0)):
        name = _NAMES[equation]
        for kind, order, held in zip(
            ("strong order", "weak order, mean", "weak order, second moment"),
            orders[equation],
            (strong, 1.0, 1.0),
            strict=True,
        ):
            found.append(equal(f"{name}: {kind}", order, held, tolerance=0.02))
    return found


@claim(
    "S3-04",
    source="Ge's thesis, section 8.2",
    statement="Euler-Maruyama, w_{i+1} = w_i + mu w_i Dt_i + sigma w_i DW_i for geometric Brownian motion and w_{i+1} "
    "= w_i - mu w_i Dt_i + sigma DW_i for the OU process, DW_{i+1} the increment over [t_i, t_{i+1}], has strong order "
    "1/2, for additive noise 1, and weak order 1.",
    corrected="with Dt_{i+1} and DW_{i+1} in both examples, as in the general recursion above them.",
    recorded=CORRECTED,
    fault="misprint",
    finding="By exact moments, at h = 1/1024 and half of it. With the indices of the general recursion the strong "
    "order is {black_scholes:.3f} for geometric Brownian motion and {langevin:.3f} for OU, the weak orders (mean, "
    "second moment) {weak_low:.3f} to {weak_high:.3f}. The constant is known: E|w - X|^2/h -> sigma^4 T E X^2/2 "
    "for geometric Brownian motion, {constant:.4f} of it here. The examples' own index i is one increment late (and "
    "needs DW_0, which there is not): the law of w is the same, so weak orders stay, but the noise of one step is "
    "missed. The strong order of OU falls to {langevin_late:.3f}; of geometric Brownian motion it stays "
    "{black_scholes_late:.3f} with an error {times:.2f} times as large.",
)
def euler_maruyama(budget):
    """Compute the moments of the scheme and of the exact solution, driven by the same noise."""
    late = {name: theory.orders(name, 1 - theory.printed_increment(0)) for name in theory.EQUATIONS}
    right = {name: theory.orders(name, 0) for name in theory.EQUATIONS}
    mu, sigma, steps = 0.8, 0.6, 4096
    strong = theory.errors_at_the_end("black_scholes", steps, lag=0, mu=mu, sigma=sigma)[0]
    constant = strong**2 * steps / (sigma**4 / 2 * math.exp(2 * mu + sigma**2))
    known = equal("geometric Brownian motion: E|w - X|^2/h over sigma^4 T E X^2/2", constant, 1, tolerance=0.01)
    weak = [order for orders in right.values() for order in orders[1:]]
    numbers = {name: orders[0] for name, orders in right.items()}
    numbers |= {f"{name}_late": orders[0] for name, orders in late.items()}
    numbers |= {"weak_low": min(weak), "weak_high": max(weak), "constant": constant}
    numbers["times"] = theory.errors_at_the_end("black_scholes", steps, lag=1)[0] / strong
    return Evidence(
        stated=_order_comparisons(late),
        corrected=[*_order_comparisons(right), known],
        numbers=numbers,
        figures={"claim": _order_panels()},
    )


def _order_panels():
    """Strong and weak errors against the step."""
    counts = 2 ** numpy.arange(3, 12)
    of = {
        (name, lag): numpy.array([theory.errors_at_the_end(name, int(count), lag=lag) for count in counts])
        for name in theory.EQUATIONS
        for lag in (0, 1)
    }
    h = 1 / counts
    strong = {label: of[name, 0][:, 0] for name, label in _NAMES.items()}
    strong["OU, index as printed"] = of["langevin", 1][:, 0]
    weak = {label: of[name, 0][:, 1] for name, label in _NAMES.items()}
    scales = {"xlabel": "step $h$", "xscale": "log", "yscale": "log"}
    return panels(
        panel("strong", h, strong, ylabel=r"$(E|w-X|^2)^{1/2}$", **scales),
        panel("weak", h, weak, ylabel=r"$|Ew-EX|$", **scales),
    )
