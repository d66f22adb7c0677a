"""The loop over sampling steps, written once for every sampler."""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch

from scorelab.channel import aligned
from scorelab.devices import Watch, widest
from scorelab.errors import ScorelabError
from scorelab.laws.estimate import Estimate
from scorelab.randomness import BLOCK, BlockNoise, stream_seed
from scorelab.samplers.base import Sampler, Step
from scorelab.samplers.job import Sampling
from scorelab.schedules.base import Schedule


class Found:
    """What the steps of a rule measured, `Step.info`: for each name the mean over the steps, sample by sample.

    The sums stay on the device of the steps' tensors, and nothing waits for them before `estimates`.
    """

    def __init__(self):
        self._batches: list[dict[str, tuple[torch.Tensor, int]]] = []

    def begin(self):
        """Start a batch of samples."""
        self._batches.append({})

    def add(self, info: dict[str, torch.Tensor]):
        """Add one step of the batch, name -> (count,)."""
        sums = self._batches[-1]
        for name, value in info.items():
            total, steps = sums.get(name, (0.0, 0))
            sums[name] = (total + value.to(widest(value.device)), steps + 1)

    def chunk(self, count: int) -> list["Found"]:
        """What belongs to each of `count` equal parts of every batch."""
        parts = [Found() for _ in range(count)]
        for batch in self._batches:
            sums = {name: (total.chunk(count), steps) for name, (total, steps) in batch.items()}
            for place, part in enumerate(parts):
                part._batches.append({name: (totals[place], steps) for name, (totals, steps) in sums.items()})
        return parts

    def means(self) -> dict[str, torch.Tensor]:
        """name -> the mean over the steps for each sample, (count,) float64."""
        names = dict.fromkeys(name for batch in self._batches for name in batch)
        return {
            name: torch.cat([batch[name][0] / batch[name][1] for batch in self._batches if name in batch])
            for name in names
        }

    def estimates(self) -> dict[str, Estimate]:
        """name -> the mean over steps and samples, with its standard error over samples: the steps of one chain are
        correlated, samples are not."""
        return {name: Estimate.mean(means) for name, means in self.means().items()}


@dataclass
class Drawn:
    """Samples in batches (batch, *shape), what their steps found, and the seconds that were spent before their first
    batch is asked for."""

    batches: Iterable[torch.Tensor]
    found: Found
    seconds: float = 0.0


@torch.no_grad()
def simulate(
    rule: Sampler,
    denoiser,
    angles,
    x,
    noise,
    observe: Callable | None = None,
    schedule=None,
    found: Found | None = None,
):
    """Drive x (count, n) along the grid `angles` (steps + 1,) by a rule and return the last state.

    rule: a `Sampler`, or a `scorelab.processes.Process`, whose states x have a shape of their own.

    observe(k, angle, x) is called with the state at every grid point, also the first, and must not change x. schedule:
    for rules that work in its native clock. found: gathers what the steps measure. Raises ScorelabError at the step
    where the state diverges.
    """
    grid = [float(angle) for angle in angles]
    state = rule.begin(schedule, grid)
    largest = rule.growth * (1 + torch.linalg.vector_norm(x))
    diverged = Watch(x.device)
    if found is not None:
        found.begin()
    if observe is not None:
        observe(0, grid[0], x)
    for k, (angle, next_angle) in enumerate(itertools.pairwise(grid), start=1):
        taken = rule.step(denoiser, x, angle, next_angle, noise, state)
        if not isinstance(taken, tuple):
            raise ScorelabError(f"sampler {type(rule).__name__}: step returns a Step, or a pair of x and the state")
        x, state, info = Step(*taken)
        if found is not None:
            found.add({**denoiser.measured(), **(info or {})})
        diverged.note(~(torch.linalg.vector_norm(x) < largest), k)  # also where it is not a number
        if (first := diverged.first(k == len(grid) - 1)) is not None:
            raise ScorelabError(
                f"sampling: {type(rule).__name__} diverges at step {first} of {len(grid) - 1}, angle {grid[first]:.6f} "
                f"rad; {rule.remedy}"
            )
        if observe is not None:
            observe(k, next_angle, x)
    return x


def draw_samples(
    job: Sampling,
    schedule: Schedule,
    denoiser,
    shape,
    seed: int,
    dtype=torch.float32,
    angles=None,
    observe=None,
    found: Found | None = None,
    device="cpu",
) -> Iterator[torch.Tensor]:
    """Yield the `job.count` samples of a job in batches (batch, *shape).

    Memory is bounded by the batch. Sample i is a function of the seed and i alone, up to the rounding of matrix
    products of another size: neither the batch size nor the count changes it.

    shape: the shape of one sample, or the dimension of a vector. angles: the grid, by default the job's grid on the
    schedule. observe, found: as in `simulate`, for each batch. device: the denoiser's, where they
    are drawn.
    """
    angles = job.angles(schedule) if angles is None else angles

    def pilot(rule):
        own = stream_seed(seed, "pilot")
        noise = BlockNoise(own, 0, BLOCK, shape, dtype, device)
        theirs = denoiser.for_samples(0, BLOCK, own)
        simulate(rule, theirs, angles, noise() * schedule.start_std, noise, schedule=schedule)

    rule = job.rule.prepare(pilot)
    batch_size = max(job.batch_size // BLOCK, 1) * BLOCK
    for first in range(0, job.count, batch_size):
        count = min(batch_size, job.count - first)
        noise = BlockNoise(seed, first, count, shape, dtype, device)
        theirs = denoiser.for_samples(first, count, seed)
        x = simulate(rule, theirs, angles, noise() * schedule.start_std, noise, observe, schedule, found)
        yield OUTPUTS[job.output](theirs, x, float(angles[-1]), noise)


@torch.no_grad()
def scaled(denoiser, x, angle, noise):
    """x / sin(phi) = X + cot(phi) G, which is Y_T / T under stochastic localization."""
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


#: output of a `Sampling` -> function from the last state to what the job returns
OUTPUTS = {"scaled": scaled, "posterior_mean": posterior_mean, "posterior_draw": posterior_draw}
