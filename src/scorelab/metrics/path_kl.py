"""The KL divergence between the exact and the learned path measure."""

import itertools
import math
from dataclasses import dataclass

import torch

from scorelab.channel import mix
from scorelab.denoisers.stacked import beside
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
    return path_kls(denoiser, [target], end_angle, points, draws, [generator])[0]


@torch.no_grad()
def path_kls(denoiser, targets, end_angle: float, points: int, draws: int, generators) -> list[PathKL]:
    """`path_kl` of the R denoisers of a `Stacked`, each beside a target, by draws of a generator of its own; or of one
    denoiser."""
    device, there = denoiser.device, beside(targets, denoiser.device)

    def states(count):
        each = []
        for target, generator in zip(targets, generators, strict=True):
            clean = target.sample(count, generator)
            each.append((clean.to(device), normal(clean.shape, generator, device=device)))
        return tuple(map(torch.cat, zip(*each, strict=True)))

    def squared(states, value):
        return _squared_error(denoiser, there, *states, value).unflatten(0, (len(targets), -1))

    jumps = [angle for angle in denoiser.jumps() if 0 < angle < end_angle]
    angle, weights = _nodes(jumps, end_angle, points)
    found = [torch.stack(mean_and_error(squared(states(draws), value), 1)) for value in angle.tolist()]
    few, totals = states(_PATHS), []
    for nodes, masses in ((angle, weights), _nodes(jumps, end_angle, 2 * points)):
        means = torch.stack([squared(few, value).mean(1) for value in nodes.tolist()]).cpu()
        totals.append((masses * _half_rate(nodes)) @ means)
    means, errors = torch.stack(found).cpu().permute(1, 2, 0)
    rows = zip(targets, means, errors, (totals[1] - totals[0]).abs().tolist(), strict=True)
    return [_path_kl(angle, weights, *each, denoiser.choice_kl(target), rule) for target, *each, rule in rows]


def _path_kl(angle, weights, mean, error, choice, rule_error):
    """The `PathKL` of means and errors (points,)."""
    half_rate = _half_rate(angle)
    total = float((weights * half_rate * mean).sum()) + choice
    standard_error = math.hypot(float((weights * half_rate * error).square().sum().sqrt()), rule_error)
    density = half_rate * mean, half_rate * error
    return PathKL(angle, torch.tan(angle) ** 2, mean, error, *density, total, standard_error, rule_error)


def _nodes(jumps, end_angle, points):
    """The angles of the rule and their weights, with `points` angles on each stretch of [0, end_angle]."""
    stretches = itertools.pairwise([0.0, *jumps, end_angle])
    return (torch.cat(each) for each in zip(*(gauss_legendre(*ends, points) for ends in stretches), strict=True))


def _half_rate(angle):
    """1/2 dt/d angle at t = tan^2(angle)."""
    return torch.tan(angle) * (1 + torch.tan(angle) ** 2)


def _squared_error(denoiser, target, clean, noise, angle):
    """|m - m_hat|^2 at the noisy states of clean samples (R count, *shape), shape (R count,), float64."""
    x = mix(clean, noise, angle)
    learned, exact = denoiser.knowing(clean, target)
    return (exact(x, angle) - learned(x, angle)).double().square().flatten(1).sum(1)
