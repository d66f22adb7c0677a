"""Every rule of quadrature, against integrals that are known."""

import math

import numpy
import pytest
import torch
from helpers import assert_close
from scipy import integrate, stats

from scorelab import quadrature


def cosine_mean(nodes, weights, *slopes):
    """The rule's E cos<a, Z>, and exp(-|a|^2/2)."""
    a = torch.tensor(slopes, dtype=torch.float64)
    found = float(weights @ torch.cos(nodes * a[0] if nodes.dim() == 1 else nodes @ a))
    return found, math.exp(-0.5 * float(a @ a))


def test_trapezoidal_rules_are_exact_to_rounding():
    x, step = quadrature.trapezoid(-9.0, 9.0, 181)
    density = torch.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
    found, exact = cosine_mean(x, step * density, 1.3)
    assert found == pytest.approx(exact, abs=1e-15)
    for values in (density, density.numpy()):
        assert float(quadrature.integral(x if values is density else x.numpy(), values)) == pytest.approx(1, abs=1e-14)
    plane, cell = quadrature.plane_trapezoid(-9.0, 9.0, 181)
    found, exact = cosine_mean(plane, cell * torch.exp(-plane.square().sum(1) / 2) / (2 * math.pi), 1.3, -0.4)
    assert found == pytest.approx(exact, abs=1e-14)


@pytest.mark.parametrize(("rank", "points"), [(1, 191), (2, 153), (3, 41)])
def test_normal_expectations_in_few_dimensions(rank, points):
    nodes, weights = quadrature.normal_trapezoid(rank, points)
    found, exact = cosine_mean(nodes, weights, *(1.3, -0.4, 0.2)[:rank])
    assert found == pytest.approx(exact, abs=1e-14)
    assert float(weights.sum()) == pytest.approx(1, abs=1e-14)


def test_the_step_of_the_normal_rule_resolves_a_hyperbolic_tangent():
    """E Z tanh(Z + 1) by 191 points and by an adaptive rule."""
    nodes, weights = quadrature.normal_trapezoid()
    exact = integrate.quad(lambda z: z * math.tanh(z + 1) * stats.norm.pdf(z), -10, 10, epsabs=1e-14, limit=200)[0]
    assert float(weights @ (nodes * torch.tanh(nodes + 1))) == pytest.approx(exact, abs=1e-13)


def test_a_part_of_the_normal_law():
    """Of functions that vanish at the cut, for two intervals at once."""
    low, high = torch.tensor([-1.0, 0.5], dtype=torch.float64), torch.tensor([2.0, 4.0], dtype=torch.float64)
    nodes, weights = quadrature.normal_interval(low, high, 4001)
    bump = ((nodes - low.unsqueeze(1)) * (high.unsqueeze(1) - nodes)) ** 3
    for row, (a, b) in enumerate(zip(low.tolist(), high.tolist(), strict=True)):
        exact = integrate.quad(lambda z, a=a, b=b: ((z - a) * (b - z)) ** 3 * stats.norm.pdf(z), a, b)[0]
        assert float((weights[row] * bump[row]).sum()) == pytest.approx(exact, rel=1e-10)


def test_pieces_of_the_normal_law_resolve_a_steep_sigmoid():
    """E sigmoid(Z/w + 1) = 1/2 + phi(0) w + O(w^3), as int (sigmoid(y + 1) - [y > 0]) dy = 1."""
    for width in (1e-4, 0.01, 20.0):
        nodes, weights = quadrature.normal_pieces(40, width)
        assert float(weights.sum()) == pytest.approx(1, abs=1e-14)
        assert float(weights @ nodes**2) == pytest.approx(1, abs=1e-13)
    nodes, weights = quadrature.normal_pieces(40, 1e-4)
    found = float(weights @ torch.sigmoid(1e4 * nodes + 1))
    assert found == pytest.approx(0.5 + 1e-4 / math.sqrt(2 * math.pi), abs=1e-11)


def test_gauss_rules_are_exact_for_polynomials():
    """To degree 2 points - 1; the next even one is not, by as much as the theory says."""
    x, weights = quadrature.gauss_legendre(-1.0, 3.0, 4)
    assert float(weights @ x**7) == pytest.approx((3**8 - 1) / 8, rel=1e-13)
    assert float(weights @ x**8) != pytest.approx((3**9 + 1) / 9, rel=1e-5)
    z, weights = quadrature.gauss_hermite(4)
    assert float(weights.sum()) == pytest.approx(math.sqrt(2 * math.pi), rel=1e-14)
    moments = [float(weights @ z**degree) / math.sqrt(2 * math.pi) for degree in (2, 4, 6, 8)]
    assert moments == pytest.approx([1, 3, 15, 105 - math.factorial(4)], rel=1e-12)
    nodes, weights = quadrature.normal_gauss(3, 3)
    assert nodes.shape == (27, 3)
    assert float(weights.sum()) == pytest.approx(1, rel=1e-14)
    mixed = nodes[:, 0] ** 4 * nodes[:, 1] ** 2 * (1 + nodes[:, 2])
    assert float(weights @ mixed) == pytest.approx(3, rel=1e-12)


def test_a_lattice_is_the_trapezoidal_rule_in_a_box():
    low, high = torch.tensor([-9.0, -10.0], dtype=torch.float64), torch.tensor([9.5, 9.0], dtype=torch.float64)
    points = torch.cat(list(quadrature.lattice(low, high, 0.5, 10**4, 100)))
    found, exact = cosine_mean(points, 0.25 * torch.exp(-points.square().sum(1) / 2) / (2 * math.pi), 1.3, -0.4)
    assert found == pytest.approx(exact, abs=1e-14)
    with pytest.raises(quadrature.NotResolved, match="points are needed"):
        list(quadrature.lattice(low, high, 0.001, 10**4, 100))


@pytest.mark.parametrize("degrees", [1, 5, 40, 1000, 10**6])
def test_the_range_of_a_chi_squared_variable_holds_its_law(degrees):
    low, high, width = quadrature.log_chi_squared_range(degrees)
    law = stats.chi2(degrees)
    assert law.cdf(math.exp(low)) + law.sf(math.exp(high)) < 1e-15
    ends = (torch.tensor([end / width], dtype=torch.float64) for end in (low, high))
    (line,) = (points.squeeze(1) for points in quadrature.lattice(*ends, 0.2, 10**4, 10**4))
    radius2 = (width * line).exp().numpy()
    weights = law.pdf(radius2) * radius2 * 0.2 * width
    assert weights.sum() == pytest.approx(1, abs=1e-9)
    assert weights @ radius2 == pytest.approx(degrees, rel=1e-9)


def test_the_quantile_of_a_chi_squared_variable():
    uniform = torch.tensor([1e-12, 1e-5, 0.01, 0.3, 0.5, 0.8, 0.999, 1 - 1e-9], dtype=torch.float64)
    for degrees in (1, 2, 3, 29, 500):
        found = quadrature.chi_squared_quantile(uniform, degrees).numpy()
        assert found == pytest.approx(stats.chi2.ppf(uniform.numpy(), degrees), rel=1e-9), degrees
    assert not quadrature.chi_squared_quantile(uniform, 0).any()


def test_scrambles_go_on_and_know_their_error():
    """E cos(z_1 + ... + z_5) by 8 scrambles of 2^12 points, in two draws."""
    scrambles = quadrature.Scrambles(5)
    drawn = [scrambles.draw(2**11).reshape(8, 2**11, 5) for _ in range(2)]
    means = torch.cos(torch.special.ndtri(torch.cat(drawn, 1)).sum(-1)).mean(1)
    error = float(means.std()) / math.sqrt(8)
    assert abs(float(means.mean()) - math.exp(-2.5)) < 4 * error
    assert 0 < error < math.sqrt(0.5 / 2**15)  # that of independent points


def test_two_resolutions_agree_or_nothing_is_returned():
    def steep(slope):
        def rule(step):
            nodes, weights = quadrature.normal_trapezoid(1, round(19 / step) + 1)
            return float(weights @ torch.sigmoid(slope * nodes - 1))

        return rule

    value, error = quadrature.converged(steep(30.0), 0.5, 1e-9)
    exact = integrate.quad(
        lambda z: stats.norm.pdf(z) / (1 + math.exp(1 - 30 * z)), -9, 9, points=[0, 0.03], limit=500
    )[0]
    assert abs(value - exact) < 1e-9
    assert error <= 1e-9
    with pytest.raises(quadrature.NotResolved, match="differ by"):
        quadrature.converged(steep(3e4), 0.5, 1e-9, halvings=4)


def test_rules_agree_with_each_other():
    """E 1/(1 + Z^2) by Gauss and by the trapezoidal rule."""
    line, weights = quadrature.normal_trapezoid(1, 401)
    z, masses = (each.numpy() for each in quadrature.gauss_hermite(200))
    gauss = numpy.sum(masses / (1 + z**2)) / math.sqrt(2 * math.pi)
    assert_close(weights @ (1 / (1 + line**2)), torch.tensor(gauss), rtol=1e-7)
