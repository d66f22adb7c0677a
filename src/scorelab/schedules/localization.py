"""The clock of stochastic localization."""

import math
from typing import Literal

from pydantic import model_validator

from scorelab.options import Angle, Positive
from scorelab.schedules.base import Schedule


class Localization(Schedule):
    """Stochastic localization: Y_t = t X + sqrt(t) G with t = tan^2(alpha) (000_6c70dbc10a1c9c83.txt, sections 6, 7.1).

    In the angle coordinate Y_t = sqrt(t (t+1)) x_alpha. The signal-to-noise ratio is t.

    grid: `angle`, uniform in alpha on [0, end] (the paper's), or `log_t`, a first step from 0 to t_min and then
    uniform in log t on [t_min, T]. The end is alpha_max, or T = tan^2(alpha_max) where T is given. t_min belongs to
    the grid `log_t` alone.
    """

    grid: Literal["angle", "log_t"]
    alpha_max: Angle
    T: Positive | None
    t_min: Positive

    @model_validator(mode="after")
    def _ends(self):
        if self.end_angle <= 0:
            raise ValueError(f"alpha_max = {self.alpha_max}: an angle in (0, pi/2) is needed")
        if self.grid == "log_t" and not self.t_min < self.end_snr:
            raise ValueError(f"t_min = {self.t_min}: the grid log_t needs t_min < T = {self.end_snr:.6g}")
        return self

    @property
    def end_angle(self):
        """The last angle, in radians: alpha_max, or atan(sqrt T) where T is given."""
        return self.alpha_max if self.T is None else math.atan(math.sqrt(self.T))

    def to_angle(self, state, time):
        """x = y / sqrt(t (t+1)), angle = atan(sqrt t). At t = 0 the state is 0 and holds no x: ValueError."""
        import torch

        time = torch.as_tensor(time, dtype=torch.float64)
        if not bool(((time > 0) & torch.isfinite(time)).all()):
            raise ValueError("time: 0 < t < inf is needed; at t = 0 the state Y_0 = 0 says nothing about x")
        scale = torch.sqrt(time * (time + 1)).to(state.dtype)
        return state / (scale.unsqueeze(-1) if scale.dim() else scale), torch.atan(torch.sqrt(time))

    def from_angle(self, x, angle):
        """y = x sin/cos^2, t = tan^2(angle); at pi/2 both are infinite."""
        from scorelab.channel import sin_cos

        sin, cos = sin_cos(angle, x.double())
        time = (sin / cos) ** 2
        return x * (sin / cos**2).to(x.dtype), time.squeeze(-1) if time.dim() else time

    def angles(self, steps):
        """The grid, `steps + 1` angles, float64."""
        import torch

        if self.grid == "angle":
            return torch.linspace(0.0, self.end_angle, steps + 1, dtype=torch.float64)
        # Made from its end, so that a single step goes straight there.
        log_t = torch.linspace(math.log(self.end_snr), math.log(self.t_min), steps, dtype=torch.float64).flip(0)
        return torch.cat([torch.zeros(1, dtype=torch.float64), torch.atan(torch.exp(0.5 * log_t))])

    def describe(self, steps):
        """One line with both ends of the grid."""
        first = f"t_min = {self.t_min:g}, " if self.grid == "log_t" else ""
        return (
            f"stochastic localization, {steps} steps on a grid uniform in {self.grid.replace('_', ' ')}: {first}"
            f"alpha from 0 to {self.end_angle:.6g}, t = SNR from 0 to T = {self.end_snr:.6g}"
        )
