"""Studies: what a run does. The default one trains, samples, measures and draws."""

from scorelab.studies.base import Study
from scorelab.studies.generate import Generate

__all__ = ["Generate", "Study"]
