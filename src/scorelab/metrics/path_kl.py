"""The KL divergence between the exact and the learned path measure."""

import math
from dataclasses import dataclass

import torch

from scorelab.channel import mix
from scorelab.quadrature import gauss_legendre


@dataclass(frozen=True)
class PathKL:
    """The integrand of the path KL at Gauss-Legendre angles, (points,) float64 each, and the integral.

    angle, t = tan^2(angle); squared_error = E|m - m_hat|^2 along the exact process and its standard error;
    density = 1/2 squared_error dt/d angle, in nats per radian. total, standard_error: in nats.
    """

    angle: torch.Tensor
    t: torch.Tensor
    squared_error: torch.Tensor
    squared_error_se: torch.Tensor
    density: torch.Tensor
    density_se: torch.Tensor
    total: float
    standard_error: float


@torch.no_grad()
def path_kl(denoiser, target, end_angle: float, points: int, draws: int, generator) -> PathKL:
    """1/2 int_0^T E|m(Y_t; t) - m_hat(Y_t; t)|^2 dt with T = tan^2(end_angle), along the exact process.

    By Girsanov's theorem this is the KL divergence between the laws of the paths of dY = m dt + dW and of
    dY = m_hat dt + dW (000_6c70dbc10a1c9c83.txt, equation A.5, is its empirical form). The integral over the angle is
    by Gauss-Legendre quadrature, the expectation over `draws` independent exact states an angle. A denoiser that
    chooses one of several processes first is compared with the exact one of its choice, and adds the KL of the choices.
    """
    angle, weights = gauss_legendre(0.0, end_angle, points)
    mean, error = torch.empty_like(angle), torch.empty_like(angle)
    for k, value in enumerate(angle.tolist()):
        clean = target.sample(draws, generator)
        x = mix(clean, torch.randn(clean.shape, generator=generator), value)
        learned, exact = denoiser.knowing(clean, target)
        squared = (exact(x, value) - learned(x, value)).double().square().sum(1)
        mean[k], error[k] = squared.mean(), squared.std() / math.sqrt(draws)
    t = torch.tan(angle) ** 2
    half_rate = torch.tan(angle) * (1 + t)  # 1/2 dt/d angle
    total = float((weights * half_rate * mean).sum()) + denoiser.choice_kl(target)
    standard_error = float((weights * half_rate * error).square().sum().sqrt())
    return PathKL(angle, t, mean, error, half_rate * mean, half_rate * error, total, standard_error)


def parametric_floor(target, count: int) -> float:
    """What `count` samples allow: K n / (2 count) nats, n/N for two modes.

    The path KL of the mixture model fitted by its K means alone: estimating one mode's mean from its share of the
    samples costs 1/2 int E|cos^2(phi) delta|^2 dt = n / (2 count) in expectation for well-separated modes.
    """
    return len(target.weights) * target.n / (2 * count)
