"""Learning the centres of a mixture from its denoising objective: the steps of each algorithm, and their floors.

A level is the time t of stochastic localization, sin^2 = t/(t+1) = e^-2s, with states x = sin X + cos Z. Two modes are
mu and -mu; b = sin mu = e^-s mu. Whatever the states are drawn around, N(c, share I) for each centre c (the population
has c = b*, share = 1, given samples c = sin X_i, share = cos^2), with the noise averaged exactly:

    half_descent = -grad_b L_DDPM/2,    em = E[tanh<b,x> x],    power = 2 (E x x^T - I) b - 2 |b|^2 b

K modes of equal weight are N(mu_k, I) with m_k = sin mu_k, w = softmax(<x,m_k> - |m_k|^2/2), and the student's score is
s = sum_k w_k m_k - x (002_d471936793a219f4.txt, eq. 9). Stein's lemma takes the noise out of the target,

    E|s + Z/cos|^2 = E[|s|^2 + 2 div s] + ... = E[2 sum_k w_k |m_k|^2 - |m|^2 - 2 <x,m>] + ...,    m = sum_k w_k m_k

which has a limit where there is no noise at all. Half its negative gradient with respect to m_k is
E[w_k (x - m_k)], a step of gradient EM, where each w_k is 0 or 1. Tensors are float64; batches come first.
"""

import math
from typing import NamedTuple

import numpy
import torch

from scorelab.theory.student import Averaged, Maximization

#: rows of the curve of a descent, about
POINTS = 80
#: the largest |mu*| at a noise level for which Lemma C.3 holds, 6 + 4/3 |mu*|^2 = 10, and the kappas are a bound
REACH = math.sqrt(3)

# Two modes. ----------------------------------------------------------------------------------------------------------


def sin_cos_of(t: float) -> tuple[float, float]:
    """Signal and noise at a level."""
    return math.sqrt(t / (1 + t)), math.sqrt(1 / (1 + t))


class Level(NamedTuple):
    """Where the states of a level lie: centres (starts or 1, M, n), each with the covariance share I."""

    centres: torch.Tensor
    share: float

    @classmethod
    def of_population(cls, star, t: float) -> "Level":
        """All of the mixture of N(star, I) and N(-star, I); star (n,)."""
        return cls(sin_cos_of(t)[0] * star.reshape(1, 1, -1), 1.0)

    @classmethod
    def of_samples(cls, clean, t: float) -> "Level":
        """The samples clean (starts, N, n), their noise averaged."""
        sin, cos = sin_cos_of(t)
        return cls(sin * clean, cos**2)

    def half_descent(self, b):
        """-grad_b L_DDPM/2, (starts, n)."""
        return -0.5 * Averaged(self.centres, self.share, 1.0, True, 0.0, 1.0)(b)[1]

    def localization_descent(self, mu, t: float):
        """Half the negative gradient of E|X - m(Y_t; mu)|^2 with respect to mu, (starts, n)."""
        loss = Averaged(self.centres, self.share, sin_cos_of(t)[0], True, 0.0, 1 / (t * (t + 1)))
        return -0.5 * loss(mu)[1]

    def em(self, b):
        """The M-step E[tanh<b,x> x], (starts, n)."""
        return b - Maximization(self.centres, self.share, 1.0, 1.0)(b)[1]

    def power_direction(self, b):
        """2 (E x x^T - I) b - 2 |b|^2 b, (starts, n)."""
        along = (self.centres @ b.unsqueeze(-1)).squeeze(-1)
        spread = (along.unsqueeze(-2) @ self.centres).squeeze(-2) / self.centres.shape[-2] - (1 - self.share) * b
        return 2 * spread - 2 * b.square().sum(-1, keepdim=True) * b


def deviation_sharp(length, star_length):
    """6 |mu|^5 + 6 |mu|^3 |mu*|^2 + 4/3 |mu|^3 |mu*|^4, in any dimension: what `half_descent` strays from
    `power_direction` at most, found on a grid, and to leading order in |mu|: the first term at a right angle, the other
    two at none."""
    return 6 * length**5 + length**3 * star_length**2 * (6 + 4 / 3 * star_length**2)


def deviation_bound(length, star_length, d: float):
    """500 d^(3/2) |mu|^4 + 20 d |mu|^2 |mu*|^2: the bound of Lemma C.3 over <mu, mu*/|mu*|> at a cosine of 1/(2d)."""
    return 500 * d**1.5 * length**4 + 20 * d * length**2 * star_length**2


def printed_kappa_1(length, star_length, rate, d: float, error=0.0):
    """kappa_1 of Lemma C.5 as printed; error: its eps~. rate, lengths: floats or tensors."""
    shrunk = 1 - 3 * rate * length**2
    return shrunk / (shrunk + rate * (star_length**2 - deviation_bound(length, star_length, d) - rate * error))


def printed_kappa_2(length, star_length, rate, d: float, error=0.0):
    """kappa_2 of Lemma C.5 as printed."""
    return rate * (deviation_bound(length, star_length, d) + error) / star_length**2


def kappa_1(length, star_length, rate, d: float, error=0.0):
    """kappa_1 as its proof gives it with 2 |mu|^2 for 3 |mu|^2, for a step of `rate` along the half gradient."""
    shrunk = 1 - 2 * rate * length**2
    return shrunk / (shrunk + rate * (star_length**2 - deviation_bound(length, star_length, d) - error))


def kappa_2(length, star_length, rate, d: float, error=0.0):
    """kappa_2 as its proof gives it: without the rate."""
    return (deviation_bound(length, star_length, d) + error) / star_length**2


def contraction_bounds(length, star_length, rate: float, d: float, error=0.0):
    """(kappa_1, kappa_2) of Lemma C.5 with the error eps~ of the gradient: as printed, and as its proof has them."""
    given = (length, star_length, rate, d, error)
    return (printed_kappa_1(*given), printed_kappa_2(*given)), (kappa_1(*given), kappa_2(*given))


# K modes. ------------------------------------------------------------------------------------------------------------


def simplex(K: int, n: int, separation: float):
    """K centres (K, n), any two `separation` apart, their mean at 0; n >= K."""
    centres = torch.eye(n, dtype=torch.float64)[:K] * (separation / math.sqrt(2))
    return centres - centres.mean(0)


def responsibilities(x, means):
    """softmax(<x,m_k> - |m_k|^2/2), (..., count, K), for x (..., count, n), means (..., K, n)."""
    return torch.softmax(x @ means.mT - 0.5 * means.square().sum(-1).unsqueeze(-2), -1)


def stein_loss(x, means):
    """E[2 sum_k w_k |m_k|^2 - |m|^2 - 2 <x,m>] over the states x (..., count, n), (...,): the DDPM loss less what does
    not depend on the means."""
    w = responsibilities(x, means)
    mixed = w @ means
    inside = 2 * (w @ means.square().sum(-1, keepdim=True)).squeeze(-1) - ((mixed + 2 * x) * mixed).sum(-1)
    return inside.mean(-1)


def stein_gradient(x, means):
    """The gradient of `stein_loss` with respect to the means, (..., K, n)."""
    count, sizes = x.shape[-2], means.square().sum(-1).unsqueeze(-2)
    products = x @ means.mT
    w = torch.softmax(products - 0.5 * sizes, -1)
    slopes = 2 * sizes - 2 * products - 2 * (w @ (means @ means.mT))
    by_logits = w * (slopes - (w * slopes).sum(-1, keepdim=True))
    along_means = (4 * w - by_logits).sum(-2).unsqueeze(-1) * means - 2 * (w.mT @ w) @ means
    return ((by_logits - 2 * w).mT @ x + along_means) / count


def em_step(x, means):
    """The means after one step of EM with weights 1/K and covariances I, (..., K, n): 002_d471936793a219f4.txt,
    Fact 5."""
    w = responsibilities(x, means)
    return w.mT @ x / w.sum(-2).unsqueeze(-1)


def noisy_states(clean, t: float, generator, pairs: int = 1):
    """sin X + cos Z and sin X - cos Z for each of `pairs` draws of Z a sample, (..., 2 pairs N, n). The two of a pair
    make up for each other in whatever is linear in the noise, as the mean of the states of a mode is."""
    sin, cos = sin_cos_of(t)
    noise = [torch.randn(clean.shape, generator=generator, dtype=clean.dtype) for _ in range(pairs)]
    return torch.cat([sin * clean + sign * cos * each for each in noise for sign in (1, -1)], -2)


def draw_mixture(means, count: int, generator, batch: int):
    """Samples (batch, count, n) of the mixture of N(mu_k, I)."""
    K, n = means.shape
    modes = torch.randint(0, K, (batch, count), generator=generator)
    return means[modes] + torch.randn(batch, count, n, generator=generator, dtype=means.dtype)


def matched_distances(found, means):
    """|mu_hat_k - mu_k| of each mode (..., K) under the pairing with the least sum of squares."""
    from scipy.optimize import linear_sum_assignment

    squares = torch.cdist(means.expand_as(found), found).square()
    tables = squares.reshape(-1, *squares.shape[-2:]).numpy()
    paired = numpy.stack([table[linear_sum_assignment(table)] for table in tables])
    return torch.from_numpy(paired).reshape(squares.shape[:-1]).sqrt()


def log_slopes(sizes, errors):
    """The slope of log error over log N of each repeat, (repeats,), by least squares; errors (sizes, repeats)."""
    x = numpy.log(sizes) - numpy.log(sizes).mean()
    return (x @ numpy.log(errors)) / (x @ x)


def labelled_floor(K: int, n: int, count: int) -> float:
    """sqrt(n K/count): root mean square error of a mean where it is known which sample is of which mode."""
    return math.sqrt(n * K / count)


def fisher_floor(means, count: int, draws: int, generator) -> float:
    """The Cramer-Rao bound on the root mean square error of a mean, sqrt(trace(I^-1)/(K count)), from `draws`."""
    K, n = means.shape
    x = draw_mixture(means, draws, generator, 1)[0]
    scores = responsibilities(x, means).unsqueeze(-1) * (x.unsqueeze(-2) - means)
    scores = scores.reshape(draws, K * n)
    information = scores.mT @ scores / draws
    return math.sqrt(float(torch.linalg.inv(information).trace()) / (K * count))
