"""Two modes: descents over the population and over samples, and the steps of power iteration and EM beside each step.

Everything is in the coordinate b = mu_s = e^-s mu of the level. The rate multiplies half the gradient: the gradient
with respect to b for ddpm, as on the slides, and the gradient with respect to mu for stochastic localization, whose
rate in b is therefore rate/(t+1)^2.
"""

import functools
import math

import torch

from scorelab.randomness import stream
from scorelab.studies.learning.theory import POINTS, REACH, Level, contraction_bounds, sin_cos_of
from scorelab.theory.descents import recorded_steps
from scorelab.theory.two_modes import tangent

#: a path has diverged where |b| is this many times |b*|
_EXPLODED = 1e3
#: the errors of a step are measured while the step is longer than this share of rate |b|; a shorter step is rounding
_STILL = 1e-9


def jobs(study, seed):
    """Functions without arguments, each of which returns rows: one for each level, kind of loss and rule."""
    star = torch.zeros(study.n, dtype=torch.float64)
    star[0] = study.norm
    draws = [_draw(study, stream(seed, "two modes", start), star) for start in range(study.starts)]
    initial, clean = (torch.stack(each) for each in zip(*draws, strict=True))
    found = []
    for name, level in study.levels.items():
        grounds = {"population": Level.of_population(star, level.t), "samples": Level.of_samples(clean, level.t)}
        for kind, ground in grounds.items():
            for rule in (*study.objectives, "power", "em"):
                path = Path(name, level, kind, ground, grounds["population"], star)
                found.append(functools.partial(path.rows, rule, initial))
    return found


def _draw(study, generator, star):
    """One start: mu_0 (n,) on the side of mu*, and samples (N, n). As the loss is even in X, all are of mode mu*."""

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    direction = normal(study.n)
    direction = direction * torch.sign(direction @ star)
    return study.initial_norm * study.norm * direction / direction.norm(), star + normal(study.samples, study.n)


class Path:
    """The paths of the rules at one noise level, from one set of starts."""

    def __init__(self, name, level, kind, ground, population, star):
        self.name, self.level, self.kind, self.ground, self.population = name, level, kind, ground, population
        self.sin = sin_cos_of(level.t)[0]
        self.star = self.sin * star

    def step(self, rule, b):
        """The vectors (starts, n) that a rule adds to b (starts, n)."""
        rate, ground = self.level.rate, self.ground
        if rule == "ddpm":
            return rate * ground.half_descent(b)
        if rule == "stochastic_localization":
            return self.sin * rate * ground.localization_descent(b / self.sin, self.level.t)
        return rate * (ground.power_direction(b) if rule == "power" else ground.em(b) - b)

    def rate_of(self, rule) -> float:
        """The rate of half the gradient with respect to b."""
        return self.level.rate / (self.level.t + 1) ** 2 if rule == "stochastic_localization" else self.level.rate

    def rows(self, rule, initial):
        """The rows of a rule's path from mu_0 (starts, n)."""
        b, rows = self.sin * initial, []
        recorded = set(recorded_steps(self.level.steps, POINTS).tolist())
        for step in range(self.level.steps + 1):
            added = self.step(rule, b)
            if step in recorded:
                rows += self._rows(rule, step, b, added)
            b = b + added
            if not bool((b.norm(dim=-1) < _EXPLODED * self.star.norm()).all()):
                break
        return rows

    def _rows(self, rule, step, b, added):
        values = self._state(b)
        if rule not in ("power", "em"):
            values |= self._beside(rule, b, added) | self._bounds(rule, b, added)
        names = {"level": self.name, "t": self.level.t, "loss_over": self.kind, "rule": rule}
        return [
            {**names, "start": start, "step": step} | {key: float(column[start]) for key, column in values.items()}
            for start in range(len(b))
        ]

    def _state(self, b):
        norm, length = b.norm(dim=-1), self.star.norm()
        cosine = (b @ self.star) / (norm * length)
        return {"cosine": cosine, "tangent": tangent(b, self.star), "norm": norm / length}

    def _beside(self, rule, b, added):
        """Columns that compare the step with the steps of power iteration and EM at the same rate: the errors relative
        to the step, these errors at the best multiple of the rate, and tan of the angle after each step."""
        rate, columns = self.rate_of(rule), {"tangent_after": tangent(b + added, self.star)}
        moving = added.norm(dim=-1) > _STILL * rate * b.norm(dim=-1)
        for name, direction in (("power", self.ground.power_direction(b)), ("em", self.ground.em(b) - b)):
            errors = [torch.where(moving, each, math.nan) for each in relative_errors(rate * direction, added)]
            columns |= dict(zip((f"{name}_error", f"{name}_direction_error"), errors, strict=True))
            columns[f"{name}_tangent_after"] = tangent(b + rate * direction, self.star)
        return columns

    def _bounds(self, rule, b, added):
        """max(kappa_1, kappa_2/tan) of Lemma C.5, as printed and as corrected; nan where its conditions fail."""
        n, rate = b.shape[-1], self.rate_of(rule)
        length, size = b.norm(dim=-1), self.star.norm()
        error = (added / rate - self.population.half_descent(b)).norm(dim=-1)
        error = torch.zeros_like(error) if self.kind == "population" else 2 * n * error / length
        before = tangent(b, self.star)
        met = ((b @ self.star) / (length * size) >= 1 / (2 * n)) & (2 * rate * length**2 <= 1) & (size <= REACH)
        columns = {}
        for name, (first, second) in zip(
            ("bound_printed", "bound"), contraction_bounds(length, size, rate, n, error), strict=True
        ):
            bound = torch.maximum(first, second / before)
            columns[name] = torch.where(met & (first > 0) & (first < 1), bound, math.nan)
        return columns


def relative_errors(approximate, exact):
    """|approximate - exact|/|exact| of steps (..., n), and the least such ratio over positive multiples of
    `approximate`; shape (...,) each."""
    size, other = exact.norm(dim=-1), approximate.norm(dim=-1)
    cosine = (approximate * exact).sum(-1) / (size * other)
    across = (1 - cosine.clamp(-1, 1) ** 2).sqrt()
    return (approximate - exact).norm(dim=-1) / size, torch.where(cosine > 0, across, 1.0)
