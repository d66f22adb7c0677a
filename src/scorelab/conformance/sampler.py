"""The properties of a sampler, each against an exact answer."""

import itertools
import math
from dataclasses import dataclass
from functools import cached_property

import torch

from scorelab.conformance import laws
from scorelab.conformance.conventions import plain_sampler, takes
from scorelab.conformance.noise import LARGE, ORDINARY, Moments, NotAffine, moments
from scorelab.conformance.report import Property, Report
from scorelab.errors import ScorelabError, one_line
from scorelab.randomness import default_stream

#: numbers of steps at which moments are computed
STEPS = (16, 32, 64, 128, 256)
#: numbers of steps that are odd or very few
FEW = (1, 2, 3, 7)
#: a measured order this far below the claimed one is another order
ORDER_MARGIN = 0.25
#: how far the limit of many steps may be from the law, in standard deviations of the law
LIMIT = 0.01
#: how far the first state may be from noise alone, as where a chain keeps a little of the sample
START = 0.02
#: how far from affine a sampler may be that computes in single precision
PRECISION = 2e-4


@dataclass(frozen=True)
class Options:
    """See `check_sampler`."""

    order: float | None
    end_noise: float
    count: int
    steps: tuple[int, ...]
    law_steps: int
    seed: int


def check_sampler(
    sampler,
    *,
    convention=None,
    schedule=None,
    order: float | None = None,
    end_noise: float = 0.0,
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
        first of them. Or a `scorelab.samplers.Sampler`, on a `schedule`.
    convention: a `scorelab.denoisers.Convention`; the sampler then gets model(state, time), not the denoiser.
    order: the order of convergence that it claims; None claims none.
    end_noise: standard deviation of the noise that its samples keep, cot of its last angle if it returns x/sin.
    count: samples of each statistical check. steps: doubling numbers of steps, three at least. law_steps: steps of the
    samples that are held against a mixture. name: in the report. only: names of the properties to check; None checks
    all of them.

    Raises ScorelabError for a sampler that cannot be called, and for steps or names that are not allowed.
    """
    if len(steps) < 3 or any(after != 2 * before for before, after in itertools.pairwise(steps)):
        raise ScorelabError(f"steps = {list(steps)}: three doubling numbers at least, as 8, 16, 32, are needed")
    name = name or getattr(sampler, "__name__", type(sampler).__name__)
    options = Options(order, end_noise, count, tuple(steps), law_steps, seed)
    check = _Check(plain_sampler(sampler, convention, schedule), options)
    unknown = sorted({*(only or ())} - {*check.methods})
    if unknown:
        raise ScorelabError(f"only = {unknown[0]}: allowed are {', '.join(check.methods)}")
    chosen = {each: method for each, method in check.methods.items() if only is None or each in only}
    properties = [_guarded(each, method) for each, method in chosen.items()]
    return Report(name, tuple(properties), check.rows())


def _guarded(name, method) -> Property:
    """The property that a method measures; an error of the sampler is a failure of the property."""
    try:
        return method(name)
    except NotAffine as why:
        return Property(name, None, f"not measured: {why}")
    except Exception as error:  # whatever somebody else's sampler raises
        return Property(name, False, f"raises {type(error).__name__}: {one_line(error)}")


class _Asked:
    """A denoiser that remembers how it is asked, and looks whether its answers are written to."""

    def __init__(self, target, disturb=False):
        self.target, self.disturb, self.calls, self.written_to = target, disturb, [], False
        self.last = None

    def __call__(self, x, angle):
        self.look()
        self.calls.append((x.dtype, angle))
        answer = self.target.posterior_mean(x, angle).to(x)
        if self.disturb:
            answer = answer.clone()
            answer[0] += 10.0
        self.last = (answer, answer.clone())
        return answer

    def look(self):
        """Note whether the last answer was written to."""
        if self.last is not None:
            self.written_to |= not torch.equal(*self.last)


class _Check:
    """The checks of one sampler. methods: name of a property -> the method that measures it."""

    def __init__(self, sampler, options: Options):
        self.sampler, self.options = sampler, options
        self.gaussian, self.point, self.mixture = laws.gaussian(), laws.point(), laws.mixture()
        self.n = self.gaussian.n
        names = "shape repeatable seed global_state answers batch dtype evaluations few_steps"
        names += " start times precision unclipped order limit law strong_order grids middle"
        self.methods = {name: getattr(self, f"_{name}") for name in names.split()}

    def draw(self, target, steps, count=64, seed=0, denoiser=None, **given):
        generator = torch.Generator().manual_seed(seed)
        denoiser = denoiser or _Asked(target)
        return self.sampler(denoiser, count, target.n, steps, generator, **given)

    def moments(self, target, steps, **given) -> Moments:
        """The exact moments of the sampler on a Gaussian law."""

        def run(count, watch):
            def denoiser(x, angle):
                watch(x, angle)
                return target.posterior_mean(x, angle).to(x)

            return self.draw(target, steps, count, denoiser=denoiser, **given)

        return moments(run, target.n)

    # How it is called. --------------------------------------------------------------------------------------------

    def _shape(self, name):
        x = self.draw(self.gaussian, 8, 5)
        right = isinstance(x, torch.Tensor) and x.shape == (5, self.n) and bool(torch.isfinite(x).all())
        found = f"shape {tuple(x.shape)}" if isinstance(x, torch.Tensor) else type(x).__name__
        return Property(
            name, right, f"5 samples have the {found}" + ("" if right else f"; (5, {self.n}), finite, is needed")
        )

    def _repeatable(self, name):
        same = torch.equal(self.draw(self.gaussian, 8, seed=1), self.draw(self.gaussian, 8, seed=1))
        return Property(
            name, same, "the same seed gives the same samples" if same else "one seed gives other samples again"
        )

    def _seed(self, name):
        other = not torch.equal(self.draw(self.gaussian, 8, seed=1), self.draw(self.gaussian, 8, seed=2))
        return Property(name, other, "another seed gives other samples" if other else "two seeds give the same samples")

    def _global_state(self, name):
        drawn, touched = [], False
        for state in (1, 2):
            with default_stream(state):
                before = torch.get_rng_state()
                drawn.append(self.draw(self.gaussian, 8, seed=1))
                touched |= not torch.equal(before, torch.get_rng_state())
        right = torch.equal(*drawn) and not touched
        found = "draws from the generator alone" if right else "draws from torch's global random state"
        return Property(name, right, found)

    def _answers(self, name):
        asked = _Asked(self.gaussian)
        self.draw(self.gaussian, 8, denoiser=asked)
        asked.look()
        right = not asked.written_to
        return Property(
            name, right, "leaves the denoiser's answers as they are" if right else "writes over the denoiser's answers"
        )

    def _batch(self, name):
        plain, disturbed = (self.draw(self.gaussian, 8, denoiser=_Asked(self.gaussian, each)) for each in (False, True))
        moved = (plain[1:] - disturbed[1:]).abs().max() if len(plain) > 1 else torch.zeros(())
        right = float(moved) <= 1e-5 and not torch.equal(plain[0], disturbed[0])
        found = (
            "no sample depends on another one"
            if right
            else f"samples depend on others of their batch, by {float(moved):.2g}"
        )
        return Property(name, right, found)

    def _dtype(self, name):
        asked, before = _Asked(self.gaussian), torch.get_default_dtype()
        x = self.draw(self.gaussian, 8, denoiser=asked)
        kinds = {each[0] for each in asked.calls} | {x.dtype}
        right = kinds == {before}
        names = ", ".join(sorted(str(kind).removeprefix("torch.") for kind in kinds))
        return Property(name, right, f"states are {names}" + ("" if right else f", and torch's default is {before}"))

    def _evaluations(self, name):
        counts = {}
        for steps in (8, 16):
            asked = _Asked(self.gaussian)
            self.draw(self.gaussian, steps, denoiser=asked)
            counts[steps] = len(asked.calls)
        each = (counts[16] - counts[8]) / 8
        found = f"{counts[8]} and {counts[16]} evaluations for 8 and 16 steps, {each:g} for one more step"
        return Property(name, each > 0, found, {"evaluations_8": counts[8], "evaluations_a_step": each})

    def _few_steps(self, name):
        refused, wrong = [], []
        for steps in FEW:
            try:
                x = self.draw(self.gaussian, steps)
            except ValueError as error:
                refused.append(f"{steps} ({one_line(error)})")
                continue
            if x.shape != (64, self.n) or not bool(torch.isfinite(x).all()):
                wrong.append(str(steps))
        found = "1, 2, 3 and 7 steps give finite samples" if not wrong else f"not finite at {', '.join(wrong)} steps"
        return Property(name, not wrong, found + (f"; refuses {', '.join(refused)}" if refused else ""))

    # What it computes. --------------------------------------------------------------------------------------------

    def _start(self, name):
        """The first state is that of the first angle: noise alone, but for a little of the sample."""
        off, angle = self._noise_of_states(32)[0]
        right = off <= START
        found = f"the first state, at {angle:.4g} rad, is off by {off:.2g} of what the angle says"
        return Property(name, right, found, {"off": off, "angle": angle})

    def _times(self, name):
        """At each evaluation the state has the noise of the angle: exactly, where the target is one point and the rule
        freezes the posterior mean, and up to an error that falls with the number of steps for other rules."""
        coarse, fine = (self._noise_of_states(steps) for steps in (32, 128))
        (off, angle), before = max(fine), max(coarse)[0]
        start = max(coarse[0][0], fine[0][0])  # what is missing at the start is judged by `start`
        exact = sorted(coarse)[len(coarse) // 4][0] <= 1e-5 + start  # the rule makes no error here
        right = max(off, before) <= 1e-3 + 2 * start if exact else off <= 0.7 * before
        found = f"states have the noise that their angles say, to {off:.2g}"
        if not right:
            found = f"at {angle:.4g} rad the noise of the state is off by {off:.2g}"
        return Property(name, right, found, {"off": off, "off_with_fewer_steps": before})

    def _noise_of_states(self, steps):
        """(how far mean and width of the state are from those of its angle, the angle) at each evaluation, where the
        target is one point."""
        found = []
        for angle, mean, covariance in self.moments(self.point, steps).asked:
            angle = float(torch.as_tensor(angle).flatten()[0])
            sin, cos = math.sin(angle), math.cos(angle)
            off = float((mean - sin * self.point.mean).norm() / self.point.mean.norm())
            width = float(covariance.diag().mean().clamp_min(0).sqrt())
            found.append((max(off, abs(width - cos) / max(cos, 0.05)), angle))
        return found

    @cached_property
    def curve(self) -> list[Moments]:
        """The moments at each number of steps."""
        return [self.moments(self.gaussian, steps) for steps in self.options.steps]

    def rows(self) -> list[dict]:
        """The errors at each number of steps; none if no property asked for the moments."""
        mean, covariance = self.exact
        return [
            {
                "steps": steps,
                "evaluations": len(each.asked),
                "mean_error": float((each.mean - mean).norm()),
                "covariance_error": float((each.covariance - covariance).norm()),
            }
            for steps, each in zip(self.options.steps, vars(self).get("curve", ()), strict=False)
        ]

    @property
    def exact(self):
        """Mean and covariance of exact samples with the noise that they keep."""
        return self.gaussian.mean, self.gaussian.with_noise(self.options.end_noise)

    @property
    def rounding(self):
        """What is no more than rounding: as far as the sampler is from affine, and no less than double precision."""
        return max(1e-10, 4 * self.curve[0].defects[ORDINARY])

    def _precision(self, name):
        defect = self.curve[0].defects[ORDINARY]
        right = defect <= PRECISION
        found = f"affine on a Gaussian to {defect:.1g}, relative"
        return Property(name, right, found + ("" if right else ": not what single precision gives"), {"defect": defect})

    def _unclipped(self, name):
        moment = self.curve[0]
        defect, ordinary = moment.defects[LARGE], moment.defects[ORDINARY]
        right = defect <= max(1e-3, 10 * ordinary)
        found = (
            "large samples stay as large as they are"
            if right
            else f"samples are cut: off by {defect:.2g} where draws are {LARGE:g} times as large"
        )
        return Property(name, right, found, {"defect": defect})

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

    def _order(self, name):
        """The slope of the differences between successive numbers of steps, which do not depend on the limit."""
        gaps = [float((after - before).norm()) for before, after in itertools.pairwise(self.errors)]
        return self._of_gaps(name, "mean and covariance on a Gaussian", gaps, 10 * self.rounding, ORDER_MARGIN)

    def _of_gaps(self, name, what, gaps, least, margin):
        """The order that the last two gaps above `least` show, beside the one that is claimed."""
        above = [gap for gap in gaps if gap > least]
        if len(above) < 2:
            return Property(name, True, f"{what} are exact at every number of steps, to rounding")
        value, claimed = math.log2(above[-2] / above[-1]), self.options.order
        right = value > 0.5 if claimed is None else value >= claimed - margin
        claim = "none is claimed" if claimed is None else f"{claimed:g} is claimed"
        return Property(name, right, f"order of {what}: {value:.2f}; {claim}", {"order": value})

    def _limit(self, name):
        """The moments of infinitely many steps, from the last three numbers of steps."""
        first, second, third = self.errors[-3:]
        before, after = float((second - first).norm()), float((third - second).norm())
        ratio = min(after / before, 0.75) if before > 10 * self.rounding else 0.0
        limit = third + (third - second) * (ratio / (1 - ratio))
        off, unsure = float(limit.norm()), float((limit - third).norm()) / 2
        found = f"with many steps mean and covariance are off by {off:.2g} of the law's size"
        return Property(name, off <= LIMIT + unsure, found, {"off": off, "unsure": unsure})

    def _law(self, name):
        """A mixture, whose posterior mean is not linear."""
        from scorelab.metrics.evaluation import evaluate

        target = self.mixture.output_law(math.atan2(1.0, self.options.end_noise), "scaled")
        x = self.draw(self.mixture, self.options.law_steps, self.options.count, seed=self.options.seed)
        found = evaluate(x, target, seed=self.options.seed, repeats=50)
        worst = [f"{each.title}: {each.verdict}" for each in found.findings if each.differs]
        text = f"{self.options.count} samples of a mixture with {self.options.law_steps} steps: "
        numbers = {each.name: each.deviations for each in found.findings if each.deviations is not None}
        return Property(name, found.passed, text + ("; ".join(worst) or "nothing tells them from exact ones"), numbers)

    def _strong_order(self, name):
        if self.curve[0].draws != 1:
            why = "it draws noise in its steps, and those of different numbers of steps cannot be coupled"
            return Property(name, None, f"not measured: {why}")
        steps = self.options.steps
        runs = [self.draw(self.mixture, each, 512, seed=self.options.seed).double() for each in steps]
        gaps = [float((after - before).square().sum(1).mean().sqrt()) for before, after in itertools.pairwise(runs)]
        return self._of_gaps(name, "paths on a mixture", gaps, 1e-5, 2 * ORDER_MARGIN)

    # Grids, for a sampler that takes them. --------------------------------------------------------------------------

    def _ends(self):
        asked = _Asked(self.gaussian)
        self.draw(self.gaussian, 32, denoiser=asked)
        angles = [float(torch.as_tensor(angle).flatten()[0]) for *_, angle in asked.calls]
        return min(angles), max(angles)

    def _grids(self, name):
        if not takes(self.sampler, "angles"):
            return Property(name, None, "not measured: the sampler takes no angles")
        first, last = self._ends()
        last, off = min(max(last, 1.5), math.pi / 2 - 1e-3), {}
        scale = float(self.gaussian.covariance.diag().mean())
        generator = torch.Generator().manual_seed(0)
        for kind, u in (
            ("uneven", torch.rand(400, generator=generator).sort().values),
            ("square", torch.linspace(0, 1, 401)[1:-1] ** 2),
        ):
            inner = first + (last - first) * u.double()
            angles = torch.cat([inner.new_tensor([first]), inner, inner.new_tensor([last])])
            found = self.moments(self.gaussian, len(angles) - 1, angles=angles)
            exact = self.gaussian.with_noise(1 / math.tan(last))
            off[kind] = float((found.covariance - exact).norm()) / scale
        right = max(off.values()) <= 5 * LIMIT
        text = ", ".join(f"{kind} {value:.2g}" for kind, value in off.items())
        return Property(name, right, f"covariance with 400 steps on other grids is off by: {text}", off)

    def _middle(self, name):
        if not (takes(self.sampler, "angles") and takes(self.sampler, "initial")):
            return Property(name, None, "not measured: the sampler takes no angles and no initial state")
        last, count = math.pi / 2 - 0.05, self.options.count
        angles = torch.linspace(0.7, last, 201, dtype=torch.float64)
        generator = torch.Generator().manual_seed(self.options.seed)
        clean = self.gaussian.sample(count, generator)
        initial = math.sin(0.7) * clean + math.cos(0.7) * torch.randn(count, self.n, generator=generator)
        x = self.draw(self.gaussian, 200, count, seed=1, angles=angles, initial=initial).double()
        exact = self.gaussian.with_noise(1 / math.tan(last))
        error = (torch.outer(exact.diag(), exact.diag()) + exact**2).sqrt() / math.sqrt(count)
        off = float(((torch.cov(x.T) - exact) / error).abs().max())
        return Property(
            name,
            off <= 5,
            f"from the middle of a path: the covariance is off by {off:.2g} standard errors at most",
            {"deviations": off},
        )
