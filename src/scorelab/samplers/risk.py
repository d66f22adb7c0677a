"""What the adaptive grids adapt to: how much of the signal the posterior mean knows at each angle."""

import math

import torch

from scorelab.channel import mix
from scorelab.laws.projected_law import ProjectedLaw
from scorelab.randomness import stream
from scorelab.targets import GaussianMixture

_DRAWS, _POINTS = 2000, 64


def grid_of(job, schedule, target, denoiser):
    """The angles that a job visits, with the risk that the schedule's grid adapts to."""
    if not job.rule.visits_grid or schedule.grid.adapts_to is None:
        return job.angles(schedule)
    exact = schedule.grid.adapts_to == "exact"
    return job.angles(schedule, exact_risk(target) if exact else learned_risk(denoiser, target))


def exact_risk(target):
    """The Bayes risk of <X, a>/|a| given its own noisy version, by quadrature, as a function of angles (points,), and
    its part between the modes, (2, points).

    Where the modes lie on one line along `a`, as two always do, it is the risk given the whole noisy state.
    """
    law = _along_the_signal(target)
    projected = GaussianMixture(law.weights, law.means.unsqueeze(1), law.stds)
    return lambda angles: _with_part_between(law, angles, projected.bayes_risk(angles))


def learned_risk(denoiser, target):
    """The same with E <X - m_hat, a>^2/|a|^2, the risk of the learned posterior mean.

    Measured on the same exact clean samples and noise at 64 angles, linear in log tan between them.
    """
    generator = stream(0, "learned risk")
    clean = target.sample(_DRAWS, generator)
    noise = torch.randn(clean.shape, generator=generator)
    law, unit = _along_the_signal(target), (target.direction / target.direction.norm()).to(clean.dtype)

    @torch.no_grad()
    def risk(angles):
        low, high = (math.log(math.tan(float(angle))) for angle in (angles[angles > 0].min(), angles.max()))
        knots = torch.linspace(low, high, _POINTS, dtype=torch.float64)
        states = ((mix(clean, noise, angle), angle) for angle in knots.exp().atan().tolist())
        known = torch.stack([((clean - denoiser(*state)) @ unit).double().square().mean() for state in states])
        place = (torch.tan(angles).log() - low) / (high - low) * (_POINTS - 1)
        left = place.clamp(0, _POINTS - 1).floor().clamp_max(_POINTS - 2).long()
        share = (place - left).clamp(0, 1)
        return _with_part_between(law, angles, known[left] + share * (known[left + 1] - known[left]))

    return risk


def _along_the_signal(target):
    """The exact law of <X, a>/|a|."""
    law, length = target.projection(target.direction), float(target.direction.norm())
    return ProjectedLaw(law.weights, length * law.means, length * law.stds)


def _with_part_between(law, angles, risk):
    """A risk (points,) and what is left of it without the variance within the modes, sum_k w_k s_k^2 cos^2/v_k."""
    sin, cos = torch.sin(angles).unsqueeze(1), torch.cos(angles).unsqueeze(1)
    variance = law.stds**2
    within = (law.weights * variance * cos**2 / (variance * sin**2 + cos**2)).sum(1)
    return torch.stack([risk, (risk - within).clamp_min(0)])
