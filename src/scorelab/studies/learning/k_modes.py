"""K modes: gradient descent on the denoising objective and EM, from warm and from cold starts, on the same data."""

import functools
import warnings

import numpy
import torch

from scorelab.randomness import stream
from scorelab.studies.learning.theory import (
    POINTS,
    draw_mixture,
    em_step,
    matched_distances,
    noisy_states,
    simplex,
    sin_cos_of,
    stein_gradient,
)
from scorelab.theory.descents import recorded_steps

#: states that are worked on at once
_PIECE = 16_384


def jobs(modes, seed):
    """Functions without arguments, each of which returns rows. Parts: `curve` (warm and cold starts, every recorded
    step), `size` (warm starts by N, the last step), `separation` (cold starts by the distance of the modes, the last
    step)."""
    rules = (*modes.times, "em")
    found = [
        functools.partial(_rows, modes, seed, "curve", start, rule, modes.samples, modes.separation)
        for start in ("warm", "cold")
        for rule in rules
    ]
    for count in modes.sizes:
        for rule in ("ddpm", "em", "sklearn"):
            found.append(functools.partial(_rows, modes, seed, "size", "warm", rule, count, modes.separation))
    for separation in modes.separations:
        for rule in rules:
            found.append(functools.partial(_rows, modes, seed, "separation", "cold", rule, modes.samples, separation))
    return found


def _rows(modes, seed, part, start, rule, count, separation):
    """The rows of one descent of all repeats; every rule has the same draws."""
    means = simplex(modes.K, modes.n, separation)
    repeats = modes.cold if part == "separation" else modes.repeats
    clean = draw_mixture(means, count, stream(seed, "k modes", count), repeats)
    generator = stream(seed, "k starts", start)
    initial = warm_start(means, modes.warm * separation, generator, repeats)
    if start == "cold":
        initial = cold_start(clean, modes.K, generator)
    if rule == "sklearn":
        path = {modes.steps: fitted_by_sklearn(clean, initial, modes.steps)}
    elif rule == "em":
        path = expectation_maximization(clean, initial, modes.steps)
    else:
        noise = stream(seed, "k noise", count)
        path = descend(clean, initial, modes.times[rule], modes.rate, modes.steps, noise)
    if part != "curve":
        path = {modes.steps: path[modes.steps]}
    names = {"part": part, "start": start, "rule": rule, "samples": count, "separation": separation}
    rows = []
    for step, found in path.items():
        errors, worst = recovery_errors(found, means)
        rows += [
            {**names, "repeat": repeat, "step": step, "error": error, "worst": most}
            for repeat, (error, most) in enumerate(zip(errors.tolist(), worst.tolist(), strict=True))
        ]
    return rows


def recovery_errors(found, means):
    """The root mean square error of a mean and the error of the worst one, (batch,) each; found (batch, K, n)."""
    distances = matched_distances(found, means)
    return distances.square().mean(-1).sqrt(), distances.amax(-1)


def warm_start(means, distance, generator, batch):
    """Each mean moved by `distance` in a direction of its own, (batch, K, n)."""
    direction = torch.randn(batch, *means.shape, generator=generator, dtype=means.dtype)
    return means + distance * direction / direction.norm(dim=-1, keepdim=True)


def cold_start(clean, K, generator):
    """K of the samples, (batch, K, n)."""
    batch, count, _ = clean.shape
    order = torch.rand(batch, count, generator=generator).argsort(-1)[:, :K]
    return torch.gather(clean, 1, order.unsqueeze(-1).expand(-1, -1, clean.shape[-1]))


def descend(clean, initial, times, rate, steps, generator):
    """Gradient descent at one noise level after the other: step -> means (batch, K, n). Each sample has one pair of
    draws of the noise at each level."""
    recorded, path, means, done = set(recorded_steps(steps, POINTS).tolist()), {0: initial}, initial, 0
    for number, t in enumerate(times, 1):
        states, sin = noisy_states(clean, t, generator), sin_cos_of(t)[0]
        until = steps * number // len(times)
        for step in range(done + 1, until + 1):
            means = step_of_descent(states, means, rate, sin)
            if step in recorded:
                path[step] = means
        done = until
    return path


def step_of_descent(states, means, rate, sin=1.0):
    """The means (batch, K, n) after a step along K/2 times the gradient over states (batch, count, n) whose signal is
    `sin`."""
    return means - rate * means.shape[-2] / 2 * _in_pieces(stein_gradient, states, sin * means) / sin


def expectation_maximization(clean, initial, steps):
    """EM on the clean samples, with the weights and the covariance of the mixture: step -> means (batch, K, n)."""
    recorded, path, means = set(recorded_steps(steps, POINTS).tolist()), {0: initial}, initial
    for step in range(1, steps + 1):
        means = _in_pieces(em_step, clean, means)
        if step in recorded:
            path[step] = means
    return path


def _in_pieces(function, x, means):
    """A function of x (batch, count, n) and means (batch, K, n), in pieces of the batch that fit into a cache."""
    size = max(_PIECE // x.shape[1], 1)
    return torch.cat([function(*each) for each in zip(x.split(size), means.split(size), strict=True)])


def fitted_by_sklearn(clean, initial, steps):
    """Means (batch, K, n) of scikit-learn's mixture of spherical Gaussians, which fits weights and variances too."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    K = initial.shape[-2]
    given = {"weights_init": numpy.full(K, 1 / K), "precisions_init": numpy.ones(K)}
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for x, means in zip(clean.numpy(), initial.numpy(), strict=True):
            mixture = GaussianMixture(
                K, covariance_type="spherical", tol=1e-8, max_iter=steps, means_init=means, **given
            )
            found.append(mixture.fit(x).means_)
    return torch.from_numpy(numpy.stack(found))
