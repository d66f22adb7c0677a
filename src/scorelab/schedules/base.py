"""The contract of a schedule."""

import abc
import math

from scorelab.options import Options


class Schedule(Options):
    """A clock: native state and time of one formulation, their map to the angle, and a grid of angles for sampling.

    This module does not import torch: tensors bring their own methods, and grids import it where they are made.
    """

    @abc.abstractmethod
    def to_angle(self, state, time):
        """Map native `state` (count, n) at `time` (number, or tensor (count,)) to `(x, angle)`."""

    @abc.abstractmethod
    def from_angle(self, x, angle):
        """Map `x` (count, n) at `angle` to native `(state, time)`."""

    @abc.abstractmethod
    def angles(self, steps: int):
        """The sampling grid: `steps + 1` increasing angles from noise to data, float64."""

    @property
    @abc.abstractmethod
    def end_angle(self) -> float:
        """The last angle of every grid."""

    @property
    def end_snr(self) -> float:
        """The signal-to-noise ratio tan^2(phi) at the last angle: T of stochastic localization."""
        return math.tan(self.end_angle) ** 2

    @abc.abstractmethod
    def describe(self, steps: int) -> str:
        """One line with both ends of the grid, for the log."""
