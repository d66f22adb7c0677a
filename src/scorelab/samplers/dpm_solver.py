"""DPM-Solver++ (2M): multistep rules that extrapolate the posterior mean in lambda = log tan(phi)."""

import math
from typing import ClassVar

from scorelab.samplers.base import Sampler


class _MultiStep(Sampler):
    """What the two rules share: D = m + (m - m_before) h / (2 h_before), h = lambda' - lambda; D = m at first."""

    order: ClassVar[int] = 2

    def _extrapolated(self, denoiser, x, angle, next_angle, memory):
        """D, h, and the memory (m, h) of this step. From phi = 0, where lambda = -inf, h is infinite."""
        h = math.inf if angle == 0 else math.log(math.tan(next_angle) / math.tan(angle))
        posterior_mean = denoiser(x, angle)
        if memory is None or math.isinf(memory[1]):
            return posterior_mean, h, (posterior_mean, h)
        before, h_before = memory
        return posterior_mean.lerp(before, -0.5 * h / h_before), h, (posterior_mean, h)


class DPMSolver2M(_MultiStep):
    """x' = (cos'/cos) x + sin' (1 - e^-h) D: the probability-flow ODE, deterministic, one evaluation a step.

    Lu et al., DPM-Solver++: Fast Solver for Guided Sampling of Diffusion Probabilistic Models (2022), algorithm 2. With
    D = m it is DDIM.
    """

    def step(self, denoiser, x, angle, next_angle, noise, memory):
        """One step; see `Sampler.step`."""
        mean, h, memory = self._extrapolated(denoiser, x, angle, next_angle, memory)
        weight = -math.sin(next_angle) * math.expm1(-h)
        return x.mul_(math.cos(next_angle) / math.cos(angle)).add_(mean, alpha=weight), memory


class DPMSolverSDE2M(_MultiStep):
    """x' = (cos'/cos) e^-h x + sin' (1 - e^-2h) D + cos' sqrt(1 - e^-2h) z: the stochastic twin.

    The same paper, SDE-DPM-Solver++(2M). With D = m it is Euler-Maruyama on the localization SDE, whose second-order
    multistep rule it therefore is: h is half the step in log t.
    """

    def step(self, denoiser, x, angle, next_angle, noise, memory):
        """One step; see `Sampler.step`."""
        mean, h, memory = self._extrapolated(denoiser, x, angle, next_angle, memory)
        fresh = -math.expm1(-2 * h)
        x = x.mul_(math.cos(next_angle) / math.cos(angle) * math.exp(-h))
        x = x.add_(mean, alpha=math.sin(next_angle) * fresh)
        return x.add_(noise(), alpha=math.cos(next_angle) * math.sqrt(fresh)), memory
