"""Exact moments of SGD and of the equations that model it, each against another computation; the study."""

import json
import math

import numpy
import pytest
from helpers import assert_close, composed
from scipy import integrate, linalg

import scorelab
from scorelab.errors import ConfigError
from scorelab.lab.config import check
from scorelab.studies.sgd import theory
from scorelab.studies.sgd.moments import EQUATIONS, LAWS, Inputs, Moments, gelbrich
from scorelab.studies.sgd.simulation import descents

START = -theory.OPTIMUM
#: inputs -> their law, a rule that is exact for their fourth moments, step sizes that are stable
INPUTS = {
    "text": (Inputs.normal(), theory.normal_nodes(5), 0.05 / numpy.ones(30)),
    "author": (Inputs.uniform(5.0), theory.uniform_nodes(5, 5.0), 0.02 / numpy.arange(1, 31)),
}
every_input = pytest.mark.parametrize("name", INPUTS)


@every_input
def test_the_moments_of_sgd_are_those_of_quadrature_nodes(name):
    inputs, (x, weights), sizes = INPUTS[name]
    moments = Moments(inputs, 0.3, 5)
    fourth = numpy.einsum("a,ai,aj,ak,al", weights, x, x, x, x, optimize=True)
    assert_close(inputs.tensor(5, 4), fourth, rtol=1e-12, atol=1e-14)
    means, second = moments.curves("sgd", sizes, START)
    squares = theory.mean_square(lambda t: sizes[t - 1], x, weights, len(sizes), noise=0.3)
    assert_close(numpy.trace(second, axis1=1, axis2=2), squares, rtol=1e-12)
    one = numpy.eye(5) - sizes[0] * numpy.einsum("ai,aj->aij", x, x)
    assert_close(means[1], numpy.einsum("a,aij,j", weights, one, START), rtol=1e-12)
    square = numpy.einsum("a,aij,j,akl,l->ik", weights, one, START, one, START, optimize=True)
    assert_close(second[1], square + (0.3 * sizes[0]) ** 2 * moments.hessian, rtol=1e-11)


@every_input
def test_simulated_runs_have_the_exact_moments_and_averages(name):
    inputs, _, sizes = INPUTS[name]
    moments, count, after = Moments(inputs, 0.3, 5), 20_000, 10
    paths = list(descents(inputs, 0.3, numpy.tile(START, (count, 1)), sizes, numpy.random.default_rng(2)))
    means, second = moments.curves("sgd", sizes, START)
    products = paths[-1][:, :, None] * paths[-1][:, None, :]
    averages = (numpy.mean(paths[after:], axis=0) ** 2).sum(1)
    for found, exact in (
        (paths[-1], means[-1]),
        (products, second[-1]),
        (averages, moments.averaged(sizes, START, after)[-1]),
    ):
        assert (numpy.abs(found.mean(0) - exact) < 4 * found.std(0) / math.sqrt(count)).all()


@every_input
@pytest.mark.parametrize("law", EQUATIONS)
def test_the_moments_of_the_equations_solve_their_odes(name, law):
    """d/dt of E delta delta^T with the covariance of the gradient by quadrature, step after step of the noise g."""
    inputs, (x, weights), sizes = INPUTS[name]
    H, sizes = numpy.einsum("a,ai,aj", weights, x, x), sizes[:6]

    def slope(_, state, g):
        S = state.reshape(5, 5)
        B = H + 0.5 * g * H @ H if law == "second_order" else H
        noise = 0.3**2 * H
        if law != "ou":
            noise = noise + numpy.einsum("a,ai,aj,a->ij", weights, x, x, ((x @ S) * x).sum(1)) - H @ S @ H
        return (-B @ S - S @ B + g * noise).ravel()

    S = numpy.outer(START, START).ravel()
    for g in sizes:
        S = integrate.solve_ivp(slope, (0, g), S, args=(g,), method="DOP853", rtol=1e-12, atol=1e-14).y[:, -1]
    means, second = Moments(inputs, 0.3, 5).curves(law, sizes, START)
    assert_close(second[-1].ravel(), S, rtol=1e-9, atol=1e-12)
    if law != "second_order":
        assert_close(means[-1], linalg.expm(-sizes.sum() * H) @ START, rtol=1e-12)


def test_the_ou_process_is_that_of_the_text():
    """Equations (9) and (10), for inputs N(0, I)."""
    g = 0.02
    means, second = Moments(Inputs.normal(), 0.4, 5).curves("ou", [g] * 50, START)
    t = g * numpy.arange(51)
    assert_close(means[:, 2] + 1.0, theory.printed_mean(t, 0.0, 1.0), rtol=1e-12)
    assert_close(second[:, 2, 2] - means[:, 2] ** 2, theory.printed_variance(t, g, 0.4), rtol=1e-10, atol=1e-15)


@every_input
def test_the_average_is_a_sum_over_all_pairs_of_steps(name):
    """E <delta_s, delta_t> = tr (I - g_t H) ... (I - g_s+1 H) S_s for s < t."""
    inputs, _, sizes = INPUTS[name]
    moments, after = Moments(inputs, 0.3, 5), 4
    S = moments.curves("sgd", sizes, START)[1]
    steps = [numpy.eye(5) - g * moments.hessian for g in sizes]
    total = 0.0
    for s in range(after + 1, 31):
        carried = S[s]
        total += numpy.trace(carried)
        for t in range(s + 1, 31):
            carried = steps[t - 1] @ carried
            total += 2 * numpy.trace(carried)
    found = moments.averaged(sizes, START, after)
    assert found[-1] == pytest.approx(total / 26**2, rel=1e-12)
    assert found[after + 1] == pytest.approx(numpy.trace(S[after + 1]), rel=1e-12)
    assert numpy.isnan(found[: after + 1]).all()


def test_the_edge_of_stability_is_two_over_d_plus_two_for_normal_inputs():
    for d in (2, 5, 8):
        moments = Moments(Inputs.normal(), 0.1, d)
        assert moments.threshold("sgd") == pytest.approx(2 / (d + 2), rel=1e-12)
        assert moments.threshold("modified") == pytest.approx(2 / (d + 1), rel=1e-12)
        assert moments.growth(0.1) == pytest.approx(max(theory.growth_factor(0.1, d), 0.82), rel=1e-12)
    uniform = Moments(Inputs.uniform(5.0), 0.1, 5)
    edge = uniform.threshold("sgd")
    assert uniform.growth(edge) == pytest.approx(1, abs=1e-10)
    assert uniform.growth(0.99 * edge) < 1 < uniform.growth(1.01 * edge)
    assert uniform.stationary("sgd", 0.99 * edge) is not None
    assert uniform.stationary("sgd", 1.01 * edge) is None
    modified = uniform.threshold("modified")
    assert uniform.stationary("modified", 0.99 * modified) is not None
    assert uniform.stationary("modified", 1.01 * modified) is None


@every_input
@pytest.mark.parametrize("law", LAWS)
def test_the_stationary_covariance_is_the_limit_of_the_curves(name, law):
    inputs, _, sizes = INPUTS[name]
    moments, g = Moments(inputs, 0.3, 5), float(sizes[0])
    limit = moments.stationary(law, g)
    assert_close(moments.curves(law, [g] * 800, START)[1][-1], limit, rtol=1e-9, atol=1e-13)
    if name == "text" and law == "sgd":
        assert numpy.trace(limit) == pytest.approx(theory.limit_of_mean_square(g, noise=0.3), rel=1e-12)
    if name == "text" and law == "ou":
        assert_close(limit, g * 0.3**2 / 2 * numpy.eye(5), rtol=1e-12, atol=1e-16)


def test_the_distance_of_normal_laws_is_the_closed_form():
    generator = numpy.random.default_rng(4)
    first, second = (each @ each.T for each in generator.standard_normal((2, 4, 4)))
    mean, other = generator.standard_normal((2, 4))
    root = linalg.sqrtm(first)
    square = ((mean - other) ** 2).sum() + numpy.trace(first + second - 2 * linalg.sqrtm(root @ second @ root).real)
    assert gelbrich(mean, first, other, second) == pytest.approx(math.sqrt(square), rel=1e-10)
    assert gelbrich(mean, first, mean, first) == pytest.approx(0, abs=1e-13)
    assert gelbrich(mean, 4 * first, mean, first) == pytest.approx(math.sqrt(numpy.trace(first)), rel=1e-12)


# The study. -----------------------------------------------------------------------------------------------------------

QUICK = ("study=sgd", "threads=1", "study.steps=60", "study.replicas=400", "study.measured_at=[1,10,30]")
QUICK += ("study.stationary.steps.middle=0.05", "~study.stationary.steps.smaller", "+study.stationary.steps.beyond=0.3")
QUICK += ("figures.dpi=50",)


@pytest.fixture(scope="module")
def result(run_once):
    return run_once(*QUICK)


def test_what_is_measured_is_within_four_standard_errors_of_what_is_exact(result):
    found = result.metrics["sgd"]
    for place, keys in (
        (found["descent"], ("mean_square", "theta_1", "theta_2", "variance_1", "variance_2")),
        (found["end"], ("mean_square", "average")),
        (found["stationary"]["bigger"], ("mean_square", "covariance")),
        (found["stationary"]["middle"], ("mean_square", "covariance")),
    ):
        for key in keys:
            value, error, exact = (numpy.array(place[f"{key}{end}"]) for end in ("", "_standard_error", "_exact"))
            assert (numpy.abs(value - exact) < 4 * error).all(), key
    assert found["descent"]["t"] == [1, 10, 30, 60]
    assert found["threshold"] == pytest.approx(2 / 7)
    assert found["stationary"]["bigger"]["mean_square_exact"] == pytest.approx(theory.limit_of_mean_square(0.1))
    assert "mean_square" not in found["stationary"]["beyond"]
    assert "without bound" in result.metrics["not_measured"]["sgd.stationary.beyond.mean_square"]


def test_the_distances_fall_with_their_orders(result):
    """The mean square of an equation of order p is off by g^p, the standard deviation by g^(3/2), and by g^(1/2) where
    the noise is wrong."""
    found = result.metrics["sgd"]["distance"]
    for law, square, distance in (("modified", 1, 1), ("second_order", 2, 1.5), ("ou", 1, 0.5)):
        assert found[law]["mean_square_order"] == pytest.approx(square, abs=0.03), law
        assert found[law]["gelbrich_order"] == pytest.approx(distance, abs=0.03), law
    assert found["ou"]["covariance_order"] == pytest.approx(0, abs=0.01)
    assert found["ou"]["covariance"][-1] > 0.9


def test_an_exploding_run_is_said_to_diverge_and_nothing_is_nan(tmp_path):
    asked = ["study.protocol=author", "study.step=0.1", "study.steps=300"]
    result = scorelab.run([*QUICK, *asked], tmp_path / "run")
    json.loads((tmp_path / "run" / "metrics.json").read_text(), parse_constant=lambda name: pytest.fail(name))
    found, missing = result.metrics["sgd"], result.metrics["not_measured"]
    assert found["diverged"]["share"] == 1
    assert 2 <= found["diverged"]["first"] <= found["diverged"]["median"] <= 10
    assert found["growth"] == pytest.approx(43.538, abs=1e-3)
    assert missing["sgd.end.mean_square"] == "it is beyond double precision"
    assert "400 runs" in missing["sgd.end.log10_square"]
    assert (tmp_path / "run" / "figures" / "descent.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("study.step=0", "study.step = 0: allowed is a number > 0"),
        ("study.step=11", "study.step = 11"),
        ("study.protocol=code", "study.protocol = code"),
        ("study.start=[1,2]", "start = .*: 5 coordinates are needed"),
        ("study.runs=50", "runs = 50: at most replicas = 10"),
        ("study.average_from=1", "study.average_from = 1"),
        ("study.optimum=[1]", "study.optimum"),
        ("study.distance.counts=[1,2,3]", "at least 4 values"),
        ("study.steps=1e6", "study.steps = 1000000"),
        ("+study.stationary.steps.a-b=0.1", "a-b: names of letters"),
    ],
)
def test_mistakes_are_refused_in_one_line(override, message):
    with pytest.raises(ConfigError, match=message) as refused:
        check(composed("study=sgd", "study.replicas=10", override))
    assert "\n" not in str(refused.value)
