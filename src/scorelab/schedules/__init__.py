"""Schedules: native clocks and grids, each mapped to and from the angle."""

from scorelab.schedules.base import Schedule
from scorelab.schedules.ddpm import DDPM
from scorelab.schedules.grids import Grid
from scorelab.schedules.localization import Localization
from scorelab.schedules.variance_exploding import EDM, VE
from scorelab.schedules.variance_preserving import OU, VP

__all__ = ["DDPM", "EDM", "OU", "VE", "VP", "Grid", "Localization", "Schedule"]
