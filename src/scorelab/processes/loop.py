"""Samples of a process. The loop over steps is `scorelab.samplers.loop.simulate`."""

from collections.abc import Iterator

import torch

from scorelab.errors import ScorelabError
from scorelab.processes.base import Process
from scorelab.randomness import BLOCK, BlockNoise, stream_seed
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
        noise = (NoiseOfSteps if process.jumps else BlockNoise)(seed, first, size, (process.draws,), dtype)
        hooks = [hook for hook in (observe, getattr(noise, "begin", None)) if hook is not None]

        def each(k, angle, state, hooks=hooks):
            for hook in hooks:
                hook(k, angle, state)

        state = simulate(process, posterior, angles, process.start(noise), noise, each)
        samples = process.output(posterior, state, float(angles[-1]), noise)
        if not bool(torch.isfinite(samples).all()):
            raise ScorelabError(f"process {type(process).__name__}: a sample is not finite")
        yield samples


class NoiseOfSteps:
    """`BlockNoise` with streams of its own for each step. So a sample whose step takes few draws is the same beside
    samples whose steps take many."""

    def __init__(self, seed: int, first: int, count: int, shape, dtype):
        self.seed, self.rest = seed, (first, count, shape, dtype)
        self.noise = BlockNoise(seed, *self.rest)

    def begin(self, k, angle, state):
        """Begin the step after the grid point k."""
        self.noise = BlockNoise(stream_seed(self.seed, "step", k), *self.rest)

    def __call__(self):
        return self.noise()
