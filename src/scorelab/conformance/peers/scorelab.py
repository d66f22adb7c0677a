"""Rules of scorelab in the form of the other modules."""

import math

from scorelab import samplers
from scorelab.conformance.conventions import of_rule
from scorelab.schedules import Localization

#: the last angle by default
END = 1.56


def named(kind: str, grid: str = "log_snr", end: float = END, **options):
    """See the package. kind: a class of `scorelab.samplers`; grid: of the angles from 0 to `end`; options: of the
    class."""
    schedule = Localization(grid=grid, alpha_max=end, T=None, t_min=None)
    return of_rule(getattr(samplers, kind)(**options), schedule), 1 / math.tan(end)
