"""Samples of the user's own as a target: the law of a finite set of vectors, beside others that are held out."""

import math

import torch

from scorelab.laws.atoms import Atoms
from scorelab.laws.tabulated import in_a_table
from scorelab.targets.empirical import Empirical
from scorelab.targets.finite import leading_direction
from scorelab.targets.signal import orthogonal_variance


class Samples(Empirical):
    """The empirical law of N vectors (N, n); see `Empirical`.

    held_out (M, n): other samples of the same kind, which the law does not have, or None. std: the width of the
    Gaussian kernel around each sample, >= 0. direction: the leading principal component, of length 1.

    Raises ValueError for samples of another shape.
    """

    def __init__(self, points, held_out=None, std: float = 0.0):
        for name, values in (("samples", points), ("held_out", held_out)):
            if values is not None and (values.dim() != 2 or values.shape[1] != points.shape[1]):
                raise ValueError(f"{name} have shape {tuple(values.shape)}: (count, n), of one n, is needed")
        super().__init__(points, std)
        self.held_out = held_out
        self.direction = leading_direction(self.covariance) / math.sqrt(self.n)

    @property
    def covariance(self):
        found = sum(offsets.T @ offsets for offsets in map(self._offsets, self._blocks())) / len(self.points)
        return found + self.std**2 * torch.eye(self.n, dtype=torch.float64, device=found.device)

    def orthogonal_variance(self, direction):
        return orthogonal_variance(self.covariance, direction)

    def projection(self, direction):
        """`projection`: an atom for each sample, or a Gaussian where there is a kernel."""
        direction = torch.as_tensor(direction, dtype=torch.float64)
        atoms = self._atoms(direction)
        return in_a_table(atoms.noisy(1.0, self.std**2 / float(direction.square().sum()))) if self.std else atoms

    def noisy_projection(self, direction, angle):
        direction = torch.as_tensor(direction, dtype=torch.float64)
        sin, cos = math.sin(angle), 0.0 if angle >= math.pi / 2 else math.cos(angle)
        variance = ((self.std * sin) ** 2 + cos**2) / float(direction.square().sum())
        return in_a_table(self._atoms(direction).noisy(sin, variance)) if variance else self._atoms(direction)

    def _atoms(self, direction):
        values = torch.cat([block.double().cpu() @ direction for block in self._blocks()]) / direction.square().sum()
        return Atoms(values, torch.ones_like(values))

    def output_law(self, angle, output):
        """See `Target.output_law`; None for outputs other than `scaled`."""
        if output != "scaled" or angle >= math.pi / 2:
            return super().output_law(angle, output)
        law = Samples(self.points, self.held_out, math.hypot(self.std, 1 / math.tan(angle)))
        law.direction = self.direction
        return law
