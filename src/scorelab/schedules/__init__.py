"""Schedules: native clocks and grids, each mapped to and from the angle."""

from scorelab.schedules.base import Schedule
from scorelab.schedules.localization import Localization

__all__ = ["Localization", "Schedule"]
