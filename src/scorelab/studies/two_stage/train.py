"""Stage `train`: it runs the descents of every start, over its samples and over the population, and writes
two_stage.csv and two_stage.npz."""

import logging

import numpy
import torch

from scorelab.figures.files import save_arrays
from scorelab.progress import Progress
from scorelab.randomness import stream
from scorelab.studies.two_stage.losses import loss_of
from scorelab.theory.descents import recorded_steps

log = logging.getLogger("scorelab")

#: approximate number of rows of a curve
_POINTS = 400
#: a start has diverged where |mu| is this many times |mu_0| + |mu*|
_EXPLODED = 1e3
_PIECE = 100  # steps between two reports of progress
CURVES = ("loss", "cosine", "distance", "norm")


def run(study, context):
    """Run the descents. The curves ignore the sign of mu, which the mixture does not determine."""
    star = study.star()
    draws = [_draw(study, stream(context.seed, "two stages", start), star) for start in range(study.starts)]
    initial, signs, clean, *noise = (torch.stack(parts) for parts in zip(*draws, strict=True))
    arrays = {"options": study.model_dump_json(), "star": star, "initial": initial}
    arrays["labelled"] = _labelled(study, signs, clean, noise)
    kinds = ("samples", "population") if study.loss == "samples" else ("population",)
    steps, rows = sum(plan.steps for plan in study.plans), []
    with Progress("descending", len(kinds) * steps, "steps") as progress:
        for number, kind in enumerate(kinds):
            data = [(clean, each) for each in noise] if kind == "samples" else ()
            descent = Descent(initial, star)
            for plan, curves in descent.stages(study, data, lambda k, n=number: progress.update(n * steps + k)):
                arrays |= {f"{kind}.stage{plan.number}.{name}": curve for name, curve in curves.items()}
                arrays[f"{kind}.mu{plan.number}"] = descent.mu
                rows += _rows(kind, plan.number, curves)
                context.grow_table("two_stage.csv", rows)
            arrays[f"{kind}.diverged"] = descent.diverged
            for start, (stage, step) in enumerate(descent.diverged.tolist()):
                if stage:
                    log.info("start %d diverged in stage %d at step %d, over the %s", start, stage, step, kind)
    save_arrays(context.run / "two_stage.npz", {name: numpy.asarray(values) for name, values in arrays.items()})
    context.write_table("two_stage.csv", rows)


def _draw(study, generator, star):
    """One start, drawn from its own stream: mu_0 (n,), signs (N,), samples (N, n), noise (N, n) of each stage."""

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    initial = study.initial_std * normal(study.n)
    signs = 2.0 * torch.randint(0, 2, (study.samples,), generator=generator) - 1
    clean = signs.unsqueeze(1) * star + normal(study.samples, study.n)
    return initial, signs, clean, *(normal(study.samples, study.n) for _ in range(2))


def _labelled(study, signs, clean, noise):
    """The mean of s_i X_i (starts, n), which the second stage would find if it knew the signs s_i. Where its noise is
    drawn once, the mean contains the noise of the residual."""
    if study.loss == "population":
        return torch.full((study.starts, study.n), study.constant, dtype=torch.float64)
    if noise_factor(study) > 1:
        clean = clean - study.stage2.t**0.5 * noise[1]
    return (signs.unsqueeze(-1) * clean).mean(1)


def noise_factor(study) -> float:
    """Variance of a coordinate of what the second stage averages over the samples: 1, or 1 + t where each sample comes
    with one draw of noise, as X - E[X | Y_t, sign] = (X - sqrt(t) G -+ mu)/(t+1)."""
    return 1 + study.stage2.t if study.protocol == "exact" and study.noise == "drawn" else 1.0


class Descent:
    """Gradient descent of all starts at once. A start that diverges stays where it was; the other starts go on.

    mu (starts, n): the current state. diverged (starts, 2): stage and step at which a start diverged, zeros where it
    has not.
    """

    def __init__(self, initial, star):
        self.mu, self.star = initial.clone(), star
        self.diverged = torch.zeros(len(initial), 2, dtype=torch.int64)
        self.limit = _EXPLODED * (initial.norm(dim=-1) + star.norm())

    def stages(self, study, data=(), report=lambda step: None):
        """Take the steps of both stages. After each stage, yield its plan and its curves; `mu` is then its end.

        data: for each stage the samples and one draw of noise per sample, (starts, N, n) each; empty for the
        population. report: a function of the number of steps that have been taken.
        """
        done = 0
        for plan, given in zip(study.plans, data or ((), ()), strict=True):
            loss = loss_of(study, plan, self.star, *given)
            yield plan, self.run(plan, loss, lambda step, done=done: report(done + step))
            done += plan.steps

    def run(self, plan, loss, report=lambda step: None) -> dict:
        """Take the steps of one stage: `step` (rows,) and the curves (rows, starts), nan after a start has diverged."""
        recorded, steps = [], recorded_steps(plan.steps, _POINTS)
        wanted = set(steps.tolist())
        for k in range(plan.steps + 1):
            value, gradient = loss(self.mu)
            alive = self._alive(value, plan.number, k)
            if k in wanted:
                recorded.append(torch.where(alive, self._measure(value), torch.nan))
            if k < plan.steps:
                self.mu = torch.where(alive.unsqueeze(-1), self.mu - plan.lr * gradient, self.mu)
            if k % _PIECE == 0 or k == plan.steps:
                report(k)
            if not bool(alive.any()):
                recorded += [torch.full_like(recorded[0], torch.nan)] * (len(steps) - len(recorded))
                report(plan.steps)
                break
        curves = torch.stack(recorded, 1)
        return {"step": steps} | dict(zip(CURVES, curves.numpy(), strict=True))

    def _alive(self, value, stage, step):
        """Which starts have not diverged, (starts,). Starts that diverge at this step are written to `diverged`."""
        before = self.diverged[:, 0] == 0
        fine = torch.isfinite(value) & (self.mu.norm(dim=-1) < self.limit)  # also false where mu is not finite
        self.diverged[before & ~fine] = torch.tensor([stage, step])
        return before & fine

    def _measure(self, value):
        """The curves at one step, (4, starts)."""
        norm, product = self.mu.norm(dim=-1), self.mu @ self.star
        side = torch.where(product < 0, -1.0, 1.0).unsqueeze(-1)
        distance = (side * self.mu - self.star).norm(dim=-1)
        return torch.stack([value, product.abs() / (norm * self.star.norm()), distance, norm])


def _rows(kind, stage, curves):
    """Rows of two_stage.csv; none where a start has diverged."""
    return [
        {"loss_over": kind, "start": start, "stage": stage, "step": int(step)}
        | {name: float(curves[name][row, start]) for name in CURVES}
        for start in range(curves["loss"].shape[1])
        for row, step in enumerate(curves["step"])
        if numpy.isfinite(curves["loss"][row, start])
    ]
