"""The signal <X, a>/|a|: its Bayes risk at each noise level, which adaptive grids adapt to, and the variance beside
it."""

import math

import torch

from scorelab.channel import mix
from scorelab.devices import CPU
from scorelab.laws.projected_law import ProjectedLaw
from scorelab.randomness import stream

_DRAWS, _POINTS = 2000, 64


def along(mixture) -> ProjectedLaw:
    """The exact law of <X, a>/|a| for a Gaussian mixture with the signal direction a."""
    law, length = mixture.projection(mixture.direction), float(mixture.direction.norm())
    return ProjectedLaw(law.weights, length * law.means, length * law.stds)


def orthogonal_variance(covariance, direction) -> float:
    """The mean variance of a coordinate orthogonal to a direction (n,), for a covariance (n, n); 0 if n = 1."""
    n, unit = len(covariance), torch.as_tensor(direction, dtype=torch.float64)
    unit = unit / unit.norm()
    return float(covariance.trace() - unit @ covariance @ unit) / (n - 1) if n > 1 else 0.0


def between_modes(law: ProjectedLaw, angles, risk):
    """Add to a risk (points,) of a mixture on the line a second row: the risk without the variance within the modes.

    The variance within the modes is sum_k w_k s_k^2 cos^2/v_k. Returns (2, points).
    """
    sin, cos = torch.sin(angles).unsqueeze(1), torch.cos(angles).unsqueeze(1)
    variance = law.stds**2
    within = (law.weights * variance * cos**2 / (variance * sin**2 + cos**2)).sum(1)
    return torch.stack([risk, (risk - within).clamp_min(0)])


@torch.no_grad()
def measured(posterior_mean, target, angles):
    """E <X - m(x_phi; phi), a>^2/|a|^2 for a posterior mean m, a function of (x, angle), at angles (points,), float64.

    It is measured on the same 2000 exact samples and the same noise at 64 angles, and interpolated linearly in
    log tan(angle) between them.
    """
    generator = stream(0, "learned risk")
    clean = target.sample(_DRAWS, generator)
    noise = torch.randn(clean.shape, generator=generator)
    unit = (target.direction / target.direction.norm()).to(clean.dtype).flatten()
    low, high = (math.log(math.tan(float(angle))) for angle in (angles[angles > 0].min(), angles.max()))
    knots = torch.linspace(low, high, _POINTS, dtype=torch.float64)
    device = getattr(posterior_mean, "device", CPU)  # of a denoiser
    states = ((mix(clean, noise, angle).to(device), angle) for angle in knots.exp().atan().tolist())
    errors = ((clean - posterior_mean(*state).cpu()).flatten(1) @ unit for state in states)
    known = torch.stack([error.double().square().mean() for error in errors])
    place = (torch.tan(angles).log() - low) / (high - low) * (_POINTS - 1)
    left = place.clamp(0, _POINTS - 1).floor().clamp_max(_POINTS - 2).long()
    share = (place - left).clamp(0, 1)
    return known[left] + share * (known[left + 1] - known[left])
