"""Langevin dynamics: unadjusted and adjusted at one noise level, and annealed through many noise levels."""

import math
from typing import Any, ClassVar, NamedTuple

from scorelab.options import Count, NonNegative, Positive
from scorelab.samplers.base import Sampler, Step
from scorelab.samplers.score import langevin_step, score


class AnnealedLangevin(Sampler):
    """At every noise level of the grid after the first, `repeats` steps of Langevin dynamics on the law of X + sigma G:

        x <- x + alpha_i score(x; sigma_i) + sqrt(2 alpha_i) z,     alpha_i = step_size sigma_i^2

    (Visconti 2025, section 4.2, equations 4 and 5, where step_size is c/sigma_min^2; Song and Ermon 2019,
    algorithm 1, have half of this step). The noise levels are sigma = cot(phi).

    repeats: steps per level, >= 1. step_size: in units of sigma^2; above 2 the dynamics of the noise itself diverges.
    """

    repeats: Count
    step_size: Positive
    order: ClassVar[int] = 1
    remedy: ClassVar[str] = "a smaller sampler.step_size may help"

    @property
    def evaluations(self) -> int:
        return self.repeats

    def require(self, schedule, denoiser):
        """Raise ValueError if the first noise level is infinite."""
        super().require(schedule, denoiser)
        if schedule.start_angle == 0:
            raise ValueError(
                f"sampler AnnealedLangevin cannot run on {type(schedule).__name__}, whose first noise level is "
                "infinite; take schedule ve, edm, ou, vp or ddpm"
            )

    def step(self, denoiser, x, angle, next_angle, noise, state):
        # x = sin (X + sigma G): its score is the score of X + sigma G divided by sin, and alpha_i is step_size cos^2.
        x = x.mul_(math.sin(next_angle) / math.sin(angle))
        alpha = self.step_size * math.cos(next_angle) ** 2
        for _ in range(self.repeats):
            x = langevin_step(x, score(denoiser, x, next_angle), alpha, noise)
        return Step(x)


class _OneLevel(Sampler):
    """Base of the two rules: a chain on the law of X + sigma G, sigma = noise_level.

    At noise_level 0 this law is the target. There the score is not a function of the posterior mean, so that an exact
    denoiser is needed. step_size: of the chain, in the units of X^2.
    """

    step_size: Positive
    noise_level: NonNegative
    order: ClassVar[int] = 1
    visits_grid: ClassVar[bool] = False
    remedy: ClassVar[str] = "a smaller sampler.step_size may help: above twice the least variance of a mode it diverges"

    def require(self, schedule, denoiser):
        """Raise ValueError at noise_level 0 without an exact denoiser."""
        if self.noise_level == 0 and not denoiser.exact:
            raise ValueError("sampler.noise_level = 0: only denoiser=exact has a score there; take a noise_level > 0")

    def needs_of_target(self):
        return ("score",) if self.noise_level == 0 else ()

    def angles(self, schedule, steps, risk=None):
        """One angle, atan(1/noise_level), steps + 1 times."""
        return [self.end_angle(schedule)] * (steps + 1)

    def end_angle(self, schedule):
        return math.atan2(1.0, self.noise_level)

    def _score(self, denoiser, x, angle):
        return denoiser.target.noisy_score(x, angle) if self.noise_level == 0 else score(denoiser, x, angle)


class ULA(_OneLevel):
    """y <- y + step_size score(y) + sqrt(2 step_size) z on the law of y = X + sigma G.

    The unadjusted Langevin algorithm (Visconti 2025, sections 3.1 and 3.3). Its stationary law differs from
    the law of y at first order in step_size.
    """

    def step(self, denoiser, x, angle, next_angle, noise, state):
        # y = x / sin, and the score of y is sin times the score of x.
        return Step(langevin_step(x, self._score(denoiser, x, angle), self.step_size * math.sin(angle) ** 2, noise))


class Point(NamedTuple):
    """log p at x, (count,) float64, and the score there, (count, n)."""

    log_prob: Any
    score: Any


class MALA(_OneLevel):
    """The step of `ULA` as a proposal, which is accepted with the probability min(1, p(y') q(y|y') / (p(y) q(y'|y))).

    The Metropolis-adjusted Langevin algorithm (Roberts and Tweedie 1996), whose stationary law is the law of y itself.
    It needs a density, hence denoiser=exact. A step measures `acceptance_rate`, whether the proposal was accepted. The
    state of a step: the `Point` at x, so that a step costs one evaluation.
    """

    def nfe(self, steps):
        """Denoiser evaluations per sample: one at the start, then one per proposal."""
        return super().nfe(steps) + 1

    def require(self, schedule, denoiser):
        """Raise ValueError without an exact denoiser."""
        if not denoiser.exact:
            raise ValueError("sampler MALA needs a density, which only denoiser=exact has; or take sampler=ula")

    def needs_of_target(self):
        return ("density", *super().needs_of_target())

    def step(self, denoiser, x, angle, next_angle, noise, state):
        import torch

        from scorelab.channel import aligned

        step = self.step_size * math.sin(angle) ** 2
        here = self._point(denoiser, x, angle) if state is None else state
        proposal = langevin_step(x.clone(), here.score, step, noise)
        there = self._point(denoiser, proposal, angle)
        forth = (proposal - x).sub_(here.score, alpha=step).double().square().flatten(1).sum(1)
        back = (x - proposal).sub_(there.score, alpha=step).double().square().flatten(1).sum(1)
        log_ratio = there.log_prob - here.log_prob + (forth - back) / (4 * step)
        # P(N(0,1) <= z) of a standard normal z is uniform: the acceptance draws come from the sample's own stream.
        uniform = torch.special.ndtr(noise().flatten(1)[:, 0].double())
        accepted = uniform.log() < log_ratio
        moved = aligned(accepted, x)
        point = Point(torch.where(accepted, there.log_prob, here.log_prob), torch.where(moved, there.score, here.score))
        return Step(torch.where(moved, proposal, x), point, {"acceptance_rate": accepted})

    def _point(self, denoiser, x, angle) -> Point:
        return Point(denoiser.target.noisy_log_prob(x, angle).double(), self._score(denoiser, x, angle))
