"""The loop over sampling steps, written once for every sampler."""

import itertools
import math
from collections.abc import Callable, Iterator

import torch

from scorelab.channel import aligned
from scorelab.errors import ScorelabError
from scorelab.randomness import BLOCK, BlockNoise
from scorelab.samplers.base import Sampler
from scorelab.schedules.base import Schedule

#: a state this many times as long as the first has diverged
_DIVERGED = 1e6


@torch.no_grad()
def simulate(sampler: Sampler, denoiser, angles, x, noise, observe: Callable | None = None, schedule=None):
    """Drive x (count, n) along the grid `angles` (steps + 1,) and return the last state.

    observe(k, angle, x), where given, sees the state at every grid point, also the first; it must not change x.
    schedule: for rules that work in its native clock. Raises ScorelabError at the step where the state diverges.
    """
    grid = [float(angle) for angle in angles]
    memory = sampler.begin(schedule, grid)
    largest = _DIVERGED * (1 + float(torch.linalg.vector_norm(x)))
    if observe is not None:
        observe(0, grid[0], x)
    for k, (angle, next_angle) in enumerate(itertools.pairwise(grid), start=1):
        x, memory = sampler.step(denoiser, x, angle, next_angle, noise, memory)
        if not float(torch.linalg.vector_norm(x)) < largest:  # also where it is not a number
            raise ScorelabError(
                f"sampling: {type(sampler).__name__} diverges at step {k} of {len(grid) - 1}, angle {next_angle:.6f} "
                f"rad; {sampler.remedy}"
            )
        if observe is not None:
            observe(k, next_angle, x)
    return x


def draw_samples(
    sampler: Sampler, schedule: Schedule, denoiser, shape, seed: int, dtype=torch.float32, angles=None, observe=None
) -> Iterator[torch.Tensor]:
    """Yield `sampler.count` samples in batches (batch, *shape); shape: of one sample, or the dimension of a vector.

    Memory is bounded by the batch. Sample i is a function of the seed and i alone, up to the rounding of matrix
    products of another size: neither the batch size nor the count changes it.
    angles: the grid, where it is not simply the schedule's. observe: see `simulate`, called for each batch.
    """
    angles = sampler.angles(schedule) if angles is None else angles
    batch_size = max(sampler.batch_size // BLOCK, 1) * BLOCK
    for first in range(0, sampler.count, batch_size):
        count = min(batch_size, sampler.count - first)
        noise = BlockNoise(seed, first, count, shape, dtype)
        theirs = denoiser.for_samples(first, count, seed)
        x = simulate(sampler, theirs, angles, noise() * schedule.start_std, noise, observe, schedule)
        yield OUTPUTS[sampler.output](theirs, x, float(angles[-1]), noise)


@torch.no_grad()
def scaled(denoiser, x, angle, noise):
    """x / sin(phi) = X + cot(phi) G: under stochastic localization Y_T / T."""
    return x / math.sin(angle)


@torch.no_grad()
def posterior_mean(denoiser, x, angle, noise):
    """m(x; phi)."""
    return denoiser(x, angle)


@torch.no_grad()
def posterior_draw(denoiser, x, angle, noise):
    """m(x; phi) plus isotropic Gaussian noise with the variance of the posterior.

    By the second-order form of Tweedie's formula Cov[X | x_phi = x] = cos^2/sin * dm/dx; its mean eigenvalue is
    estimated, sample by sample, with one Rademacher probe of the denoiser's Jacobian.
    """
    probe = torch.sign(noise()).clone()
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        mean = denoiser(x, angle)
        (derivative,) = torch.autograd.grad(mean, x, probe)
    variance = aligned((probe * derivative).flatten(1).mean(1), x) * (math.cos(angle) ** 2 / math.sin(angle))
    return mean.detach() + variance.clamp_min(0.0).sqrt() * noise()


#: what is returned of the last state; see `Sampler`
OUTPUTS = {"scaled": scaled, "posterior_mean": posterior_mean, "posterior_draw": posterior_draw}
