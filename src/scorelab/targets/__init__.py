"""Targets: the distributions to sample, each with the exact answers that are known."""

from scorelab._lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "base": ["CAPABILITIES", "Capability", "Target"],
        "anisotropic_mixture": ["AnisotropicMixture", "LowRankMixture"],
        "boxes": ["Boxes"],
        "curie_weiss": ["CurieWeiss"],
        "curves": ["Curves"],
        "density_options": ["Density", "NealsFunnel"],
        "empirical": ["Empirical"],
        "finite": ["FiniteTarget"],
        "funnel": ["Funnel"],
        "gamma_mixture": ["GammaMixture"],
        "gaussian_mixture": ["GaussianMixture"],
        "images": ["Images"],
        "image_options": ["ImageData"],
        "ising": ["Ising"],
        "plane_density": ["PlaneDensity"],
        "sample_options": ["SampleData"],
        "samples": ["Samples"],
        "spiked": ["SpikedModel"],
        "spin_options": ["IsingModel", "SpikedMatrix", "Z2Synchronization"],
        "mixture_options": ["Mixture"],
        "options": ["TargetOptions", "TwoModes", "MixtureOfGammas"],
    },
)
