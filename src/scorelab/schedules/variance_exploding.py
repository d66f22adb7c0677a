"""Clocks that add noise and keep the signal: X + sigma G."""

import math
from typing import ClassVar

from pydantic import model_validator

from scorelab.options import Positive
from scorelab.schedules.base import Schedule


class VarianceExploding(Schedule):
    """signal = 1, noise = sigma(s). Sampling starts from N(0, sigma_max^2 I).

    sigma_min, sigma_max: the noise at the data end and at the noise end; null is the usual one of the class, or one
    beyond it where the scale of the target needs it.
    """

    sigma_min: Positive | None
    sigma_max: Positive | None

    ends: ClassVar[tuple[str, str]] = ("sigma_max", "sigma_min")

    @model_validator(mode="after")
    def _ends(self):
        low, high = self.end("sigma_min"), self.end("sigma_max")
        if not low < high:
            raise ValueError(f"sigma_min = {low}: a number below sigma_max = {high} is needed")
        return self

    def end_at(self, snr):
        return 1 / math.sqrt(snr)

    @property
    def terminal_std(self):
        return self.end("sigma_max")

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
    def usual(self):
        return {"sigma_min": 0.1, "sigma_max": 50.0}

    @property
    def start_time(self):
        return 1.0

    @property
    def end_time(self):
        return 0.0

    def noise(self, time):
        return self.end("sigma_min") * (time * self._log_range).exp()

    @property
    def _log_range(self):
        return math.log(self.end("sigma_max") / self.end("sigma_min"))

    def time_of(self, ratio):
        return (ratio / self.end("sigma_min")).log() / self._log_range


class EDM(VarianceExploding):
    """X + s G: the clock is the noise itself, s = sigma (Karras et al. 2022, table 1, last column)."""

    label: ClassVar[str] = "EDM"
    times: ClassVar[str] = "0 <= sigma < inf"

    @property
    def usual(self):
        return {"sigma_min": 0.01, "sigma_max": 80.0}

    @property
    def start_time(self):
        return self.end("sigma_max")

    @property
    def end_time(self):
        return self.end("sigma_min")

    def noise(self, time):
        return time.where(time >= 0, math.nan)

    def time_of(self, ratio):
        return ratio
