"""Studies: what a run does, one folder a subject. The default one trains, samples, measures and draws."""

from scorelab._lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "base": ["Number", "Study", "Table", "draw", "draw_figures"],
        "claims": ["Claims"],
        "collapse": ["Collapse"],
        "conditional_mean": ["ConditionalMean"],
        "discretization": ["Discretization"],
        "generate": ["Generate"],
        "langevin": ["Langevin"],
        "learning": ["Learning"],
        "sampler_accuracy": ["SamplerAccuracy"],
        "two_stage": ["TwoStage"],
    },
)
