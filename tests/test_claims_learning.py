"""Claims on learning two modes change their verdicts with their formulas; the quadratures in the plane are right."""

import importlib
import math

import pytest
import torch
from helpers import assert_close, normal, standard_error

from scorelab.claims import CORRECTED, FAILS, HOLDS, Budget, judge
from scorelab.claims.registry import every_claim
from scorelab.studies.learning import theory as learning
from scorelab.studies.learning.claims import em, power_iteration
from scorelab.studies.two_stage import train
from scorelab.studies.two_stage.analyse import floor
from scorelab.studies.two_stage.claims import high_noise, low_noise
from scorelab.studies.two_stage.losses import loss_of
from scorelab.theory import two_modes
from scorelab.theory.student import student

CLAIMS = every_claim()
STAR, MU = torch.tensor([1.3, 0.4], dtype=torch.float64), torch.tensor([0.2, -0.9], dtype=torch.float64)


def verdict(name):
    return judge(CLAIMS[name].measure(Budget(quick=True, seed=0, claim=name)))


def times(factor, of):
    return lambda *given, **named: factor * of(*given, **named)


# Mutations: a formula with a sign or a factor 2 wrong, or the misprint put right. -------------------------------------


@pytest.mark.parametrize(
    ("name", "formula", "put", "expected"),
    [
        ("S0-21", "printed_weight", lambda y, mu, t: torch.sigmoid(y @ mu / (t + 1)), FAILS),
        ("S0-21", "student", lambda y, mu, t: student(y, -mu, t) + 1e-6, FAILS),
        ("S0-21", "printed_first_line", lambda y, weight, mu, t: student(y, mu, t), HOLDS),
        ("S0-22", "right_gradient", times(2, high_noise.right_gradient), FAILS),
        ("S0-22", "high_noise_constants", lambda: (4.0, 2.0), FAILS),
        ("S0-22", "linear_loss", times(-1, high_noise.linear_loss), FAILS),
        ("S0-23", "right_eigenvalues", high_noise.printed_eigenvalues, FAILS),
        ("S0-24", "right_reduction", low_noise.printed_reduction, FAILS),
        ("S0-24", "localization_loss", times(2, two_modes.localization_loss), FAILS),
        ("S0-25", "floor", lambda study: (2 * floor(study)[0], floor(study)[1]), FAILS),
        ("S0-26", "loss_factor", lambda t: 2 * t * (t + 1), FAILS),
        ("S0-26", "ou_time", times(2, two_modes.ou_time), FAILS),
        ("S2-01", "printed_tanh_of_weights", lambda weights: weights[:, 0] - weights[:, 1], HOLDS),
        ("S2-01", "printed_two_mode_score", times(-1, power_iteration.printed_two_mode_score), FAILS),
        ("S2-02", "printed_cubic", lambda: -1 / 3, HOLDS),
        ("S2-02", "half_descent", times(2, two_modes.half_descent), FAILS),
        ("S2-03", "printed_direction", two_modes.power_direction, CORRECTED),
        ("S2-03", "half_descent", times(0.5, two_modes.half_descent), FAILS),
        ("S2-03", "power_direction", times(-1, two_modes.power_direction), FAILS),
        ("S2-03", "deviation_sharp", times(0.5, learning.deviation_sharp), FAILS),
        ("S2-04", "kappa_2", learning.printed_kappa_2, FAILS),
        ("S2-04", "kappa_1", times(0.5, learning.kappa_1), FAILS),
        ("S2-05", "printed_em_update", times(-1, em.printed_em_update), FAILS),
        ("S2-05", "em_update", lambda mu, star: two_modes.em_update(2 * mu, star), FAILS),
        ("S2-06", "printed_em_of_one", times(2, em.printed_em_of_one), FAILS),
        ("S2-07", "printed_g", times(2, em.printed_g), FAILS),
        ("S2-08", "printed_stein_first", times(-1, em.printed_stein_first), FAILS),
        ("S2-08", "printed_stein_second", times(2, em.printed_stein_second), FAILS),
    ],
)
def test_another_formula_has_another_verdict(name, formula, put, expected, monkeypatch):
    module = importlib.import_module(CLAIMS[name].measure.__module__)
    monkeypatch.setattr(module, formula, put)
    assert verdict(name) == expected


def test_a_descent_to_another_mean_fails(monkeypatch):
    """S0-25 with losses whose minimum is at 2 mu*."""

    def mutated(study, plan, star, *data):
        return loss_of(study, plan, 2 * star, *data)

    monkeypatch.setattr(train, "loss_of", mutated)
    assert verdict("S0-25") == FAILS


def test_g_with_a_sign_wrong_is_not_zero_at_the_truth(monkeypatch):
    """The term with tanh'' the other way round: G(mu, mu) is not 0, and |G|/|mu - mu*| has no bound there."""

    def mutated(a, b):
        """G + E[tanh'' a^2 x], tanh'' = -2 tanh sech^2."""

        def bend(x):
            tanh = torch.tanh(a.unsqueeze(-1) * x)
            return -2 * tanh * (1 - tanh**2) * a.unsqueeze(-1) ** 2 * x

        return right(a, b) + em.normal_mean(bend, b)

    right = em.printed_g
    monkeypatch.setattr(em, "printed_g", mutated)
    assert verdict("S2-06") == FAILS


def test_with_both_slips_put_right_the_angle_contracts_but_not_with_equality(monkeypatch):
    """S2-04 is printed as an equality: right kappas do not make it one."""
    monkeypatch.setattr(power_iteration, "printed_kappa_1", learning.kappa_1)
    monkeypatch.setattr(power_iteration, "printed_kappa_2", learning.kappa_2)
    evidence = CLAIMS["S2-04"].measure(Budget(quick=True, seed=0, claim="S2-04"))
    assert [each.outcome for each in evidence.stated] == [False, True, True]


def test_the_constant_of_lemma_c8_is_not_a_tenth_shorter(monkeypatch):
    monkeypatch.setattr(em, "CONSTANT", 0.9 * em.CONSTANT)
    assert verdict("S2-07") == FAILS


# The plane. ----------------------------------------------------------------------------------------------------------


def test_clocks_are_inverse_to_each_other():
    for t in (1e-3, 0.1, 5.0, 1e3):
        assert two_modes.localization_time(two_modes.ou_time(t)) == pytest.approx(t, rel=1e-12)
        assert math.exp(-2 * two_modes.ou_time(t)) == pytest.approx(t / (t + 1), rel=1e-12)


def dense_plane(center):
    line = torch.arange(-9.5, 9.51, 0.1, dtype=torch.float64)
    nodes = torch.cartesian_prod(line, line)
    weights = torch.exp(-0.5 * nodes.square().sum(-1))
    return center + nodes, weights / weights.sum()


@pytest.mark.parametrize("s", [0.05, 0.7, 2.0])
def test_population_gradient_is_autograd_of_a_dense_sum(s):
    """Of E|s(x) + Z/beta|^2 given x and its mode: Z/beta has the mean x - e^-s mu*, and what is left is constant."""
    scale = math.exp(-s)
    x, weights = dense_plane(scale * STAR)

    def loss(mu):
        residual = torch.tanh(scale * x @ mu).unsqueeze(-1) * scale * mu - x + (x - scale * STAR)
        return weights @ residual.square().sum(-1)

    free = MU.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(free), free)
    assert_close(two_modes.population_loss(MU, STAR, s), loss(MU) - loss(0 * MU), rtol=1e-12, atol=1e-13)
    assert_close(two_modes.population_gradient(MU, STAR, s), gradient, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("t", [0.1, 5.0])
def test_localization_is_ddpm_over_t_times_t_plus_1(t):
    loss = low_noise.full_loss(MU, STAR, t) - low_noise.full_loss(0 * MU, STAR, t)
    assert_close(two_modes.localization_loss(MU, STAR, t), loss, rtol=1e-11, atol=1e-13)
    gradient = t * (t + 1) * two_modes.localization_gradient(MU, STAR, t)
    assert_close(gradient, two_modes.population_gradient(MU, STAR, two_modes.ou_time(t)), rtol=1e-13)


def test_em_and_what_is_beyond_it_are_dense_sums_and_make_the_gradient():
    x, weights = dense_plane(STAR)
    T = torch.tanh(x @ MU).unsqueeze(-1)
    S, w, q = 1 - T**2, (x @ MU).unsqueeze(-1), MU.square().sum()
    assert_close(two_modes.em_update(MU, STAR), weights @ (T * x), rtol=1e-12, atol=1e-13)
    beyond = weights @ (T * S * q * x + S * w * x - S * MU)
    assert_close(two_modes.beyond_em(MU, STAR), beyond, rtol=1e-12, atol=1e-13)
    expected = two_modes.em_update(MU, STAR) - MU + beyond
    assert_close(two_modes.half_descent(MU, STAR), expected, rtol=1e-12, atol=1e-13)
    assert_close(two_modes.population_gradient(MU, STAR), -2 * expected, rtol=1e-12, atol=1e-13)
    expected = 0.7 * MU + 0.3 * two_modes.em_update(MU, STAR)
    assert_close(two_modes.gradient_em_step(MU, STAR, 0.3), expected, rtol=1e-13)


def test_gradient_of_simulated_states_in_five_dimensions():
    """Autograd of the printed DDPM loss over draws, with antithetic noise, within four standard errors."""
    s, count, star, mu = 0.4, 40_000, torch.linspace(-0.8, 1.0, 5, dtype=torch.float64), normal(5, seed=5)
    scale, beta = math.exp(-s), math.sqrt(-math.expm1(-2 * s))
    x0, Z = star + normal(count, 5, seed=6), normal(count, 5, seed=7)
    x0, Z = torch.cat([x0, x0]), torch.cat([Z, -Z])
    x = scale * x0 + beta * Z

    free = mu.clone().requires_grad_()
    b = scale * free
    T = torch.tanh(x @ b)
    residual = T.unsqueeze(-1) * b - x + Z / beta
    (autograd,) = torch.autograd.grad(residual.square().sum(-1).mean(), free, retain_graph=True)
    # of a draw: 2 (T residual + sech^2 <residual, b> x) scale
    draws = 2 * scale * (T.unsqueeze(-1) * residual + ((1 - T**2) * (residual @ b)).unsqueeze(-1) * x).detach()
    pairs = 0.5 * (draws[:count] + draws[count:])
    assert_close(pairs.mean(0), autograd, rtol=1e-9)
    found = two_modes.population_gradient(mu, star, s)
    for axis in range(5):
        error = standard_error(pairs[:, axis])
        assert error < 0.1 * float(found.abs().max())
        assert abs(float(pairs[:, axis].mean() - found[axis])) < 4 * error


@pytest.mark.parametrize("of", ["half_descent", "em_update", "beyond_em", "power_direction", "population_gradient"])
def test_vectors_turn_with_the_axes_and_stay_in_the_plane(of):
    function, mu, star = getattr(two_modes, of), normal(3, 6, seed=1), normal(6, seed=2)
    turn = torch.linalg.qr(normal(6, 6, seed=3)).Q
    assert_close(function(mu @ turn.T, star @ turn.T), function(mu, star) @ turn.T, rtol=1e-12, atol=1e-13)
    length, size = mu.norm(dim=-1), star.norm()
    flat, flat_star = two_modes.plane(length, size, torch.acos(mu @ star / (length * size)))
    assert_close(function(flat, flat_star).norm(dim=-1), function(mu, star).norm(dim=-1), rtol=1e-10)
    assert_close(function(-mu, star), -function(mu, star), rtol=1e-12, atol=1e-14)


def test_scalars_do_not_turn():
    mu, star = normal(3, 6, seed=1), normal(6, seed=2)
    turn = torch.linalg.qr(normal(6, 6, seed=3)).Q
    for of in (two_modes.population_loss, two_modes.tangent):
        assert_close(of(mu @ turn.T, star @ turn.T), of(mu, star), rtol=1e-12, atol=1e-13)


def test_one_mu_and_many_give_the_same():
    mu, star = normal(3, 4, seed=1), normal(4, seed=2)
    for of in (two_modes.half_descent, two_modes.em_update, two_modes.population_loss, two_modes.tangent):
        assert_close(torch.stack([of(each, star) for each in mu]), of(mu, star), rtol=1e-13, atol=1e-14)


def test_power_iteration_is_the_leading_order_and_its_matrix():
    mu, star = normal(4, 5, seed=1), normal(5, seed=2)
    step, rate = two_modes.power_iteration_step(mu, star, 0.1), 0.1
    for before, after in zip(mu, step, strict=True):
        matrix = (1 - 2 * rate * before @ before) * torch.eye(5, dtype=torch.float64) + 2 * rate * torch.outer(
            star, star
        )
        assert_close(after, matrix @ before, rtol=1e-12, atol=1e-14)
    small = 1e-3
    leading = two_modes.power_direction(small * mu, small * star)
    assert_close(
        two_modes.half_descent(small * mu, small * star), leading, rtol=1e-3, atol=1e-3 * float(leading.abs().max())
    )


def test_fifth_order_terms_of_the_gradient():
    """-grad L/2 less power iteration is -3pq mu* - 3p^2 mu - 4/3 p^3 mu* + 6 q^2 mu, p = <mu,mu*>, q = |mu|^2."""
    mu, star = 1e-2 * normal(4, 5, seed=1), 1e-2 * normal(5, seed=2)
    p, q = (mu @ star).unsqueeze(-1), mu.square().sum(-1, keepdim=True)
    expected = -(3 * p * q + 4 / 3 * p**3) * star + (6 * q**2 - 3 * p**2) * mu
    found = two_modes.half_descent(mu, star) - two_modes.power_direction(mu, star)
    assert_close(found, expected, rtol=0, atol=0.01 * float(expected.abs().max()))


def test_an_elementary_bound_of_the_deviation():
    """13 |mu|^3 |mu*|^2 + 10 |mu|^5 for |mu| <= 1/2, |mu*| <= sqrt(3), which has a proof."""
    length, size = (
        torch.logspace(-2.5, math.log10(0.5), 20).double(),
        torch.logspace(-2, math.log10(3) / 2, 20).double(),
    )
    grid = torch.meshgrid(length, size, torch.linspace(0, math.pi / 2, 7).double(), indexing="ij")
    mu, star = two_modes.plane(*grid)
    found = (two_modes.half_descent(mu, star) - two_modes.power_direction(mu, star)).norm(dim=-1)
    assert bool((found <= 13 * grid[0] ** 3 * grid[1] ** 2 + 10 * grid[0] ** 5).all())


def test_stationary_points_are_on_the_axis():
    """The component along mu* has the sign of <mu,mu*>, and where that is 0 mu shrinks: for the gradient and for EM."""
    mu = normal(200, 2, seed=1) * torch.logspace(-2, 1, 200).double().unsqueeze(-1)
    star = torch.tensor([1.0, 0.0], dtype=torch.float64)
    flat = mu.clone()
    flat[:, 0] = 0
    for of in (two_modes.half_descent, lambda at, star: two_modes.em_update(at, star) - at):
        assert bool(((of(flat, star) * flat).sum(-1) < 0).all())
    e = two_modes.moments(mu, star)
    q = mu.square().sum(-1)
    assert bool((torch.sign(e.T) == torch.sign(mu[:, 0])).all())
    assert bool((torch.sign(e.T + q * e.TS + e.wS) == torch.sign(mu[:, 0])).all())


def test_across_the_axis_em_is_slow():
    """|mu| falls like 1/sqrt(2 steps) where <mu,mu*> = 0."""
    mu, star = torch.tensor([[0.0, 0.02], [1.0, 0.0]], dtype=torch.float64)
    for _ in range(1000):
        mu = two_modes.em_update(mu, star) * torch.tensor([0.0, 1.0], dtype=torch.float64)  # rounding would grow
    assert float(mu.norm()) == pytest.approx((2 * 1000 + 0.02**-2) ** -0.5, rel=0.01)


def test_along_the_axis_em_over_the_length_decreases():
    length = torch.logspace(-2, 1, 200).double()
    for size in (0.3, 1.0, 3.0):
        mu, star = two_modes.plane(length, size, 0.0)
        assert bool((two_modes.em_update(mu, star)[:, 0] / length).diff().lt(0).all())


def test_loss_without_its_noise_lacks_a_term_of_its_own_size():
    """At large t the loss, less t n/(t+1)^2, is that without noise and 2 |mu|^2 E sech^2 <X,mu>/(t+1)^2."""
    t = 1e4
    whole = low_noise.full_loss(MU, STAR, t) - 2 * t / (t + 1) ** 2
    e = two_modes.moments(MU, STAR)
    missing = (t + 1) ** 2 * (whole - low_noise.noise_free_loss(MU, STAR, t))
    assert missing == pytest.approx(2 * float(MU.square().sum() * e.S), rel=1e-3)


def test_loss_of_the_whole_at_low_noise():
    """(t+1)^2 L = E|X|^2 + t n - 2 E<X,mu> tanh w + |mu|^2 E tanh^2 w + 2 t/(t+1) |mu|^2 E sech^2 w."""
    t = 3.0
    sin, n = math.sqrt(t / (t + 1)), 2
    e = two_modes.moments(sin * MU, sin * STAR)
    q, cos2 = MU.square().sum(), 1 / (t + 1)
    # given x and the mode, <X,mu> has the mean w + cos^2 <mu,mu*>
    cross = e.wT + cos2 * (MU @ STAR) * e.T
    inside = STAR.square().sum() + n + t * n - 2 * cross + q * (1 - e.S) + 2 * t / (t + 1) * q * e.S
    assert low_noise.full_loss(MU, STAR, t) == pytest.approx(float(inside) / (t + 1) ** 2, rel=1e-12)


def test_slope_of_g_is_its_derivative():
    a, b = torch.tensor([0.5, 1.0, 3.0, 6.0]).double(), torch.tensor([1.0, 2.0, 2.5, 5.0]).double()

    def g(mu, star):
        return two_modes.beyond_em(mu.unsqueeze(-1), star.unsqueeze(-1)).squeeze(-1)

    numeric = (g(a, b + 1e-5) - g(a, b - 1e-5)) / 2e-5
    assert_close(two_modes.beyond_em_slope(a, b), numeric, rtol=1e-6, atol=1e-9)
    assert_close(em.printed_g(a, b), g(a, b), rtol=1e-10, atol=1e-13)


def test_kappas_are_those_of_power_iteration_without_bound_and_error():
    """kappa_1 allows half of the contraction that the power iteration has."""
    length, size, rate = 1e-4, 1.0, 0.01
    found = learning.kappa_1(length, size, rate, 2)
    assert found == pytest.approx(1 / (1 + rate), rel=1e-6)
    assert learning.printed_kappa_1(length, size, rate, 2) == pytest.approx(found, rel=1e-6)
    assert learning.printed_kappa_2(length, size, rate, 2, 0.1) == pytest.approx(
        rate * learning.kappa_2(length, size, rate, 2, 0.1)
    )
    assert learning.kappa_2(length, size, rate, 2, 0.1) == pytest.approx(0.1, rel=1e-5)
