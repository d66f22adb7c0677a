"""Clocks with a stationary law: Ornstein-Uhlenbeck and its time changes."""

import abc
import math
from typing import ClassVar, Literal

from pydantic import model_validator

from scorelab.options import NonNegative, Positive
from scorelab.schedules.base import Schedule


class VariancePreserving(Schedule):
    """signal = e^l(s), noise = c sqrt(1 - e^2l(s)) where l falls from 0. The stationary law is N(0, c^2 I).

    A subclass gives l as `log_signal`, its inverse, and c as `terminal_std` if it is not 1.
    """

    times: ClassVar[str] = "0 <= s"

    @abc.abstractmethod
    def log_signal(self, time):
        """l(s) <= 0; time: float64 tensor of any shape."""

    @abc.abstractmethod
    def time_of_log_signal(self, value):
        """The s with l(s) = value <= 0."""

    @property
    def terminal_std(self):
        return 1.0

    def signal(self, time):
        return self.log_signal(time).exp()

    def noise(self, time):
        return self.variance(time).sqrt()

    def variance(self, time):
        return -(self.terminal_std**2) * (2 * self.log_signal(time)).expm1()

    def time_of(self, ratio):
        # ratio^2 = c^2 (e^-2l - 1)
        return self.time_of_log_signal(-0.5 * (ratio / self.terminal_std).square().log1p())

    def score_weight(self, time, next_time):
        """The factor of a score that is frozen over a step of the reverse SDE whose linear part is solved exactly:

            2 c^2 (signal'/signal - 1),

        which is 2 (e^h - 1) for the OU process of CS 224 lecture 24, equation (8).
        """
        return 2 * self.terminal_std**2 * (self.log_signal(next_time) - self.log_signal(time)).expm1()


class _FromT(VariancePreserving):
    """A clock on which sampling starts at T, from the stationary law, and stops at t_min; null is the usual one of the
    class, or later and earlier where the scale of the target needs it."""

    T: Positive | None
    t_min: Positive | None

    ends: ClassVar[tuple[str, str]] = ("T", "t_min")

    @property
    def start_time(self):
        return self.end("T")

    @property
    def end_time(self):
        return self.end("t_min")


class OU(_FromT):
    """dX = -beta X ds + sigma dW (notes on score matching, section 3).

    CS 224 lecture 24 has beta = 1, sigma^2 = 2.

    X_s = e^{-beta s} X + sqrt(sigma^2/(2 beta) (1 - e^{-2 beta s})) G. The stationary law is N(0, sigma^2/(2 beta) I).

    T: the time where sampling starts, from the stationary law. t_min: the time where it stops, in (0, T).
    """

    beta: Positive
    sigma: Positive

    label: ClassVar[str] = "Ornstein-Uhlenbeck process"

    @model_validator(mode="after")
    def _ends(self):
        if not self.end_time < self.start_time:
            raise ValueError(f"t_min = {self.end_time}: a time in (0, T) = (0, {self.start_time:g}) is needed")
        return self

    @property
    def usual(self):
        return {"T": 5.0, "t_min": 5e-3}

    @property
    def terminal_std(self):
        return self.sigma / math.sqrt(2 * self.beta)

    def log_signal(self, time):
        return -self.beta * time

    def time_of_log_signal(self, value):
        return -value / self.beta


#: offset of the cosine schedule, Nichol and Dhariwal (2021), equation (17)
_OFFSET = 0.008
#: angle of the cosine schedule at s = 0, and how far the angle turns from there to pi/2
_FIRST = 0.5 * math.pi * _OFFSET / (1 + _OFFSET)
_TURN = 0.5 * math.pi / (1 + _OFFSET)


class VP(_FromT):
    """dX = -beta(s)/2 X ds + sqrt(beta(s)) dW on [0, 1], the VP SDE of Song et al. (2021), equation (11).

    beta: `linear`, beta(s) = beta_min + s (beta_max - beta_min); `cosine`, signal = cos(pi/2 (s + 0.008)/1.008),
    divided by its value at s = 0 (Nichol and Dhariwal 2021, equation 17), for which beta(1) is infinite.
    T: the time where sampling starts, > t_min, and <= 1 where beta is cosine; the published 1 is no bound where it is
    linear. t_min: the time where it stops.
    """

    beta: Literal["linear", "cosine"]
    beta_min: NonNegative
    beta_max: Positive

    label: ClassVar[str] = "VP SDE"
    times: ClassVar[str] = "0 <= s (and s <= 1 where beta is cosine)"

    @model_validator(mode="after")
    def _ends(self):
        first, last = self.end_time, self.start_time
        if not first < last or (self.beta == "cosine" and last > 1):
            most = " <= 1" if self.beta == "cosine" else ""
            raise ValueError(f"t_min = {first}, T = {last}: 0 < t_min < T{most} is needed")
        if self.beta == "linear" and not self.beta_min <= self.beta_max:
            raise ValueError(f"beta_min = {self.beta_min}: at most beta_max = {self.beta_max} is allowed")
        return self

    @property
    def usual(self):
        return {"T": 1.0, "t_min": 1e-3} if self.beta == "linear" else {"T": 0.995, "t_min": 2.5e-3}

    def log_signal(self, time):
        """-1/2 int_0^s beta; nan outside of the clock. The clock with linear beta goes on beyond s = 1."""
        if self.beta == "linear":
            value = -0.5 * time * (self.beta_min + 0.5 * time * (self.beta_max - self.beta_min))
            return value.where(time >= 0, math.nan)
        # cos(a + d)/cos(a) = 1 - (2 sin^2(d/2) + tan(a) sin(d)) keeps all digits near s = 0, the left side near s = 1.
        turn = (_TURN * time).clamp_max(0.5)
        early = (-(2 * (turn / 2).sin().square() + math.tan(_FIRST) * turn.sin())).log1p()
        late = (0.5 * math.pi * (time + _OFFSET) / (1 + _OFFSET)).cos().log() - math.log(math.cos(_FIRST))
        return early.where(turn < 0.5, late).where((time >= 0) & (time <= 1), math.nan)

    def time_of_log_signal(self, value):
        """The inverse of `log_signal`, by the root of a quadratic or an arc tangent."""
        if self.beta == "linear":
            slope = self.beta_max - self.beta_min
            # The time stays finite where no signal is left, as an infinite time multiplied by a slope of 0 is nan.
            value = value.clamp_min(-1e200)
            root = (self.beta_min**2 - 4 * slope * value).sqrt()
            return -4 * value / (self.beta_min + root).clamp_min(1e-300)
        sin, cos = math.sin(_FIRST), math.cos(_FIRST)
        angle = (sin**2 - cos**2 * (2 * value).expm1()).sqrt().atan2(cos * value.exp())
        return ((angle - _FIRST) / _TURN).clamp(0, 1)
