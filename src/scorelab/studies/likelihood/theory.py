"""The variational bound of a chain of Gaussian steps, and what of it no denoiser can avoid.

x_T, ..., x_1 are noisy states sin(phi_t) X + cos(phi_t) G of one noising chain, x_0 = X, and the model runs back from
x_T ~ N(0, s^2 I) by p(x_{t-1} | x_t) = N(E[x_{t-1} | x_t, X = m_hat(x_t)], sigma_t^2 I). Its bound

    E[-log p(x_0)] <= L = L_T + sum_{t>1} L_{t-1} + L_0

(Ge's thesis, section 5.2.1, equations 27 and 29) depends on the denoiser through e_t = E|X - m_hat(x_t)|^2
alone, as q(x_{t-1} | x_t, x_0) and p(x_{t-1} | x_t) are Gaussian with means that differ by c_t (X - m_hat):

    L_T     = 1/2 [n (cos^2/s^2 - 1 - log(cos^2/s^2)) + sin^2 E|X|^2 / s^2]
    L_{t-1} = n/2 [r_t - 1 - log r_t] + c_t^2 e_t / (2 sigma_t^2),     r_t = btilde_t / sigma_t^2
    L_0     = n/2 log(2 pi sigma_1^2) + e_1 / (2 sigma_1^2)

With sigma_t^2 = btilde_t the weight is c_t^2/(2 btilde_t) = (gamma_{t-1} - gamma_t)/2 with gamma = tan^2, the
signal-to-noise ratio: L is then a Riemann sum of 1/2 int E|X - m_hat|^2 dgamma.

For the exact posterior mean e_t is the Bayes risk R. As 1/2 R is the derivative in gamma of the information I(X; x_phi)
(Guo, Shamai and Verdu 2005), the parts of the gap are known too:

    L - h(X) = KL(q(x_T) | p) + sum_t E KL(q(x_{t-1} | x_t) | p) + sum_t c_t^2 E|m - m_hat|^2 / (2 sigma_t^2)
    KL(q(x_T) | p) = L_T - I_T,     E KL(q(x_{t-1} | x_t) | p) = L_{t-1} - (I_{t-1} - I_t)
    E KL(q(x_0 | x_1) | p) = L_0 - (h(X) - I_1)

with the terms of the exact posterior mean on the right; h(X) is the differential entropy, the least negative
log-likelihood of any model.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy
import torch

from scorelab.channel import sin_cos
from scorelab.quadrature import NotResolved
from scorelab.samplers.ddpm import reverse_kernel

Variance = Literal["beta", "posterior", "optimal"]

#: share of n nats to which two degrees of an expansion have to agree, and the degrees
_CLOSE, _DEGREES = 1e-9, (64, 128, 256, 512, 1024)
#: where the expansion begins, as a signal-to-noise ratio times the variance, and where it ends, over that of the chain
_LOW, _BEYOND = 1e-6, 1e4
#: what is left beyond the end, in n nats, from which on it has to fall like 1/gamma, and how near to it
_REST, _FALL = 1e-7, 0.1


@dataclass(frozen=True)
class Chain:
    """The states x_T, ..., x_1 of a chain and the law of its start.

    angles: (T,), increasing, float64: angle T, of the most noise, stands first. start_std: s. n: dimension. All tensors
    of the methods have an entry for each angle, for the step that leaves it: L_{T-1}, ..., L_1, L_0.
    """

    angles: torch.Tensor
    start_std: float
    n: int

    def __post_init__(self):
        sin, cos = sin_cos(self.angles, self.angles)
        bar, left = sin.square(), cos.square()
        clean = torch.ones_like(bar[:1])
        following = torch.cat([bar[1:], clean]), torch.cat([left[1:], 0 * clean])
        _, of_mean, posterior, beta = reverse_kernel(bar, left, *following)
        for name, value in {"bar": bar, "left": left, "of_mean": of_mean, "posterior": posterior, "beta": beta}.items():
            object.__setattr__(self, name, value)

    def variances(self, variance: Variance, squared_error):
        """sigma_t^2, (T,), for e_t = squared_error (T,).

        beta: beta_t. posterior: btilde_t; for the last step, where it is 0, that of the step before, as in the code of
        Ho, Jain and Abbeel. optimal: btilde_t + c_t^2 e_t/n, for which L is least (Bao, Li, Zhu and Zhang 2022).
        """
        if variance == "beta":
            return self.beta
        if variance == "posterior":
            return torch.cat([self.posterior[:-1], self.posterior[-2:-1]])
        return self.posterior + self.of_mean.square() * squared_error / self.n

    def weights(self, variance: Variance, squared_error):
        """c_t^2/(2 sigma_t^2), (T,): the derivative of L in e_t, also for the optimal variance."""
        return self.of_mean.square() / (2 * self.variances(variance, squared_error))

    def steps(self, variance: Variance, squared_error):
        """L_{T-1}, ..., L_1, L_0 in nats, (T,), for e_t = squared_error (T,); L_0 of a Gaussian decoder."""
        sigma2 = self.variances(variance, squared_error)
        ratio = self.posterior / sigma2
        constant = 0.5 * self.n * (ratio - 1 - ratio.log())
        constant[-1] = 0.5 * self.n * torch.log(2 * math.pi * sigma2[-1])
        return constant + self.weights(variance, squared_error) * squared_error

    def start(self, square):
        """L_T in nats for E|X|^2 = square, a number or a tensor of any shape: KL(q(x_T | X) | N(0, s^2 I))."""
        ratio = float(self.left[0]) / self.start_std**2
        return 0.5 * (self.n * (ratio - 1 - math.log(ratio)) + float(self.bar[0]) * square / self.start_std**2)


class Information:
    """I(X; x_phi), the entropy of X and the Bayes risk at all angles, from the Bayes risk at a few hundred angles.

    With lambda = log tan^2, g = n sin^2 - tan^2 R is what the risk of N(0, I) has more than R, and

        I(phi) = n/2 log(1 + tan^2) - D(phi),   D(phi) = 1/2 int_{-inf}^lambda g,   h(X) = n/2 log(2 pi e) - D(pi/2).

    g is expanded in Chebyshev polynomials of lambda, whose degree is doubled until D changes by less than 1e-9 n.

    target: one with an exact `bayes_risk`. end_angle: the last angle of the chain. error: the last change of D. Raises
    NotResolved if the largest degree does not suffice.
    """

    def __init__(self, target, end_angle: float):
        self.target, self.n = target, target.n
        self.variance = float(target.bayes_risk(torch.zeros((), dtype=torch.float64)))
        self.low = math.log(_LOW / max(self.n, self.variance))
        self.high = math.log(_BEYOND * math.tan(end_angle) ** 2)
        check, before = numpy.linspace(self.low, self.high, 200), None
        for degree in _DEGREES:
            cls = numpy.polynomial.Chebyshev
            self._g = cls.interpolate(self._excess, degree, [self.low, self.high])
            self._deficit = 0.5 * self._g.integ(lbnd=self.low)
            values = self._deficit(check)
            self.error = math.inf if before is None else float(numpy.abs(values - before).max())
            if self.error < _CLOSE * self.n:
                return
            before = values
        raise NotResolved(f"the Bayes risk is not resolved: D changes by {self.error:.1g} nats at degree {degree}")

    def _excess(self, log_snr):
        """g at lambda (points,)."""
        angles = torch.atan(torch.from_numpy(numpy.exp(0.5 * log_snr)))
        sin, tan = torch.sin(angles), torch.tan(angles)
        return (self.n * sin.square() - tan.square() * self.target.bayes_risk(angles)).numpy()

    def _log_snr(self, angles):
        """lambda of angles, as numpy."""
        return 2 * numpy.log(numpy.tan(angles.numpy()))

    def risk(self, angles):
        """R at angles (points,) up to that of the chain, float64."""
        sin, cos = sin_cos(angles, angles)
        early = angles < math.atan(math.exp(0.5 * self.low))
        inside = torch.where(early, math.pi / 4, angles)
        g = torch.from_numpy(self._g(self._log_snr(inside)))
        risk = (cos / sin).square() * (self.n * sin.square() - g)
        return torch.where(early, self.variance, risk)

    def information(self, angles):
        """I(X; x_phi) in nats at angles (points,), float64."""
        snr = torch.tan(angles).square()
        early = angles < math.atan(math.exp(0.5 * self.low))
        inside = torch.where(early, math.pi / 4, angles)
        later = torch.from_numpy(self._deficit(self._log_snr(inside))) + self._first
        return torch.where(early, 0.5 * snr * self.variance, 0.5 * self.n * torch.log1p(snr) - later)

    @property
    def _first(self):
        """D where the expansion begins: there g = tan^2 (n - E|X - EX|^2)."""
        return 0.5 * math.exp(self.low) * (self.n - self.variance)

    @property
    def entropy(self) -> float:
        """h(X) = E[-log p(X)] in nats, for a target with a smooth density, whose g falls like 1/tan^2 in the end.

        Raises NotResolved if it does not, as where the density jumps.
        """
        before, last = (float(self._g(self.high - back)) for back in (math.log(4), 0.0))
        rest = 0.5 * last
        if abs(rest) > _REST * self.n and abs(4 * last / before - 1) > _FALL:
            raise NotResolved("the Bayes risk at high signal-to-noise ratios is not that of a smooth density")
        return 0.5 * self.n * math.log(2 * math.pi * math.e) - float(self._deficit(self.high)) - self._first - rest
