"""The density of the probability flow, by the change of variables along its path.

In the angle the flow of every clock is dx/dphi = v(x, phi), the velocity, and along a path

    d log p_phi(x)/dphi = -div v,      div v = (tr D_x m_hat - n sin)/cos

(Chen, Rubanova, Bettencourt and Duvenaud 2018; Song et al. 2021, section 4.3). A sample of the flow is z = x/sin at the
last angle phi_1 of the clock, and x ~ N(0, s^2 I) at the first angle phi_0. So along the path that ends at sin(phi_1) z

    log p(z) = n log sin(phi_1) + log N(x_0; 0, s^2 I) - int_{phi_0}^{phi_1} div v dphi.
"""

import copy
import itertools
import math

import torch

from scorelab.channel import posterior_mean_to_velocity, sin_cos
from scorelab.schedules.grids import LogSNR
from scorelab.training.derivatives import quadratic_forms, trace


def log_prob(field, schedule, clean, steps: int):
    """log p(z) of the flow at z = clean (count, *shape), and the states x_0 at the first angle.

    The path is followed from the last angle to the first by the Runge-Kutta rule of fourth order on `steps` steps that
    are uniform in log SNR. field: see `field_of`; with several estimates of div v the result is (count, estimates), and
    (count, 1) for the exact one.
    """
    angles = LogSNR().angles(schedule, steps).flip(0).tolist()
    x, change = math.sin(angles[0]) * clean, 0.0
    for angle, following in itertools.pairwise(angles):
        x, gained = _step(field, x, angle, following - angle)
        change = change + gained
    n, deviation = clean[0].numel(), schedule.start_std
    start = -0.5 * (x / deviation).square().flatten(1).sum(1) - 0.5 * n * math.log(2 * math.pi * deviation**2)
    # int over the flipped path is minus the integral over the path
    return n * math.log(math.sin(angles[0])) + start.unsqueeze(1) + change, x


def _step(field, x, angle, length):
    """x after a step of the fourth-order rule, and the integral of div v over the step."""
    velocity, divergence = field(x, angle)
    moved, gained = velocity, divergence
    for share, weight in ((0.5, 2.0), (0.5, 2.0), (1.0, 1.0)):
        velocity, divergence = field(x + share * length * velocity, angle + share * length)
        moved, gained = moved + weight * velocity, gained + weight * divergence
    return x + length / 6 * moved, length / 6 * gained


def field_of(denoiser, probes=None):
    """The function (x, angle) -> v (count, *shape), div v (count, estimates), in the precision of x.

    probes: random directions (count, probes, *shape) with E u u^T = I, each of which makes an estimate u^T D_x v u
    (Hutchinson 1990; the directions stay along the path); None for the exact trace. It is known in closed form for an
    exact denoiser whose target has a `posterior_variance`, as tr D_x m = sin/cos^2 tr Cov[X | x]; otherwise it takes a
    backward pass a coordinate.
    """
    if probes is not None:

        def means_and_forms(x, angle):
            return quadratic_forms(denoiser, x, angle, probes)

    elif denoiser.exact and denoiser.target.can("posterior_variance"):

        def means_and_forms(x, angle):
            sin, cos = sin_cos(angle, x)
            return denoiser(x, angle), (sin / cos**2 * denoiser.target.posterior_variance(x, angle)).unsqueeze(1)

    else:

        def means_and_forms(x, angle):
            return denoiser(x.clone(), angle), trace(denoiser, x, angle).unsqueeze(1)

    size = None if probes is None else probes.square().flatten(2).sum(2)  # u^T u

    def field(x, angle):
        means, forms = means_and_forms(x, angle)
        sin, cos = sin_cos(angle, x)
        return posterior_mean_to_velocity(means, x, angle), (
            forms - sin * (x[0].numel() if size is None else size)
        ) / cos

    return field


class InDouble(torch.nn.Module):
    """A denoiser that is asked in float64: a copy of it in float64, or the denoiser itself where it insists on its own
    precision.

    x (count, *shape), angle: a few states to try it on.
    """

    def __init__(self, denoiser, x, angle):
        super().__init__()
        self.exact, self.target = denoiser.exact, getattr(denoiser, "target", None)
        self.own, self.single = copy.deepcopy(denoiser).double(), False
        try:
            self.own(x.double(), angle)
        except Exception:  # whatever a network says of a precision that is not its own
            self.own, self.single = denoiser, True

    def forward(self, x, angle):
        return self.own(x.float(), angle).double() if self.single else self.own(x, angle)
