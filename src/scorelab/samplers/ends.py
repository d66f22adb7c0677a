"""The ends of a clock on a target: where sampling starts and stops, if the configuration does not say it."""

import logging
import math

from scorelab.errors import ConfigError
from scorelab.targets.scale import scale

log = logging.getLogger("scorelab")

#: a clock starts where (signal-to-noise ratio) (size of the target) is at most this: 0.015 nats on the paths to a mode
_START = 0.03
#: a clock stops where (signal-to-noise ratio) (width of a mode)^2 is at least this: 1 per cent of noise
_STOP = 99.0
#: a first step beyond this is reported: the modes are told apart where the product is of the order of 1
_LEAP = 0.3


def on_target(schedule, target, report=None):
    """The schedule with the ends that follow from the scale of the target, as far as its options do not give them.

    report: a function that gets one line about them, if there are any. Raises ConfigError for a clock that starts where
    no signal is left, if its grid needs some.
    """
    size, width = _size(schedule, target)
    found = schedule.reaching(_START / size, _STOP / width**2 if width else 0.0)
    if found is not schedule and report is not None:
        moved = (name for name in schedule.open_ends if name and getattr(found, name) is not None)
        report(
            f"schedule: {', '.join(f'{name} = {found.end(name):.6g}' for name in moved)}, from the scale of the target"
        )
    if found.grid.infinite_at_noise or found.grid.adapts_to is not None:
        try:
            found.grid.require_signal(found)
        except ValueError as error:
            raise ConfigError(str(error)) from None
    return found


def warn(job, schedule, angles, target):
    """Log a line for each end that is given and does not fit the target, with the value that does.

    angles: the grid of the job (steps + 1,).
    """
    if not job.rule.visits_grid:
        return
    size, width = _size(schedule, target)
    first, last = (math.tan(float(angle)) ** 2 for angle in (angles[0] or angles[1], angles[-1]))
    noise, data = schedule.ends
    if first * size > _LEAP:
        log.warning(
            "sampling: the first step ends at the signal-to-noise ratio %.3g, where the target is no longer noise; %s",
            first,
            _advice(schedule, noise, _START / size, "a noisier start is needed: another schedule, or more noise in it")
            if schedule.start_angle > 0 or schedule.grid.infinite_at_noise
            else f"take schedule.grid=log_snr, or more sampler.steps than {job.steps}",
        )
    if width and job.output == "scaled" and last * width**2 < 1:
        log.warning(
            "sampling: the noise that is left, %.3g, is wider than the narrowest mode, %.3g; %s",
            1 / math.sqrt(last),
            width,
            _advice(schedule, data, _STOP / width**2, "sampler.output=posterior_draw leaves none"),
        )


def _size(schedule, target):
    """What the signal-to-noise ratio is compared with, and the width of the narrowest mode.

    A clock that does not start at angle 0 starts from a law without the mean of the target.
    """
    found = scale(target)
    return max(found.spread, found.offset if schedule.start_angle > 0 else 0.0), found.width


def _advice(schedule, name, snr, otherwise):
    return f"schedule.{name}={schedule.end_at(snr):.3g} would do" if name else otherwise
