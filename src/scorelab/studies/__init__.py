"""Studies: what a run does. The default one trains, samples, measures and draws."""

from scorelab.studies.base import Study
from scorelab.studies.claims import Claims
from scorelab.studies.collapse import Collapse
from scorelab.studies.conditional_mean import ConditionalMean
from scorelab.studies.discretization import Discretization
from scorelab.studies.generate import Generate
from scorelab.studies.langevin import Langevin
from scorelab.studies.learning import Learning
from scorelab.studies.sampler_accuracy import SamplerAccuracy
from scorelab.studies.two_stage import TwoStage

__all__ = [
    "Claims",
    "Collapse",
    "ConditionalMean",
    "Discretization",
    "Generate",
    "Langevin",
    "Learning",
    "SamplerAccuracy",
    "Study",
    "TwoStage",
]
