"""The learned posterior mean compared with the exact one at fixed angles."""

import itertools
import math
from dataclasses import replace

import numpy
import torch

from scorelab.channel import mix
from scorelab.denoisers.stacked import beside
from scorelab.laws.estimate import Estimate
from scorelab.randomness import normal, stream
from scorelab.targets.bayes_risk import bayes_risk


def published_angles(switches=()) -> list[float]:
    """The twelve angles of figures 3 and 5: every eighteenth of 200 points on [0.1, pi/2 - 0.1].

    switches: increasing times t that divide the range; each stretch has twelve such angles, as in figure 8.
    """
    ends = [0.1, *(math.atan(math.sqrt(t)) for t in switches), math.pi / 2 - 0.1]
    return [angle for low, high in itertools.pairwise(ends) for angle in numpy.linspace(low, high, 200)[::18].tolist()]


def compare_posterior_means(denoiser, target, clean, angles, generator, estimated):
    """Compare the learned and the exact posterior mean at each angle, on noisy states of `clean` (count, *shape).

    Returns one row for each angle, with angle, t, and an `Estimate` of relative_error, squared_error and bayes_risk;
    and arrays (angles, count) for the figure: `signal`, the projection of Y_t/t, and the projections of the `exact` and
    the `learned` posterior mean. There are no arrays for a target without a signal direction.

    relative_error is defined as in the published code: the mean of sqrt(|m_hat - m|^2 / max(|m|^2, 0.1)). Its floor is
    its expectation, at the same states, for a mixture whose means alone are estimated; there is none if `estimated`, an
    `EstimatedMeans`, is None.
    """
    return compare_several(denoiser, [target], [clean], angles, [generator], [estimated])[0]


@torch.no_grad()
def compare_several(denoiser, targets, cleans, angles, generators, estimated) -> list[tuple[list, dict]]:
    """`compare_posterior_means` of the R denoisers of a `Stacked`, or of one denoiser, each with a target, clean
    samples, a generator and an `EstimatedMeans` or None of its own."""
    there, clean = beside(targets, denoiser.device), torch.cat([each.to(denoiser.device) for each in cleans])
    count, results = len(cleans[0]), [([], []) for _ in targets]
    # Those of one estimator, which the runs of a target share, are drawn once.
    errors = {each: each.errors(count, stream(0, "errors of means")) for each in estimated if each is not None}
    for angle in angles:
        noise = [normal(each.shape, own, device=clean.device) for each, own in zip(cleans, generators, strict=True)]
        x = mix(clean, torch.cat(noise), angle)
        learned, exact = (function(x, angle) for function in denoiser.knowing(clean, there))
        parts = (values.chunk(len(targets)) for values in (x, exact, learned))
        for (rows, pictures), target, own, *states in zip(results, targets, estimated, *parts, strict=True):
            floor = None if own is None else _floor(own, errors[own], angle, *states[:2])
            rows.append(_row(target, angle, *states[1:], floor))
            if target.can("direction"):
                signal, *means = (_along(target.direction, each) for each in states)
                pictures.append((signal / math.sin(angle), *means))
    names = ("signal", "exact", "learned")
    columns = (zip(names, zip(*pictures, strict=True), strict=False) for _, pictures in results)
    arrays = ({name: numpy.stack(column) for name, column in each} for each in columns)
    return [(rows, each) for (rows, _), each in zip(results, arrays, strict=True)]


def _row(target, angle, exact, learned, floor):
    squared = (learned - exact).double().square().flatten(1).sum(1)
    risk, error = bayes_risk(target, angle)
    row = {"angle": angle, "t": math.tan(angle) ** 2}
    row |= {"relative_error": _mean(torch.sqrt(squared / _size(exact)), floor), "squared_error": _mean(squared)}
    return row | {"bayes_risk": Estimate(float(risk), None if error is None else float(error))}


def _floor(estimated, errors, angle, x, exact):
    """The mean of the relative error by draws of the errors of the means (count, K, n)."""
    change = estimated.change(x.flatten(1).cpu(), angle, errors).norm(dim=1)
    return float((change / _size(exact).cpu().sqrt()).mean())


def _size(exact):
    """max(|m|^2, 0.1), (count,), float64."""
    return exact.double().square().flatten(1).sum(1).clamp_min(0.1)


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
