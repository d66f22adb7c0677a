"""The clock of stochastic localization."""

import math
from typing import ClassVar

from pydantic import model_validator

from scorelab.options import Angle, Positive
from scorelab.schedules.base import Schedule, _tensor


class Localization(Schedule):
    """Stochastic localization: Y_t = t X + sqrt(t) G with t = tan^2(alpha) (Visconti 2025, sections 6, 7.1).

    In the angle coordinate Y_t = sqrt(t (t+1)) x_alpha. The signal-to-noise ratio is t, and time runs from noise to
    data. The noising process, in which t falls, is the Brownian bridge dY = -Y/t ds + dW.

    alpha_max: the last angle, in radians. T: the last time, which replaces alpha_max if it is given; if both are null,
    99.33 or more, see `Schedule.reaching`. t_min: the first positive time of the grids that are infinite at t = 0:
    log_snr, log_t and karras; null is 3e-4 or less.
    """

    alpha_max: Angle | None
    T: Positive | None
    t_min: Positive | None

    label: ClassVar[str] = "stochastic localization"
    ends: ClassVar[tuple[str, str]] = ("t_min", "T")
    times: ClassVar[str] = "0 < t < inf"

    @model_validator(mode="after")
    def _ends(self):
        if self.end_angle <= 0:
            raise ValueError(f"alpha_max = {self.alpha_max}: an angle in (0, pi/2) is needed")
        if not self.end_snr > 0:
            name = "alpha_max" if self.T is None else "T"
            raise ValueError(f"{name} = {getattr(self, name)}: no signal is left in double precision at this end")
        if self.grid.infinite_at_noise and self.t_min is not None and not self.t_min < self.end_snr:
            raise ValueError(f"t_min = {self.t_min}: the grid {self.grid.name} needs t_min < T = {self.end_snr:.6g}")
        return self

    @property
    def usual(self):
        return {"alpha_max": 1.4707963267948966, "t_min": 3e-4}  # pi/2 - 0.1, T = 99.33

    @property
    def open_ends(self):
        noise, data = super().open_ends
        return noise, data if self.alpha_max is None else None

    def signal(self, time):
        return time

    def noise(self, time):
        return time.sqrt()

    def time_of(self, ratio):
        return ratio**-2

    def angle(self, time):
        """atan(sqrt t), which holds for infinite t too."""
        return _tensor(time).sqrt().atan()

    @property
    def start_time(self):
        return 0.0

    @property
    def end_time(self):
        return math.tan(self.end("alpha_max")) ** 2 if self.T is None else self.T

    @property
    def terminal_std(self):
        return 0.0  # Y_0 = 0

    @property
    def start_angle(self):
        return 0.0

    @property
    def start_std(self):
        return 1.0  # x at angle 0 is pure noise, although Y_0 = 0

    @property
    def end_angle(self):
        """The last angle, in radians: alpha_max, or atan(sqrt T) if T is given."""
        return self.end("alpha_max") if self.T is None else math.atan(math.sqrt(self.T))

    @property
    def first_angle(self):
        """The angle of t_min, or of T/2 if t_min is larger."""
        return math.atan(math.sqrt(min(self.end("t_min"), 0.5 * self.end_snr)))

    def describe(self, steps):
        first = f" (t_min = {self.first_snr:g})" if self.grid.infinite_at_noise else ""
        return f"{super().describe(steps)}, T = {self.end_snr:.6g}{first}"
