"""Conformance: samplers and denoisers of anybody, held against laws whose answers are known.

from scorelab.conformance import check_denoiser, check_sampler
report = check_sampler(my_sampler, order=2)
report = check_denoiser(my_denoiser, target=target)
report.passed, report.failures, report.table, report.figure, report.to_json()
"""

from scorelab._lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "sampler": ["check_sampler"],
        "denoiser": ["check_denoiser"],
        "declared": ["declare"],
        "report": ["Property", "Report"],
        "conventions": ["Convention", "in_convention", "model_of", "of_rule"],
        "forms": ["of_scheduler"],
    },
)
