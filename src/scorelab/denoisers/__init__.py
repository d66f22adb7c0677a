"""Denoisers: functions of (x_phi, phi) that return a learned or an exact posterior mean."""

from scorelab._lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "base": ["Denoiser", "Part"],
        "exact": ["ExactDenoiser"],
        "amp": ["AMPDenoiser"],
        "outer_product": ["OuterProductDenoiser"],
        "convention": ["Convention"],
        "module": ["ModuleDenoiser"],
        "options": [
            "Amp",
            "DenoiserOptions",
            "Exact",
            "MixtureAware",
            "Module",
            "OuterProduct",
            "PhaseAware",
            "Student",
            "UNet",
        ],
        "mixture_aware": ["MixtureAwareDenoiser"],
        "phase_aware": ["PhaseAwareDenoiser"],
        "student": ["StudentDenoiser"],
        "unet": ["UNetDenoiser"],
    },
)
