"""Learning the centres of a mixture from its denoising objective: the steps of each algorithm, and their floors.

A level is the time t of stochastic localization, sin^2 = t/(t+1) = e^-2s, with states x = sin X + cos Z. Two modes are
mu and -mu; b = sin mu = e^-s mu. The states are drawn from N(c, share I) around each centre c: the population has
c = b* and share = 1, given samples have c = sin X_i and share = cos^2. The noise is averaged exactly, so that

    half_descent = -grad_b L_DDPM/2,    em = E[tanh<b,x> x],    power = 2 (E x x^T - I) b - 2 |b|^2 b

K modes of equal weight are N(mu_k, I) with m_k = sin mu_k, w = softmax(<x,m_k> - |m_k|^2/2), and the student's score is
s = sum_k w_k m_k - x (Zhang 2024, eq. 9). Stein's lemma takes the noise out of the target,

    E|s + Z/cos|^2 = E[|s|^2 + 2 div s] + ... = E[2 sum_k w_k |m_k|^2 - |m|^2 - 2 <x,m>] + ...,    m = sum_k w_k m_k

and the right side has a limit without noise. Where each w_k is 0 or 1, half its negative gradient with respect to m_k
is E[w_k (x - m_k)], a step of gradient EM. Tensors are float64; batches come first.
"""

import math
from typing import NamedTuple

import numpy
import torch

from scorelab.theory.student import Averaged, Maximization

#: approximate number of rows of the curve of a descent
POINTS = 80
#: the largest |mu*| at a noise level for which Lemma C.3 holds and the kappas are a bound: 6 + 4/3 |mu*|^2 = 10
REACH = math.sqrt(3)

# Two modes. ----------------------------------------------------------------------------------------------------------


def sin_cos_of(t: float) -> tuple[float, float]:
    """(sqrt(t/(t+1)), sqrt(1/(t+1))), the factors of the signal and of the noise at a level."""
    return math.sqrt(t / (1 + t)), math.sqrt(1 / (1 + t))


class Level(NamedTuple):
    """The law of the states of a level: centres (starts or 1, M, n), each with the covariance share I."""

    centres: torch.Tensor
    share: float

    @classmethod
    def of_population(cls, star, t: float) -> "Level":
        """The states of the mixture of N(star, I) and N(-star, I), star (n,); one centre does, by symmetry."""
        return cls(sin_cos_of(t)[0] * star.reshape(1, 1, -1), 1.0)

    @classmethod
    def of_samples(cls, clean, t: float) -> "Level":
        """The states of given samples clean (starts, N, n); the noise is averaged."""
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
    """6 |mu|^5 + 6 |mu|^3 |mu*|^2 + 4/3 |mu|^3 |mu*|^4: a bound on |half_descent - power_direction| in any dimension.

    The bound was found on a grid. To leading order in |mu| the deviation is the first term where mu is at a right angle
    to mu*, and the other two terms where mu lies along mu*.
    """
    return 6 * length**5 + length**3 * star_length**2 * (6 + 4 / 3 * star_length**2)


def deviation_bound(length, star_length, d: float):
    """500 d^(3/2) |mu|^4 + 20 d |mu|^2 |mu*|^2: the bound of Lemma C.3 over <mu, mu*/|mu*|>, at the cosine 1/(2d)."""
    return 500 * d**1.5 * length**4 + 20 * d * length**2 * star_length**2


def printed_kappa_1(length, star_length, rate, d: float, error=0.0):
    """kappa_1 of Lemma C.5 as printed. error: eps~ of the lemma. rate, lengths: floats or tensors."""
    shrunk = 1 - 3 * rate * length**2
    return shrunk / (shrunk + rate * (star_length**2 - deviation_bound(length, star_length, d) - rate * error))


def printed_kappa_2(length, star_length, rate, d: float, error=0.0):
    """kappa_2 of Lemma C.5 as printed."""
    return rate * (deviation_bound(length, star_length, d) + error) / star_length**2


def kappa_1(length, star_length, rate, d: float, error=0.0):
    """kappa_1 as its proof gives it, with 2 |mu|^2 in place of 3 |mu|^2, for `rate` times half the gradient."""
    shrunk = 1 - 2 * rate * length**2
    return shrunk / (shrunk + rate * (star_length**2 - deviation_bound(length, star_length, d) - error))


def kappa_2(length, star_length, rate, d: float, error=0.0):
    """kappa_2 as its proof gives it, without the factor `rate`."""
    return (deviation_bound(length, star_length, d) + error) / star_length**2


def contraction_bounds(length, star_length, rate: float, d: float, error=0.0):
    """Two pairs (kappa_1, kappa_2) of Lemma C.5, with error = eps~: as printed, and as the proof gives them."""
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
    """E[2 sum_k w_k |m_k|^2 - |m|^2 - 2 <x,m>] over the states x (..., count, n), (...,): the DDPM loss without the
    terms that do not depend on the means."""
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
    """The means after one step of EM with weights 1/K and covariances I, (..., K, n): Zhang 2024,
    Fact 5."""
    w = responsibilities(x, means)
    return w.mT @ x / w.sum(-2).unsqueeze(-1)


def noisy_states(clean, t: float, generator, pairs: int = 1):
    """sin X + cos Z and sin X - cos Z for each of `pairs` draws of Z per sample, (..., 2 pairs N, n). In a pair
    everything linear in the noise cancels, for example in the mean of the states of a mode."""
    sin, cos = sin_cos_of(t)
    noise = [torch.randn(clean.shape, generator=generator, dtype=clean.dtype) for _ in range(pairs)]
    return torch.cat([sin * clean + sign * cos * each for each in noise for sign in (1, -1)], -2)


def draw_mixture(means, count: int, generator, batch: int):
    """Samples (batch, count, n) of the mixture of N(mu_k, I) with equal weights."""
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
    """sqrt(n K/count): root mean square error of a mean where the mode of each sample is known."""
    return math.sqrt(n * K / count)


def fisher_floor(means, count: int, draws: int, generator) -> float:
    """The Cramer-Rao bound on the root mean square error of a mean, sqrt(trace(I^-1)/(K count)).

    The Fisher information I of one sample is a mean over `draws` samples.
    """
    K, n = means.shape
    x = draw_mixture(means, draws, generator, 1)[0]
    scores = responsibilities(x, means).unsqueeze(-1) * (x.unsqueeze(-2) - means)
    scores = scores.reshape(draws, K * n)
    information = scores.mT @ scores / draws
    return math.sqrt(float(torch.linalg.inv(information).trace()) / (K * count))
