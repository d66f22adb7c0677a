"""The errors of Euler-Maruyama and Milstein on two linear equations, exactly: geometric Brownian motion and the OU
process.

Scheme w and solution X are driven by the same Brownian motion: dX = mu X dt + sigma X dW (`black_scholes`) and
dX = -mu X dt + sigma dW (`langevin`). Ge's thesis, section 8.2.
"""

import math

import numpy

from scorelab.quadrature import gauss_hermite


def printed_black_scholes_step(w, mu, sigma, dt, dW):
    """A step of the scheme for geometric Brownian motion: Ge's thesis, section 8.2."""
    return w + mu * w * dt + sigma * w * dW


def printed_langevin_step(w, mu, sigma, dt, dW):
    """A step of the scheme for the OU process: Ge's thesis, section 8.2."""
    return w - mu * w * dt + sigma * dW


def milstein_black_scholes_step(w, mu, sigma, dt, dW):
    """A step of Milstein's scheme for geometric Brownian motion: b b'/2 (dW^2 - dt) is added to Euler-Maruyama."""
    return printed_black_scholes_step(w, mu, sigma, dt, dW) + 0.5 * sigma**2 * w * (dW**2 - dt)


def printed_increment(i):
    """Which increment takes w_i to w_{i+1} in both examples; Delta W_j belongs to [t_{j-1}, t_j]. Same section."""
    return i


def _black_scholes(mu, sigma, h):
    """The exact step X' = A X + B (nodes,) of geometric Brownian motion, its Delta W and weights."""
    z, weights = (each.numpy() for each in gauss_hermite(40))
    dW = math.sqrt(h) * z
    return numpy.exp((mu - sigma**2 / 2) * h + sigma * dW), 0 * dW, dW, weights / weights.sum()


def _langevin(mu, sigma, h):
    """The exact step of the OU process, in the form of `_black_scholes`. The part of the noise that Delta W does not
    determine is +-1 times its standard deviation, which has the right first two moments."""
    z, weights = (each.numpy() for each in gauss_hermite(4))
    dW, sign = (values.ravel() for values in numpy.meshgrid(math.sqrt(h) * z, [-1.0, 1.0], indexing="ij"))
    covariance, variance = -math.expm1(-mu * h) / mu, -math.expm1(-2 * mu * h) / (2 * mu)
    rest = math.sqrt(max(variance - covariance**2 / h, 0))
    noise = sigma * (covariance / h * dW + rest * sign)
    return numpy.full_like(dW, math.exp(-mu * h)), noise, dW, numpy.repeat(weights, 2) / (2 * weights.sum())


#: name of an equation -> its exact step, and the step of the scheme, whose printed form is looked up at each call
EQUATIONS = {
    "black_scholes": (_black_scholes, lambda *given: printed_black_scholes_step(*given)),
    "langevin": (_langevin, lambda *given: printed_langevin_step(*given)),
}


#: name of a scheme -> name of an equation -> its step; the noise of OU is additive, where Milstein is Euler-Maruyama
SCHEMES = {
    "euler_maruyama": {name: step for name, (_, step) in EQUATIONS.items()},
    "milstein": {"black_scholes": lambda *given: milstein_black_scholes_step(*given)},
}


def errors_at_the_end(equation, steps, *, lag, mu=0.8, sigma=0.6, start=1.0, T=1.0, scheme="euler_maruyama"):
    """sqrt(E|w_n - X(T)|^2), |E w_n - E X(T)| and |E w_n^2 - E X(T)^2| from X(0) = start, exactly.

    Both equations are linear, so that with D = w - X the moments (D^2, D X, X^2, D, X, 1) follow a linear recursion.
    lag: by how many increments the noise of w is behind the noise of X, 0 or 1; then D = w_{i+1} - X_i, which has the
    same noise.
    """
    exact, step = EQUATIONS[equation][0], SCHEMES[scheme][equation]
    h = T / steps
    A_exact, B_exact, dW, weights = exact(mu, sigma, h)
    B = step(0.0, mu, sigma, h, dW)
    A = step(1.0, mu, sigma, h, dW) - B
    one, zero = numpy.ones_like(dW), numpy.zeros_like(dW)
    first = numpy.array([0, 0, start**2, 0, start, 1.0])
    ahead = _moments(A, A - one, B, one, zero, weights)  # w moves, X stays
    both = _moments(A, A - A_exact, B - B_exact, A_exact, B_exact, weights)
    behind = _moments(one, one - A_exact, -B_exact, A_exact, B_exact, weights)  # X moves, w stays
    if lag:
        last = behind @ numpy.linalg.matrix_power(both, steps - 1) @ ahead @ first
    else:
        last = numpy.linalg.matrix_power(both, steps) @ first
    return math.sqrt(last[0]), abs(last[3]), abs(2 * last[1] + last[0])


def _moments(A, a, b, A_exact, B_exact, weights):
    """The matrix (6, 6) that carries the moments through D' = A D + a X + b, X' = A_exact X + B_exact."""
    zero, one = numpy.zeros_like(A), numpy.ones_like(A)
    rows = [
        [A * A, 2 * A * a, a * a, 2 * A * b, 2 * a * b, b * b],
        [zero, A * A_exact, a * A_exact, A * B_exact, a * B_exact + b * A_exact, b * B_exact],
        [zero, zero, A_exact**2, zero, 2 * A_exact * B_exact, B_exact**2],
        [zero, zero, zero, A, a, b],
        [zero, zero, zero, zero, A_exact, B_exact],
        [zero, zero, zero, zero, zero, one],
    ]
    return numpy.array([[weights @ entry for entry in row] for row in rows])


def orders(equation, lag, steps=1024):
    """The three orders: log2 of each error over the error with half the step."""
    whole, half = (errors_at_the_end(equation, count, lag=lag) for count in (steps, 2 * steps))
    return [math.log2(before / after) for before, after in zip(whole, half, strict=True)]
