"""What is measured of a process: the distance of its samples to the target, its cost, and how it localizes."""

import math

import torch

from scorelab.errors import ConfigError
from scorelab.laws.estimate import Estimate
from scorelab.metrics.projection import LawComparison, project
from scorelab.processes import Exact, draw_samples
from scorelab.randomness import stream, stream_seed

#: samples whose distances to all states are computed at a time
_BLOCK = 4096


class TotalVariation:
    """1/2 sum_s |share of the samples nearest to state s - P(s)|, for a target on a few states."""

    name = "total variation"

    def __init__(self, target, count: int):
        self.target, self.count = target, count
        self.points, log_weights = target.states()
        self.weights = torch.softmax(log_weights, 0)

    def __call__(self, samples) -> float:
        shares = torch.zeros_like(self.weights)
        for block in samples.double().split(_BLOCK):
            nearest = (block @ self.points.T - 0.5 * self.points.square().sum(1)).argmax(1)
            shares += torch.bincount(nearest, minlength=len(self.points))
        return float(0.5 * (shares / len(samples) - self.weights).abs().sum())


class Wasserstein:
    """W1 of the projection <x, a>/|a|^2 to its exact law."""

    name = "W1 of the projection"

    def __init__(self, target, count: int):
        self.target, self.law = target, LawComparison(target.projection(target.direction), count)

    def __call__(self, samples) -> float:
        return self.law.wasserstein_1(project(samples, self.target.direction))


def distance_of(target, count: int):
    """The distance of sets of `count` samples to the target, a function. Raises ConfigError if none is known."""
    if target.can("states"):
        return TotalVariation(target, count)
    why = target.lacks("projection")
    if why is not None:
        raise ConfigError(f"study Processes cannot run with target {type(target).__name__}: {why}")
    return Wasserstein(target, count)


def floor_of(distance, target, count: int, repeats: int, generator) -> Estimate:
    """The mean and the standard deviation of the distance over sets of exact samples, as floor and floor_deviation."""
    found = torch.tensor([distance(target.sample(count, generator)) for _ in range(repeats)], dtype=torch.float64)
    return Estimate(floor=float(found.mean()), floor_deviation=float(found.std()))


def sampled(process, posterior, distance, count: int, steps: int, repeats: int, seed: int) -> dict:
    """Evaluations of the posterior for one sample, and the distance with its standard error over sets of samples."""
    before, found = posterior.evaluated, []
    for repeat in range(repeats):
        batches = draw_samples(process, posterior, count, steps, stream_seed(seed, repeat))
        found.append(distance(torch.cat(list(batches))))
    error = Estimate.mean(torch.tensor(found, dtype=torch.float64))
    evaluations = (posterior.evaluated - before) / (count * repeats)
    return {"evaluations": evaluations, **error.keys("error")}


@torch.no_grad()
def localization(process, target, angles, draws: int, generator) -> dict:
    """How much is known at each angle, over exact samples X that are observed there.

    Returns numpy arrays (angles,): risk, E|X - E[X | Y]|^2 over E|X - EX|^2, with risk_standard_error; and drift, the
    largest deviation of a coordinate of the mean posterior mean from E X in standard errors, which is a few at most if
    the posterior means are a martingale.
    """
    posterior, clean = Exact(process, target), target.sample(draws, generator, torch.float64)
    spread = (clean - clean.mean(0)).square().sum(1)
    rows = []
    for angle in angles:
        means = posterior(process.observe(clean, angle, generator), angle)
        left = (clean - means).square().sum(1)
        risk = float(left.mean() / spread.mean())
        error = float((left - risk * spread).std() / spread.mean()) / math.sqrt(draws)
        gap = clean - means  # E[X - m] = 0
        # near the end a few samples decide on the deviation of the gap, which is not trusted below a tenth of that of X
        deviation = torch.maximum(gap.std(0), 0.1 * clean.std(0))
        drift = gap.mean(0).abs() * math.sqrt(draws) / deviation
        rows.append((risk, error, float(drift.max())))
    risk, error, drift = torch.tensor(rows, dtype=torch.float64).T.numpy()
    return {"risk": risk, "risk_standard_error": error, "drift": drift}


def path(process, posterior, steps: int, seed: int) -> dict:
    """One sampled path: its angles (points,) and its posterior means (points, n), as numpy arrays."""
    angles, means = [], []

    def observe(k, angle, state):
        angles.append(angle)
        means.append(posterior.mean(state, angle)[0])

    (sample,) = draw_samples(process, posterior, 1, steps, seed, observe=observe)
    angles.append(math.pi / 2)
    return {"angles": torch.tensor(angles).numpy(), "means": torch.stack([*means, sample[0]]).numpy()}


def end_of(process, target, distance, count: int, seed: int, repeats: int) -> Estimate:
    """The distance of the outputs of exact last states: what is left of the error with infinitely many steps."""
    found, posterior = [], Exact(process, target)
    for repeat in range(repeats):
        generator = stream(seed, "end", repeat)
        angle = float(process.end_angle)
        state = process.observe(target.sample(count, generator), angle, generator)

        def noise(generator=generator):
            return torch.randn(count, process.draws, generator=generator)

        with torch.no_grad():
            found.append(distance(process.output(posterior, state, angle, noise)))
    return Estimate.mean(torch.tensor(found, dtype=torch.float64))
