"""The KL divergence between the exact and the learned path measure."""

import math
from dataclasses import dataclass

import torch

from scorelab.channel import mix
from scorelab.laws.estimate import Estimate
from scorelab.quadrature import gauss_legendre


@dataclass(frozen=True)
class PathKL:
    """The path KL and its integrand at Gauss-Legendre angles; each tensor is (points,), float64.

    angle: in radians. t = tan^2(angle). squared_error: E|m - m_hat|^2 along the exact process. density: 1/2
    squared_error dt/d angle, in nats per radian. total: the integral in nats. The last three have standard errors.
    """

    angle: torch.Tensor
    t: torch.Tensor
    squared_error: torch.Tensor
    squared_error_standard_error: torch.Tensor
    density: torch.Tensor
    density_standard_error: torch.Tensor
    total: float
    standard_error: float


@torch.no_grad()
def path_kl(denoiser, target, end_angle: float, points: int, draws: int, generator) -> PathKL:
    """1/2 int_0^T E|m(Y_t; t) - m_hat(Y_t; t)|^2 dt with T = tan^2(end_angle), along the exact process.

    By Girsanov's theorem this is the KL divergence between the laws of the paths of dY = m dt + dW and of
    dY = m_hat dt + dW (000_6c70dbc10a1c9c83.txt, equation A.5, is its empirical form). The integral over the angle is
    computed by Gauss-Legendre quadrature, and the expectation is the mean over `draws` independent exact states per
    angle. A denoiser that first chooses one of several processes is compared with the exact process of its choice, and
    the KL divergence of the choices is added. Raises ScorelabError for a target without an exact posterior mean; see
    `Denoiser.incomparable`.
    """
    angle, weights = gauss_legendre(0.0, end_angle, points)
    mean, error = torch.empty_like(angle), torch.empty_like(angle)
    for k, value in enumerate(angle.tolist()):
        clean = target.sample(draws, generator)
        x = mix(clean, torch.randn(clean.shape, generator=generator), value)
        learned, exact = denoiser.knowing(clean, target)
        squared = (exact(x, value) - learned(x, value)).double().square().flatten(1).sum(1)
        mean[k], error[k] = squared.mean(), squared.std() / math.sqrt(draws)
    t = torch.tan(angle) ** 2
    half_rate = torch.tan(angle) * (1 + t)  # 1/2 dt/d angle
    total = float((weights * half_rate * mean).sum()) + denoiser.choice_kl(target)
    standard_error = float((weights * half_rate * error).square().sum().sqrt())
    return PathKL(angle, t, mean, error, half_rate * mean, half_rate * error, total, standard_error)


def no_floor(target) -> str | None:
    """Why the target has no `parametric_floor`; None if it has one."""
    why = target.lacks("gaussian_modes")
    if why is None and not bool((target.std == 1).all()):
        why = "the floor is derived for modes of unit standard deviation, and the target has others"
    return why


def parametric_floor(target, count: int) -> Estimate:
    """The least path KL that `count` samples allow: K n / (2 count) nats, which is n / count for two modes.

    It is the path KL of a mixture model whose K means alone are estimated. The mean of one mode, estimated from the
    samples of the mode, costs 1/2 int E|cos^2(phi) delta|^2 dt = n / (2 count) in expectation for well-separated modes
    of unit standard deviation. The floor is not measured for any other target.
    """
    why = no_floor(target)
    return Estimate.missing(why) if why is not None else Estimate(len(target.weights) * target.n / (2 * count))
