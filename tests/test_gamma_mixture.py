"""Mixtures of Gamma laws: on the line, and as a target with a closed posterior given Poisson counts."""

import math

import numpy
import pytest
import torch
from helpers import assert_close, refused, seeded
from scipy import stats

from scorelab.laws.gamma import GammaLaw
from scorelab.targets import GammaMixture, MixtureOfGammas

LAW = GammaLaw([0.3, 0.7], [0.8, 6.0], [2.0, 1.5])
TARGET = GammaMixture([0.6, 0.4], [[2.0, 5.0], [6.0, 1.0]], [2.0, 3.0])


def integral(function, low, high):
    """By Gauss-Legendre in the fifth root, in which a Gamma density is smooth at 0."""
    nodes, weights = numpy.polynomial.legendre.leggauss(200)
    first, last = low**0.2, high**0.2
    root = first + 0.5 * (last - first) * (nodes + 1)
    return float(0.5 * (last - first) * weights * 5 * root**4 @ function(root**5))


def box():
    """Points (count, 2) of a product quadrature on (0, 30)^2, and their weights."""
    nodes, weights = numpy.polynomial.legendre.leggauss(300)
    x, weights = 15 * (nodes + 1), 15 * weights
    points = torch.from_numpy(numpy.stack(numpy.meshgrid(x, x, indexing="ij"), -1).reshape(-1, 2))
    return points, torch.from_numpy(numpy.outer(weights, weights).ravel())


def mixture_of(method, x):
    """The same by scipy's Gamma law."""
    parts = [getattr(stats.gamma(a, scale=1 / b), method)(x) for a, b in zip(LAW.shapes, LAW.rates, strict=True)]
    return sum(float(w) * part for w, part in zip(LAW.weights, parts, strict=True))


def test_the_law_on_the_line_is_that_of_scipy_and_its_integrals_are_those_of_quadrature():
    x = numpy.array([0.05, 0.4, 1.3, 4.0, 9.0])
    assert_close(LAW.pdf(x), mixture_of("pdf", x), rtol=1e-12)
    assert_close(LAW.cdf(x), mixture_of("cdf", x), rtol=1e-12)
    for point in x:
        below, above = LAW.integrated_cdf(point), LAW.integrated_survival(point)
        assert_close(below, integral(lambda s: mixture_of("cdf", s), 0, point), rtol=1e-9)
        assert_close(above, integral(lambda s: mixture_of("sf", s), point, 60), rtol=1e-9)
    assert_close(LAW.integrated_survival(-1.0), LAW.mean + 1.0, rtol=1e-14)
    mean, second = (integral(lambda s, p=p: s**p * mixture_of("pdf", s), 0, 60) for p in (1, 2))
    assert_close([LAW.mean, LAW.variance], [mean, second - mean**2], rtol=1e-9)


def test_quantiles_invert_the_distribution_function_also_in_the_tails():
    levels = torch.tensor([1e-12, 1e-3, 0.2, 0.5, 0.9, 1 - 1e-9]).double()
    assert_close(LAW.cdf(LAW.quantile(levels)), levels, rtol=1e-9)
    assert LAW.quantile([0.0, 1.0]).tolist() == [0.0, math.inf]
    assert "probabilities must be in" in refused(ValueError, LAW.quantile, 1.5)


def test_samples_have_the_density_the_projections_and_the_covariance_of_the_target():
    x = TARGET.sample(40_000, seeded(0), torch.float64)
    points, area = box()
    assert float(area @ TARGET.log_prob(points).exp()) == pytest.approx(1, abs=1e-9)
    for direction in ([1.0, 1.0], [0.0, 2.0]):
        d = torch.tensor(direction, dtype=torch.float64)
        law = TARGET.projection(d)
        assert stats.kstest((x @ d / d.square().sum()).numpy(), lambda v, law=law: law.cdf(v).numpy()).pvalue > 1e-4
    assert "entries that are 0 or one number" in refused(ValueError, TARGET.projection, torch.tensor([1.0, 2.0]))
    products = (x - TARGET.mean).unsqueeze(2) * (x - TARGET.mean).unsqueeze(1)
    error = products.std(0) / len(x) ** 0.5
    assert bool(((products.mean(0) - TARGET.covariance).abs() < 4 * error).all())
    across = torch.tensor([1.0, -1.0]).double() / 2**0.5
    assert TARGET.orthogonal_variance(TARGET.direction) == pytest.approx(float(across @ TARGET.covariance @ across))


def test_the_mean_given_counts_is_that_of_quadrature():
    points, area = box()
    for counts, time in (([0.0, 0.0], 0.0), ([1.0, 4.0], 0.7), ([9.0, 0.0], 2.5)):
        y = torch.tensor([counts], dtype=torch.float64)
        likelihood = (y * points.log()).sum(1) - time * points.sum(1)
        mass = (TARGET.log_prob(points) + likelihood).exp() * area
        assert_close(TARGET.count_mean(y, time)[0], mass @ points / mass.sum(), rtol=1e-8, case=(counts, time))
    times = torch.tensor([0.0, 0.7])
    both = TARGET.count_mean(torch.tensor([[0.0, 0.0], [1.0, 4.0]]), times)
    assert_close(both[1:], TARGET.count_mean(torch.tensor([[1.0, 4.0]]), 0.7), rtol=1e-6)


def test_numbers_that_no_gamma_law_has_are_refused():
    assert "each must be > 0" in refused(ValueError, GammaMixture, [1.0], [[1.0, -1.0]], [1.0])
    assert "are needed" in refused(ValueError, GammaMixture, [1.0], [[1.0], [2.0]], [1.0])
    options = {"n": 2, "weights": [0.5, 0.5], "shapes": [1.0, [1.0, 2.0, 3.0]], "rates": [1.0, 1.0]}
    assert "shapes[1] has 3 entries" in refused(ValueError, lambda: MixtureOfGammas(**options))
    assert "rates has 1 entries" in refused(ValueError, lambda: MixtureOfGammas(**options | {"rates": [1.0]}))
