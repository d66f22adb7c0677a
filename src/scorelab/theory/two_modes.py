"""Two modes of equal weight, N(mu*, I) and N(-mu*, I), and how mu is learned: gradients, power iteration, EM.

Every quantity lies in the plane of mu and mu*, in any dimension n, and is made of expectations of functions of
w = <mu,x>, x ~ N(mu*, I), that is w ~ N(<mu,mu*>, |mu|^2). They are computed by quadrature in one dimension, to
rounding. With T = tanh w, S = sech^2 w and q = |mu|^2, the DDPM loss minus its value at mu = 0, and half its negative
gradient, are

    L = E[q (1 + S) - 2 w T]        -grad L/2 = M(mu) - mu + G(mu)
    M = E[T x] = E[T] mu* + E[S] mu                                            the M-step of EM
    G = E[q T S + w S] mu* + E[q (3 S^2 - 2 S) - 2 w T S] mu                   the rest of the gradient beside EM
    M - mu + G = 2 (mu.mu*) mu* - 2 |mu|^2 mu + ...                            a step of power iteration

Noise level. s >= 0 is the time of the OU process, x_s = e^-s X + sqrt(1 - e^-2s) Z; t > 0 is the time of stochastic
localization; e^-2s = t/(t+1). A level enters only by mu_s = e^-s mu and mu*_s = e^-s mu*. With s = 0, the default, mu
and mu* stand for mu_s and mu*_s. At the same level L_DDPM(mu) = t(t+1) L_SL(mu), without a constant.

The slides (Zhang 2024) call half the gradient of eq. 5 its gradient. Here a function that is called a
gradient returns the gradient, and a function with "half" in its name returns half the gradient.

    ou_time(t), localization_time(s)           the time of one process at the level of the other
    plane(length, star_length, angle)          mu (..., 2) and star (..., 2) in the plane
    moments(mu, star)                          Expectations of w, see `theory.student`
    population_loss(mu, star, s=0)             L_DDPM(mu) - L_DDPM(0)                 (...,)
    population_gradient(mu, star, s=0)         its gradient with respect to mu        (..., n)
    localization_loss, localization_gradient   the same for stochastic localization, (mu, star, t)
    half_descent(mu, star)                     -grad L_DDPM/2 at s = 0                (..., n)
    power_direction(mu, star)                  signal (mu.mu*) mu* - norm |mu|^2 mu   (..., n)
    power_iteration_step(mu, star, rate)       mu + rate power_direction              (..., n)
    em_update(mu, star), gradient_em_step(mu, star, rate), beyond_em(mu, star)        (..., n); beyond_em is G
    beyond_em_slope(a, b)                      dG(a, b)/db in one dimension           (...,)
    tangent(mu, star)                          tangent of the angle between mu, star  (...,)

All tensors are float64; mu is (..., n), star (n,) or anything that broadcasts against mu; lengths and rates are floats
or tensors (...,).
"""

import math

import torch

from scorelab.quadrature import normal_trapezoid
from scorelab.theory.student import Expectations, expectations


def ou_time(t: float) -> float:
    """The time s of the OU process at the noise level of time t of stochastic localization: e^-2s = t/(t+1)."""
    return 0.5 * math.log1p(1 / t)


def localization_time(s: float) -> float:
    """t = 1/(e^2s - 1): the inverse of `ou_time`."""
    return 1 / math.expm1(2 * s)


def plane(length, star_length, angle) -> tuple[torch.Tensor, torch.Tensor]:
    """mu and mu* (..., 2) of these lengths, `angle` apart, mu* along the first axis."""
    each = (torch.as_tensor(value, dtype=torch.float64) for value in (length, star_length, angle))
    length, star_length, angle = torch.broadcast_tensors(*each)
    mu = torch.stack([length * torch.cos(angle), length * torch.sin(angle)], -1)
    return mu, torch.stack([star_length, torch.zeros_like(star_length)], -1)


def moments(mu, star) -> Expectations:
    """Expectations of w = <mu,x>, x ~ N(star, I), each (...,)."""
    p, q = (mu * star).sum(-1), mu.square().sum(-1)
    return expectations(p, q.expand(p.shape))


def _combined(along_star, along_mu, mu, star):
    return along_star.unsqueeze(-1) * star + along_mu.unsqueeze(-1) * mu


def population_loss(mu, star, s: float = 0.0):
    """The DDPM loss of eq. 5 (Zhang 2024) at mu minus its value at mu = 0, (...,)."""
    b, c = math.exp(-s) * mu, math.exp(-s) * star
    e = moments(b, c)
    return b.square().sum(-1) * (1 + e.S) - 2 * e.wT


def half_descent(mu, star):
    """-grad L_DDPM/2 at s = 0, (..., n); the right side of Lemma C.2."""
    e, q = moments(mu, star), mu.square().sum(-1)
    along_mu = e.S - 1 + q * (3 * e.SS - 2 * e.S) - 2 * e.wTS
    return _combined(e.T + q * e.TS + e.wS, along_mu, mu, star)


def population_gradient(mu, star, s: float = 0.0):
    """The gradient of `population_loss` with respect to mu, (..., n)."""
    scale = math.exp(-s)
    return -2 * scale * half_descent(scale * mu, scale * star)


def localization_loss(mu, star, t: float):
    """E|X - m(Y_t; mu)|^2 minus its value at mu = 0, (...,): Visconti 2025, section 8.2."""
    return population_loss(mu, star, ou_time(t)) / (t * (t + 1))


def localization_gradient(mu, star, t: float):
    """The gradient of `localization_loss` with respect to mu, (..., n)."""
    return population_gradient(mu, star, ou_time(t)) / (t * (t + 1))


def power_direction(mu, star, signal: float = 2.0, norm: float = 2.0):
    """signal (mu.mu*) mu* - norm |mu|^2 mu, (..., n).

    With the default constants it is `half_descent` to leading order; the slides have norm = 3.
    """
    return _combined(signal * (mu * star).sum(-1), -norm * mu.square().sum(-1), mu, star)


def power_iteration_step(mu, star, rate, signal: float = 2.0, norm: float = 2.0):
    """(1 - rate norm |mu|^2) mu + rate signal mu* mu*^T mu, (..., n); rate multiplies half the gradient."""
    return mu + _column(rate) * power_direction(mu, star, signal, norm)


def em_update(mu, star):
    """E[tanh<mu,x> x], x ~ N(mu*, I), (..., n): the population EM update of Fact 5."""
    e = moments(mu, star)
    return _combined(e.T, e.S, mu, star)


def gradient_em_step(mu, star, rate):
    """(1 - rate) mu + rate M(mu), (..., n)."""
    return mu + _column(rate) * (em_update(mu, star) - mu)


def beyond_em(mu, star):
    """G(mu, mu*) of the slides on low noise, (..., n): half_descent = em_update - mu + beyond_em."""
    e, q = moments(mu, star), mu.square().sum(-1)
    return _combined(q * e.TS + e.wS, q * (3 * e.SS - 2 * e.S) - 2 * e.wTS, mu, star)


def beyond_em_slope(a, b):
    """dG(a, b)/db in one dimension, (...,), for a in (0, 15) and b (...,), by the trapezoidal rule.

    It is the mean over x ~ N(b, 1) of 2 a x S + a^2 T'' (x^2 - 3/2) - a^3 x T'''/2, with w = a x, T'' = -2 T S,
    T''' = 4 S - 6 S^2.
    """
    a, b = torch.broadcast_tensors(a, b)
    line, weight = normal_trapezoid(1, 1201)
    a, x = a.unsqueeze(-1), b.unsqueeze(-1) + line
    T = torch.tanh(a * x)
    S = torch.cosh((a * x).clamp(-300, 300)) ** -2
    inside = 2 * a * x * S - 2 * a**2 * T * S * (x**2 - 1.5) - a**3 * x * (2 * S - 3 * S**2)
    return (weight * inside).sum(-1)


def tangent(mu, star):
    """The tangent of the angle between mu and mu*, (...,); it is >= 0 if the angle is acute."""
    unit = star / star.norm(dim=-1, keepdim=True)
    along = (mu * unit).sum(-1)
    return (mu - along.unsqueeze(-1) * unit).norm(dim=-1) / along


def _column(rate):
    return rate.unsqueeze(-1) if isinstance(rate, torch.Tensor) else rate
