"""The ends of a clock on a target: where sampling starts and stops, if the configuration does not say it."""

import itertools
import logging
import math
import time

from scorelab.errors import ConfigError
from scorelab.laws.mixture import Mixture
from scorelab.samplers.trial import fault
from scorelab.schedules.grids import LogSNR
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
#: where the modes come out wrong, so many steps are tried for the advice, at most, and for so many seconds
_MOST_STEPS, _SECONDS = 512, 15.0


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
    step that leaps over the speciation, whatever else makes the modes of a mixture come out wrong in a trial.

    angles: the grid of the job (steps + 1,).
    """
    if job.rule.visits_grid:
        lines = misfits(job, schedule, angles, target)
        if not lines:
            known = isinstance(target, Mixture) and target.can("modes")
            lines = [_wrong(job, schedule, angles, target) if known else _leap(job, schedule, angles, target)]
        for line in filter(None, lines):
            log.warning("sampling: %s", line)


def misfits(job, schedule, angles, target) -> list[str]:
    """A line for each end of a grid that does not fit the target, with what mends it; see `warn`."""
    if not job.rule.visits_grid:
        return []
    ratios = _ratios(angles)
    lines = _start(job, schedule, ratios, target), _noise_left(job, schedule, ratios, target)
    return [line for line in lines if line]


def _start(job, schedule, ratios, target):
    """What to say of a first step in which the target turns from noise into modes."""
    size, _ = _size(schedule, target)

    def fits(ratios):
        return (ratios[0] or ratios[1]) * size <= _LEAP

    if fits(ratios):
        return None
    if schedule.start_angle > 0 or schedule.grid.infinite_at_noise:
        otherwise = _finer(job, schedule, target, fits)
        if schedule.start_angle > 0:
            otherwise = "a noisier start is needed: another schedule, or more noise in it"
        advice = _advice(job, schedule, target, schedule.ends[0], _START / size, fits) or otherwise
    else:
        advice = _finer(job, schedule, target, fits)
    start = f"the first step ends at the signal-to-noise ratio {ratios[0] or ratios[1]:.3g}"
    return f"{start}, where the target is no longer noise; {advice}"


def _leap(job, schedule, angles, target):
    """What to say of a later step in which the target turns from noise into modes, where its modes are not known."""
    spread = scale(target).spread

    def leaps(ratios):
        pairs = itertools.pairwise(ratios)
        return [(low, high) for low, high in pairs if low * spread < 1 and (high - low) * spread > _LEAP_INSIDE]

    for low, high in leaps(_ratios(angles)):
        return (
            f"one step goes from the signal-to-noise ratio {low:.3g} to {high:.3g}, over the noise at which the "
            f"modes are told apart; {_finer(job, schedule, target, lambda ratios: not leaps(ratios))}"
        )
    return None


def _noise_left(job, schedule, ratios, target):
    """What to say of noise that is wider than the narrowest mode."""
    width = scale(target).resolved

    def fits(ratios):
        return ratios[-1] * width**2 >= 1

    if not width or job.output != "scaled" or fits(ratios):
        return None
    otherwise = "sampler.output=posterior_draw leaves none"
    advice = _advice(job, schedule, target, schedule.ends[1], _STOP / width**2, fits) or otherwise
    left, what = 1 / math.sqrt(ratios[-1]), "the details of the data" if target.can("points") else "the narrowest mode"
    return f"the noise that is left, {left:.3g}, is wider than {what}, {width:.3g}; {advice}"


def _wrong(job, schedule, angles, target):
    """What to say of steps that are too long for the rule, wherever they lie, where the modes are known."""
    began = time.perf_counter()
    found = fault(job, schedule, angles, target)
    if found is None:
        return None
    seconds = (time.perf_counter() - began) / job.steps
    log.info("sampling: %s in a trial; looking for steps that mend it, for up to %g s", found.words, _SECONDS)
    words = f"with these steps and even the exact posterior mean {found.words}"
    return f"{words}; {_mended(job, schedule, target, seconds)}"


def _mended(job, schedule, target, seconds):
    """The advice with which a trial finds no fault: the fewest steps, doubled again and again, on the schedule's own
    grid or uniform in log SNR. A grid that adapts is not tried with more steps, nor is what would take too long.

    seconds: of a step of a trial.
    """
    steps, until = job.steps, time.perf_counter() + _SECONDS
    tried = ""
    while steps <= max(job.steps, _MOST_STEPS):
        finer = job.model_copy(update={"steps": steps})
        for grid in (schedule.grid, LogSNR()):
            changed = [f"schedule.grid={grid.name}"] * (grid != schedule.grid)
            changed += [f"sampler.steps={steps}"] * (steps > job.steps)
            if not changed:
                continue
            if time.perf_counter() + seconds * steps > until:
                return f"{tried}what mends it takes too long to find: more sampler.steps, another schedule or sampler"
            if _right(finer, schedule.model_copy(update={"grid": grid}), target):
                return f"{' '.join(changed)} would do"
        tried = f"up to {steps} sampler.steps and schedule.grid=log_snr do not mend it, and "
        steps *= 2
    return f"{tried.removesuffix(', and ')}: take another schedule or sampler"


def _right(job, schedule, target):
    """Whether a trial of the job finds no fault; no for a grid that does not have so many steps, or adapts."""
    try:
        return fault(job, schedule, job.angles(schedule), target) is None
    except ValueError:
        return False


def _finer(job, schedule, target, fits):
    """The advice for a grid that is too coarse somewhere."""
    mends = schedule.grid.name != "log_snr" and _fits(job, schedule, target, {"grid": LogSNR()}, fits)
    return f"take {'schedule.grid=log_snr, or ' * mends}more sampler.steps than {job.steps}"


def _ratios(angles):
    """The signal-to-noise ratios of angles."""
    return [math.tan(float(angle)) ** 2 for angle in angles]


def _fits(job, schedule, target, changed, fits):
    """Whether the schedule's grid fits with these options changed, by its signal-to-noise ratios; a grid that adapts
    has the ends of `log_snr`."""
    grid = {"grid": LogSNR()} if schedule.grid.adapts_to is not None else {}
    try:
        changed = on_target(type(schedule)(**{**dict(schedule), **grid, **changed}), target)
        return fits(_ratios(job.angles(changed)))
    except (ValueError, ArithmeticError, ConfigError):
        return False


def _size(schedule, target):
    """What the signal-to-noise ratio is compared with, and the width that the last noise is held against.

    A clock that does not start at angle 0 starts from a law without the mean of the target.
    """
    found = scale(target)
    return max(found.spread, found.offset if schedule.start_angle > 0 else 0.0), found.resolved


def _advice(job, schedule, target, name, snr, fits):
    """The value of an end at which the grid fits; None if there is none, as for a grid without a step to put there."""
    value = f"{schedule.end_at(snr):.3g}" if name else ""
    return (
        f"schedule.{name}={value} would do"
        if name and _fits(job, schedule, target, {name: float(value)}, fits)
        else None
    )
