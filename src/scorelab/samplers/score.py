"""Scores of a denoiser, and Langevin steps with them."""

import math


def score(denoiser, x, angle: float):
    """The score of x_phi at an angle in (0, pi/2), (sin m - x)/cos^2; a new tensor."""
    return denoiser(x, angle).mul(math.sin(angle)).sub_(x).div_(math.cos(angle) ** 2)


def langevin_step(x, score, step: float, noise):
    """x + step * score + sqrt(2 step) z, in place (Visconti 2025, section 3.1)."""
    return x.add_(score, alpha=step).add_(noise(), alpha=math.sqrt(2 * step))
