"""The Gaussian channel in its angle coordinate: the one coordinate of every formulation in this package.

    x = sin(phi) X + cos(phi) G,      phi in [0, pi/2],      G ~ N(0, I)

`phi = 0` is pure noise and `phi = pi/2` is clean data. With the predictions

    m = E[X | x]  (posterior mean)        eps = E[G | x]  (noise)        v = cos(phi) m - sin(phi) eps  (velocity)

Tweedie's formula (CS 224 lecture 24, lemma 1) is one set of identities for all clocks:

    x = sin m + cos eps          m = sin x + cos v          eps = cos x - sin v
    score = grad log p_phi(x) = -eps / cos = (sin m - x) / cos^2

Every function takes `x` and predictions of one shape and an `angle` in radians, a number or a tensor. A tensor has one
angle per sample: its dimensions are the first dimensions of `x`, for example (count,) for states (count, n) and for
images (count, channels, height, width). Results have the dtype of `x`.

At one end of the interval some of these quantities are no longer functions of one another: at phi = 0 the noise and
the score are fixed by `x` alone and say nothing about the posterior mean; at phi = pi/2 the posterior mean is `x`
itself and says nothing about the score. A conversion that is determined at an end is exact there. A conversion that is
not determined there raises `ValueError` instead of returning 0/0.
"""

import functools
import math

import torch

from scorelab.devices import CPU, widest

HALF_PI = math.pi / 2
#: pi/2 has no exact floating-point value: an angle this close to it stands for pi/2
_ROUNDING = {torch.float64: 1e-15, torch.float32: 1e-7}


def aligned(values, x):
    """Shape one value per sample to multiply `x`: (count,) becomes (count, 1, ..., 1) with as many dimensions as `x`.

    In general the dimensions of `values` are the first dimensions of `x`; a tensor without dimensions stays as it is.
    """
    return values.reshape(values.shape + (1,) * max(x.dim() - values.dim(), 0)) if values.dim() else values


def sin_cos(angle, x):
    """Return sin(angle) and cos(angle), shaped by `aligned` to multiply `x`.

    Both are computed in float64, where the device has it, and are exact at both ends of the interval. angle: number or
    tensor, in radians; of a number nothing is computed on the device, and what was computed is kept. Raises ValueError
    outside [0, pi/2].
    """
    if isinstance(angle, torch.Tensor):
        rounding, device = _ROUNDING.get(angle.dtype, 1e-7), x.device if angle.dim() else CPU
        sin, cos = _sin_cos(angle.to(device).to(widest(device)), rounding)
    else:
        sin, cos = _of_number(float(angle))
    return aligned(sin, x).to(x.dtype), aligned(cos, x).to(x.dtype)


@functools.lru_cache(4096)  # a rule of sampling asks for one angle some ten times, and each takes twenty microseconds
def _of_number(angle: float):
    with torch.inference_mode(False):  # what is kept may be asked for in a graph of derivatives later
        return _sin_cos(torch.as_tensor(angle, dtype=torch.float64, device=CPU), 1e-15)


def _sin_cos(angle, rounding):
    inside = (angle >= 0) & (angle <= HALF_PI + rounding)
    if not bool(inside.all()):
        worst = angle[~inside].flatten()[0].item()
        raise ValueError(f"angle = {worst:g}: allowed are angles in [0, pi/2] = [0, {HALF_PI:.6f}]")
    sin = torch.sin(angle)
    return sin, torch.where(angle >= HALF_PI - rounding, 0.0, torch.cos(angle))


def mix(clean, noise, angle):
    """The noisy state `sin(angle) clean + cos(angle) noise`; all three have one shape."""
    sin, cos = sin_cos(angle, clean)
    return sin * clean + cos * noise


# From the velocity. -------------------------------------------------------------------------------------------------


def velocity_to_posterior_mean(velocity, x, angle):
    """m = sin x + cos v, on the whole interval."""
    sin, cos = sin_cos(angle, x)
    return sin * x + cos * velocity


def velocity_to_noise(velocity, x, angle):
    """eps = cos x - sin v. At phi = pi/2, where E[G | x] = 0, the velocity is 0 and so is the result."""
    sin, cos = sin_cos(angle, x)
    return cos * x - sin * velocity


def velocity_to_score(velocity, x, angle):
    """score = -x + tan(phi) v. Raises ValueError at phi = pi/2, where the velocity is 0 for every score."""
    return noise_to_score(velocity_to_noise(velocity, x, angle), x, angle)


# From the posterior mean. -------------------------------------------------------------------------------------------


def posterior_mean_to_noise(posterior_mean, x, angle):
    """eps = (x - sin m) / cos, and its limit 0 at phi = pi/2."""
    sin, cos = sin_cos(angle, x)
    return _divide(x - sin * posterior_mean, cos, at_zero=0.0)


def posterior_mean_to_velocity(posterior_mean, x, angle):
    """v = (m - sin x) / cos, and its limit 0 at phi = pi/2."""
    sin, cos = sin_cos(angle, x)
    return _divide(posterior_mean - sin * x, cos, at_zero=0.0)


def posterior_mean_to_score(posterior_mean, x, angle):
    """score = (sin m - x) / cos^2. Raises ValueError at phi = pi/2, where m = x for every score."""
    sin, cos = sin_cos(angle, x)
    _require(cos, "the score is not a function of the posterior mean at angle pi/2")
    return (sin * posterior_mean - x) / cos**2


# From the noise and from the score. ---------------------------------------------------------------------------------


def noise_to_posterior_mean(noise, x, angle):
    """m = (x - cos eps) / sin. Raises ValueError at phi = 0, where eps = x for every posterior mean."""
    sin, cos = sin_cos(angle, x)
    _require(sin, "the posterior mean is not a function of the noise at angle 0")
    return (x - cos * noise) / sin


def noise_to_velocity(noise, x, angle):
    """v = (cos x - eps) / sin. Raises ValueError at phi = 0, where v is the posterior mean."""
    sin, cos = sin_cos(angle, x)
    _require(sin, "the velocity is not a function of the noise at angle 0")
    return (cos * x - noise) / sin


def noise_to_score(noise, x, angle):
    """score = -eps / cos. Raises ValueError at phi = pi/2, where eps = 0 for every score."""
    _, cos = sin_cos(angle, x)
    _require(cos, "the score is not a function of the noise at angle pi/2")
    return -noise / cos


def score_to_noise(score, x, angle):
    """eps = -cos score, on the whole interval."""
    _, cos = sin_cos(angle, x)
    return -cos * score


def score_to_posterior_mean(score, x, angle):
    """m = (x + cos^2 score) / sin. Raises ValueError at phi = 0, where the score is -x for every mean."""
    sin, cos = sin_cos(angle, x)
    _require(sin, "the posterior mean is not a function of the score at angle 0")
    return (x + cos**2 * score) / sin


def score_to_velocity(score, x, angle):
    """v = (score + x) cos / sin. Raises ValueError at phi = 0, where v is the posterior mean."""
    sin, cos = sin_cos(angle, x)
    _require(sin, "the velocity is not a function of the score at angle 0")
    return (score + x) * (cos / sin)


def _divide(numerator, denominator, at_zero):
    safe = torch.where(denominator == 0, 1.0, denominator)
    return torch.where(denominator == 0, at_zero, numerator / safe)


def _require(factor, why_not):
    if bool((factor == 0).any()):
        raise ValueError(why_not)
