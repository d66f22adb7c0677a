"""Samples of a process. The loop over steps is `scorelab.samplers.loop.simulate`."""

from collections.abc import Iterator

import torch

from scorelab.errors import ScorelabError
from scorelab.processes.base import Process
from scorelab.randomness import BLOCK, BlockNoise
from scorelab.samplers.loop import simulate


@torch.no_grad()
def draw_samples(
    process: Process,
    posterior,
    count: int,
    steps: int,
    seed: int,
    batch_size: int = 4096,
    dtype=torch.float32,
    observe=None,
) -> Iterator[torch.Tensor]:
    """Yield `count` samples in batches (batch, n).

    Sample i is a function of the seed and i alone, up to the rounding of sums of another size. posterior: an `Exact`
    or a `Learned` of the process. steps: see `Process.angles`. observe: as in `samplers.loop.simulate`.

    Raises ScorelabError if a sample is not finite.
    """
    angles = process.angles(steps)
    batch_size = max(batch_size // BLOCK, 1) * BLOCK
    for first in range(0, count, batch_size):
        size = min(batch_size, count - first)
        noise = BlockNoise(seed, first, size, (process.draws,), dtype)
        state = simulate(process, posterior, angles, process.start(noise), noise, observe)
        samples = process.output(posterior, state, float(angles[-1]), noise)
        if not bool(torch.isfinite(samples).all()):
            raise ScorelabError(f"process {type(process).__name__}: a sample is not finite")
        yield samples
