"""The study of learning: its steps, its losses and floors, EM beside scikit-learn's, and what it reports."""

import json
import math

import numpy
import pandas
import pytest
import torch
from helpers import assert_close, copied, measure, normal, over, refused, seeded
from matplotlib.figure import Figure
from sklearn.mixture import GaussianMixture

import scorelab
from scorelab.claims import FAILS
from scorelab.claims.claim import UNDECIDED
from scorelab.errors import ConfigError, ScorelabError
from scorelab.studies import Learning, draw
from scorelab.studies.learning import regimes as regimes_module
from scorelab.studies.learning import theory as theory
from scorelab.studies.learning.claims import mixtures
from scorelab.studies.learning.k_modes import cold_start, descend, expectation_maximization, fitted_by_sklearn
from scorelab.studies.learning.regimes import regime_map, summary
from scorelab.studies.learning.theory import Level
from scorelab.studies.learning.two_modes import relative_errors
from scorelab.targets import GaussianMixture as Target
from scorelab.theory import two_modes
from scorelab.theory.descents import recorded_steps

QUICK = (
    "study=learning",
    "study.n=4",
    "study.samples=50",
    "study.starts=2",
    "study.levels.high.steps=12",
    "study.levels.low.steps=12",
    "study.regimes.points=9",
    "study.modes.n=4",
    "study.modes.K=3",
    "study.modes.samples=60",
    "study.modes.repeats=3",
    "study.modes.cold=4",
    "study.modes.steps=20",
    "study.modes.sizes=[60,240]",
    "study.modes.separations=[4,8]",
    "figures.dpi=50",
    "threads=1",
)
FIGURES = ("learning", "learning_regimes", "learning_modes")


# Two modes. ----------------------------------------------------------------------------------------------------------


@over("t", [0.01, 0.5, 5.0])
def test_the_steps_over_the_population_are_those_of_the_closed_forms(t):
    star, mu = normal(5, seed=1), normal(3, 5, seed=2)
    sin = theory.sin_cos_of(t)[0]
    level, b, c = Level.of_population(star, t), sin * mu, sin * star
    assert_close(level.half_descent(b), two_modes.half_descent(b, c), rtol=1e-11, atol=1e-13)
    assert_close(level.em(b), two_modes.em_update(b, c), rtol=1e-11, atol=1e-13)
    assert_close(level.power_direction(b), two_modes.power_direction(b, c), rtol=1e-11, atol=1e-13)
    half = -0.5 * two_modes.localization_gradient(mu, star, t)
    assert_close(level.localization_descent(mu, t), half, rtol=1e-11, atol=1e-13)


def test_over_samples_the_noise_is_averaged():
    """Each step against the mean over simulated states, within four standard errors."""
    t, clean, b = 1.5, normal(1, 6, 3, seed=1) + 1.0, 0.6 * normal(1, 3, seed=2)
    sin, cos = theory.sin_cos_of(t)
    level = Level.of_samples(clean, t)
    noise = normal(40_000, 6, 3, seed=3)
    x, one = sin * clean + cos * noise, b[0].clone().requires_grad_()
    losses = (torch.tanh(x @ one).unsqueeze(-1) * one - x + noise / cos).square().sum(-1).mean(1)
    descents = -0.5 * torch.stack(
        [torch.autograd.grad(each.mean(), one, retain_graph=True)[0] for each in losses.chunk(50)]
    )
    em = (torch.tanh(x @ b[0]).unsqueeze(-1) * x).mean(1)
    power = 2 * ((x @ b[0]).unsqueeze(-1) * x).mean(1) - 2 * b[0] - 2 * b[0].square().sum() * b[0]
    found = (level.half_descent(b), level.em(b), level.power_direction(b))
    for draws, exact in zip((descents, em, power), found, strict=True):
        error = draws.std(0) / math.sqrt(len(draws))
        assert float(((draws.mean(0) - exact[0]) / error).abs().max()) < 4.5


def test_both_objectives_have_one_path_at_rates_that_differ_by_t_plus_1_squared():
    t, rate, star = 2.0, 0.4, normal(4, seed=1)
    sin, level = theory.sin_cos_of(t)[0], Level.of_population(star, t)
    mu = 0.3 * normal(2, 4, seed=2)
    b = sin * mu
    for _ in range(10):
        b = b + rate * level.half_descent(b)
        mu = mu + rate * (t + 1) ** 2 * level.localization_descent(mu, t)
    assert_close(sin * mu, b, rtol=1e-11)


def test_at_high_noise_em_is_power_iteration_at_half_the_rate():
    mu, star = normal(4, seed=1), normal(4, seed=2)
    level = Level.of_population(star, 1e-6)
    b = 1e-3 * mu.unsqueeze(0)
    em, power = level.em(b) - b, level.power_direction(b)
    assert_close(2 * em, power, rtol=1e-4, atol=1e-12)


def test_the_relative_error_at_the_best_rate_is_that_of_the_best_multiple():
    exact, other = normal(5, seed=1), normal(5, seed=1) + 0.3 * normal(5, seed=2)
    multiples = torch.linspace(0, 3, 30_001, dtype=torch.float64).unsqueeze(1)
    least = ((multiples * other - exact).norm(dim=1) / exact.norm()).min()
    same, best = relative_errors(other, exact)
    assert float(same) == pytest.approx(float((other - exact).norm() / exact.norm()))
    assert float(best) == pytest.approx(float(least), rel=1e-6)
    assert relative_errors(-exact, exact)[1] == 1


# K modes. ------------------------------------------------------------------------------------------------------------


def test_the_simplex_has_equal_distances():
    centres = theory.simplex(4, 6, 5.0)
    distances = torch.cdist(centres, centres)
    assert_close(distances, 5 * (1 - torch.eye(4, dtype=torch.float64)), rtol=0, atol=1e-6)
    assert_close(centres.mean(0), torch.zeros(6, dtype=torch.float64), rtol=0, atol=1e-14)
    with pytest.raises(ConfigError, match="n >= K"):
        scorelab.run([*QUICK, "study.modes.n=2"])


def test_the_gradient_is_that_of_the_loss():
    x, means = normal(2, 30, 3, seed=1), normal(2, 4, 3, seed=2).requires_grad_()
    (expected,) = torch.autograd.grad(theory.stein_loss(x, means).sum(), means)
    assert_close(theory.stein_gradient(x, means.detach()), expected, rtol=1e-11, atol=1e-14)


def test_the_loss_is_that_of_ddpm_but_for_a_constant():
    """Differences between two sets of means, within four standard errors of the noise."""
    t, clean = 1.0, normal(5, 2, seed=1).repeat(100_000, 1)
    sin, cos = theory.sin_cos_of(t)
    noise = normal(*clean.shape, seed=2)
    x = sin * clean + cos * noise
    first, second = (normal(3, 2, seed=seed) for seed in (3, 4))

    def ddpm(means):
        score = theory.responsibilities(x, means) @ means - x
        return (score + noise / cos).square().sum(-1)

    draws = ddpm(first) - ddpm(second)
    gap = float(theory.stein_loss(x, first) - theory.stein_loss(x, second))
    assert abs(float(draws.mean()) - gap) < 4 * float(draws.std()) / math.sqrt(len(draws))


def test_the_responsibilities_are_those_of_the_target():
    means, x = normal(4, 3, seed=1), normal(20, 3, seed=2)
    target = Target([0.25] * 4, means)
    assert_close(theory.responsibilities(x, means), target.posterior_weights(x, math.pi / 2), rtol=1e-11)


def test_a_step_of_em_is_that_of_scikit_learn():
    """Responsibilities of a mixture with the same weights and unit covariances, then the weighted means."""
    x, means = normal(200, 3, seed=1), normal(4, 3, seed=2)
    mixture = GaussianMixture(4, covariance_type="spherical")
    mixture.weights_, mixture.means_ = numpy.full(4, 0.25), means.numpy()
    mixture.covariances_ = mixture.precisions_ = mixture.precisions_cholesky_ = numpy.ones(4)
    weights = mixture.predict_proba(x.numpy())
    assert_close(theory.responsibilities(x, means), torch.from_numpy(weights), rtol=1e-9)
    expected = weights.T @ x.numpy() / weights.sum(0)[:, None]
    assert_close(theory.em_step(x, means), torch.from_numpy(expected), rtol=1e-9)


def test_far_apart_a_step_of_descent_is_one_of_gradient_em():
    means = theory.simplex(3, 4, 30.0)
    x = theory.draw_mixture(means, 300, seeded(0), 1)[0]
    moved = means + 0.5
    weights = theory.responsibilities(x, moved)
    gradient_em = (weights.mT @ x - weights.sum(0).unsqueeze(1) * moved) / len(x)
    assert_close(-0.5 * theory.stein_gradient(x, moved), gradient_em, rtol=1e-9)


def test_descent_em_and_scikit_learn_end_near_the_means_and_cold_starts_are_samples():
    means = theory.simplex(3, 4, 6.0)
    clean = theory.draw_mixture(means, 600, seeded(0), 3)
    start = means + 0.5 * normal(3, 3, 4, seed=1)
    ends = [descend(clean, start, [0.3, 5.0], 0.8, 40, seeded(2))[40]]
    ends += [expectation_maximization(clean, start, 40)[40], fitted_by_sklearn(clean, start, 40)]
    for end in ends:
        distances = theory.matched_distances(end.flip(1), means)
        assert float(distances.square().mean().sqrt()) < 1.5 * theory.labelled_floor(3, 4, 600)
    cold = cold_start(clean, 3, seeded(3))
    assert float(torch.cdist(cold, clean).amin(-1).max()) < 1e-6


def test_matching_is_blind_to_order():
    means = normal(4, 3, seed=1)
    found = means[[2, 0, 3, 1]] + 1e-3
    assert_close(
        theory.matched_distances(found, means), torch.full((4,), 1e-3 * math.sqrt(3), dtype=torch.float64), rtol=1e-9
    )


def test_the_floors_agree_where_the_modes_are_far_apart():
    means = theory.simplex(3, 4, 20.0)
    found = theory.fisher_floor(means, 500, 200_000, seeded(0))
    assert found == pytest.approx(theory.labelled_floor(3, 4, 500), rel=0.01)
    assert theory.fisher_floor(theory.simplex(3, 4, 3.0), 500, 50_000, seeded(0)) > 1.1 * found


# The map. ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def regimes():
    from scorelab.studies.learning import Regimes

    return Regimes(norms=[10], times=[1e2, 1e-4], ratios=[0.1, 1.0], points=13, angle=1.0, tolerance=0.1)


def test_power_iteration_holds_at_high_noise_and_em_at_low_noise_far_apart(regimes):
    found = regime_map(regimes, 10.0)
    assert found["t"][0] == pytest.approx(1e-4)
    assert found["power"][0].max() < 0.15 < found["power"][-1].min()
    assert found["em"][-1, 1:].max() < 0.1 < found["em"][0].min()
    values = summary(regimes, found)
    assert values["power_up_to"] < values["em_from"]
    assert summary(regimes, regime_map(regimes, 0.5))["em_from"] is None


# The claim on mixtures. ----------------------------------------------------------------------------------------------

STUDENT, OBJECTIVE, POWER = mixtures.printed_student, mixtures.printed_objective, two_modes.power_direction


@pytest.mark.parametrize(
    ("module", "name", "other"),
    [
        (mixtures, "printed_student", lambda x, means: STUDENT(x, 2 * means)),
        (mixtures, "printed_student", lambda x, means: STUDENT(x, means) + 2 * x),
        (mixtures, "printed_objective", lambda means, clean, noise, s: OBJECTIVE(means, clean, -noise, s + 1)),
        (mixtures, "printed_objective", lambda *given: -OBJECTIVE(*given)),
        (regimes_module, "power_direction", lambda mu, star: 0.5 * POWER(mu, star)),
        (regimes_module, "em_update", lambda mu, star: 2 * star),
    ],
)
def test_another_formula_changes_the_verdict(module, name, other, monkeypatch):
    monkeypatch.setattr(module, name, other)
    assert measure("S1-06") in (FAILS, UNDECIDED)


# Runs. ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def result(run_once):
    return run_once(*QUICK)


def test_a_run_reports_descents_beside_power_iteration_and_em(result):
    found = result.metrics["learning"]
    low = found["levels"]["low"]["population"]
    assert low["ddpm"]["norm_ratio"] == pytest.approx(1, abs=1e-3)
    assert "norm_ratio" not in low["power"]
    missing = "learning.levels.low.population.power.norm_ratio"
    assert result.metrics["not_measured"][missing] == "the path has diverged"
    high = found["levels"]["high"]["population"]["ddpm"]
    assert high["power_error_start"] < 0.01
    assert high["em_error_start"] == pytest.approx(0.5, abs=0.01)
    assert high["bound_steps"] > 0
    assert high["bound_ratio"] < 1
    assert found["modes"]["warm"]["em"]["recovered"] == 1
    assert json.loads((result.directory / "status.json").read_text())["state"] == "done"


def test_tables_have_every_descent(result):
    table = pandas.read_csv(result.directory / "two_modes.csv")
    assert set(table["rule"]) == {"ddpm", "stochastic_localization", "power", "em"}
    assert table[table["rule"] == "ddpm"].groupby(["level", "loss_over", "start"])["step"].max().eq(12).all()
    table = pandas.read_csv(result.directory / "k_modes.csv")
    assert table.groupby("part")["repeat"].nunique().to_dict() == {"curve": 3, "separation": 4, "size": 3}
    assert len(pandas.read_csv(result.directory / "regimes.csv")) == 3 * 81
    assert recorded_steps(3, 80).tolist() == [0, 1, 2, 3]


def test_figures_are_written(result):
    for name in FIGURES:
        assert name in Learning.figures
        assert isinstance(draw(Learning, name, result.arrays[name]), Figure)
        assert (result.directory / "figures" / f"{name}.png").stat().st_size > 10_000


def test_analysing_again_may_change_the_map_and_nothing_that_was_descended(result, tmp_path, undrawn):
    copy = copied(result, tmp_path)
    again = scorelab.run([*QUICK, "stage=analyse", f"run={copy}", "study.regimes.angle=0.3"]).metrics["learning"]
    assert again["levels"] == result.metrics["learning"]["levels"]
    assert again["regimes"]["angle"] == 0.3
    with pytest.raises(ScorelabError, match="cannot change what was descended"):
        scorelab.run([*QUICK, "stage=analyse", f"run={copy}", "study.norm=2.0"])


@over(
    ("override", "message"),
    [
        ("study.objectives=[dppm]", "study.objectives"),
        ("study.levels.high.t=0", "study.levels.high.t = 0"),
        ("study.regimes.times=[1.0]", "study.regimes.times"),
        ("study.modes.warm=1.0", "study.modes.warm = 1"),
        ("study.modes.steps=3", "at least one for each of the 4 noise levels"),
        ("study.modes.sizes=[2]", "at least K = 3 are needed"),
        ("+study.modes.step=3", "step"),
    ],
)
def test_mistakes_are_refused(override, message):
    text = refused(ConfigError, scorelab.run, [*QUICK, override])
    assert "study" in text
    assert message in text
