"""The erasure process: coordinates of x are revealed one by one (Montanari 2023, section 4)."""

import math

import torch

from scorelab.processes.base import Process, column
from scorelab.randomness import uniform
from scorelab.samplers.base import Step


class Erasure(Process):
    """At angle phi the first round(n phi/(pi/2)) coordinates in the order of the process are known, and no others.

    A path draws each coordinate from its law given those before it: with an exact posterior and one coordinate a step
    the result is exact, and the process is autoregressive sampling. A leap reveals several coordinates in one step, as
    if they were independent given those before.

    order: `in_order`, or `random`, an order of its own for each sample. leap: whether a step may reveal several
    coordinates. A state is (2, n): the values, 0 where they are not known, and 1 for each known coordinate.

    A learned posterior mean is enough for spins, whose conditional laws it determines.
    """

    needs = ("conditionals",)
    needs_learned = ("spins",)

    def __init__(self, n: int, order: str, leap: bool):
        self.n, self.order, self.leap = n, order, leap
        self.shape, self.draws, self.refines = (2, n), n, leap

    def known_at(self, angle):
        """How many coordinates are known, with the shape of the angle."""
        return torch.round(torch.as_tensor(angle, dtype=torch.float64) / (math.pi / 2) * self.n)

    def angles(self, steps):
        steps = min(steps, self.n) if self.leap else self.n
        counts = torch.linspace(0, self.n, steps + 1, dtype=torch.float64).round()
        return counts / self.n * (math.pi / 2)

    def start(self, noise):
        normal = noise()
        return normal.new_zeros(len(normal), *self.shape)

    def observe(self, clean, angle, generator):
        ranks = self._ranks(torch.rand(clean.shape, generator=generator, dtype=torch.float64))
        known = (ranks < column(self.known_at(angle), clean)).to(clean.dtype)
        return torch.stack([clean * known, known], 1)

    def _ranks(self, chance):
        """The place of each coordinate in the order, (count, n), for uniform numbers (count, n)."""
        if self.order == "in_order":
            return torch.arange(self.n).expand(chance.shape)
        return chance.argsort(1).argsort(1)

    def posterior_mean(self, target, state, angle):
        return target.conditional_mean(state[:, 0], state[:, 1])

    def seen(self, state, angle):
        return state[:, 0]

    def inside(self, mean):
        """Of spins: any other target takes the exact posterior."""
        return mean.clamp(-1, 1)

    def step(self, posterior, state, angle, next_angle, noise, memory):
        values, known = state.unbind(1)
        drawn = self._draw(posterior, state, angle, noise)
        # in one order for each sample, in which the known coordinates come last
        order = torch.arange(self.n) / self.n if self.order == "in_order" else uniform(noise())
        more = int(self.known_at(next_angle) - self.known_at(angle))
        new = ((order + known).argsort(1).argsort(1) < more).to(state.dtype)
        return Step(torch.stack([values + new * drawn, known + new], 1))

    def _draw(self, posterior, state, angle, noise):
        """A draw of each coordinate from its law given the known ones, (count, n)."""
        if posterior.target is not None:
            posterior.evaluated += len(state)
            return posterior.target.conditional_draw(state[:, 0], state[:, 1], noise)
        chance = 0.5 * (1 + posterior(state, angle).clamp(-1, 1))
        return torch.where(uniform(noise()) < chance, 1.0, -1.0).to(state.dtype)

    def output(self, posterior, state, angle, noise):
        """The values, all of which are known."""
        return state[:, 0]
