"""The ends of a clock on a target: where sampling starts and stops, if the configuration does not say it."""

import itertools
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
#: a later step this long, in the same product, is reported if it begins below 1: weights are then several per cent off
_LEAP_INSIDE = 2.5
#: a rule that extrapolates bears steps in log SNR that grow by this factor, and a share of the variance of a mode that
#: it throws off in a step that grows by more
_STRETCH, _THROWN = 1.6, 0.1


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
    """Log a line for each fault of the grid on the target, with what mends it: an end that is given and does not fit, a
    step that leaps over the speciation, a step over which the rule extrapolates too far.

    angles: the grid of the job (steps + 1,).
    """
    if job.rule.visits_grid:
        ratios = [math.tan(float(angle)) ** 2 for angle in angles]
        for find in (_leap, _noise_left, _stretch):
            line = find(job, schedule, ratios, target)
            if line is not None:
                log.warning("sampling: %s", line)


def _leap(job, schedule, ratios, target):
    """What to say of a first step, or of a later one, in which the target turns from noise into modes."""
    size, _ = _size(schedule, target)
    first = ratios[0] or ratios[1]
    if first * size > _LEAP:
        if schedule.start_angle > 0 or schedule.grid.infinite_at_noise:
            otherwise = "a noisier start is needed: another schedule, or more noise in it"
            advice = _advice(schedule, schedule.ends[0], _START / size, otherwise)
        else:
            advice = _finer(job, schedule)
        start = f"the first step ends at the signal-to-noise ratio {first:.3g}"
        return f"{start}, where the target is no longer noise; {advice}"
    spread = scale(target).spread
    for low, high in itertools.pairwise(ratios):
        if low * spread < 1 and (high - low) * spread > _LEAP_INSIDE:
            return (
                f"one step goes from the signal-to-noise ratio {low:.3g} to {high:.3g}, over the noise at which the "
                f"modes are told apart; {_finer(job, schedule)}"
            )
    return None


def _noise_left(job, schedule, ratios, target):
    """What to say of noise that is wider than the narrowest mode."""
    width = scale(target).width
    if not width or job.output != "scaled" or ratios[-1] * width**2 >= 1:
        return None
    advice = _advice(schedule, schedule.ends[1], _STOP / width**2, "sampler.output=posterior_draw leaves none")
    left = 1 / math.sqrt(ratios[-1])
    return f"the noise that is left, {left:.3g}, is wider than the narrowest mode, {width:.3g}; {advice}"


def _stretch(job, schedule, ratios, target):
    """What to say of a step that is much longer than the one before, for a rule that extrapolates.

    The change of the posterior mean within a mode of width s is of the order of its variance s^2/(1 + t s^2), and a
    step that is q times as long as the one before multiplies the change in that one by q.
    """
    width = scale(target).width
    if not job.rule.extrapolates or not width:
        return None
    steps = [(low, math.log(high / low)) for low, high in itertools.pairwise(ratios) if low > 0]
    grown = [(low, length / before) for (_, before), (low, length) in itertools.pairwise(steps)]
    for low, factor in grown:
        if factor > _STRETCH and factor**2 > _THROWN * (1 + low * width**2):
            return (
                f"the step from the signal-to-noise ratio {low:.3g} is {factor:.2g} times as long as the one before in "
                f"log SNR, too long for a rule that extrapolates; {_finer(job, schedule)}, or sampler=heun"
            )
    return None


def _finer(job, schedule):
    """The advice for a grid that is too coarse somewhere."""
    grid = "" if schedule.grid.name == "log_snr" else "schedule.grid=log_snr, or "
    return f"take {grid}more sampler.steps than {job.steps}"


def _size(schedule, target):
    """What the signal-to-noise ratio is compared with, and the width of the narrowest mode.

    A clock that does not start at angle 0 starts from a law without the mean of the target.
    """
    found = scale(target)
    return max(found.spread, found.offset if schedule.start_angle > 0 else 0.0), found.width


def _advice(schedule, name, snr, otherwise):
    return f"schedule.{name}={schedule.end_at(snr):.3g} would do" if name else otherwise
