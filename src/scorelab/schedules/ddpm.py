"""The discrete clock of DDPM."""

import math
from functools import cached_property
from typing import ClassVar, Literal

from pydantic import model_validator

from scorelab.options import OpenUnit, Several
from scorelab.schedules.grids import Native
from scorelab.schedules.variance_preserving import VariancePreserving

#: a time this close to an integer stands for the integer
_ROUNDING = 1e-9


class DDPM(VariancePreserving):
    """x_k = sqrt(1 - beta_k) x_{k-1} + sqrt(beta_k) z, k = 1 ... timesteps (Ho, Jain and Abbeel 2020, equation 2).

    x_k = sqrt(abar_k) X + sqrt(1 - abar_k) G with abar_k = prod (1 - beta_i). Between two integers log abar is linear:
    the chain is an OU process whose rate is constant from one integer to the next.

    timesteps: length of the chain. beta: from beta_min to beta_max, `linear` in k, `quadratic` (sqrt(beta) is linear)
    or `sigmoid`; or `cosine`, with abar of Nichol and Dhariwal (2021), equation (17), and beta at most 0.999.
    The native grid visits integers and ends at k = 1. The published last step to k = 0, x_0 = m(x_1), is
    `sampler.output: posterior_mean`.
    """

    timesteps: Several
    beta: Literal["linear", "cosine", "quadratic", "sigmoid"]
    beta_min: OpenUnit
    beta_max: OpenUnit

    label: ClassVar[str] = "DDPM's chain"
    times: ClassVar[str] = "0 <= k <= timesteps"

    @model_validator(mode="after")
    def _order(self):
        if not self.beta_min <= self.beta_max:
            raise ValueError(f"beta_min = {self.beta_min}: at most beta_max = {self.beta_max} is allowed")
        return self

    @cached_property
    def betas(self):
        """beta_1 ... beta_timesteps, float64."""
        import torch

        def between(low, high):
            return torch.linspace(low, high, self.timesteps, dtype=torch.float64)

        low, high = self.beta_min, self.beta_max
        if self.beta == "linear":
            return between(low, high)
        if self.beta == "quadratic":
            return between(math.sqrt(low), math.sqrt(high)) ** 2
        if self.beta == "sigmoid":
            return torch.sigmoid(between(-6.0, 6.0)) * (high - low) + low
        share = torch.linspace(0, 1, self.timesteps + 1, dtype=torch.float64)
        bar = torch.cos(0.5 * math.pi * (share + 0.008) / 1.008) ** 2
        return (1 - bar[1:] / bar[:-1]).clamp_max(0.999)

    @cached_property
    def log_signals(self):
        """log sqrt(abar_k) for k = 0 ... timesteps, float64."""
        import torch

        return torch.cat([torch.zeros(1, dtype=torch.float64), 0.5 * torch.log1p(-self.betas).cumsum(0)])

    @property
    def start_time(self):
        return float(self.timesteps)

    @property
    def end_time(self):
        return 1.0

    def log_signal(self, time):
        """log sqrt(abar), which is linear between integers; nan outside of the chain."""
        left = (time.detach().ceil() - 1).clamp(0, self.timesteps - 1)
        index = left.nan_to_num().long()
        here = self.log_signals[index] + (time - left) * (self.log_signals[index + 1] - self.log_signals[index])
        return here.where((time >= 0) & (time <= self.timesteps), math.nan)

    def time_of_log_signal(self, value):
        """The inverse of `log_signal`; the last k for a signal below the last signal of the chain. A time close to an
        integer becomes this integer, as the drift jumps there."""
        import torch

        falling = -self.log_signals
        index = torch.searchsorted(falling, -value.contiguous()).clamp(1, self.timesteps)
        share = (-value - falling[index - 1]) / (falling[index] - falling[index - 1])
        time = (index - 1 + share).clamp(max=self.timesteps)
        rounding = (time.round() - time).detach()
        return time + rounding.where(rounding.abs() < _ROUNDING, 0.0)

    def rates(self, times):
        """The mean of f and the root of the mean of g^2 over each step: beta has a jump at every integer, where a grid
        point has another beta on each side. A step from k to k - 1 has the beta of this interval."""
        drift = (self.log_signal(times).diff() / times.diff()).expand(2, -1)
        return drift, (-2 * drift).sqrt()

    def require_steps(self, steps):
        """Raise ValueError if a native grid of so many steps has more than one step between two integers."""
        if isinstance(self.grid, Native) and steps > self.timesteps - 1:
            raise ValueError(
                f"sampler.steps = {steps}: on the native grid of a chain with schedule.timesteps = {self.timesteps} "
                f"at most {self.timesteps - 1} steps are possible, from k = {self.timesteps} to k = 1"
            )

    def native_times(self, steps):
        """`steps + 1` integers from `timesteps` to 1, as even as integers are."""
        self.require_steps(steps)
        return super().native_times(steps).round()
