"""The risk that the adaptive grids adapt to: how much of the signal the posterior mean does not know at each angle."""

import contextlib
from functools import partial

from scorelab.errors import ConfigError
from scorelab.targets.signal import measured


def grid_of(job, schedule, target, denoiser):
    """The angles that a job visits, with the risk that the schedule's grid adapts to."""
    return job.angles(schedule, risk_of(schedule, target, denoiser) if job.rule.visits_grid else None)


def risk_of(schedule, target, denoiser):
    """The risk that the schedule's grid adapts to, a function of angles; None for a grid that does not adapt."""
    if schedule.grid.adapts_to is None:
        return None
    return exact_risk(target) if schedule.grid.adapts_to == "exact" else learned_risk(denoiser, target)


def remembered(risk):
    """The same function, which computes nothing twice for the same angles: grids of one schedule that differ in their
    steps alone ask at the same ones. None stays None."""
    known = {}

    def ask(angles):
        key = angles.numpy().tobytes()
        if key not in known:
            known[key] = risk(angles)
        return known[key]

    return None if risk is None else ask


def require_grid(job, schedule, target, place: str):
    """Raise ConfigError if the grid of a job cannot be made; a grid that needs the denoiser is not tried.

    place: the key that the error names.
    """
    if schedule.grid.adapts_to == "learned" and job.rule.visits_grid:
        return
    with computable(place):
        grid_of(job, schedule, target, None)


@contextlib.contextmanager
def computable(place: str = ""):
    """Turn what a clock and its grid raise into the error of a configuration.

    place: the key that the error names; by default what the clock says stands alone.
    """
    try:
        yield
    except ArithmeticError:
        raise ConfigError(f"{place or 'schedule'}: its ends are beyond the numbers of double precision") from None
    except ValueError as error:
        raise ConfigError(f"{place}: {error}" if place else str(error)) from None


def exact_risk(target):
    """The Bayes risk of <X, a>/|a| as a function of angles (points,). Its values are (points,), or (2, points) with the
    part of the risk between the modes if the target knows its modes; see `Target.signal_risk`."""
    return target.signal_risk


def learned_risk(denoiser, target):
    """The same function for the risk of the learned posterior mean, E <X - m_hat, a>^2/|a|^2, which is measured."""
    risk = partial(measured, denoiser, target)
    return lambda angles: target.signal_risk_between(angles, risk(angles))
