"""Conventions of denoising networks: what a network returns, what it sees, and how it is told the noise level.

Every convention is the angle coordinate in another form: the network sees scale * x_phi, is told a function of phi, and
returns a quantity that `scorelab.channel` turns into the posterior mean. This module does not import torch.
"""

import math
from dataclasses import dataclass
from typing import Literal

from scorelab.errors import ScorelabError
from scorelab.schedules.base import Schedule

Prediction = Literal["posterior_mean", "noise", "velocity", "v_prediction", "score"]
State = Literal["angle", "scaled", "localization", "schedule"]
Time = Literal["angle", "t", "log_snr", "sigma", "schedule", "timestep"]
#: names that other libraries and papers have for the predictions
_ALSO = {
    "x0": "posterior_mean",
    "sample": "posterior_mean",
    "eps": "noise",
    "epsilon": "noise",
    "v": "v_prediction",
}


def of_prediction(name):
    """Our name of a prediction that has another one elsewhere; anything else stays what it is."""
    return _ALSO.get(name, name) if isinstance(name, str) else name


@dataclass(frozen=True)
class Convention:
    """What a module returns, sees and is told, in terms of x_phi = sin(phi) X + cos(phi) G.

    prediction: what it returns, an estimate of
        posterior_mean  E[X | x_phi], the clean sample (`sample` of diffusers, the denoiser D of EDM)
        noise           E[G | x_phi] (`epsilon` of diffusers)
        velocity        E[cos(phi) X - sin(phi) G | x_phi]
        v_prediction    minus the velocity: v = sin(phi) G - cos(phi) X of Salimans and Ho (2022), as in diffusers
        score           the gradient of the log density of the state that it sees
        or its name elsewhere: x0 and sample, eps and epsilon, v
    state: what it sees,
        angle         x_phi, of unit size for unit data, the state of DDPM and of variance preserving processes
        scaled        x_phi / sin(phi) = X + sigma G, the state of variance exploding processes and EDM
        localization  Y_t = x_phi sin(phi) / cos(phi)^2 = t X + sqrt(t) G
        schedule      the native state of `schedule`
    time: what it is told: the `angle` in radians; `t` = tan(phi)^2, the signal-to-noise ratio; `log_snr` = log t;
        `sigma` = cot(phi); the native time of `schedule`; or the `timestep` k - 1 of a discrete chain, an integer that
        counts from 0 as in diffusers.
    schedule: the schedule whose native state or time is used; None if neither is.
    angles: (low, high) in radians, 0 <= low < high <= pi/2, the range that the module knows. None is the range between
        the ends of `schedule`, or [0, pi/2] without a schedule.

    At an angle that the module does not know, it is asked at the nearest angle that it knows, with the same x_phi. Such
    angles lie beyond `angles`, between two timesteps, beyond the end of a chain, and at both ends of [0, pi/2], where
    an answer does not determine the posterior mean to the precision eps of the numbers. A noise or a score determines
    the posterior mean up to rounding errors of size eps/phi, and near phi = 0 the posterior mean changes by the order
    of phi. The two errors are equal at phi = sqrt(eps), the first angle at which these modules are asked. The other
    predictions are regular, and their first angle is eps. The last angle is pi/2 - sqrt(eps), where the posterior mean
    is right to eps.

    Raises ValueError for names and combinations that do not exist.
    """

    prediction: Prediction
    state: State = "angle"
    time: Time = "angle"
    schedule: Schedule | None = None
    angles: tuple[float, float] | None = None

    def __post_init__(self):
        object.__setattr__(self, "prediction", of_prediction(self.prediction))
        for name, allowed in (("prediction", Prediction), ("state", State), ("time", Time)):
            if getattr(self, name) not in allowed.__args__:
                raise ValueError(f"{name} = {getattr(self, name)}: allowed are {', '.join(allowed.__args__)}")
        for name, value in (("state", self.state), ("time", self.time)):
            if value in ("schedule", "timestep") and self.schedule is None:
                raise ValueError(f"{name} = {value}: a schedule is needed")
        if self.time == "timestep" and not hasattr(self.schedule, "timesteps"):
            clock = type(self.schedule).__name__
            raise ValueError(f"time = timestep: the schedule of a discrete chain is needed, as DDPM, not {clock}")
        if self.angles is not None and not 0 <= self.angles[0] < self.angles[1] <= math.pi / 2:
            raise ValueError(f"angles = {list(self.angles)}: 0 <= low < high <= pi/2 is needed")

    @property
    def ends(self) -> tuple[float, float]:
        """The first and the last angle that the module knows."""
        if self.angles is not None:
            return self.angles
        return (0.0, math.pi / 2) if self.schedule is None else (self.schedule.start_angle, self.schedule.end_angle)

    def angle(self, time):
        """The angle at which the module is told a time, float64; time: a tensor of any shape, float64."""
        if self.time in ("schedule", "timestep"):
            return self.schedule.angle(time + (self.time == "timestep"))
        return _ANGLES[self.time](time)

    def scale(self, angle):
        """The factor from x_phi to the state that the module sees; angle: a tensor of any shape, float64."""
        if self.state == "schedule":
            return self.schedule.scale(self.schedule.time(angle))
        return _SCALES[self.state](angle)

    def place(self, angle, precision: float):
        """(angle, time, scale): the nearest angle that the module knows, the time that it is told, the factor from
        x_phi to the state that it sees.

        angle: a float64 tensor of any shape. precision: the distance between 1 and the next number of the state's type.
        The three results have the shape of `angle`; they are float64, and a timestep is int64.
        """
        (low, high), root = self.ends, math.sqrt(precision)
        low = max(low, root if self.prediction in ("noise", "score") else precision)
        angle = angle.clamp(low, max(low, min(high, math.pi / 2 - root)))
        if self.state in _SCALES and self.time in _TIMES:
            return angle, _TIMES[self.time](angle), _SCALES[self.state](angle)
        native = self.schedule.time(angle)
        if self.time == "timestep":
            native = native.round().clamp(1, self.schedule.timesteps)
        angle = self.schedule.angle(native)  # the schedule may have no time for the angle that was asked for
        told = {"schedule": native, "timestep": native.long() - 1}.get(self.time)
        told = _TIMES[self.time](angle) if told is None else told
        return angle, told, self.schedule.scale(native) if self.state == "schedule" else _SCALES[self.state](angle)


def of_words(text: str) -> Convention:
    """The convention of "RETURNS,SEES,TOLD", or of the first one or two of them, as "eps,scaled,sigma".

    Raises ScorelabError for names that do not exist, and for those that need a schedule.
    """
    names = ("x0", "eps", "v", "velocity", "score")
    if of_prediction(returns := text.split(",")[0]) not in Prediction.__args__:
        raise ScorelabError(f"convention = {text}: returns = {returns}: allowed are {', '.join(names)}")
    try:
        return Convention(*text.split(","))
    except (TypeError, ValueError) as error:
        told = str(error) if isinstance(error, ValueError) else "prediction,state,time is needed"
        raise ScorelabError(f"convention = {text}: {told}") from None


_TIMES = {
    "angle": lambda angle: angle,
    "t": lambda angle: angle.tan().square(),
    "log_snr": lambda angle: 2 * angle.tan().log(),
    "sigma": lambda angle: angle.cos() / angle.sin(),
}
#: the inverse of each of them
_ANGLES = {
    "angle": lambda time: time,
    "t": lambda time: time.sqrt().atan(),
    "log_snr": lambda time: (time / 2).exp().atan(),
    "sigma": lambda time: (1 / time).atan(),
}
_SCALES = {
    "angle": lambda angle: angle.new_ones(angle.shape),
    "scaled": lambda angle: 1 / angle.sin(),
    "localization": lambda angle: angle.sin() / angle.cos().square(),
}
