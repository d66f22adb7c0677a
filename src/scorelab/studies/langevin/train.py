"""Stage `train`: the training of the run's own denoiser."""

from scorelab.errors import ConfigError
from scorelab.studies import training


def run(study, context):
    """Train. Raises ConfigError where no method works with a learned denoiser."""
    if not study.plans(context.config):
        raise ConfigError("study.methods: none of them works with a learned denoiser")
    training.run(study, context)
