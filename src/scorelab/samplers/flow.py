"""The probability-flow ODE, by Euler and by Heun."""

import itertools
import math
from typing import ClassVar, Literal, NamedTuple

from scorelab.samplers.base import Sampler, Step
from scorelab.samplers.native import ENDS, STARTS, Course, NativeValues, entries, require_positive_start


class Slope(NamedTuple):
    """The ODE at one end of a step.

    s: the coordinate, which rises towards the data. scale: the factor from x to the state of the ODE. of_x, of_mean:
    the factors of x and of m in the slope d(scale x)/ds.
    """

    s: float
    scale: float
    of_x: float
    of_mean: float


class _Flow(Sampler):
    """Base of the two rules. In the angle the ODE is dx/dphi = v, with v the velocity: x_phi = sin X + cos G has the
    derivative cos X - sin G, whose conditional expectation is v. In the native clock the ODE is, towards the data,

        dX/ds = -f X + 1/2 g^2 score     (Song et al., Score-Based Generative Modeling through SDEs, 2021, equation 13).

    coordinate: `angle`, in which the ODE is the same on every schedule, or `native`. On a chain, whose beta jumps at
    the integers, f and g^2 are means over the step: the native coordinate is the integral of beta, in which the ODE has
    no jumps. Under EDM the native ODE is the equation of Karras et al. (2022) in sigma, whose Euler rule is DDIM.
    """

    coordinate: Literal["angle", "native"]

    def require(self, schedule, denoiser):
        """Raise ValueError if the native state is not a multiple of x everywhere."""
        super().require(schedule, denoiser)
        if self.coordinate == "native":
            require_positive_start(f"sampler {type(self).__name__} with coordinate = native", schedule)

    def begin(self, schedule, angles):
        """A `Course` with two `Slope`s per step, at its start and at its end."""
        if self.coordinate == "angle":  # v = (m - sin x)/cos
            slopes = [Slope(angle, 1.0, -math.tan(angle), 1 / math.cos(angle)) for angle in angles]
            return Course(list(itertools.pairwise(slopes)))
        native = NativeValues(schedule, angles)
        sides = zip((STARTS, ENDS), native.drift, native.diffusion, strict=True)
        return Course(list(zip(*(self._slopes(native, *side) for side in sides), strict=True)))

    @staticmethod
    def _slopes(native, points, drift, diffusion):
        of_x, of_mean = native.of_score(0.5 * diffusion.square(), points)
        since, scale = (native.time - native.time[0]).abs()[points], native.scale[points]
        return entries(Slope, since, scale, of_x - drift * scale, of_mean)


class FlowEuler(_Flow):
    """Euler's method, deterministic: in the angle x' = x + (phi' - phi) v."""

    order: ClassVar[int] = 1

    def step(self, denoiser, x, angle, next_angle, noise, state):
        here, there = state.here
        h = there.s - here.s
        posterior_mean = denoiser(x, angle)
        x = x.mul_((here.scale + h * here.of_x) / there.scale)
        return Step(x.add_(posterior_mean, alpha=h * here.of_mean / there.scale), state.next)


class FlowHeun(_Flow):
    """Heun's method: from x it takes one Euler step of full length and then another one, with the slope at the next
    angle. The new state is the mean of x and of the end of the second step.

    The method of Karras et al., Elucidating the Design Space of Diffusion-Based Generative Models (2022), algorithm 1.
    """

    order: ClassVar[int] = 2
    evaluations: ClassVar[int] = 2

    def step(self, denoiser, x, angle, next_angle, noise, state):
        here, there = state.here
        h = (there.s - here.s) / there.scale
        ahead = x.mul((here.scale / there.scale) + h * here.of_x).add_(denoiser(x, angle), alpha=h * here.of_mean)
        next_mean = denoiser(ahead, next_angle)
        x = x.mul_(0.5 * here.scale / there.scale).add_(ahead, alpha=0.5 * (1 + h * there.of_x))
        return Step(x.add_(next_mean, alpha=0.5 * h * there.of_mean), state.next)
