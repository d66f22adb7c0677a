"""Stage `train`: the training of the run's own denoiser."""

from scorelab.errors import ConfigError
from scorelab.studies import training


def run(study, context):
    """Train. Raises ConfigError if no method works with a learned denoiser, or if a method needs more of the target."""
    plans = study.plans(context.config)
    if not plans:
        raise ConfigError("study.methods: none of them works with a learned denoiser")
    for plan in plans:
        exact = ("posterior_mean",) if plan.method.exact else ()
        why = context.target.lacks(*plan.rule.needs_of_target(), *plan.schedule.needs_of_target(), *exact)
        if why is not None:
            raise ConfigError(f"study.methods.{plan.name}: {why}")
    training.run(study, context)
