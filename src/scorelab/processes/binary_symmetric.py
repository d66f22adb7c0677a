"""Spins seen through a binary symmetric channel whose flip probability falls from 1/2 to 0 (Montanari 2023, section 4).

    P(Y_i = x_i) = (1 + s)/2, independently for each spin, with the correlation s = E x_i Y_i = sin(angle) from 0 to 1.

Seen backwards, from s to s - ds, each spin of Y flips with the rate 1/(2s). So along a path the spin i of Y flips, per
unit of log s, with the rate p_s(Y with spin i flipped) / (2 p_s(Y)), where p_s is the law of Y, and

    p_s(flipped)/p_s(Y) = E[(1 - s x_i Y_i)/(1 + s x_i Y_i) | Y] = P(agree)(1 - s)/(1 + s) + P(not agree)(1 + s)/(1 - s)

follows from the posterior mean, as P(x_i = Y_i | Y) = (1 + m_i Y_i)/2. The posterior is mu tilted by atanh(s) Y.
"""

import math

import torch

from scorelab.processes.base import Process, column, require_rates
from scorelab.randomness import uniform
from scorelab.samplers.base import Step


class BinarySymmetric(Process):
    """See the module. leap: with True a step is one draw for each spin on its own, with the posterior mean frozen, of
    x_i and then of Y_i given x_i and the present Y_i; its chances are never negative. With False the flips between two
    angles are drawn exactly, by thinning.

    An exact path goes from the correlation `first` to 1 - `last`. Its first state takes one leap from 0, whose error is
    of the order first^2; at its end each spin of x is drawn from its posterior law.
    """

    needs = ("spins", "tilted_mean")
    needs_learned = ("spins",)

    def __init__(self, n: int, leap: bool, first: float = 0.02, last: float = 1e-3):
        self.n, self.leap, self.first, self.last = n, leap, first, last
        self.shape, self.draws, self.refines, self.jumps = (n,), max(n, 3), leap, not leap
        self.end_angle = math.pi / 2 if leap else math.asin(1 - last)

    def correlation(self, angle):
        """s, float64, with the shape of the angle."""
        return torch.sin(torch.as_tensor(angle, dtype=torch.float64))

    def angles(self, steps):
        if self.leap:
            return super().angles(steps)
        # thinning proposes few flips where s and 1 - s change little by their own measure
        odds = torch.linspace(math.atanh(self.first), math.atanh(1 - self.last), max(steps, 2), dtype=torch.float64)
        angles = torch.asin(torch.tanh(odds))
        angles[-1] = self.end_angle
        return torch.cat([torch.zeros(1, dtype=torch.float64), angles])

    def start(self, noise):
        """Y at the correlation 0: each spin is 1 or -1 with probability 1/2."""
        return self._spins(noise(), torch.tensor(0.5))

    def _spins(self, normal, chance):
        ones = uniform(normal[:, : self.n]) < chance
        return torch.where(ones, 1.0, -1.0).to(normal.dtype)

    def observe(self, clean, angle, generator):
        chance = torch.rand(clean.shape, generator=generator, dtype=torch.float64)
        return torch.where(chance < 0.5 * (1 + column(self.correlation(angle), clean)), clean, -clean)

    def posterior_mean(self, target, state, angle):
        field = torch.atanh(column(self.correlation(angle), state))
        # at the correlation 1 a field of 40 tells -1 from 1 in double precision
        return target.tilted_mean(state.double() * field.clamp_max(40.0)).to(state.dtype)

    def inside(self, mean):
        return mean.clamp(-1, 1)

    def step(self, posterior, state, angle, next_angle, noise, memory):
        if self.leap or angle == 0:
            return self._leap(posterior, state, angle, next_angle, noise)
        return self._flips(posterior, state, angle, next_angle, noise)

    def _agreement(self, posterior, state, angle):
        """P(x_i = Y_i | Y), (count, n), float64."""
        agree = require_rates(0.5 * (1 + posterior(state, angle).double() * state), self)
        return 1 - require_rates(1 - agree, self)

    def _leap(self, posterior, state, angle, next_angle, noise):
        """P(Y' = 1 | x, Y) = (1 + s' x)(1 + (s/s') Y)/(2 (1 + s x Y)), averaged over x given Y, for each spin."""
        now, then = float(self.correlation(angle)), float(self.correlation(next_angle))
        agree = self._agreement(posterior, state, angle)
        chance = 0.0
        for sign, share in ((1.0, agree), (-1.0, 1 - agree)):  # x = sign Y
            weight = share / max(2 * (1 + now * sign), 1e-300)
            chance = chance + weight * (1 + then * sign * state) * (1 + now / then * state)
        return Step(self._spins(noise(), chance))

    def _flips(self, posterior, state, angle, next_angle, noise):
        """Every flip between two angles, by thinning: proposals at the largest rate that the posterior allows."""
        end = float(self.correlation(next_angle))
        bound = (1 + end) / (1 - end)
        rows, place = torch.arange(len(state)), self.correlation(angle).log().repeat(len(state))
        while len(rows):
            draws = uniform(noise())[rows]
            place = place - torch.log(draws[:, 0]) / (0.5 * self.n * bound)
            inside = place < math.log(end)
            rows, place, draws = rows[inside], place[inside], draws[inside]
            if not len(rows):
                break
            here, spin = place.exp(), (draws[:, 1] * self.n).long().clamp_max(self.n - 1)
            agree = self._agreement(posterior, state[rows], torch.asin(here))[torch.arange(len(rows)), spin]
            ratio = agree * (1 - here) / (1 + here) + (1 - agree) * (1 + here) / (1 - here)
            flipped = rows[draws[:, 2] * bound < ratio], spin[draws[:, 2] * bound < ratio]
            state[flipped] = -state[flipped]
        return Step(state)

    def output(self, posterior, state, angle, noise):
        """The spins x: at the correlation 1 they are seen, before it each is drawn from its posterior law."""
        if angle >= math.pi / 2:
            return state
        return self._spins(noise(), 0.5 * (1 + posterior(state, angle).double()))
