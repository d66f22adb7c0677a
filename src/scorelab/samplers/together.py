"""The samples of several denoisers of one architecture, drawn in one pass of the loop over steps."""

from collections.abc import Iterator

import torch

from scorelab.denoisers.stacked import Stacked, Unstackable
from scorelab.randomness import BLOCK, BlockNoise
from scorelab.samplers.base import Sampler
from scorelab.samplers.job import Sampling
from scorelab.samplers.loop import OUTPUTS, Found, simulate
from scorelab.schedules.base import Schedule

#: states in memory at once
_ROWS = 2**16


def draw_together(
    job: Sampling,
    schedule: Schedule,
    denoiser: Stacked,
    shape,
    seeds: list[int],
    angles,
    dtype=torch.float32,
    observe=None,
    found: Found | None = None,
    device="cpu",
    at_once: bool = False,
) -> Iterator[tuple[torch.Tensor, ...]]:
    """Yield the samples of R denoisers, each by its own seed, in batches: R tensors (batch, *shape).

    Each denoiser gets the samples that `draw_samples` draws of it alone, to the rounding of matrix products. observe
    and found: as in `simulate`; they see the states of all, one denoiser after the other. at_once: whether all samples
    have to be one batch. Raises Unstackable for a rule whose step depends on the other samples of its batch, and for
    more samples at once than there is room for.
    """
    if type(job.rule).prepare is not Sampler.prepare:
        raise Unstackable(f"a step of {type(job.rule).__name__} depends on the other samples of its batch")
    size = max(min(job.batch_size, _ROWS // len(seeds)) // BLOCK, 1) * BLOCK
    if at_once and size < job.count:
        raise Unstackable(f"{len(seeds)} times {job.count} samples are too many at once")
    for first in range(0, job.count, size):
        count = min(size, job.count - first)
        each = [BlockNoise(seed, first, count, shape, dtype, device) for seed in seeds]
        noise = _SideBySide(each)
        x = simulate(job.rule, denoiser, angles, noise() * schedule.start_std, noise, observe, schedule, found)
        yield OUTPUTS[job.output](denoiser, x, float(angles[-1]), noise).chunk(len(seeds))


class _SideBySide:
    """The draws of several `BlockNoise`s, one after the other."""

    def __init__(self, noises):
        self.noises = noises

    def __call__(self):
        return torch.cat([noise() for noise in self.noises])
