"""The probability-flow ODE in the angle: dx/dphi = v(x, phi), with v the velocity."""

import math
from typing import ClassVar

from scorelab.samplers.base import Sampler


def _velocity(denoiser, x, angle):
    """v = (m - sin x) / cos, for an angle below pi/2."""
    return denoiser(x, angle).sub(x, alpha=math.sin(angle)).div_(math.cos(angle))


class FlowEuler(Sampler):
    """x' = x + (phi' - phi) v: Euler's method on dx/dphi = v, deterministic.

    The law of x_phi is carried along: x_phi = sin(phi) X + cos(phi) G has derivative cos(phi) X - sin(phi) G, and v is
    its conditional expectation. In the clock of the OU process this is the probability-flow ODE of Song et al., Score-
    Based Generative Modeling through SDEs (2021), equation (13).
    """

    order: ClassVar[int] = 1

    def step(self, denoiser, x, angle, next_angle, noise, memory):
        """One step; see `Sampler.step`."""
        return x.add_(_velocity(denoiser, x, angle), alpha=next_angle - angle), memory


class FlowHeun(Sampler):
    """Heun's method on the same: an Euler step, then one with the mean of the velocities at both ends.

    The method of Karras et al., Elucidating the Design Space of Diffusion-Based Generative Models (2022), algorithm 1,
    in the angle instead of their sigma.
    """

    order: ClassVar[int] = 2
    evaluations: ClassVar[int] = 2

    def step(self, denoiser, x, angle, next_angle, noise, memory):
        """One step; see `Sampler.step`."""
        step = next_angle - angle
        velocity = _velocity(denoiser, x, angle)
        ahead = _velocity(denoiser, x.add(velocity, alpha=step), next_angle)
        return x.add_(velocity.add_(ahead), alpha=0.5 * step), memory
