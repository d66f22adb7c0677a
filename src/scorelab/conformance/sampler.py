"""The check of a sampler against laws whose answers are known."""

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import torch

from scorelab.conformance import accuracy, calling, grids, laws, mixtures
from scorelab.conformance.checking import Check
from scorelab.conformance.conventions import usual_schedule
from scorelab.conformance.forms import plain_sampler
from scorelab.conformance.noise import Moments, moments_on
from scorelab.conformance.report import Report
from scorelab.errors import ScorelabError, require_number
from scorelab.laws.estimate import mean_and_error
from scorelab.samplers import Sampler

#: numbers of steps at which moments are computed
STEPS = (16, 32, 64, 128, 256)
#: the least count: of fewer samples no statistical check says anything
LEAST = 100


@dataclass(frozen=True)
class Options:
    """See `check_sampler`. Raises ScorelabError for steps that are not allowed."""

    order: float | None = None
    end_noise: float | None = None
    count: int = 2048
    steps: tuple[int, ...] = STEPS
    law_steps: int = 512
    seed: int = 0

    def __post_init__(self):
        if not isinstance(self.steps, Iterable) or isinstance(self.steps, str):
            raise ScorelabError(f"steps = {self.steps}: three doubling numbers at least, as 8, 16, 32, are needed")
        object.__setattr__(self, "steps", tuple(self.steps))
        steps = self.steps
        for each in steps:
            require_number("steps", each, 1, whole=True)
        if len(steps) < 3 or any(after != 2 * before for before, after in itertools.pairwise(steps)):
            raise ScorelabError(f"steps = {list(steps)}: three doubling numbers at least, as 8, 16, 32, are needed")
        for name, least in (("count", LEAST), ("law_steps", 1), ("seed", 0)):
            require_number(name, getattr(self, name), least, whole=True)
        if self.end_noise is not None:
            require_number("end_noise", self.end_noise, 0)
        if self.order is not None:
            require_number("order", self.order, 0, open_end=True)


def check_sampler(
    sampler,
    *,
    convention=None,
    schedule=None,
    order: float | None = None,
    end_noise: float | None = None,
    count: int = 2048,
    steps=STEPS,
    law_steps: int = 512,
    seed: int = 0,
    name: str | None = None,
    only=None,
) -> Report:
    """Check a sampler against laws whose answers are known, and return a `Report`.

    sampler: a function sampler(denoiser, count, n, steps, generator) that returns samples (count, n), where
        denoiser(x, angle) is the posterior mean E[X | x] of x = sin(angle) X + cos(angle) G, x (count, n), angle in
        radians, a number or (count,). It may take `angles`, its grid (steps + 1,), and `initial`, the state at the
        first of them. Or a `scorelab.samplers.Sampler`, on a `schedule`, by default even steps of the angle up to 1.54.
        Or a scheduler with the interface of diffusers, see `scorelab.conformance.of_scheduler`.
    convention: a `scorelab.denoisers.Convention`; the sampler then gets model(state, time), not the denoiser.
    order: the order of convergence that it claims, > 0; None claims none.
    end_noise: standard deviation of the noise that its samples keep, cot of its last angle if it returns x/sin. None is
        0, and for a rule of scorelab what its schedule leaves.
    count: samples of each statistical check, >= 100. steps: doubling numbers of steps, three at least. law_steps:
        steps of the samples that are held against a mixture. name: in the report. only: names of the properties to
        check; None checks all of them.

    Raises ScorelabError for a sampler that cannot be called, and for numbers or names that are not allowed.
    """
    options = Options(order, end_noise, count, steps, law_steps, seed)
    return SamplerCheck(sampler, options, convention, schedule, name).report(only)


class SamplerCheck(Check):
    """The check of one sampler: runs of it, and what several properties need of them.

    gaussian, point, mixture: the laws. source: the sampler as it was given. sampler: the same as a plain one.
    """

    without_verdict = frozenset({"moments"})
    functions = calling.PROPERTIES + accuracy.PROPERTIES + mixtures.PROPERTIES + grids.PROPERTIES

    def __init__(self, sampler, options: Options = Options(), convention=None, schedule=None, name=None):
        super().__init__(name or getattr(sampler, "__name__", type(sampler).__name__))
        kept = 0.0
        if isinstance(sampler, Sampler):
            schedule = schedule or usual_schedule(sampler)
            kept = 1 / math.tan(sampler.end_angle(schedule))
        self.source, self.sampler = sampler, plain_sampler(sampler, convention, schedule)
        self.options = options if options.end_noise is not None else replace(options, end_noise=kept)
        self.gaussian, self.point, self.mixture = laws.gaussian(), laws.point(), laws.mixture()
        self.n = self.gaussian.n

    def first_call(self):
        """What is wrong with five samples of the first number of steps."""
        return calling.wrong_samples(self, self.draw(self.gaussian, self.options.steps[0], 5))

    def draw(self, target, steps, count=64, seed=0, denoiser=None, sampler=None, device="cpu", **given):
        """Samples (count, n) of a law, by default with its exact posterior mean."""
        generator = torch.Generator(device).manual_seed(seed)
        denoiser = denoiser or calling.Asked(target)
        return (sampler or self.sampler)(denoiser, count, target.n, steps, generator, **given)

    def moments(self, target, steps, **given) -> Moments:
        """The exact moments of the sampler on a Gaussian law."""
        return moments_on(target, lambda denoiser, count: self.draw(target, steps, count, denoiser=denoiser, **given))

    @property
    def exact(self):
        """Mean and covariance of exact samples of the Gaussian with the noise that they keep."""
        return self.gaussian.mean, self.gaussian.with_noise(self.options.end_noise)

    @cached_property
    def curve(self) -> list[Moments]:
        """The moments at each number of steps."""
        return [self.moments(self.gaussian, steps) for steps in self.options.steps]

    @cached_property
    def errors(self):
        """Mean and covariance at each number of steps, minus the exact ones, in units of the law, as one vector."""
        mean, covariance = self.exact
        scale = float(covariance.diag().mean())
        rows = [(each.mean - mean) / math.sqrt(scale) for each in self.curve]
        return [
            torch.cat([row, (each.covariance - covariance).flatten() / scale])
            for row, each in zip(rows, self.curve, strict=True)
        ]

    @cached_property
    def pairs(self) -> list[mixtures.Pair]:
        """Samples of the mixture with each number of steps but the last and with twice as many, from the same noise."""
        return mixtures.pairs(self)

    def rows(self) -> list[dict]:
        """By the number of steps: the errors of the moments, and what was found on the mixture; see the page."""
        rows = [{"steps": steps} for steps in self.options.steps]
        if "curve" in vars(self):
            for row, each in zip(rows, self.curve, strict=True):
                row |= {"evaluations": len(each.asked), **accuracy.moment_errors(self, each)}
        if "pairs" in vars(self):
            for row, each in zip(rows, mixtures.mode_rows(self), strict=True):
                row |= each
            found = zip(mixtures.weak_changes(self), mixtures.path_gaps(self), strict=True)
            for row, (change, path) in zip(rows[1:], found, strict=True):
                names = ("weak_change", "weak_change_standard_error")
                row |= dict(zip(names, mean_and_error(change), strict=True)) | {"path_change": path}
        return rows if len(rows[-1]) > 1 else []
