"""The KL divergence between the exact and the learned path measure."""

import itertools
import math
from dataclasses import dataclass

import torch

from scorelab.channel import mix
from scorelab.devices import on
from scorelab.laws.estimate import mean_and_error
from scorelab.quadrature import gauss_legendre
from scorelab.randomness import normal

#: exact paths on which the error of the quadrature is measured
_PATHS = 64


@dataclass(frozen=True)
class PathKL:
    """The path KL and its integrand at Gauss-Legendre angles; each tensor is (points,), float64.

    angle: in radians. t = tan^2(angle). squared_error: E|m - m_hat|^2 along the exact process. density: 1/2
    squared_error dt/d angle, in nats per radian. total: the integral in nats. The last three have standard errors; the
    standard error of the total contains rule_error, the error of the quadrature.
    """

    angle: torch.Tensor
    t: torch.Tensor
    squared_error: torch.Tensor
    squared_error_standard_error: torch.Tensor
    density: torch.Tensor
    density_standard_error: torch.Tensor
    total: float
    standard_error: float
    rule_error: float


@torch.no_grad()
def path_kl(denoiser, target, end_angle: float, points: int, draws: int, generator) -> PathKL:
    """1/2 int_0^T E|m(Y_t; t) - m_hat(Y_t; t)|^2 dt with T = tan^2(end_angle), along the exact process.

    By Girsanov's theorem this is the KL divergence between the laws of the paths of dY = m dt + dW and of
    dY = m_hat dt + dW (Visconti 2025, equation A.5, is its empirical form). The integral over the angle is
    computed by Gauss-Legendre quadrature with `points` angles on each stretch between two jumps of the denoiser, and
    the expectation is the mean over `draws` independent exact states per angle. The error of the quadrature is its
    difference from the rule with twice as many angles, the mean over the same few exact states for both rules: it shows
    where the denoiser jumps without saying so. A denoiser that first chooses one of several processes is compared with
    the exact process of its choice, and the KL divergence of the choices is added. Raises ScorelabError for a target
    without an exact posterior mean; see `Denoiser.incomparable`.
    """

    device, there = denoiser.device, on(target, denoiser.device)

    def states(count):
        clean = target.sample(count, generator)
        return clean.to(device), normal(clean.shape, generator, device=device)

    jumps = [angle for angle in denoiser.jumps() if 0 < angle < end_angle]
    angle, weights = _nodes(jumps, end_angle, points)
    mean, error = torch.empty_like(angle), torch.empty_like(angle)
    for k, value in enumerate(angle.tolist()):
        mean[k], error[k] = mean_and_error(_squared_error(denoiser, there, *states(draws), value))
    t, half_rate = torch.tan(angle) ** 2, _half_rate(angle)
    total = float((weights * half_rate * mean).sum()) + denoiser.choice_kl(target)
    few, totals = states(_PATHS), []
    for nodes, masses in ((angle, weights), _nodes(jumps, end_angle, 2 * points)):
        means = [float(_squared_error(denoiser, there, *few, value).mean()) for value in nodes.tolist()]
        totals.append(float((masses * _half_rate(nodes)) @ torch.tensor(means, dtype=torch.float64)))
    rule_error = abs(totals[1] - totals[0])
    standard_error = math.hypot(float((weights * half_rate * error).square().sum().sqrt()), rule_error)
    density = half_rate * mean, half_rate * error
    return PathKL(angle, t, mean, error, *density, total, standard_error, rule_error)


def _nodes(jumps, end_angle, points):
    """The angles of the rule and their weights, with `points` angles on each stretch of [0, end_angle]."""
    stretches = itertools.pairwise([0.0, *jumps, end_angle])
    return (torch.cat(each) for each in zip(*(gauss_legendre(*ends, points) for ends in stretches), strict=True))


def _half_rate(angle):
    """1/2 dt/d angle at t = tan^2(angle)."""
    return torch.tan(angle) * (1 + torch.tan(angle) ** 2)


def _squared_error(denoiser, target, clean, noise, angle):
    """|m - m_hat|^2 at the noisy states of clean samples (count, *shape), shape (count,), float64."""
    x = mix(clean, noise, angle)
    learned, exact = denoiser.knowing(clean, target)
    return (exact(x, angle) - learned(x, angle)).double().square().flatten(1).sum(1)
