"""What the adaptive grids adapt to: how much of the signal the posterior mean knows at each angle."""

from functools import partial

from scorelab.targets.signal import measured


def grid_of(sampler, schedule, target, denoiser):
    """The angles that a sampler visits, with the risk that an adaptive grid needs."""
    makers = {"adaptive": lambda: exact_risk(target), "adaptive_learned": lambda: learned_risk(denoiser, target)}
    maker = makers.get(schedule.grid)
    return sampler.angles(schedule, None if maker is None else maker())


def exact_risk(target):
    """The Bayes risk of <X, a>/|a| as a function of angles (points,), and its part between the modes where the target
    knows them, (2, points); see `Target.signal_risk`."""
    return target.signal_risk


def learned_risk(denoiser, target):
    """The same with E <X - m_hat, a>^2/|a|^2, the risk of the learned posterior mean, which is measured."""
    risk = partial(measured, denoiser, target)
    return lambda angles: target.signal_risk_between(angles, risk(angles))
