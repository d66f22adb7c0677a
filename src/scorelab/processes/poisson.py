"""Counts with the intensity x: for x with coordinates >= 0 (Montanari 2023, section 4).

    Y_i(t) is Poisson with mean t x_i,     t = tan^2(angle),

and along a path coordinate i jumps by 1 with the rate m_i(Y, t) = E[x_i | Y].
"""

import math

import torch

from scorelab.processes.base import Process, column, require_rates
from scorelab.randomness import stream, uniform
from scorelab.samplers.base import Step


class Poisson(Process):
    """See the module. leap: with True the jumps of a step are Poisson numbers with the rates frozen (tau-leaping). With
    False each jump is drawn at its time: between jumps the total rate falls, d/dt sum_i m_i = -Var(sum_i x_i | Y), so
    that the present total rate bounds the later ones, and thinning is exact. A learned mean may break this bound; what
    is above it is cut off.
    """

    needs = ("count_mean",)
    growth = math.inf  # counts begin at 0 and grow like the time
    first_angle = 0.02

    def __init__(self, n: int, leap: bool, end_angle: float, grid):
        self.n, self.leap, self.end_angle, self.grid = n, leap, end_angle, grid
        self.shape, self.draws, self.refines, self.jumps = (n,), max(n, 3), leap, not leap

    def time(self, angle):
        """t, float64, with the shape of the angle."""
        return torch.tan(torch.as_tensor(angle, dtype=torch.float64)).square()

    def angles(self, steps):
        return self.grid.angles(self, steps)

    def start(self, noise):
        return torch.zeros_like(noise()[:, : self.n])

    def observe(self, clean, angle, generator):
        rates = clean.double() * column(self.time(angle), clean)
        return torch.poisson(require_rates(rates, self), generator=generator).to(clean.dtype)

    def posterior_mean(self, target, state, angle):
        return target.count_mean(state, self.time(angle))

    def seen(self, state, angle):
        """Y/(1 + t), which is near x at the end and near 0 at the beginning."""
        return (state / (1 + column(self.time(angle), state))).to(state.dtype)

    def inside(self, mean):
        return mean.clamp_min(0)

    def lacks_learned(self, target):
        """A mean is enough where all coordinates are >= 0, which a thousand samples show."""
        why = target.lacks("samples") or super().lacks_learned(target)
        if why is None and (lowest := float(target.sample(1000, stream(0, "intensities")).min())) < 0:
            why = f"a sample has the coordinate {lowest:.3g}, and counts need coordinates >= 0"
        return why

    def step(self, posterior, state, angle, next_angle, noise, memory):
        if self.leap:
            length = float(self.time(next_angle) - self.time(angle))
            rates = require_rates(posterior(state, angle).double(), self)
            return Step(state + poisson_quantile(uniform(noise()[:, : self.n]), rates * length).to(state.dtype))
        return self._jumps(posterior, state, angle, next_angle, noise)

    def _jumps(self, posterior, state, angle, next_angle, noise):
        """Every jump between two angles. Each turn evaluates the posterior once, at the present time of each path: to
        decide on the jump that was proposed there, or to find the rate of the next proposal."""
        end = float(self.time(next_angle))
        rows, time = torch.arange(len(state)), self.time(angle).repeat(len(state))
        bound = torch.full_like(time, torch.inf)  # no jump is proposed yet
        while len(rows):
            mean = posterior(state[rows], torch.atan(time.sqrt())).double()
            rates = require_rates(mean, self)
            total, draws = rates.sum(1), uniform(noise())[rows]
            jumps = draws[:, 0] * bound < total
            heights = rates[jumps].cumsum(1)
            which = (draws[jumps, 1:2] * heights[:, -1:] > heights[:, :-1]).sum(1)
            state[rows[jumps], which] += 1
            # after a jump the rate is not known yet: its next turn only finds the rate
            later = time - torch.log(draws[:, 2]) / total.clamp_min(1e-300)
            time, bound = torch.where(jumps, time, later), torch.where(jumps, torch.inf, total)
            inside = time < end
            rows, time, bound = rows[inside], time[inside], bound[inside]
        return Step(state)


def poisson_quantile(chance, mean):
    """The Poisson numbers with P(Y < number) < chance <= P(Y <= number), for means >= 0, float64."""
    import numpy
    from scipy.special import pdtr, pdtrik

    chance, mean = (numpy.asarray(part, dtype=numpy.float64) for part in (chance, mean))
    with numpy.errstate(all="ignore"):
        number = numpy.ceil(numpy.nan_to_num(pdtrik(chance, numpy.maximum(mean, 1e-300)), nan=0.0).clip(0))
        below = numpy.maximum(number - 1, 0)
        number = numpy.where(pdtr(below, mean) >= chance, below, number)
    return torch.from_numpy(numpy.where(mean > 0, number, 0.0))
