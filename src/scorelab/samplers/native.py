"""The native clock of a schedule, for the rules that work in it."""

from collections.abc import Sequence
from typing import Any, NamedTuple


class Course(NamedTuple):
    """What a rule computes for the whole grid before its first step, and the position of its next step.

    table: one entry per step.
    """

    table: Sequence[Any]
    position: int = 0

    @property
    def here(self):
        """The entry of the next step."""
        return self.table[self.position]

    @property
    def next(self) -> "Course":
        """The course after one more step."""
        return Course(self.table, self.position + 1)


class NativeValues:
    """Native quantities at the angles of a grid under a schedule, float64 tensors (steps + 1,), made once per run.

    sin, cos: of the angles. time: native. scale: the factor from x to the native state. drift, diffusion: f and g of
    the noising SDE at the start and at the end of each step, (2, steps). length: of the steps (steps,), in native time.
    """

    def __init__(self, schedule, angles):
        import torch

        grid = torch.tensor(angles, dtype=torch.float64)
        self.sin, self.cos, self.time = grid.sin(), grid.cos(), schedule.time(grid)
        self.scale = schedule.scale(self.time)
        self.drift, self.diffusion = schedule.rates(self.time)
        self.length = self.time.diff().abs()

    def of_score(self, weight, points):
        """The factors of x and of m in weight * score; the score of the native state is (sin m - x)/(scale cos^2).

        weight: a tensor with one number for each of `points`, a slice of the grid.
        """
        weight = weight / (self.scale * self.cos.square())[points]
        return -weight, weight * self.sin[points]


#: the grid points at which steps start and end
STARTS, ENDS = slice(None, -1), slice(1, None)


def entries(entry: type, *columns) -> list:
    """One `entry` per row of the columns, which are tensors of one length."""
    return [entry(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def require_positive_start(rule: str, schedule):
    """Raise ValueError for a clock that starts at angle 0, where the native state holds no noise or infinite noise."""
    if schedule.start_angle == 0:
        raise ValueError(
            f"{rule} cannot run on {type(schedule).__name__}, whose clock starts at angle 0, where its native state is "
            "not a multiple of x; euler_maruyama is its own rule, or take schedule ou, vp, ve, edm or ddpm"
        )
