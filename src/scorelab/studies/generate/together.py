"""What a denoiser is asked in the stages `sample` and `analyse`, asked of the denoisers of several runs at once."""

import math
import time

import torch

from scorelab.denoisers.stacked import Stacked, Unstackable
from scorelab.devices import widest
from scorelab.metrics.floors import estimated_means
from scorelab.metrics.path_kl import path_kls
from scorelab.metrics.posterior_mean import compare_several, published_angles
from scorelab.once import content
from scorelab.randomness import stream
from scorelab.samplers.loop import Drawn, Found
from scorelab.samplers.together import draw_together
from scorelab.studies.generate.analyse import first_samples, observers_of

#: states of all runs that are in memory at once where their errors are measured, and numbers of their samples
_STATES, _NUMBERS = 2**17, 2**28


def ahead(contexts, denoisers):
    """Compute ahead what runs ask of their denoisers; see `Study.ahead`. Runs that do not sample and measure alike are
    left to their own turns."""
    groups = {}
    for context, denoiser in zip(contexts, denoisers, strict=True):
        groups.setdefault(_key(context), []).append((context, denoiser))
    groups.pop(None, None)
    for group in groups.values():
        study = group[0][0].config.study
        most = max(_STATES // max(study.path_kl_draws, study.posterior_mean_draws), 1)
        for first in range(0, len(group), most):
            some = group[first : first + most]
            if len(some) > 1:
                _ahead(study, *zip(*some, strict=True))


def _key(context):
    """What runs have in common that sample and measure alike; None for a run that is not like another one."""
    job, schedule, study = context.sampling, context.schedule, context.config.study
    if job is None or schedule.grid.adapts_to == "learned":
        return None
    rule = type(job.rule).__qualname__, job.rule.model_dump()
    numbers = job.count, job.steps, job.batch_size, job.output
    return content((rule, numbers, schedule, context.angles, tuple(context.target.shape), study.model_dump()))


def _ahead(study, contexts, denoisers):
    stack = Stacked(list(denoisers), tuple(contexts[0].target.shape))
    _samples(contexts, stack)
    if widest(stack.device) == torch.float64:  # elsewhere errors are measured on the CPU
        _errors(study, contexts, stack)
    _paths(study, contexts, stack)


def _samples(contexts, stack):
    first, started, found = contexts[0], time.perf_counter(), Found()
    if len(contexts) * first.sampling.count * math.prod(first.target.shape) > _NUMBERS:
        return
    batches = [tuple(each.cpu() for each in batch) for batch in _drawn(contexts, stack, first.sampling, found=found)]
    seconds = (time.perf_counter() - started) / len(contexts)
    for context, own, measured in zip(contexts, zip(*batches, strict=True), found.chunk(len(contexts)), strict=True):
        context.keep_ahead("samples", Drawn(own, measured, seconds))


def _drawn(contexts, stack, job, **more):
    first, seeds = contexts[0], [each.sampling_seed for each in contexts]
    more |= {"angles": first.angles, "device": stack.device}
    return draw_together(job, first.schedule, stack, first.target.shape, seeds, **more)


def _errors(study, contexts, stack):
    """The path KL and the comparison with the exact posterior mean."""
    targets = [each.target for each in contexts]
    if any(stack.incomparable(target) is not None for target in targets):
        return
    generators = [stream(each.seed, "path kl") for each in contexts]
    numbers = contexts[0].schedule.end_angle, study.path_kl_angles, study.path_kl_draws
    for context, found in zip(contexts, path_kls(stack, targets, *numbers, generators), strict=True):
        context.keep_ahead("path_kl", found)
    if study.posterior_mean_data == "samples":  # they are in a file when the run's own turn has come
        return
    generators = [stream(each.seed, "posterior mean") for each in contexts]
    cleans = [target.sample(study.posterior_mean_draws, own) for target, own in zip(targets, generators, strict=True)]
    floors = [estimated_means(stack, each.target, each.training.train_count)[0] for each in contexts]
    angles = published_angles(study.posterior_mean_switches)
    for context, found in zip(
        contexts, compare_several(stack, targets, cleans, angles, generators, floors), strict=True
    ):
        context.keep_ahead("posterior_mean", found)


def _paths(study, contexts, stack):
    """The paths of the first samples, seen by the observers of each run."""
    every = [observers_of(study, each) for each in contexts]
    if any(each is None for each in every):
        return
    job = first_samples(study, contexts[0])

    def observe(k, angle, x):
        for observers, own in zip(every, x.chunk(len(contexts)), strict=True):
            for each in filter(None, observers):
                each(k, angle, own)

    try:
        for _ in _drawn(contexts, stack, job, observe=observe, at_once=True):
            pass
    except Unstackable:
        return
    for context, observers in zip(contexts, every, strict=True):
        context.keep_ahead("paths", observers)
