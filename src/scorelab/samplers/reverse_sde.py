"""The time reversal of the noising SDE, in the native clock of the schedule."""

import abc
from typing import ClassVar, NamedTuple

from scorelab.samplers.base import Sampler, Step
from scorelab.samplers.native import ENDS, STARTS, Course, NativeValues, entries, require_positive_start


class Factors(NamedTuple):
    """The factors of x, of m and of z in one step."""

    of_x: float
    of_mean: float
    of_noise: float


class _Reversed(Sampler):
    """Base of the two rules, which run the noising SDE dX = f X ds + g dW backwards by

    dX = (-f X + g^2 score) ds + g dW                (Anderson 1982; CS 224 lecture 24, section 1.2).

    A subclass gives the step of the native state, X' = a X + w score + b z.
    """

    order: ClassVar[int] = 1

    def require(self, schedule, denoiser):
        """Raise ValueError if the native state is not a multiple of x everywhere."""
        super().require(schedule, denoiser)
        require_positive_start(f"sampler {type(self).__name__}", schedule)

    @abc.abstractmethod
    def _factors(self, schedule, native):
        """a, w and b of every step, (steps,) each."""

    def begin(self, schedule, angles):
        """A `Course` with the `Factors` of every step."""
        native = NativeValues(schedule, angles)
        of_state, weight, of_noise = self._factors(schedule, native)
        of_x, of_mean = native.of_score(weight, STARTS)
        of_x = of_x + of_state * native.scale[STARTS]
        return Course(entries(Factors, *(factor / native.scale[ENDS] for factor in (of_x, of_mean, of_noise))))

    def step(self, denoiser, x, angle, next_angle, noise, state):
        factors, posterior_mean = state.here, denoiser(x, angle)
        x = x.mul_(factors.of_x).add_(posterior_mean, alpha=factors.of_mean)
        return Step(x.add_(noise(), alpha=factors.of_noise), state.next)


class ReverseSDE(_Reversed):
    """X' = X + h (-f X + g^2 score) + g sqrt(h) z: Euler-Maruyama with f, g and the score at the start of the step. On
    a chain, whose beta jumps at the integers, f and g^2 are means over the step.

    For the OU process this is the discretisation of Visconti 2025, section 5.3, and of
    notes on score matching, section 4. Steps must be short where beta(s) is large, as the linear part is not solved.
    """

    def _factors(self, schedule, native):
        drift, diffusion, length = native.drift[0], native.diffusion[0], native.length
        return 1 - length * drift, length * diffusion.square(), diffusion * length.sqrt()


class ExponentialIntegrator(_Reversed):
    """The same SDE, solved exactly with the score frozen over a step (CS 224 lecture 24, equation 8).

    X' = (gamma'/gamma) X + w score + sqrt(sigma^2 (gamma'/gamma)^2 - sigma'^2) z, where gamma and sigma are the signal
    and the noise, and w is the schedule's `score_weight`. For the OU process with beta = 1 and sigma^2 = 2 it is
    X' = e^h X + 2 (e^h - 1) score + sqrt(e^2h - 1) z.
    """

    def require(self, schedule, denoiser):
        """Raise ValueError if the schedule has no `score_weight` or the native state is not a multiple of x."""
        super().require(schedule, denoiser)
        if not hasattr(schedule, "score_weight"):
            raise ValueError(f"sampler ExponentialIntegrator cannot run on {type(schedule).__name__}: no score_weight")

    def _factors(self, schedule, native):
        signal, variance = native.scale * native.sin, (native.scale * native.cos).square()
        growth = signal[1:] / signal[:-1]
        weight = schedule.score_weight(native.time[:-1], native.time[1:])
        return growth, weight, (growth.square() * variance[:-1] - variance[1:]).clamp_min(0).sqrt()
