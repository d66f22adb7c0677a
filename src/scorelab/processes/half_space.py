"""Half-spaces: the k-th observation says on which side of a hyperplane x lies (Montanari 2023, section 4).

Y_k = sign(<g_k, x> - level_k),     k = 1 ... K, at the angles k/K pi/2.
"""

import math

import torch

from scorelab.errors import ScorelabError
from scorelab.processes.base import Process, column
from scorelab.randomness import choose, uniform
from scorelab.samplers.base import Step


class HalfSpace(Process):
    """See the module; for targets on finitely many states, whose posterior is the weights of the states in the cell.

    A step draws the side of the next hyperplane from the weights that lie there, which is exact; there is no leap, as
    sides that are drawn one by one for themselves may leave a cell without any state. The output is a draw of the
    states that are left in the cell. A state of the process is Y, (K,), with 0 for a side that is not yet seen.

    normals: g (K, n). levels: (K,), float64.
    """

    needs = ("states",)
    refines = False

    def __init__(self, normals, levels):
        self.normals, self.levels = normals, levels
        count, self.n = normals.shape
        self.shape, self.draws = (count,), 1

    def seen_at(self, angle):
        """How many sides are seen, with the shape of the angle."""
        return torch.round(torch.as_tensor(angle, dtype=torch.float64) / (math.pi / 2) * len(self.levels))

    def angles(self, steps):
        count = len(self.levels)
        return torch.arange(count + 1, dtype=torch.float64) / count * (math.pi / 2)

    def start(self, noise):
        normal = noise()
        return normal.new_zeros(len(normal), *self.shape)

    def sides(self, points):
        """The sides of points (count, n), (count, K), each 1 or -1."""
        return torch.where(points.double() @ self.normals.T > self.levels, 1.0, -1.0).double()

    def observe(self, clean, angle, generator):
        seen = torch.arange(len(self.levels)) < column(self.seen_at(angle), clean)
        return (self.sides(clean) * seen).to(clean.dtype)

    def weights(self, target, state):
        """The weights of the states of the target in the cells, (count, S), float64."""
        points, log_weights = target.states()
        state = state.double()
        missed = state.abs().sum(1, keepdim=True) - state @ self.sides(points).T
        fits = missed < 0.5
        if not bool(fits.any(1).all()):
            raise ScorelabError("process HalfSpace: no state of the target lies on the sides that were seen")
        return torch.softmax(torch.where(fits, log_weights, -torch.inf), 1)

    def posterior_mean(self, target, state, angle):
        return (self.weights(target, state) @ target.states()[0]).to(state.dtype)

    def seen(self, state, angle):
        raise ScorelabError("process HalfSpace: a network does not see its sides")

    def step(self, posterior, state, angle, next_angle, noise, memory):
        target = posterior.target
        right = (self.sides(target.states()[0]) > 0).double()
        for k in range(int(self.seen_at(angle)), int(self.seen_at(next_angle))):
            chance = self.weights(target, state) @ right[:, k]
            state[:, k] = torch.where(uniform(noise()[:, 0]) < chance, 1.0, -1.0).to(state.dtype)
            posterior.evaluated += len(state)
        return Step(state)

    def output(self, posterior, state, angle, noise):
        """A draw from the states that are left."""
        posterior.evaluated += len(state)
        weights = self.weights(posterior.target, state)
        points = posterior.target.states()[0]
        return points[choose(weights, uniform(noise()[:, 0]))].to(state.dtype)

    def lacks_learned(self, target):
        return "its steps need the weights of the states"
