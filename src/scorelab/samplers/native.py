"""The native clock of a schedule, for the rules that work in it."""

from collections.abc import Sequence
from typing import Any, NamedTuple


class Course(NamedTuple):
    """What a rule worked out for the whole grid before its first step, and the position of its next step.

    table: an entry a grid point, or a step.
    """

    table: Sequence[Any]
    position: int = 0

    @property
    def here(self):
        """The entry of the grid point, or of the step, that is at hand."""
        return self.table[self.position]

    @property
    def ends(self):
        """The entries of both grid points of the step."""
        return self.table[self.position], self.table[self.position + 1]

    @property
    def next(self) -> "Course":
        """The same one step later."""
        return Course(self.table, self.position + 1)


class Native:
    """Native quantities at the angles of a grid under a schedule, float64 tensors (steps + 1,), made once a run.

    sin, cos of the angles; time; scale, the factor from x to the native state; drift f and diffusion g of the noising
    SDE; length of the steps (steps,), in native time.
    """

    def __init__(self, schedule, angles):
        import torch

        grid = torch.tensor(angles, dtype=torch.float64)
        self.sin, self.cos, self.time = grid.sin(), grid.cos(), schedule.time(grid)
        self.scale = schedule.scale(self.time)
        self.drift, self.diffusion = schedule.drift(self.time), schedule.diffusion(self.time)
        self.length = self.time.diff().abs()

    def of_score(self, weight):
        """The factors of x and of m in weight * score of the native state, which is (sin m - x)/(scale cos^2).

        weight: a tensor with one number for each of the first angles.
        """
        count = len(weight)
        weight = weight / (self.scale * self.cos.square())[:count]
        return -weight, weight * self.sin[:count]


def course(entry: type, *columns) -> Course:
    """A course whose table has an `entry` a row of the columns, tensors of one length."""
    return Course([entry(*row) for row in zip(*(column.tolist() for column in columns), strict=True)])


def require_positive_start(rule: str, schedule):
    """Raise ValueError for a clock that starts at angle 0, where the native state holds no noise or infinite noise."""
    if schedule.start_angle == 0:
        raise ValueError(
            f"{rule} cannot run on {type(schedule).__name__}, whose clock starts at angle 0, where its native state is "
            "not a multiple of x; euler_maruyama is its own rule, or take schedule ou, vp, ve, edm or ddpm"
        )
