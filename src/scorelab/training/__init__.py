"""Training: the objectives, the laws of the training angles, and the training loop."""

from scorelab._lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "options": ["Training"],
        "angles": ["AngleLaw", "angle_law"],
        "objectives": ["Objective", "build_objective"],
        "trainer": ["Trainer"],
    },
)
