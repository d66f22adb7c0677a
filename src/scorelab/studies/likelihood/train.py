"""Stage `train`: the training of the run's own denoiser, once it is known that it has a likelihood."""

import torch

from scorelab.channel import mix
from scorelab.errors import ConfigError, ScorelabError
from scorelab.randomness import stream
from scorelab.studies import training
from scorelab.training.derivatives import require_slopes


def run(study, context):
    """Train. Raises ConfigError for a denoiser whose chain is not one of Gaussian steps, or whose flow cannot be
    differentiated."""
    denoiser, name = context.new_denoiser(), context.config["denoiser"].cls.__name__
    if denoiser.chooses:
        raise ConfigError(f"denoiser {name}: study Likelihood needs one that is one function of the state")
    if study.flow.trace != "none":
        generator, schedule = stream(context.seed, "slopes"), context.schedule
        clean = context.target.sample(8, generator)
        share = torch.linspace(0.1, 0.9, len(clean))
        angle = schedule.start_angle + share * (schedule.end_angle - schedule.start_angle)
        x = mix(clean, torch.randn(clean.shape, generator=generator), angle)
        try:
            require_slopes(denoiser.eval(), x, angle, f"study.flow.trace = {study.flow.trace}")
        except ScorelabError as error:
            raise ConfigError(f"{error}; study.flow.trace=none leaves the flow out") from None
    training.run(study, context)
