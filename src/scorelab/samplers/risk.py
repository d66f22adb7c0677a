"""The risk that the adaptive grids adapt to: how much of the signal the posterior mean does not know at each angle."""

from functools import partial

from scorelab.errors import ConfigError
from scorelab.targets.signal import measured


def grid_of(job, schedule, target, denoiser):
    """The angles that a job visits, with the risk that the schedule's grid adapts to."""
    if not job.rule.visits_grid or schedule.grid.adapts_to is None:
        return job.angles(schedule)
    exact = schedule.grid.adapts_to == "exact"
    return job.angles(schedule, exact_risk(target) if exact else learned_risk(denoiser, target))


def require_grid(job, schedule, target, place: str):
    """Raise ConfigError if the grid of a job cannot be made; a grid that needs the denoiser is not tried.

    place: the key that the error names.
    """
    if schedule.grid.adapts_to == "learned" and job.rule.visits_grid:
        return
    try:
        grid_of(job, schedule, target, None)
    except ArithmeticError:
        raise ConfigError(f"{place}: its ends are beyond the numbers of double precision") from None
    except ValueError as error:
        raise ConfigError(f"{place}: {error}") from None


def exact_risk(target):
    """The Bayes risk of <X, a>/|a| as a function of angles (points,). Its values are (points,), or (2, points) with the
    part of the risk between the modes if the target knows its modes; see `Target.signal_risk`."""
    return target.signal_risk


def learned_risk(denoiser, target):
    """The same function for the risk of the learned posterior mean, E <X - m_hat, a>^2/|a|^2, which is measured."""
    risk = partial(measured, denoiser, target)
    return lambda angles: target.signal_risk_between(angles, risk(angles))
