"""Gaussian mixtures under tilts and given some of their coordinates, in float64.

Under mu(dx) exp(<b, x> - <x, Q x>/2) mode k of a mixture sum_k w_k N(mu_k, C_k) becomes a Gaussian again. With
r_k = b - Q mu_k,

    m_k = mu_k + C_k (I + Q C_k)^-1 r_k
    log gamma_k = log w_k + <b, mu_k> - <mu_k, Q mu_k>/2 + <r_k, C_k (I + Q C_k)^-1 r_k>/2 - log det(I + Q C_k)/2 + c

which holds for any positive semidefinite Q. Given the coordinates x_S the mode has the mean mu_k + C_kS C_SS^-1 (x_S -
mu_kS) and the covariance C_k - C_kS C_SS^-1 C_Sk. Here `law` is a `laws.mixture.Mixture`.
"""

import torch

from scorelab.randomness import uniform


def tilted_modes(law, linear, precision=None):
    """The weights (count, K) and the means (count, K, n) of the modes of the tilted law; see `Target.tilted_mean`."""
    linear, covariances = linear.double(), law.covariances
    n = linear.shape[1]
    precision = torch.zeros(n, n, dtype=torch.float64) if precision is None else precision.double()
    precision = precision.unsqueeze(-3)  # before the modes
    identity = torch.eye(n, dtype=torch.float64)
    residual = linear.unsqueeze(1) - (precision @ law.means.unsqueeze(2)).squeeze(-1)
    grown = identity + precision @ covariances
    gain = torch.linalg.solve(grown.mT, covariances).mT  # C (I + Q C)^-1, for each mode
    gained = (gain @ residual.unsqueeze(3)).squeeze(3)
    exponent = linear @ law.means.T - 0.5 * ((law.means @ precision.squeeze(-3)) * law.means).sum(-1)
    exponent = exponent + 0.5 * (residual * gained).sum(2) - 0.5 * torch.linalg.slogdet(grown).logabsdet
    return torch.softmax(law.weights.log() + exponent, 1), law.means + gained


def conditional_modes(law, values, known):
    """The weights (count, K), the means and the variances (count, K, n) of the modes given the known coordinates.

    A known coordinate has its value as its mean, and variance 0. values: (count, n). known: (count, n), bool.
    """
    values, known = values.double(), known.bool()
    if law.axes is None:
        return _independent_coordinates(law, values, known)
    covariances = law.covariances
    weights = values.new_empty(len(values), len(law.means))
    means, variances = (values.new_empty(len(values), *law.means.shape) for _ in range(2))
    patterns, which = torch.unique(known, dim=0, return_inverse=True)
    for number, seen in enumerate(patterns):
        rows, unseen = which == number, ~seen
        within, across = covariances[:, seen][:, :, seen], covariances[:, unseen][:, :, seen]
        factor = torch.linalg.cholesky(within)
        offsets = values[rows][:, None, seen] - law.means[:, seen]
        solved = torch.linalg.solve_triangular(factor, offsets.movedim(0, 2), upper=False)  # (K, seen, rows)
        halved = torch.linalg.solve_triangular(factor, across.mT, upper=False)  # (K, seen, unseen)
        log_density = -0.5 * solved.square().sum(1) - factor.diagonal(dim1=1, dim2=2).log().sum(1, keepdim=True)
        weights[rows] = torch.softmax(law.weights.log() + log_density.T, 1)
        mean = values[rows].unsqueeze(1).repeat(1, len(law.means), 1)
        mean[:, :, unseen] = law.means[:, unseen] + (halved.mT @ solved).movedim(2, 0)
        variance = torch.zeros_like(law.means)
        variance[:, unseen] = covariances.diagonal(dim1=1, dim2=2)[:, unseen] - halved.square().sum(1)
        means[rows], variances[rows] = mean, variance
    return weights, means, variances


def _independent_coordinates(law, values, known):
    """`conditional_modes` for modes whose coordinates are independent."""
    variances = law.variances.expand(law.means.shape)
    offsets = values.unsqueeze(1) - law.means
    each = -0.5 * (offsets.square() / variances + variances.log())
    log_density = (each * known.unsqueeze(1)).sum(2)
    weights = torch.softmax(law.weights.log() + log_density, 1)
    hidden = ~known.unsqueeze(1)
    return weights, torch.where(hidden, law.means, values.unsqueeze(1)), hidden * variances


def tilted_mean(law, linear, precision=None):
    """See `Target.tilted_mean`."""
    weights, means = tilted_modes(law, linear, precision)
    return (weights.unsqueeze(1) @ means).squeeze(1).to(linear.dtype)


def conditional_mean(law, values, known):
    """See `Target.conditional_mean`."""
    weights, means, _ = conditional_modes(law, values, known)
    return (weights.unsqueeze(1) @ means).squeeze(1).to(values.dtype)


def conditional_draw(law, values, known, noise):
    """See `Target.conditional_draw`: each coordinate draws a mode of its own, and then its Gaussian."""
    weights, means, variances = conditional_modes(law, values, known)
    heights = weights.cumsum(1).unsqueeze(1)
    mode = (uniform(noise()).unsqueeze(2) > heights[..., :-1]).sum(2, keepdim=True)  # (count, n, 1)
    mean, variance = (part.movedim(1, 2).gather(2, mode).squeeze(2) for part in (means, variances))
    return (mean + variance.clamp_min(0).sqrt() * noise().double()).to(values.dtype)
