"""Paths of the schemes and of the exact solutions on one Brownian motion, and the exact law of the OU process.

The OU process of section 4.3 is dX = kappa (theta* - X) dt + v dB, Ge's thesis, section 8.5.3:

    E X_t = theta* + (x_0 - theta*) e^(-kappa t),          Var X_t = v^2 (1 - e^(-2 kappa t)) / (2 kappa)

and Euler-Maruyama with the step h has r = 1 - kappa h in the place of e^(-kappa h), and v^2 h (1 - r^2k)/(1 - r^2) as
the variance after k steps.
"""

import math

import numpy

from scorelab.studies.sde import theory


def ends(equation, mu, sigma, start, T, counts, paths, generator):
    """X(T) (paths,) and w(T) for each scheme of an equation and each number of steps, on the same Brownian motion.

    counts: numbers of steps, each a divisor of the last. Returns X(T), and (scheme, count) -> w(T).
    """
    finest = counts[-1]
    h = T / finest
    dW = math.sqrt(h) * generator.standard_normal((finest, paths))
    found = {}
    for scheme, steps in theory.SCHEMES.items():
        if equation not in steps:
            continue
        for count in counts:
            w = numpy.full(paths, start)
            for increment in dW.reshape(count, finest // count, paths).sum(1):
                w = steps[equation](w, mu, sigma, T / count, increment)
            found[scheme, count] = w
    if equation == "black_scholes":
        return start * numpy.exp((mu - sigma**2 / 2) * T + sigma * dW.sum(0)), found
    x, decay = numpy.full(paths, start), math.exp(-mu * h)
    joint, variance = -math.expm1(-mu * h) / mu, -math.expm1(-2 * mu * h) / (2 * mu)
    rest = math.sqrt(max(variance - joint**2 / h, 0.0))  # of the integral of e^-mu(h-s) dB, given its Delta W
    for increment in dW:
        x = decay * x + sigma * (joint / h * increment + rest * generator.standard_normal(paths))
    return x, found


def ornstein_uhlenbeck_paths(kappa, volatility, optimum, start, dt, steps, generator):
    """Yield the states after each step of Euler-Maruyama, of the shape of `start`; optimum broadcasts to it."""
    x, spread = start, volatility * math.sqrt(dt)
    for _ in range(steps):
        x = x + kappa * (optimum - x) * dt + spread * generator.standard_normal(start.shape)
        yield x


def ornstein_uhlenbeck_mean(t, kappa, optimum, start):
    """E X_t."""
    return optimum + (start - optimum) * numpy.exp(-kappa * t)


def ornstein_uhlenbeck_variance(t, kappa, volatility):
    """Var X_t from a start that is not random."""
    return -(volatility**2) * numpy.expm1(-2 * kappa * t) / (2 * kappa)


def scheme_mean(k, kappa, optimum, start, dt):
    """The mean of Euler-Maruyama after k steps."""
    return optimum + (start - optimum) * (1 - kappa * dt) ** k


def scheme_variance(k, kappa, volatility, dt):
    """The variance of Euler-Maruyama after k steps: a geometric sum, of the ratio (1 - kappa h)^2."""
    ratio = (1 - kappa * dt) ** 2
    return volatility**2 * dt * (1 - ratio**k) / (1 - ratio)
