"""The learned posterior mean compared with the exact one at fixed angles."""

import itertools
import math
from dataclasses import replace

import numpy
import torch

from scorelab.channel import mix
from scorelab.devices import on
from scorelab.laws.estimate import Estimate
from scorelab.randomness import normal, stream


def published_angles(switches=()) -> list[float]:
    """The twelve angles of figures 3 and 5: every eighteenth of 200 points on [0.1, pi/2 - 0.1].

    switches: increasing times t that divide the range; each stretch has twelve such angles, as in figure 8.
    """
    ends = [0.1, *(math.atan(math.sqrt(t)) for t in switches), math.pi / 2 - 0.1]
    return [angle for low, high in itertools.pairwise(ends) for angle in numpy.linspace(low, high, 200)[::18].tolist()]


@torch.no_grad()
def compare_posterior_means(denoiser, target, clean, angles, generator, estimated):
    """Compare the learned and the exact posterior mean at each angle, on noisy states of `clean` (count, *shape).

    Returns one row for each angle, with angle, t, and an `Estimate` of relative_error, squared_error and bayes_risk;
    and arrays (angles, count) for the figure: `signal`, the projection of Y_t/t, and the projections of the `exact` and
    the `learned` posterior mean. There are no arrays for a target without a signal direction.

    relative_error is defined as in the published code: the mean of sqrt(|m_hat - m|^2 / max(|m|^2, 0.1)). Its floor is
    its expectation, at the same states, for a mixture whose means alone are estimated; there is none if `estimated`, an
    `EstimatedMeans`, is None.
    """
    rows, pictures = [], []
    clean, there = clean.to(denoiser.device), on(target, denoiser.device)
    errors = None if estimated is None else estimated.errors(len(clean), stream(0, "errors of means"))
    for angle in angles:
        x = mix(clean, normal(clean.shape, generator, device=clean.device), angle)
        of_learned, of_exact = denoiser.knowing(clean, there)
        exact, learned = of_exact(x, angle), of_learned(x, angle)
        squared = (learned - exact).double().square().flatten(1).sum(1)
        size = exact.double().square().flatten(1).sum(1).clamp_min(0.1)
        floor = None
        if estimated is not None:
            change = estimated.change(x.flatten(1).cpu(), angle, errors).norm(dim=1)
            floor = float((change / size.cpu().sqrt()).mean())
        risk, error = target.bayes_risk_and_error(angle)
        row = {"angle": angle, "t": math.tan(angle) ** 2}
        row |= {"relative_error": _mean(torch.sqrt(squared / size), floor), "squared_error": _mean(squared)}
        rows.append(row | {"bayes_risk": Estimate(float(risk), None if error is None else float(error))})
        if target.can("direction"):
            signal = _along(target.direction, x) / math.sin(angle)
            pictures.append((signal, _along(target.direction, exact), _along(target.direction, learned)))
    columns = dict(zip(("signal", "exact", "learned"), zip(*pictures, strict=True), strict=False))
    return rows, {name: numpy.stack(column) for name, column in columns.items()}


def exact_line(target, angles, signal, points: int = 400) -> dict:
    """The exact posterior mean as a function of the projection, where it is one: `line_signal` and `line_exact`
    (angles, points), for the figure; nothing for a target where it depends on more of the state.

    For isotropic modes of one width whose means lie on a line along a, the posterior weights depend on <x, a> alone,
    and so does <m, a>. signal (angles, count): the projections of Y_t/t that the line shall span.
    """
    if target.lacks("gaussian_modes", "direction") or bool((target.std != target.std[0]).any()):
        return {}
    unit = target.direction / target.direction.norm()
    offsets = target.means - target.means[0]
    across = offsets - torch.outer(offsets @ unit, unit)
    if float(across.norm()) > 1e-9 * float(offsets.norm()):
        return {}
    base = target.means[0] - (target.means[0] @ unit) * unit  # what all means have across a
    lines = []
    for angle, seen in zip(angles, signal, strict=True):
        at = torch.linspace(float(seen.min()), float(seen.max()), points, dtype=torch.float64)
        states = math.sin(angle) * (torch.outer(at, target.direction) + base)
        lines.append((at.numpy(), _along(target.direction, target.posterior_mean(states, angle))))
    return dict(zip(("line_signal", "line_exact"), map(numpy.array, zip(*lines, strict=True)), strict=True))


def _mean(values, floor=None) -> Estimate:
    return replace(Estimate.mean(values), floor=floor)


def _along(direction, x):
    """<x, a>/|a|^2 for x (count, *shape), shape (count,), in the precision of x."""
    direction = direction.to(x)
    return (x.flatten(1) @ (direction / direction.square().sum()).flatten()).cpu().numpy()
