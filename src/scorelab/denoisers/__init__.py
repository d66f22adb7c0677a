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
            "MLP",
            "MixtureAware",
            "Module",
            "OuterProduct",
            "PhaseAware",
            "Student",
            "UNet",
        ],
        "mlp": ["MLPDenoiser"],
        "mixture_aware": ["MixtureAwareDenoiser"],
        "parametrization": ["ParametrizedDenoiser"],
        "phase_aware": ["PhaseAwareDenoiser"],
        "student": ["StudentDenoiser"],
        "unet": ["UNetDenoiser"],
    },
)
