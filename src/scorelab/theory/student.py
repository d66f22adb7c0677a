"""The two-mode student of equal weights, and the losses of its only parameter mu with their gradients.

With sin^2 = t/(t+1) the state of stochastic localization is Y_t = sqrt(t(t+1)) x, x = sin X + cos G, and the state of
the OU process at e^-2s = t/(t+1) is x itself. With b = sin mu the two residuals are the same vector up to a factor:

    X - m(Y_t) = -(cos^2/sin) r        score + G/cos = r        r = tanh<b,x> b - d        d = x - G/cos

So the DDPM loss is t(t+1) times the loss of stochastic localization, sample by sample, without a constant. d = sin (X -
sqrt(t) G). By Stein's lemma the noise in d can be integrated out for every mixture of N(c, share I) that x follows:

    E|r|^2 = E{ |b|^2 [tanh^2 w + 2 sech^2 w] - 2 w tanh w } + E|d|^2,     w = <b,x> ~ N(<b,c>, share |b|^2)

This is an integral in one dimension. For the population c = sin mu* and share = 1 (the loss is even in x); for given
samples X_i, c = sin X_i and share = cos^2. All tensors are float64. Starts are batched: mu (starts, n) -> loss
(starts,), gradient (starts, n).
"""

import math
from typing import NamedTuple

import torch

from scorelab.quadrature import normal_interval

_NODES, _REACH, _SATURATED = 161, 9.5, 20.0  # tanh(20) = 1 to rounding


def student(y, mu, t):
    """m(y; mu) = (y + tanh(<y,mu>/(t+1)) mu)/(t+1) for y (count, n), mu (n,): Visconti 2025, section 8.2.

    It is E[X | Y_t = y] for the mixture of N(mu, I) and N(-mu, I) in equal parts.
    """
    return (y + torch.tanh(y @ mu / (t + 1)).unsqueeze(-1) * mu) / (t + 1)


class Expectations(NamedTuple):
    """Expectations of functions of w ~ N(p, v), with T = tanh w and S = sech^2 w; each has the shape of p."""

    T: torch.Tensor
    wT: torch.Tensor
    S: torch.Tensor
    SS: torch.Tensor
    TS: torch.Tensor
    wS: torch.Tensor
    wTS: torch.Tensor
    log_cosh: torch.Tensor


def expectations(p, v) -> Expectations:
    """Expectations over N(p, v) for p, v of one shape, v >= 0, to rounding.

    E erf(w) and E w erf(w) have closed forms. tanh - erf and sech^2 vanish to rounding outside |w| < 20. They are
    integrated by the trapezoidal rule on at most (-20, 20), with a step <= 1/4 in w and <= 0.12 standard deviations.
    The poles of tanh at i pi/2 leave an error of exp(-pi^2/step) = 7e-18.
    """
    deviation = v.sqrt().clamp(min=1e-150)
    low = ((-_SATURATED - p) / deviation).clamp(min=-_REACH)
    high = ((_SATURATED - p) / deviation).clamp(max=_REACH)
    results = p.new_zeros(8, *p.shape)
    near = high > low
    if bool(near.any()):
        g, weight = normal_interval(low[near], high[near], _NODES)
        w = p[near].unsqueeze(-1) + deviation[near].unsqueeze(-1) * g
        T, S = torch.tanh(w), torch.cosh(w) ** -2
        steps, size = torch.erf(w), w.abs()
        bend = size + torch.log1p(torch.exp(-2 * size)) - w * steps
        rest = (T - steps, w * (T - steps), S, S * S, T * S, w * S, w * T * S, bend)
        for row, values in zip(results, rest, strict=True):
            row[near] = (weight * values).sum(-1)
    root = torch.sqrt(1 + 2 * v)
    step = torch.erf(p / root)
    size = p * step + v * (2 / math.sqrt(math.pi)) * torch.exp(-(p**2) / (1 + 2 * v)) / root
    results[0] += step
    results[1] += size
    results[7] += size - math.log(2)
    return Expectations(*results)


class Averaged:
    """The mean over centres c (starts or 1, M, n) of E|r|^2, x ~ N(c, share I), by quadrature.

    scale: the factor in b = scale mu. stein: whether d contains noise, which Stein's lemma integrates out; without
    noise r = tanh<b,x> b - x. constant (starts or 1,): E|d|^2. factor: multiplies the loss and the gradient.
    """

    def __init__(self, centres, share, scale, stein, constant, factor):
        self.centres, self.share, self.scale = centres, share, scale
        self.sign, self.constant, self.factor = (-1 if stein else 1), constant, factor

    def __call__(self, mu):
        """The loss (starts,) and its gradient (starts, n)."""
        b = self.scale * mu
        q = b.square().sum(-1, keepdim=True)
        p = (self.centres @ b.unsqueeze(-1)).squeeze(-1)
        e, sign = expectations(p, (self.share * q).expand(p.shape)), self.sign
        # tanh^2 + 2 sech^2 = 1 + sech^2 with the noise, tanh^2 = 1 - sech^2 without it
        value = (q * (1 - sign * e.S) - 2 * e.wT).mean(-1) + self.constant
        by_p = 2 * sign * q * e.TS - 2 * (e.T + e.wS)
        by_q = 1 - sign * e.S
        by_v = sign * q * (3 * e.SS - 2 * e.S) - 2 * (e.S - e.wTS)
        gradient = mean_of(by_p, self.centres) + 2 * (by_q + self.share * by_v).mean(-1, keepdim=True) * b
        return self.factor * value, self.factor * self.scale * gradient


def mean_of(coefficients, vectors):
    """mean_i coefficients_i vectors_i: (starts, M), (starts or 1, M, n) -> (starts, n)."""
    return (coefficients.unsqueeze(-2) @ vectors).squeeze(-2) / vectors.shape[-2]


class Maximization:
    """|b|^2/2 - E log cosh<b,x>, x ~ N(c, share I), averaged over the centres c, with b = scale mu.

    Its gradient with respect to b is b - E[tanh<b,x> x], the M-step of EM, which section 8.1 has for low noise.
    centres, share, scale, factor: see `Averaged`.
    """

    def __init__(self, centres, share, scale, factor):
        self.centres, self.share, self.scale, self.factor = centres, share, scale, factor

    def __call__(self, mu):
        """The loss (starts,) and its gradient (starts, n)."""
        b = self.scale * mu
        q = b.square().sum(-1, keepdim=True)
        p = (self.centres @ b.unsqueeze(-1)).squeeze(-1)
        e = expectations(p, (self.share * q).expand(p.shape))
        step = mean_of(e.T, self.centres) + self.share * e.S.mean(-1, keepdim=True) * b
        return self.factor * (0.5 * q.squeeze(-1) - e.log_cosh.mean(-1)), self.factor * self.scale * (b - step)


def high_noise_constants() -> tuple[float, float]:
    """(signal, norm) in grad L = t [norm |mu|^2 mu - signal (mu.mu*) mu*] + higher orders in t and mu, for the
    population loss E|X - m(Y_t)|^2 of stochastic localization, measured on its gradient by quadrature.

    With |mu*| = 1 the gradient is t norm mu at a unit mu orthogonal to mu*, and t (norm/8 - signal/2) mu* at mu*/2.
    Richardson extrapolation removes the next order in t.
    """
    star = torch.tensor([1.0, 0.0], dtype=torch.float64)

    def of(t, mu):
        sin = math.sqrt(t / (1 + t))
        loss = Averaged(sin * star.reshape(1, 1, 2), 1.0, sin, True, 0.0, 1 / (t * (1 + t)))
        return loss(torch.tensor([mu], dtype=torch.float64))[1][0] / t

    def extrapolated(mu, axis):
        fine, coarse = (float(of(t, mu)[axis]) for t in (1e-5, 2e-5))
        return 2 * fine - coarse

    norm = extrapolated([0.0, 1.0], 1)
    return 2 * (norm / 8 - extrapolated([0.5, 0.0], 0)), norm
