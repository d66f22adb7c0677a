"""Stage `sample` writes three tables. bands.csv: what a shrunken posterior mean costs in each band of angles.
concentration.csv: statistics of samples with the run's denoiser, with errors of several kinds and with memorised data.
shrinkage.csv: how much the run's denoiser shrinks."""

import itertools
import math
from functools import cached_property, partial

import torch

from scorelab.channel import HALF_PI
from scorelab.denoisers.exact import ExactDenoiser
from scorelab.progress import Progress
from scorelab.quadrature import gauss_legendre
from scorelab.randomness import stream, stream_seed
from scorelab.samplers.ends import on_target
from scorelab.samplers.loop import draw_samples
from scorelab.samplers.risk import grid_of
from scorelab.studies.collapse.flawed import Flawed
from scorelab.studies.collapse.measurements import Concentration, shrinkage, within_modes
from scorelab.studies.collapse.theory import relative_variance, standard_angle
from scorelab.training.trainer import training_samples

#: number of angles at which the shrinkage of the run's denoiser is measured
_ANGLES = 24


def run(study, context):
    """Sample everything."""
    settings = Settings(study, context)
    jobs = [("bands", name, partial(settings.bands, name)) for name in study.methods]
    jobs += [("concentration", name, partial(settings.learned, name)) for name in study.methods]
    jobs += [("concentration", kind, partial(settings.kind, kind)) for kind in study.kinds.sizes]
    jobs += [("concentration", "memory", partial(settings.memory, number)) for number in range(study.memory.cutoffs)]
    tables = {"bands": [], "concentration": []}
    with Progress("sampling", len(jobs), "settings") as progress:
        for done, (table, note, work) in enumerate(jobs):
            progress.update(done, note)
            tables[table] += work()
            context.grow_table(f"{table}.csv", tables[table])
        progress.update(len(jobs))
    for name, rows in (tables | {"shrinkage": settings.shrinkage()}).items():
        if rows:
            context.write_table(f"{name}.csv", rows)


class Settings:
    """What is sampled: each public method returns rows of a table, or what the rows need."""

    def __init__(self, study, context):
        self.study, self.context = study, context

    @cached_property
    def concentration(self):
        """The statistics of samples, held against exact samples of the run's target and its training samples."""
        study, context = self.study, self.context
        train = training_samples(context.target, context.training, context.seed)
        law = context.target.output_law(context.schedule.end_angle, "scaled")
        return Concentration(law, study.count, study.floor_repeats, stream(context.seed, "concentration"), train)

    def draw(self, name, denoiser, schedule, angles, count):
        """Samples (count, n) of a method. All settings share their random numbers."""
        job = self.study.job(name, count, len(angles) - 1)
        seed = stream_seed(self.context.seed, "collapse")
        n = denoiser.target.n if isinstance(denoiser, Flawed) else self.context.target.n
        return torch.cat(list(draw_samples(job, schedule, denoiser, n, seed, angles=angles)))

    def grid(self, name):
        """The angles of a method on the run's schedule."""
        job = self.study.job(name, 2, self.study.steps)
        return grid_of(job, self.context.schedule, self.context.target, self.context.denoiser)

    def bands(self, name):
        """The share of the variance within the modes that a shrinkage in each band costs, beside the closed form."""
        options, target = self.study.injected, self.context.target
        schedule = on_target(self.study.schedule(self.context.config, grid="angle"), target)
        angles = schedule.angles(options.steps)
        edges = angles[:: options.steps // options.bands].tolist()
        law = target.output_law(edges[-1], "scaled")

        def squares(size, band):
            samples = self.draw(name, Flawed(target, "shrink", size, band), schedule, angles, options.count)
            return within_modes(samples, law)[0].double().square().mean(1)

        exact, rows = squares(0.0, (0.0, 0.0)), []
        for band in itertools.pairwise(edges):
            found = squares(options.size, band)
            kept = float(found.mean() / exact.mean())
            error = float((found - kept * exact).std() / (exact.mean() * math.sqrt(len(exact))))
            row = {"method": name, "low": band[0], "high": band[1], "lost": 1 - kept, "lost_standard_error": error}
            rows.append(row | {"predicted": predicted_loss(self.study, target, name, band, edges[-1])})
        return rows

    def learned(self, name):
        """The statistics with the exact denoiser and, if the run has another denoiser, with that one."""
        denoisers = {"exact": ExactDenoiser(self.context.target)}
        if not self.context.denoiser.exact:
            denoisers["learned"] = self.context.denoiser
        return [
            self.row(part, name, (0.0, 0.0), denoiser, repeated=part == "learned")
            for part, denoiser in denoisers.items()
        ]

    def shrinkage(self):
        """How much the run's denoiser shrinks, at Gauss-Legendre angles psi; no rows if the denoiser is exact or the
        modes differ in their standard deviation. The column `weight` is the weight in an integral over psi."""
        target, end = self.context.target, self.context.schedule.end_angle
        std = float(target.std[0])
        if self.context.denoiser.exact or not bool((target.std == std).all()):
            return []
        psi, weights = gauss_legendre(0.0, standard_angle(end, std), _ANGLES)
        angles, generator = (psi.tan() / std).atan().tolist(), stream(self.context.seed, "shrinkage")
        rows = shrinkage(self.context.denoiser, target, angles, self.study.count, generator)
        return [row | {"weight": weight} for row, weight in zip(rows, weights.tolist(), strict=True)]

    def kind(self, kind):
        """The statistics with a kind of error at high noise, at low noise and at all noise levels."""
        options, target = self.study.kinds, self.context.target
        switch = math.atan(math.sqrt(options.switch))
        bands = ((0.0, switch), (switch, HALF_PI), (0.0, HALF_PI))
        return [
            self.row(kind, name, band, Flawed(target, kind, options.sizes[kind], band))
            for name in options.methods
            for band in bands
        ]

    def row(self, part, name, band, denoiser, repeated=False):
        """The statistics of one setting. repeated: whether the distance to training samples is one of them."""
        samples = self.draw(name, denoiser, self.context.schedule, self.grid(name), self.study.count)
        return labelled(part, name, band, self.concentration, samples, repeated)

    def memory(self, number):
        """The statistics with the posterior mean of the training samples up to an angle of the grid, exact after it."""
        options, (target, data, floor, schedule) = self.study.memory, self.memory_setting
        angles = schedule.angles(options.steps)
        cutoff = float(angles[round(number / (options.cutoffs - 1) * options.steps)])
        denoiser = Flawed(target, "empirical", band=(0.0, cutoff), data=data)
        return [
            labelled("memory", name, (0.0, cutoff), floor, self.draw(name, denoiser, schedule, angles, options.count))
            for name in options.methods
        ]

    @cached_property
    def memory_setting(self):
        """The target, its memorised samples, the statistics held against exact samples, and the schedule."""
        options, config, seed = self.study.memory, self.context.config, self.context.seed
        target = self.study.mixture("study.memory.target", options.target, config)
        data = target.sample(options.N, stream(seed, "memory", "data"))
        schedule = on_target(self.study.schedule(config, grid="angle"), target)
        law, generator = target.output_law(schedule.end_angle, "scaled"), stream(seed, "memory", "floor")
        return target, data, Concentration(law, options.count, self.study.floor_repeats, generator, data), schedule


def labelled(part, name, band, concentration, samples, repeated=True):
    """A row of concentration.csv."""
    row = {"part": part, "method": name, "low": band[0], "high": band[1]}
    floors = {f"{name}_floor": value for name, value in concentration.floor.items()}
    return row | concentration.measure(samples, repeated) | floors


def predicted_loss(study, target, name, band, end) -> float:
    """1 - R by the closed form; nan if the modes differ in their standard deviation."""
    std = float(target.std[0])
    if not bool((target.std == std).all()):
        return math.nan
    first, last, stop = (standard_angle(angle, std) for angle in (*band, end))
    return 1 - relative_variance(study.injected.size, (first, last), stop, study.methods[name].stochasticity)
