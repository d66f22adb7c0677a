"""Observation processes: what is seen of x, little by little, until it is known.

A Markov process Y of observations of x that becomes informative defines mu_t = law(x | Y_t), a martingale that
localizes: mu_0 is the target, and the last law is a point. To sample the target is to draw a path of Y without knowing
x, for which the posterior mean, or the law of the next observation, is enough (Montanari 2023, "Sampling, diffusions,
and stochastic localization", sections 3 and 4; Visconti 2025, section 6).
"""

from scorelab._lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "base": ["Exact", "Learned", "Process"],
        "options": [
            "Anisotropic",
            "BinarySymmetric",
            "Erasure",
            "HalfSpace",
            "Isotropic",
            "Linear",
            "Poisson",
            "ProcessOptions",
        ],
        "loop": ["draw_samples"],
    },
)
