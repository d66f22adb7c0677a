"""Stage `sample`: langevin.npz, the weights of the modes that each method finds at each budget."""

import contextlib
import logging
import math

import numpy
import torch

from scorelab.channel import mix
from scorelab.denoisers.exact import ExactDenoiser
from scorelab.errors import ScorelabError
from scorelab.figures.files import save_arrays
from scorelab.metrics.projection import project
from scorelab.progress import Progress
from scorelab.randomness import BlockNoise, stream, stream_seed
from scorelab.samplers.ends import misfits
from scorelab.samplers.loop import simulate
from scorelab.samplers.risk import grid_of
from scorelab.targets import GaussianMixture

log = logging.getLogger("scorelab")


def run(study, context):
    """Run every method at every budget, and again for every separation.

    langevin.npz: METHOD.evaluations (budgets,), METHOD.weights (budgets, count, K), the posterior weight of each mode
    given the final state, and METHOD.values (budgets, count), the projection <x, a>/|a|^2. METHOD.POSITION, with the
    position of a distance in study.separations.distances, has the same arrays without values.
    """
    plans, further = study.plans(context.config), study.plans_of_separations()
    left_out = [name for name in study.methods if name not in [plan.name for plan in plans]]
    if left_out:
        log.info("left out, as they need the exact denoiser: %s", ", ".join(left_out))
    for plan in plans:
        _report(plan, plan.jobs(study.budgets, study.count)[-1], context)
    arrays, done = {}, 0
    apart = study.separations
    with Progress("Langevin and diffusion", len(plans) + len(further) * len(apart.distances), "runs") as progress:
        for plan in plans:
            seed = stream_seed(context.seed, "langevin", plan.name)
            jobs = plan.jobs(study.budgets, study.count)
            found = curve(plan, jobs, context.target, _denoiser(plan, context), seed)
            arrays |= {f"{plan.name}.{key}": value for key, value in found.items()}
            save_arrays(context.run / "langevin.npz", arrays)  # what is measured stays if the stage is stopped
            done += 1
            progress.update(done, plan.name)
        for position, distance in enumerate(apart.distances):
            target = two_modes_apart(apart, distance)
            for plan in further:
                seed = stream_seed(context.seed, "separations", plan.name, position)
                jobs = plan.jobs(geometric(apart.budget), apart.count)
                found = curve(plan, jobs, target, ExactDenoiser(target), seed, apart)
                found.pop("values")
                arrays |= {f"{plan.name}.{position}.{key}": value for key, value in found.items()}
                done += 1
                progress.update(done, f"{plan.name}, |a| = {distance:g}")
    save_arrays(context.run / "langevin.npz", arrays)


def _report(plan, job, context):
    """Log the ends that follow from the target, and a warning for each end that is given and does not fit it."""
    target, place = context.target, f"study.methods.{plan.name}"
    schedule = plan.schedule_on(target, lambda line: log.info("%s.%s", place, line))
    for line in misfits(job, schedule, grid_of(job, schedule, target, _denoiser(plan, context)), target):
        log.warning("%s: %s", place, line)


def _denoiser(plan, context):
    """The denoiser of a method: that of the run, or the exact one."""
    return ExactDenoiser(context.target) if plan.method.exact else context.denoiser


def two_modes_apart(apart, distance: float) -> GaussianMixture:
    """p N((1-p) a, I) + (1-p) N(-p a, I) with a = (distance, 0, ..., 0)."""
    a = torch.zeros(apart.n, dtype=torch.float64)
    a[0] = distance
    return GaussianMixture.two_modes(apart.p, a)


def geometric(largest: int, ratio: float = 1.15) -> list[int]:
    """Integers from 1 to `largest`, each about `ratio` times the one before, where integers allow it."""
    steps = math.ceil(math.log(largest) / math.log(ratio))
    return sorted({round(largest ** (k / max(steps, 1))) for k in range(steps + 1)})


def is_chain(plan, target, denoiser) -> bool:
    """Whether the sampler stays at one noise level: then a long run passes through the ends of all shorter runs."""
    grid = grid_of(plan.job(3, 2), plan.schedule_on(target), target, denoiser)
    return len({float(angle) for angle in grid}) == 1


def curve(plan, jobs, target, denoiser, seed, apart=None) -> dict[str, numpy.ndarray]:
    """evaluations (budgets,), weights (budgets, count, K), values (budgets, count), from one chain or from one run for
    each budget.

    apart: `Separations`. If it is given, the search ends when the weight has stayed within the tolerance for as many
    evaluations as it took to get there, and for at least four budgets.
    """
    rows, watch = [], _Watch(target, apart)
    if is_chain(plan, target, denoiser):
        budgets = {job.steps: job.nfe for job in jobs}

        def observe(k, angle, x):
            if k in budgets:
                rows.append((budgets[k], *_measure(target, x, angle)))
                if watch.settled(*rows[-1][:2]):
                    raise _Settled

        with contextlib.suppress(_Settled):
            _run(plan, jobs[-1], target, denoiser, seed, observe)
    else:
        for job in jobs:
            x, angle = _run(plan, job, target, denoiser, stream_seed(seed, "budget", job.steps))
            rows.append((job.nfe, *_measure(target, x, angle)))
            if watch.settled(*rows[-1][:2]):
                break
    evaluations, weights, values = (numpy.array(column) for column in zip(*rows, strict=True))
    return {"evaluations": evaluations, "weights": weights, "values": values}


class _Settled(Exception):
    """Ends a chain that need not go on."""


class _Watch:
    """Whether a search for the weight may end."""

    def __init__(self, target, apart):
        self.exact, self.apart, self.outside, self.inside = target.weights.numpy(), apart, 0, 0

    def settled(self, evaluations, weights) -> bool:
        if self.apart is None:
            return False
        if numpy.abs(weights.mean(0, dtype=float) - self.exact).max() > self.apart.tolerance:
            self.outside, self.inside = evaluations, 0
        else:
            self.inside += 1
        return self.inside >= 4 and evaluations >= 2 * self.outside


def _run(plan, job, target, denoiser, seed, observe=None):
    """The last state (count, n) and its angle."""
    schedule = plan.schedule_on(target)
    angles = grid_of(job, schedule, target, denoiser)
    noise = BlockNoise(stream_seed(seed, "noise"), 0, job.count, target.n)
    x = noise() * schedule.start_std
    if plan.method.start != "prior":
        mode = 0 if plan.method.start == "first_mode" else int(target.weights.argmin())
        clean = draws_of_mode(target, mode, job.count, stream(seed, "start"))
        x = mix(clean, x / schedule.start_std, float(angles[0]))
    try:
        return simulate(job.rule, denoiser, angles, x, noise, observe, schedule), float(angles[-1])
    except ScorelabError as error:
        raise ScorelabError(f"study.methods.{plan.name}: {error}") from None


def draws_of_mode(target, mode: int, count: int, generator) -> torch.Tensor:
    """Exact draws (count, n) of X given its mode: draws of X, kept with the posterior probability of the mode."""
    kept, missing = [], count
    while missing > 0:
        x = target.sample(4 * count, generator)
        probability = target.posterior_weights(x, math.pi / 2)[:, mode]
        kept.append(x[torch.rand(len(x), generator=generator) < probability][:missing])
        missing -= len(kept[-1])
    return torch.cat(kept)


def _measure(target, x, angle):
    """The posterior weights (count, K) of the modes given x_phi = x, whose mean over exact states is the weights of the
    modes, and the projection (count,) of x/sin(phi)."""
    return target.posterior_weights(x, angle).numpy(), project(x / math.sin(angle), target.direction).numpy()
