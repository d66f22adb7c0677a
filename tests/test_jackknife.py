"""The jackknife of statistics that are no means, against every set of samples without one or two parts."""

import itertools
import math

import numpy
import pytest
import torch
from helpers import normal, over

from scorelab.metrics.spins import correlation_error, squared_overlap
from scorelab.studies.collapse.jackknife import neighbour, participation


def brute_force(statistic, count):
    """The jackknife's standard error and the two sums of its correction, from every set without one or two parts."""
    every = set(range(count))
    whole, one = statistic(every), numpy.array([statistic(every - {i}) for i in every])
    pairs = numpy.array(
        [
            count * whole - (count - 1) * (one[i] + one[j]) + (count - 2) * statistic(every - {i, j})
            for i, j in itertools.combinations(range(count), 2)
        ]
    )
    variance = (count - 1) * one.var()
    return whole, math.sqrt(max(variance - len(pairs) * pairs.var() / (count * (count - 1)), variance / 2))


@over("count", [5, 30])
def test_the_error_of_the_nearest_neighbour_is_that_of_every_set_without_one_or_two_samples(count):
    x = normal(count, 2, seed=count)

    def mean(kept):
        return float(torch.cdist(x[list(kept)], x[list(kept)]).fill_diagonal_(math.inf).amin(1).mean())

    assert neighbour(x) == pytest.approx(brute_force(mean, count), rel=1e-9)


@over("count", [9, 130])
def test_the_error_of_the_participation_is_that_of_every_set_without_one_or_two_groups(count):
    x, mode = normal(count, 3, seed=count), torch.arange(count) % 7 // 5
    group = torch.arange(count) % 20

    def of(kept):
        rows = [k for k in range(count) if int(group[k]) in kept]
        total = 0.0
        for k in (0, 1):
            one = x[rows][mode[rows] == k]
            square = one.T @ one
            total += len(one) and len(one) * float(square.trace() ** 2 / (3 * square.square().sum()))
        return total / len(rows)

    assert participation(x, mode) == pytest.approx(brute_force(of, min(count, 20)), rel=1e-9)


@over("count", [4, 25])
def test_the_error_of_the_squared_overlap_is_that_of_every_set_without_one_or_two_samples(count):
    x = torch.sign(normal(count, 5, seed=count))

    def mean(kept):
        pairs = list(itertools.combinations(sorted(kept), 2))
        return sum(float(x[i] @ x[j]) ** 2 / 5 for i, j in pairs) / len(pairs)

    found, (value, error) = squared_overlap(x), brute_force(mean, count)
    assert (found.value, found.standard_error) == pytest.approx((value, error), rel=1e-9)


def test_the_error_of_the_correlations_is_that_of_every_set_without_one_or_two_parts():
    x, exact = torch.sign(normal(65, 4, seed=1)), torch.eye(4, dtype=torch.float64) + 0.1
    parts = x.tensor_split(20)

    def rms(kept):
        rows = torch.cat([parts[k] for k in sorted(kept)])
        gap = (rows.T @ rows / len(rows) - exact)[torch.ones(4, 4).triu(1).bool()]
        return float(gap.square().mean().sqrt())

    found = correlation_error(x, exact)
    assert (found.value, found.standard_error) == pytest.approx(brute_force(rms, 20), rel=1e-9)


def test_sets_that_are_too_small_for_an_error_have_none():
    assert math.isnan(neighbour(normal(3, 2, seed=1))[1])
    assert math.isnan(participation(normal(2, 2, seed=1), torch.tensor([0, 1]))[1])
    assert squared_overlap(torch.ones(3, 2)).standard_error is None
