"""DPM-Solver++ (2M): multistep rules that extrapolate the posterior mean in lambda = log tan(phi)."""

import math
from typing import Any, ClassVar, NamedTuple

from scorelab.samplers.base import Sampler, Step


class Before(NamedTuple):
    """The posterior mean (count, n) of the last step, and h of the last step."""

    mean: Any
    h: float


class _MultiStep(Sampler):
    """Base of the two rules: D = m + (m - m_before) h / (2 h_before), h = lambda' - lambda; D = m at first."""

    order: ClassVar[int] = 2

    @staticmethod
    def _length(angle, next_angle):
        """h; it is infinite at phi = 0, where lambda = -inf."""
        return math.inf if angle == 0 else math.log(math.tan(next_angle) / math.tan(angle))

    @staticmethod
    def _add_extrapolated(x, weight, mean, h, before):
        """Add weight D to x, in place; before: the `Before` of the last step, None at first."""
        if before is None or math.isinf(before.h):
            return x.add_(mean, alpha=weight)
        share = 0.5 * h / before.h
        return x.add_(mean, alpha=weight * (1 + share)).add_(before.mean, alpha=-weight * share)


class DPMSolver2M(_MultiStep):
    """x' = (cos'/cos) x + sin' (1 - e^-h) D: the probability-flow ODE, deterministic, one evaluation per step.

    Lu et al., DPM-Solver++: Fast Solver for Guided Sampling of Diffusion Probabilistic Models (2022), algorithm 2. With
    D = m the rule is DDIM.
    """

    def step(self, denoiser, x, angle, next_angle, noise, state):
        mean, h = denoiser(x, angle), self._length(angle, next_angle)
        x = x.mul_(math.cos(next_angle) / math.cos(angle))
        x = self._add_extrapolated(x, -math.sin(next_angle) * math.expm1(-h), mean, h, state)
        return Step(x, Before(mean, h))


class DPMSolverSDE2M(_MultiStep):
    """x' = (cos'/cos) e^-h x + sin' (1 - e^-2h) D + cos' sqrt(1 - e^-2h) z: the localization SDE.

    SDE-DPM-Solver++(2M) of the same paper. With D = m the rule is Euler-Maruyama on the localization SDE, so that it is
    a second-order multistep rule for this SDE; h is half the step in log t.
    """

    def step(self, denoiser, x, angle, next_angle, noise, state):
        mean, h = denoiser(x, angle), self._length(angle, next_angle)
        fresh = -math.expm1(-2 * h)
        x = x.mul_(math.cos(next_angle) / math.cos(angle) * math.exp(-h))
        x = self._add_extrapolated(x, math.sin(next_angle) * fresh, mean, h, state)
        return Step(x.add_(noise(), alpha=math.cos(next_angle) * math.sqrt(fresh)), Before(mean, h))
