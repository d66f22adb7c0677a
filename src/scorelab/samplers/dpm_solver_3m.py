"""DPM-Solver++ (3M): multistep rules that extrapolate three posterior means in lambda = log tan(phi)."""

import math
from typing import Any, ClassVar, NamedTuple

from scorelab.samplers.base import Sampler, Step


class Value(NamedTuple):
    """A posterior mean (count, n), and the lambda of its angle."""

    mean: Any
    place: float


class _ThirdOrder(Sampler):
    """Base of the two rules, with the posterior means of the last three steps:

        x' = (cos'/cos) e^{-(k-1) h} x + sin' [(1 - e^{-k h}) m + p_2 D_1 - p_3 D_2] + cos' sqrt(1 - e^{-2 (k-1) h}) z

        h = lambda' - lambda,  r_i = (lambda_{i-1} - lambda_i)/h,  D_11 = (m - m_1)/r_1,  D_12 = (m_1 - m_2)/r_2
        D_1 = D_11 + r_1/(r_1 + r_2) (D_11 - D_12),     D_2 = (D_11 - D_12)/(r_1 + r_2)
        p_2 = 1 - (1 - e^{-k h})/(k h),     p_3 = p_2/(k h) - 1/2

    with k = 1 for the ODE and k = 2 for the SDE. With one earlier value D_1 = D_11 and D_2 = 0; without an earlier
    value D_1 = D_2 = 0. For k = 1 it is the rule of Lu et al., DPM-Solver++ (2022), section 5, as in diffusers; for
    k = 2 it is the 3M SDE of k-diffusion. The rule is exact where m is linear in lambda. The integral of the parabola
    through the three values has twice this p_3, so that the order is 2 and not 3; but with few steps on the two modes
    these weights are more accurate than the weights of the parabola.

    The state of a step: up to two `Value`s of the last steps, the latest first.
    """

    #: k in the formula above
    _rate: ClassVar[int]

    def step(self, denoiser, x, angle, next_angle, noise, state):
        mean, k = denoiser(x, angle), self._rate
        sin, cos = math.sin(next_angle), math.cos(next_angle)
        if angle == 0:  # lambda = -inf: m is constant over the step, and later steps cannot use it
            x = x.mul_(cos if k == 1 else 0.0).add_(mean, alpha=sin)
            return Step(x if k == 1 else x.add_(noise(), alpha=cos), ())
        place = math.log(math.tan(angle))
        h = math.log(math.tan(next_angle)) - place
        known = (Value(mean, place), *(state or ()))
        x = x.mul_(cos / math.cos(angle) * math.exp(-(k - 1) * h))
        for weight, value in zip(_weights(k, h, [value.place for value in known]), known, strict=True):
            x = x.add_(value.mean, alpha=sin * weight)
        if k == 2:
            x = x.add_(noise(), alpha=cos * math.sqrt(-math.expm1(-2 * h)))
        return Step(x, known[:2])


def _weights(k, h, places):
    """The weights of m, m_1, m_2 in the bracket, one for each lambda in `places`."""
    of_mean = -math.expm1(-k * h)
    p_2 = 1 - of_mean / (k * h)
    if len(places) == 1:
        return (of_mean,)
    r_1 = (places[0] - places[1]) / h
    if len(places) == 2:
        return of_mean + p_2 / r_1, -p_2 / r_1
    r_2, p_3 = (places[1] - places[2]) / h, p_2 / (k * h) - 0.5
    of_first = p_2 * (1 + r_1 / (r_1 + r_2)) - p_3 / (r_1 + r_2)  # weight of D_11 in the bracket
    of_second = -p_2 * r_1 / (r_1 + r_2) + p_3 / (r_1 + r_2)  # weight of D_12
    return of_mean + of_first / r_1, of_second / r_2 - of_first / r_1, -of_second / r_2


class DPMSolver3M(_ThirdOrder):
    """The probability-flow ODE, deterministic, one evaluation per step."""

    order: ClassVar[int] = 2
    _rate: ClassVar[int] = 1


class DPMSolverSDE3M(_ThirdOrder):
    """The localization SDE; with D_1 = D_2 = 0 the rule is Euler-Maruyama."""

    order: ClassVar[int] = 2
    _rate: ClassVar[int] = 2
