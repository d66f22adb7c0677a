"""Stochastic gradients on least squares, and the equation that models them. Ge's thesis, sections 3
and 4.

With delta = theta - theta*, x ~ N(0, I_d) and noise of variance sigma^2, a step of size g is

    delta' = (I - g x x^T) delta + g xi x,      E delta' = (1 - g) E delta
    E delta' delta'^T = (1 - 2g + 2g^2) S + g^2 (tr S + sigma^2) I,      S = E delta delta^T

so that E|delta|^2 is multiplied by 1 - 2g + (d+2) g^2 and g^2 sigma^2 d is added. For any law of x that is given by
nodes and weights, the second moments follow a linear recursion with matrix E[(I - g x x^T) (x) (I - g x x^T)].
A function `printed_...` is what the source prints, right or wrong.
"""

import math

import numpy
import torch

from scorelab.quadrature import gauss_legendre, normal_gauss, product_rule

#: theta*, the standard deviation of the noise, and the number of steps of section 3.3
OPTIMUM, NOISE, STEPS = numpy.array([0.1, -0.2, 1.0, 0.5, -0.5]), 0.1, 1000
START = float(OPTIMUM @ OPTIMUM)  # |theta_0 - theta*|^2 from theta_0 = 0


def normal_nodes(d, points=4):
    """Nodes (count, d) and weights (count,) of N(0, I_d), exact for degrees below 2 `points` in each coordinate."""
    return tuple(each.numpy() for each in normal_gauss(d, points))


def uniform_nodes(d, top, points=3):
    """Nodes (count, d) and weights (count,) of the uniform law on [0, top]^d, exact below degree 2 `points`."""
    nodes, weights = gauss_legendre(0.0, top, points)
    return tuple(each.numpy() for each in product_rule(nodes, weights / top, d))


# The gradient. --------------------------------------------------------------------------------------------------------


def printed_gradient(theta, x, y):
    """x (<theta, x> - y) for theta (d,), x (count, d), y (count,): Ge's thesis, section 3.2, remark 2."""
    return x * (x @ theta - y)[:, None]


def printed_increment(theta, optimum, x, y):
    """m of lemma 4 (count, d): theta - theta* less the gradient; the first term is as the proof has it."""
    return (theta - optimum) - x * (x @ theta - y)[:, None]


def printed_recursion(theta, optimum, step, increment):
    """Equation (3) of lemma 4."""
    return theta - step * (theta - optimum) + step * increment


def gradient_by_autograd(theta, x, y):
    """The gradient (d,) of (<theta, x> - y)^2/2 at theta (d,) for one input x (d,) and one target y, as a tensor."""
    parameter = torch.tensor(theta, requires_grad=True)
    (gradient,) = torch.autograd.grad(0.5 * (torch.from_numpy(x) @ parameter - y) ** 2, parameter)
    return gradient


# Step sizes. ----------------------------------------------------------------------------------------------------------


def printed_step(kind, t):
    """The step size of section 3.3 at t = 1, 2, ...: `middle`, ten times `bigger` or `smaller` (iv), `decreasing`
    (v)."""
    return {"middle": 0.01, "bigger": 0.1, "smaller": 0.001, "decreasing": 0.1 / t}[kind]


def mean_square(step, nodes, weights, steps, *, optimum=OPTIMUM, noise=NOISE):
    """E|theta_t - theta*|^2 (steps + 1,) from theta_0 = 0, exactly. step: t -> size. nodes (count, d), weights
    (count,): a rule for x that is exact to the fourth degree."""
    d = len(optimum)
    second = (nodes * weights[:, None]).T @ nodes
    outer = (nodes[:, :, None] * nodes[:, None, :]).reshape(len(nodes), d * d)
    fourth = (outer * weights[:, None]).T @ outer  # E x_i x_j x_k x_l, in any order of the indices
    identity = numpy.eye(d)
    first = numpy.kron(second, identity) + numpy.kron(identity, second)
    state, added = numpy.outer(optimum, optimum).ravel(), noise**2 * second.ravel()
    found = [state @ identity.ravel()]
    for t in range(1, steps + 1):
        g = step(t)
        state = state - g * (first @ state) + g**2 * (fourth @ state + added)
        found.append(state @ identity.ravel())
    return numpy.array(found)


def isotropic_mean_square(step, steps, d=5, start=START, noise=NOISE):
    """`mean_square` for x ~ N(0, I_d) from |theta_0 - theta*|^2 = start, by a recursion of one number."""
    found = [start]
    for t in range(1, steps + 1):
        g = step(t)
        found.append(growth_factor(g, d) * found[-1] + g**2 * noise**2 * d)
    return numpy.array(found)


def growth_factor(g, d):
    """The factor by which a step of size g multiplies E|theta - theta*|^2."""
    return 1 - 2 * g + (d + 2) * g**2


def limit_of_mean_square(g, d=5, noise=NOISE):
    """The limit of E|theta_t - theta*|^2 for steps of one size g < 2/(d+2) and inputs x ~ N(0, I_d)."""
    return g * noise**2 * d / (2 - g * (d + 2))


# The model. -----------------------------------------------------------------------------------------------------------


def printed_mean(t, start, optimum):
    """The mean of theta_t: section 4.2, equation (9)."""
    return optimum + (start - optimum) * numpy.exp(-t)


def printed_variance(t, g, noise):
    """The variance of theta_t: section 4.2, equation (10)."""
    return g * noise**2 / 2 * (1 - numpy.exp(-2 * t))


def printed_second_moment_rate(mean, second_moment, optimum, volatility, kappa=1.0):
    """d/dt E(theta_t^2): section 4.2, proof of remark 9."""
    return 2 * kappa * mean - 2 * kappa * second_moment + volatility**2


def second_moment_rate(mean, second_moment, optimum, volatility, kappa=1.0):
    """d/dt E(theta_t^2) by Ito's formula, for d theta = kappa (theta* - theta) dt + volatility dW."""
    return 2 * kappa * optimum * mean - 2 * kappa * second_moment + volatility**2


def moments_of_equation(rate, start, optimum, g, noise, t, steps=2000):
    """The mean and the variance at t by Runge-Kutta's rule of fourth order for d(mean) = (theta* - mean) dt and for the
    second moment with `rate`."""

    def slope(state):
        mean, second = state
        return numpy.array([optimum - mean, rate(mean, second, optimum, math.sqrt(g) * noise)])

    state, h = numpy.array([start, start**2]), t / steps
    for _ in range(steps):
        first = slope(state)
        second = slope(state + h / 2 * first)
        third = slope(state + h / 2 * second)
        state = state + h / 6 * (first + 2 * second + 2 * third + slope(state + h * third))
    return state[0], state[1] - state[0] ** 2


def covariance_of_gradients(away, noise):
    """Sigma(theta) (d, d), the covariance of the gradient at theta - theta* = away, by quadrature."""
    d = len(away)
    nodes, weights = normal_nodes(d + 1)
    gradients = nodes[:, :d] * (nodes[:, :d] @ away - noise * nodes[:, d])[:, None]
    centred = gradients - weights @ gradients
    return (centred * weights[:, None]).T @ centred


def sgd_variance(g, noise, steps, start, d=5):
    """The trace of the covariance of theta_t over d, (steps + 1,), from theta_0 - theta* of squared length `start`."""
    t = numpy.arange(steps + 1)
    return (isotropic_mean_square(lambda t: g, steps, d, start, noise) - (1 - g) ** (2 * t) * start) / d
