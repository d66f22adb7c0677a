"""Clocks that add noise and keep the signal: X + sigma G."""

import math
from typing import ClassVar

from pydantic import model_validator

from scorelab.options import Positive
from scorelab.schedules.base import Schedule


class VarianceExploding(Schedule):
    """signal = 1, noise = sigma(s). Sampling starts from N(0, sigma_max^2 I).

    sigma_min, sigma_max: the noise at the data end and at the noise end.
    """

    sigma_min: Positive
    sigma_max: Positive

    @model_validator(mode="after")
    def _ends(self):
        if not self.sigma_min < self.sigma_max:
            raise ValueError(f"sigma_min = {self.sigma_min}: a number below sigma_max = {self.sigma_max} is needed")
        return self

    @property
    def terminal_std(self):
        return self.sigma_max

    def signal(self, time):
        return time.new_ones(time.shape)

    def score_weight(self, time, next_time):
        """The factor of a score that is frozen over a step of the reverse SDE: sigma^2 - sigma'^2."""
        return self.variance(time) - self.variance(next_time)


class VE(VarianceExploding):
    """dX = g(s) dW on [0, 1] with sigma(s) = sigma_min (sigma_max/sigma_min)^s, the VE SDE of Song et al. (2021).

    sigma(s)^2 is the variance of X_s given X (their equation 9), so that g^2 = d sigma^2/ds.
    """

    label: ClassVar[str] = "VE SDE"

    @property
    def start_time(self):
        return 1.0

    @property
    def end_time(self):
        return 0.0

    def noise(self, time):
        return self.sigma_min * (time * math.log(self.sigma_max / self.sigma_min)).exp()

    def time_of(self, ratio):
        return (ratio / self.sigma_min).log() / math.log(self.sigma_max / self.sigma_min)


class EDM(VarianceExploding):
    """X + s G: the clock is the noise itself, s = sigma (Karras et al. 2022, table 1, last column)."""

    label: ClassVar[str] = "EDM"
    times: ClassVar[str] = "0 <= sigma < inf"

    @property
    def start_time(self):
        return self.sigma_max

    @property
    def end_time(self):
        return self.sigma_min

    def noise(self, time):
        return time.where(time >= 0, math.nan)

    def time_of(self, ratio):
        return ratio
