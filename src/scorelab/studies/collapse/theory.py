"""What an error of the posterior mean does to the variance and the mean of samples of a Gaussian, in closed form.

A target N(mu, s^2 I) has in the channel the variance v = s^2 sin^2 + cos^2. Let psi be the angle of the standardised
target, tan(psi) = s tan(phi): then sin^2(psi) = Var m/s^2 is the share of the variance that the state determines, and
cos^2(psi) the share that is left. Let lambda be the stochasticity of a sampler, which solves, towards the data,

    dx = [velocity + lambda cot(phi) score] dphi + sqrt(2 lambda cot(phi)) dW

which is the probability-flow ODE for lambda = 0, stochastic localization (and the reversed OU process) for lambda = 1,
and the limit of DDIM with eta^2 = lambda. With the exact denoiser all these samplers have the same marginals. With

    m_hat - mu = (1 - epsilon) (m - mu)

the variance V of the state keeps R = V/v, which follows, with u = sin^2(psi),

    dR/du = -(1 + lambda) epsilon R/(1 - u) + lambda (1 - R)/u

and with epsilon = size cot(psi), for which E|m_hat - m|^2 is size^2 times the Bayes risk at every noise level,

    dR/dpsi = -2 (1 + lambda) size R + 2 lambda cot(psi) (1 - R).

The first term is the error, which acts 1 + lambda times; the second term forgets earlier errors, as (sin psi/sin
psi_end)^(2 lambda). A bias size * s cos(psi) of m along a unit vector e shifts the mean of x by sqrt(v) E e, where
dE/dpsi = (1 + lambda) size - lambda cot(psi) E. Samples x/sin(phi) of the last angle have R times the variance of exact
samples there, whatever the angle.
"""

import math

from scipy.integrate import quad
from scipy.special import gamma, hyp2f1


def standard_angle(angle: float, std: float = 1.0) -> float:
    """The angle psi of an angle phi: tan(psi) = s tan(phi)."""
    return math.atan2(std * math.sin(angle), math.cos(angle))


def shrunken_variance(epsilon, band, end, stochasticity) -> float:
    """R at the angle psi = `end` where epsilon is a constant in `band`, two angles psi, and 0 elsewhere.

    R mu changes by H, mu = u^lambda (1 - u)^(-(1 + lambda) epsilon), H = u^lambda 2F1(lambda, (1 + lambda) epsilon;
    lambda + 1; u); for lambda = 0 it is ((1 - u_2)/(1 - u_1))^epsilon.
    """
    first, last = (math.sin(angle) ** 2 for angle in band)
    power = (1 + stochasticity) * epsilon

    def factor(u):
        return u**stochasticity * (1 - u) ** -power

    def gained(u):
        return u**stochasticity * float(hyp2f1(stochasticity, power, stochasticity + 1, u))

    kept = (factor(first) + gained(last) - gained(first)) / factor(last)
    return after(kept, band[1], end, stochasticity)


def relative_variance(size, band, end, stochasticity) -> float:
    """R at the angle psi = `end` for an error of `size` times the root of the Bayes risk in `band`, two angles psi.

    It is exp(-2 size (psi_2 - psi_1)) for lambda = 0, has an integral of sin(2 psi) exp(4 size psi) in closed form for
    lambda = 1, and is computed by quadrature for other values.
    """
    first, last = band
    rate = 2 * (1 + stochasticity) * size
    decay = math.exp(-rate * (last - first))
    if stochasticity == 0:
        return decay
    top, power = math.sin(last), 2 * stochasticity - 1
    if stochasticity == 1:
        gained = (_of_double_angle(last, rate) - decay * _of_double_angle(first, rate)) / top**2
    else:
        gained = quad(
            lambda psi: (
                (power + 1) * (math.sin(psi) / top) ** power * math.cos(psi) / top * math.exp(rate * (psi - last))
            ),
            first,
            last,
            epsabs=1e-13,
            epsrel=1e-12,
        )[0]
    kept = decay * (math.sin(first) / top) ** (power + 1) + gained
    return after(kept, last, end, stochasticity)


def _of_double_angle(psi, rate):
    """e^(-rate psi) times the antiderivative of sin(2 psi) e^(rate psi)."""
    return (rate * math.sin(2 * psi) - 2 * math.cos(2 * psi)) / (rate**2 + 4)


def after(kept, angle, end, stochasticity) -> float:
    """R at psi = `end`, where R is `kept` at an earlier angle and the posterior mean is exact between them."""
    return 1 + (kept - 1) * (math.sin(angle) / math.sin(end)) ** (2 * stochasticity)


def influence(angle, stochasticity) -> float:
    """The share of the final variance that a small relative error at psi costs, for each unit of size and radian:
    2 (1 + lambda) sin(psi)^(2 lambda)."""
    return 2 * (1 + stochasticity) * math.sin(angle) ** (2 * stochasticity)


def crossing(stochasticity) -> float:
    """sin^2(psi) where the influence equals the influence on the deterministic sampler: (1 + lambda)^(-1/lambda), which
    is 1/2 for lambda = 1."""
    return (1 + stochasticity) ** (-1 / stochasticity)


def total_influence(stochasticity) -> float:
    """The integral of `influence` over all noise levels, (1 + lambda) sqrt(pi) Gamma(lambda + 1/2)/Gamma(lambda + 1):
    pi for the deterministic sampler and for lambda = 1, and a little less between them, 3 at lambda = 1/2."""
    ratio = gamma(stochasticity + 0.5) / gamma(stochasticity + 1)
    return float((1 + stochasticity) * math.sqrt(math.pi) * ratio)


def mean_shift(size, band, end, stochasticity) -> float:
    """E at psi = `end`, in units of s, for the bias `size` s cos(psi) in `band`: size (psi_2 - psi_1) for lambda = 0,
    2 size (cos psi_1 - cos psi_2)/sin(psi_end) for lambda = 1. Raises ValueError for any other lambda."""
    first, last = band
    if stochasticity == 0:
        return size * (last - first)
    if stochasticity == 1:
        return 2 * size * (math.cos(first) - math.cos(last)) / math.sin(end)
    raise ValueError(f"stochasticity = {stochasticity}: 0 and 1 have a closed form")
