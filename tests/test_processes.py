"""Observation processes: their posteriors, their steps and their laws, each against an independent computation."""

import itertools
import math

import numpy
import pytest
import torch
from helpers import assert_close, job, normal, over, product_grid, refused, seeded
from scipy import stats

from scorelab.errors import ConfigError, ScorelabError
from scorelab.nodes import component
from scorelab.processes import Exact, Learned, draw_samples
from scorelab.processes.base import Posterior
from scorelab.processes.poisson import poisson_quantile
from scorelab.processes.transforms import rows_and_levels
from scorelab.samplers import EulerMaruyama
from scorelab.samplers.loop import draw_samples as draw_isotropic
from scorelab.studies.processes.measurements import localization
from scorelab.targets import AnisotropicMixture, GammaMixture, GaussianMixture, Ising, Target

SPINS = Ising([[0.0, 1.0, -0.6, 0.2], [1.0, 0.0, 0.4, 0.0], [-0.6, 0.4, 0.0, 1.1], [0.2, 0.0, 1.1, 0.0]], 1.0, 0.2)
GAMMAS = GammaMixture([0.6, 0.4], [[2.0, 5.0], [6.0, 1.0]], [2.0, 2.0])
STATES, LOG_WEIGHTS = SPINS.states()
WEIGHTS = torch.softmax(LOG_WEIGHTS, 0)

TIMED = {"alpha_max": 1.5, "grid": "angle"}
CLASSES = {
    "Isotropic": TIMED,
    "Anisotropic": TIMED | {"axes": "coordinates", "path": "in_order", "powers": [1.0, 1.0], "overlap": 0.5},
    "Linear": TIMED | {"transform": "haar", "coarse_gain": 2.0},
    "Erasure": {"order": "random", "leap": False},
    "BinarySymmetric": {"leap": False, "first": 0.02, "last": 1e-3},
    "Poisson": TIMED | {"leap": False, "alpha_max": 1.2},
    "HalfSpace": {"count": 40, "level_std": 1.0},
}


def made(name, target, **changed):
    """A process on a target, built as a configuration builds it."""
    node = {"_target_": f"scorelab.processes.{name}", **CLASSES[name], **changed}
    return component("process", node).build(n=target.n, target=target, generator=seeded(3))


def correlated_mixture(n=2):
    roots = normal(3, n, n, seed=0)
    return AnisotropicMixture([0.5, 0.3, 0.2], 1.5 * normal(3, n, seed=1), roots @ roots.mT + 0.1 * torch.eye(n))


def samples(process, posterior, count, steps, seed=0, **more):
    return torch.cat(list(draw_samples(process, posterior, count, steps, seed, **more)))


def noise_of(count, draws, seed=0):
    source = seeded(seed)
    return lambda: torch.randn(count, draws, generator=source, dtype=torch.float64)


# The isotropic process, and processes that are the same. ------------------------------------------------------------


def test_the_isotropic_process_is_euler_maruyama_bit_for_bit():
    target = GaussianMixture.two_modes(n=4)
    process = made("Isotropic", target)
    angles, posterior = process.angles(12), Exact(process, target)
    rule = job(EulerMaruyama(), count=300, output="posterior_mean")
    start = type("Start", (), {"start_std": 1.0})
    network = type("Network", (), {"for_samples": lambda self, *_: target.posterior_mean})()
    theirs = torch.cat(list(draw_isotropic(rule, start, network, (4,), 7, angles=angles)))
    assert torch.equal(samples(process, posterior, 300, 12, seed=7), theirs)


@over(
    ("name", "options"),
    [
        ("Anisotropic", {"path": "powers"}),
        ("Anisotropic", {"path": "powers", "axes": "dct"}),
        ("Anisotropic", {"path": "powers", "axes": "principal"}),
        ("Linear", {"coarse_gain": 1.0}),
        ("Linear", {"coarse_gain": 1.0, "transform": "dct"}),
    ],
)
def test_equal_ratios_along_any_axes_are_the_isotropic_process(name, options):
    target = correlated_mixture(4)
    isotropic, other = made("Isotropic", target), made(name, target, **options)
    state, noise = normal(50, 4, seed=2), normal(50, 4, seed=3)
    one = isotropic.step(Exact(isotropic, target), state.clone(), 0.5, 0.8, lambda: noise, None).x
    turned = other.step(Exact(other, target), state @ other.rows.T, 0.5, 0.8, lambda: noise @ other.rows.T, None).x
    assert_close(turned @ other.rows, one, rtol=1e-11, atol=1e-12)
    assert_close(other.rows @ other.rows.T, torch.eye(4).double(), rtol=0, atol=1e-14)


# Posteriors against Bayes' rule. ------------------------------------------------------------------------------------

GAUSSIAN = [
    ("Anisotropic", {}),
    ("Anisotropic", {"path": "powers", "powers": [0.5, 2.0], "axes": "principal"}),
    ("Linear", {}),
    ("Linear", {"transform": "pooling"}),
]


@over(("name", "options"), GAUSSIAN)
def test_a_gaussian_posterior_is_bayes_rule_on_a_grid(name, options):
    target = correlated_mixture()
    process = made(name, target, alpha_max=1.2, **options)
    points, _ = product_grid([-14, -14], [14, 14], 0.08)
    points = torch.from_numpy(points)
    clean = target.sample(4, seeded(4), torch.float64)
    for angle in (0.3, 0.7, torch.tensor([0.0, 0.4, 0.6, 0.8]).double()):
        state = process.observe(clean, angle, seeded(5))
        ratios = process.ratios(angle).expand(state.shape).unsqueeze(1)  # z_j = sin_j <w_j, x> + cos_j G_j
        seen = points @ process.rows.T * (ratios / (1 + ratios)).sqrt()
        logs = target.log_prob(points) - 0.5 * ((state.unsqueeze(1) - seen).square() * (1 + ratios)).sum(2)
        mass = torch.softmax(logs, 1)
        assert_close(process.posterior_mean(target, state, angle), mass @ points, rtol=1e-8, atol=1e-8, case=angle)


@over(("name", "options"), [*GAUSSIAN, ("Erasure", {}), ("BinarySymmetric", {}), ("HalfSpace", {}), ("Isotropic", {})])
def test_the_posterior_of_spins_is_bayes_rule_over_all_states(name, options):
    process = made(name, SPINS, **options)
    angles = torch.tensor([0.0, 0.5, 0.9, 1.3]).double()
    clean = STATES[[3, 5, 12, 9]]
    state = process.observe(clean, angles, seeded(6))
    if name == "Erasure":
        likelihood = ((state[:, None, 0] == STATES) | (state[:, None, 1] == 0)).all(2).double().log()
        assert state[:, 1].sum(1).tolist() == [0, 1, 2, 3]
    elif name == "BinarySymmetric":
        likelihood = torch.log(0.5 * (1 + torch.sin(angles)[:, None, None] * STATES * state.unsqueeze(1))).sum(2)
    elif name == "HalfSpace":
        above = torch.where(process.levels < STATES @ process.normals.T, 1.0, -1.0)
        likelihood = ((state.unsqueeze(1) == above) | (state.unsqueeze(1) == 0)).all(2).double().log()
    else:
        ratios = process.ratios(angles).unsqueeze(1)
        seen = STATES @ process.rows.T * (ratios / (1 + ratios)).sqrt()
        likelihood = -0.5 * ((state.unsqueeze(1) - seen).square() * (1 + ratios)).sum(2)
    expected = torch.softmax(LOG_WEIGHTS + likelihood, 1) @ STATES
    assert_close(process.posterior_mean(SPINS, state, angles), expected, rtol=1e-9, atol=1e-9)
    for row, angle in enumerate(angles.tolist()):  # one angle for all samples gives the same
        one = process.posterior_mean(SPINS, state[row : row + 1], angle)
        assert_close(one, expected[row : row + 1], rtol=1e-9, atol=1e-9)


def test_a_target_that_only_lists_its_states_has_all_posteriors_of_its_states():
    class Listed(Target):
        n, spins = 4, True

        def states(self):
            return STATES, LOG_WEIGHTS

        def sample(self, count, generator, dtype=torch.float32):
            raise NotImplementedError

    listed, linear = Listed(), normal(6, 4, seed=7)
    precision = rows_and_levels("pooling", 4)[0]
    precision = precision.T @ precision
    assert listed.can("tilted_mean", "conditionals")
    assert listed.lacks("posterior_mean")
    assert_close(listed.tilted_mean(linear), SPINS.tilted_mean(linear), rtol=1e-11)
    both = listed.tilted_mean(linear, precision), SPINS.sums.tilted(precision).means(linear)
    assert_close(*both, rtol=1e-10)
    known = normal(6, 4, seed=8) > 0
    assert_close(listed.conditional_mean(STATES[:6], known), SPINS.conditional_mean(STATES[:6], known), rtol=1e-11)
    assert "of no state" in refused(ScorelabError, listed.conditional_mean, 2 * STATES[:6], known | True)


@over("target", [correlated_mixture(3), GaussianMixture([0.4, 0.6], normal(2, 3, seed=9), [0.5, 1.2])])
def test_conditional_laws_of_a_mixture_are_the_limit_of_sharp_tilts_and_are_drawn(target):
    values = normal(4, 3, seed=10)
    known = torch.tensor([[1, 0, 1], [0, 0, 0], [0, 1, 0], [1, 1, 1]])
    sharp = 1e8 * torch.diag_embed(known.double())
    expected = target.tilted_mean((sharp @ values.unsqueeze(2)).squeeze(2), sharp)
    assert_close(target.conditional_mean(values, known), expected, rtol=1e-6, atol=1e-6)
    many, mask = values[2:3].expand(20_000, 3), known[2:3].expand(20_000, 3)
    drawn = target.conditional_draw(many, mask, noise_of(20_000, 3))
    assert torch.equal(drawn[:, 1], many[:, 1])
    # the density of (x_1, x_0), up to a constant, from that of the mixture by summing over x_2
    grid = torch.linspace(-12, 12, 801).double()
    points = torch.cartesian_prod(grid, values[2, 1:2], grid)
    mass = target.log_prob(points).exp().reshape(801, 801).sum(1)
    cdf = (mass.cumsum(0) / mass.sum()).numpy()
    assert stats.kstest(drawn[:, 0].numpy(), lambda x: numpy.interp(x, grid.numpy(), cdf)).pvalue > 1e-4


# Steps. -------------------------------------------------------------------------------------------------------------


@over(("name", "options"), [("Erasure", {"order": "in_order"}), ("HalfSpace", {})])
def test_posterior_means_are_a_martingale_over_the_next_observation(name, options):
    process = made(name, SPINS, **options)
    width = math.pi / 2 / (4 if name == "Erasure" else 40)
    state = process.observe(STATES, 2 * width, seeded(0))
    now = process.posterior_mean(SPINS, state, 2 * width)
    mean = torch.zeros_like(now)
    for value in (1.0, -1.0):
        after = state.clone()
        if name == "Erasure":
            after[:, 0, 2], after[:, 1, 2] = value, 1
            chance = 0.5 * (1 + value * now[:, 2])
        else:
            after[:, 2] = value
            weights = process.weights(SPINS, state)
            chance = weights @ (process.sides(STATES)[:, 2] == value).double()
        certain = chance < 1e-12  # no state lies there
        after[certain] = state[certain]
        mean += chance.unsqueeze(1) * process.posterior_mean(SPINS, after, 3 * width)
    assert_close(mean, now, rtol=0, atol=1e-12)


def test_the_flips_of_the_binary_symmetric_channel_move_the_law_of_its_states():
    """dp_s(y)/d log s = sum_i rate_i(y flipped at i) p_s(y flipped) - rate_i(y) p_s(y), the forward equation."""
    process = made("BinarySymmetric", SPINS)
    log_s = torch.tensor(math.log(0.7), dtype=torch.float64, requires_grad=True)

    def law(log_s):
        return (0.5 * (1 + log_s.exp() * STATES.unsqueeze(1) * STATES)).prod(2) @ WEIGHTS

    change = torch.autograd.functional.jacobian(law, log_s)
    s = float(log_s.detach().exp())
    agree = process._agreement(Exact(process, SPINS), STATES, math.asin(s))
    rates = 0.5 * (agree * (1 - s) / (1 + s) + (1 - agree) * (1 + s) / (1 - s))
    flow = rates * law(log_s.detach()).unsqueeze(1)
    place = {tuple(state): k for k, state in enumerate(STATES.tolist())}
    expected = -flow.sum(1)
    for k, i in itertools.product(range(16), range(4)):
        flipped = STATES[k].clone()
        flipped[i] *= -1
        expected[place[tuple(flipped.tolist())]] += flow[k, i]
    assert_close(change, expected, rtol=1e-12, atol=1e-14)


def test_the_jumps_of_the_poisson_process_move_the_law_of_its_counts():
    """dp_t(y)/dt = sum_i m_i(y - e_i) p_t(y - e_i) - m_i(y) p_t(y), with p_t from negative binomials."""

    def law(time, y):
        chance = (GAMMAS.beta / (GAMMAS.beta + time)).reshape(-1, 1)
        logs = stats.nbinom.logpmf(y.unsqueeze(1).numpy(), GAMMAS.alpha.numpy(), chance.numpy()).sum(2)
        return torch.from_numpy(numpy.exp(logs)) @ GAMMAS.mode_weights

    y, time, h = torch.tensor([[3.0, 2.0], [0.0, 1.0], [5.0, 0.0]]).double(), 0.8, 1e-4
    change = (8 * (law(time + h, y) - law(time - h, y)) - law(time + 2 * h, y) + law(time - 2 * h, y)) / (12 * h)
    expected = -GAMMAS.count_mean(y, time).sum(1) * law(time, y)
    for i in range(2):
        before = y - torch.eye(2, dtype=torch.float64)[i]
        possible = (before >= 0).all(1)
        rate = GAMMAS.count_mean(before.clamp_min(0), time)[:, i]
        expected += torch.where(possible, rate * law(time, before.clamp_min(0)), 0.0)
    assert_close(change, expected, rtol=1e-9)
    chance = torch.tensor([1e-6, 0.3, 0.5, 0.999, 0.2]).double()
    mean = torch.tensor([0.5, 0.0, 3.0, 40.0, 1e-5]).double()
    assert_close(poisson_quantile(chance, mean), stats.poisson.ppf(chance, mean).clip(0), rtol=0)


# The law of the samples. --------------------------------------------------------------------------------------------

EXACT_PATHS = [
    ("Erasure", {}, 1),
    ("Erasure", {"order": "in_order"}, 1),
    ("BinarySymmetric", {}, 12),
    ("HalfSpace", {}, 1),
]
REFINED = [
    ("Isotropic", {}, 100),
    ("Anisotropic", {"overlap": 0.8}, 150),
    ("Anisotropic", {"path": "powers", "powers": [0.7, 1.5]}, 100),
    ("Linear", {"transform": "pooling", "coarse_gain": 1.2}, 150),
    ("BinarySymmetric", {"leap": True}, 80),
]


@over(("name", "options", "steps"), EXACT_PATHS + REFINED)
def test_samples_have_the_law_of_the_spins(name, options, steps):
    process, count = made(name, SPINS, **options), 3000
    drawn = samples(process, Exact(process, SPINS), count, steps)
    nearest = (drawn.double() @ STATES.T).argmax(1)
    observed = torch.bincount(nearest, minlength=16).numpy()
    assert stats.chisquare(observed, count * WEIGHTS.numpy()).pvalue > 1e-4


@over(
    ("name", "options", "target"),
    [
        ("Erasure", {}, correlated_mixture(3)),
        ("Poisson", {}, GAMMAS),
        ("Poisson", {"leap": True}, GAMMAS),
        ("Anisotropic", {"overlap": 0.8}, correlated_mixture(2)),
    ],
)
def test_samples_have_the_law_of_exact_outputs(name, options, target):
    """Every coordinate and the sum, beside the outputs of exact last states; the process may end early."""
    process, count = made(name, target, **options), 2000
    posterior = Exact(process, target)
    drawn = samples(process, posterior, count, 200 if process.refines else 4, dtype=torch.float64)
    end = float(process.end_angle)
    state = process.observe(target.sample(count, seeded(1), torch.float64), end, seeded(2))
    exact = process.output(posterior, state, end, noise_of(count, process.draws))
    for direction in torch.cat([torch.eye(target.n), torch.ones(1, target.n)]).double():
        assert stats.ks_2samp((drawn @ direction).numpy(), (exact @ direction).numpy()).pvalue > 1e-4


def test_a_leap_of_the_erasure_process_draws_coordinates_independently():
    process = made("Erasure", SPINS, order="in_order", leap=True)
    drawn = samples(process, Exact(process, SPINS), 4000, 1)
    mean = WEIGHTS @ STATES
    expected = (0.5 * (1 + STATES * mean)).prod(1)
    observed = torch.bincount((drawn.double() @ STATES.T).argmax(1), minlength=16).numpy()
    assert stats.chisquare(observed, 4000 * expected.numpy()).pvalue > 1e-4
    assert stats.chisquare(observed, 4000 * WEIGHTS.numpy()).pvalue < 1e-12


def test_a_sample_depends_neither_on_the_batch_nor_on_the_count():
    for name, options, steps in (*EXACT_PATHS, ("BinarySymmetric", {"leap": True}, 5), ("Isotropic", {}, 5)):
        process = made(name, SPINS, **options)
        whole = samples(process, Exact(process, SPINS), 600, steps, dtype=torch.float64)
        parts = samples(process, Exact(process, SPINS), 600, steps, dtype=torch.float64, batch_size=256)
        some = samples(process, Exact(process, SPINS), 300, steps, dtype=torch.float64)
        assert_close(parts, whole, rtol=1e-9, atol=1e-9, case=name)
        assert_close(some, whole[:300], rtol=1e-9, atol=1e-9, case=name)


@over(
    ("name", "target"),
    [
        *((name, SPINS) for name in CLASSES if name != "Poisson"),
        ("Poisson", GAMMAS),
        ("Erasure", correlated_mixture(3)),
    ],
)
def test_the_posterior_is_a_martingale_that_localizes(name, target):
    process = made(name, target)
    angles = [share * float(process.end_angle) for share in (0, 0.2, 0.4, 0.6, 0.8, 1)]
    found = localization(process, target, angles, 3000, seeded(8))
    assert found["drift"].max() < 4.5
    assert found["risk"][0] == pytest.approx(1, abs=0.05)
    assert (numpy.diff(found["risk"]) < 3 * found["risk_standard_error"][1:] + 1e-3).all()
    assert found["risk"][-1] < (0.15 if name == "Poisson" else 0.02)
    assert process.posterior_mean(target, process.start(noise_of(5, process.draws)), 0.0).std(0).max() < 1e-6


# What is refused. ---------------------------------------------------------------------------------------------------


def test_a_process_on_a_target_without_its_posterior_is_one_line():
    mixture = GaussianMixture.two_modes(n=4)
    for name, target, why in (
        ("BinarySymmetric", mixture, "not spins"),
        ("Poisson", mixture, "given Poisson counts is not known"),
        ("HalfSpace", mixture, "no short list of states"),
        ("Isotropic", GAMMAS, "no exact posterior mean"),
        ("Erasure", GAMMAS, "conditional laws"),
        ("Linear", GAMMAS, "under a tilt is not known"),
    ):
        text = refused(ScorelabError, lambda name=name, target=target: Exact(made(name, target), target))
        assert why in text, name
        assert "\n" not in text, name
    images = type("Images", (GaussianMixture,), {})([1.0], [[0.0] * 4])
    images.shape = (2, 2)
    assert "a vector of 4 numbers is needed" in refused(ScorelabError, made("Isotropic", mixture).require, images)
    for name, target in (("Erasure", mixture), ("HalfSpace", SPINS)):
        text = refused(ScorelabError, lambda n=name, t=target: Learned(made(n, t), None, t))
        assert "cannot run with a learned posterior mean" in text


@over(
    ("name", "options", "message"),
    [
        ("Isotropic", {"alpha_max": 1.6}, "process.alpha_max = 1.6: allowed is a number > 0 and < 1.5708"),
        ("Isotropic", {"grid": "adaptive"}, "angle, log_snr and karras"),
        ("Anisotropic", {"overlap": 1.0}, "process.overlap = 1.0"),
        ("Anisotropic", {"powers": [1.0, 0.0]}, "process.powers"),
        ("Linear", {"coarse_gain": 0.5}, "process.coarse_gain = 0.5"),
        ("Linear", {"transform": "fourier"}, "'coordinates', 'haar', 'dct' or 'pooling'"),
        ("Linear", {"transform": "haar"}, "haar: n = 3: a power of 2 is needed"),
        ("Erasure", {"order": "backwards"}, "'in_order' or 'random'"),
        ("BinarySymmetric", {"first": 0.0}, "process.first = 0"),
        ("HalfSpace", {"count": 0}, "process.count = 0"),
    ],
)
def test_mistakes_in_a_process_are_one_line(name, options, message):
    text = refused(ConfigError, lambda: made(name, correlated_mixture(3), **options))
    assert message in text
    assert "\n" not in text


def test_rates_that_no_posterior_mean_has_are_refused():
    class Wrong(Posterior):
        def mean(self, state, angle):
            return -torch.ones_like(state) * 3

    for name, target, options in (
        ("Poisson", GAMMAS, {"leap": True}),
        ("Poisson", GAMMAS, {}),
        ("BinarySymmetric", SPINS, {"leap": True}),
    ):
        text = refused(ScorelabError, samples, made(name, target, **options), Wrong(), 10, 3)
        assert "a rate is -" in text, name
