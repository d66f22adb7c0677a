"""The study of two-stage recovery: its student, its losses by quadrature, its descents and what it reports."""

import json
import math

import pandas
import pytest
import torch
from helpers import assert_close, copied, normal, over, refused, seeded, standard_error
from matplotlib.figure import Figure
from torch.func import grad, vmap

import scorelab
from scorelab.errors import ConfigError, ScorelabError
from scorelab.nodes import component
from scorelab.studies import TwoStage, draw
from scorelab.studies.two_stage.losses import loss_of
from scorelab.targets import GaussianMixture
from scorelab.theory.student import expectations, high_noise_constants, student

QUICK = (
    "study=two_stage",
    "study.n=6",
    "study.constant=2.5",
    "study.initial_std=1.0",
    "study.stage1.lr=0.18",  # five times the study's own
    "study.stage1.steps=200",
    "study.stage2.lr=5.4",
    "study.stage2.steps=300",
    "figures.dpi=50",
    "threads=1",
)


def study_of(**changes):
    """A study of five dimensions; `t` is that of the second stage."""
    stage = {"lr": None, "steps": None}
    values = {"n": 5, "constant": 0.6, "samples": 7, "starts": 2, "initial_std": 1.0, "noise": "averaged"}
    values |= {"objective": "stochastic_localization", "protocol": "exact", "loss": "population"}
    later = changes.pop("t", 2.0)
    stages = {"stage1": stage | {"t": later / 10}, "stage2": stage | {"t": later}}
    return TwoStage(**(values | stages | changes))


def population(star, t, **changes):
    """The population loss of a second stage at time t."""
    study = study_of(n=len(star), t=t, **changes)
    return loss_of(study, study.plans[1], star)


def mixture(star):
    return GaussianMixture([0.5, 0.5], torch.stack([star, -star]))


# The student and its population loss. -------------------------------------------------------------------------------


@over("t", [0.1, 1.0, 5.0])
def test_the_student_is_the_posterior_mean_of_equal_modes(t):
    mu, x, angle = normal(5, seed=1), normal(40, 5, seed=2), math.atan(math.sqrt(t))
    y = math.sqrt(t * (t + 1)) * x
    assert_close(student(y, mu, t), mixture(mu).posterior_mean(x, angle), rtol=1e-12, atol=1e-12)


@over("divisor", [1.0, 2.0])
def test_no_other_constant_inside_tanh_gives_it(divisor):
    """Without the denominator, and with that of a line in the published code, 2(t+1), it does not."""
    mu, x, t = normal(5, seed=1), normal(40, 5, seed=2), 2.0
    y = math.sqrt(t * (t + 1)) * x
    other = (y + torch.tanh(y @ mu / (divisor * (t + 1) ** (divisor - 1))).unsqueeze(1) * mu) / (t + 1)
    assert float((other - mixture(mu).posterior_mean(x, math.atan(math.sqrt(t)))).abs().max()) > 0.05


@over(("p", "v"), [(0.3, 1e-4), (0.7, 1.0), (2.0, 30.0), (5.0, 1e4), (30.0, 40.0), (0.0, 0.0)])
def test_expectations_agree_with_dense_sums(p, v):
    g = torch.linspace(-12, 12, 2_000_001, dtype=torch.float64)
    weight = torch.exp(-0.5 * g**2) / torch.exp(-0.5 * g**2).sum()
    w = p + math.sqrt(v) * g
    T, S = torch.tanh(w), 1 / torch.cosh(w.clamp(-300, 300)) ** 2
    log_cosh = w.abs() + torch.log1p(torch.exp(-2 * w.abs())) - math.log(2)
    found = expectations(torch.tensor([p], dtype=torch.float64), torch.tensor([v], dtype=torch.float64))
    for name, values in zip(found._fields, (T, w * T, S, S * S, T * S, w * S, w * T * S, log_cosh), strict=True):
        assert float(getattr(found, name)) == pytest.approx(float(weight @ values), rel=1e-12, abs=1e-14), name


@over("t", [0.1, 5.0])
def test_population_gradient_is_that_of_a_dense_integral_in_the_plane(t):
    """The residual has noise along mu and mu* and independent noise outside of them: two dimensions are enough."""
    star, mu = torch.tensor([1.3, 0.4], dtype=torch.float64), torch.tensor([0.2, -0.9], dtype=torch.float64)
    study = study_of(n=2, t=t)
    value, gradient = population(star, t)(mu.unsqueeze(0))
    line = torch.arange(-9.5, 9.5, 0.12, dtype=torch.float64)
    first, second = torch.meshgrid(line, line, indexing="ij")
    noisy = torch.stack([first, second], -1).reshape(-1, 2)
    weight = torch.exp(-0.5 * noisy.square().sum(1))
    weight /= weight.sum()
    # X and G given x = sin X + cos G, X ~ N(mu*, I), are Gaussian: E[X | x] = mu* + sin (x - sin mu*), cov cos^2 I.
    sin, cos2 = math.sqrt(t / (1 + t)), 1 / (1 + t)
    mean, x = star + sin * noisy, sin * star + noisy
    mu.requires_grad_()
    m = sin * x + cos2 * torch.tanh(sin * x @ mu).unsqueeze(1) * mu
    dense = (weight @ (mean - m).square().sum(1) + 2 * cos2) / study.n
    (expected,) = torch.autograd.grad(dense, mu)
    assert float(value) == pytest.approx(float(dense.detach()), abs=1e-10)
    assert_close(gradient[0], expected, rtol=0, atol=1e-10)


@over("noise", ["averaged", "drawn"])
@over("objective", ["stochastic_localization", "ddpm"])
def test_population_gradient_is_the_mean_over_simulated_states(objective, noise):
    """Autograd of the printed losses, in eight dimensions, against quadrature: within four standard errors."""
    t, count, star = 1.5, 40_000, torch.linspace(-0.8, 1.0, 8, dtype=torch.float64)
    sin, cos = math.sqrt(t / (1 + t)), math.sqrt(1 / (1 + t))
    clean, G = mixture(star).sample(count, seeded(3), torch.float64), normal(count, 8, seed=4)
    mu = normal(8, seed=5)

    def printed(mu, clean, G):
        x = sin * clean + cos * G
        ddpm = torch.tanh(x @ (sin * mu)).unsqueeze(1) * sin * mu - x + G / cos
        residual = ddpm if objective == "ddpm" else clean - student(t * clean + math.sqrt(t) * G, mu, t)
        return residual.square().sum(1) / 8

    each, blocks = printed(mu, clean, G), [values.view(100, -1, 8) for values in (clean, G)]
    by_block = vmap(grad(lambda *given: printed(*given).mean()), (None, 0, 0))(mu, *blocks)
    value, gradient = population(star, t, objective=objective)(mu.unsqueeze(0))
    assert abs(float(value) - float(each.mean())) < 4 * standard_error(each)
    assert ((by_block.mean(0) - gradient[0]).abs() < 4 * by_block.std(0) / 10).all()
    # Over these very samples the loss with the same noise is the same sum; with averaged noise it agrees on average.
    study = study_of(n=8, t=t, objective=objective, noise=noise, loss="samples")
    over, its_gradient = loss_of(study, study.plans[1], star, clean[None], G[None])(mu.unsqueeze(0))
    if noise == "drawn":
        assert_close(over[0], each.mean(), rtol=1e-11)
        assert_close(its_gradient[0], by_block.mean(0), rtol=1e-9, atol=1e-12)
    else:
        assert abs(float(over) - float(each.mean())) < 4 * standard_error(each)
        assert ((by_block.mean(0) - its_gradient[0]).abs() < 4 * by_block.std(0) / 10).all()


@over("loss", ["population", "samples"])
@over("noise", ["averaged", "drawn"])
def test_the_two_objectives_differ_by_t_times_t_plus_1_and_no_constant(loss, noise):
    star, clean, G, mu = normal(5, seed=1), normal(2, 7, 5, seed=2), normal(2, 7, 5, seed=3), normal(2, 5, seed=4)
    for t in (0.1, 5.0):
        found = []
        for objective in ("stochastic_localization", "ddpm"):
            study = study_of(t=t, objective=objective, loss=loss, noise=noise)
            found.append(loss_of(study, study.plans[1], star, *((clean, G) if loss == "samples" else ()))(mu))
        for one, other in zip(*found, strict=True):
            assert_close(t * (t + 1) * one, other, rtol=1e-10, atol=1e-13)


#: every setting of the losses; the published code has no DDPM
SETTINGS = [
    (objective, protocol, loss, noise)
    for protocol in ("exact", "text", "author")
    for objective in ("stochastic_localization", "ddpm")[: 1 if protocol == "author" else 2]
    for loss in ("population", "samples")
    for noise in ("averaged", "drawn")
]


@over(("objective", "protocol", "loss", "noise"), SETTINGS)
def test_gradients_are_those_of_the_losses(objective, protocol, loss, noise):
    study = study_of(objective=objective, protocol=protocol, loss=loss, noise=noise)
    star, clean, G, mu = normal(5, seed=1), normal(2, 7, 5, seed=2), normal(2, 7, 5, seed=3), normal(2, 5, seed=4)
    for plan in study.plans:
        if (objective, protocol, plan.number) == ("stochastic_localization", "text", 2):
            continue  # what is printed as its gradient is not
        of = loss_of(study, plan, star, *((clean, G) if loss == "samples" else ()))
        value, gradient = of(mu)
        shifts = 1e-5 * torch.eye(5, dtype=torch.float64)
        numeric = torch.stack([(of(mu + shift)[0] - of(mu - shift)[0]) / 2e-5 for shift in shifts], -1)
        assert value.shape == (2,)
        assert_close(numeric, gradient, rtol=1e-6, atol=1e-8)


# What the text says of the gradients. -------------------------------------------------------------------------------


def test_high_noise_gradient_has_four_before_both_terms():
    """grad L = 4t [|mu|^2 mu - (mu.mu*) mu*]; the text prints 2t |mu|^2 mu."""
    signal, norm = high_noise_constants()
    assert signal == pytest.approx(4, abs=1e-6)
    assert norm == pytest.approx(4, abs=1e-6)
    star, mu = normal(5, seed=1), normal(1, 5, seed=2)
    t = 2e-5
    _, gradient = population(star, t)(mu)
    expected = 4 * t / (1 + t) ** 3 * (mu.square().sum() * mu - (mu @ star) * star) / 5
    assert_close(gradient, expected, rtol=0, atol=1e-3 * float(expected.abs().max()))


def test_at_high_noise_a_step_is_a_step_of_power_iteration():
    """tan of the angle shrinks by (1 - 4 lr t |mu|^2)/(1 - 4 lr t |mu|^2 + 4 lr t |mu*|^2)."""
    t, star, mu = 1e-4, normal(5, seed=1), 0.3 * normal(1, 5, seed=2)
    unit = star / star.norm()

    def tangent(of):
        along = of @ unit
        return float((of - along.unsqueeze(-1) * unit).norm() / along.abs())

    rate = 5000.0
    after = mu - rate * population(star, t)(mu)[1]
    shift, pull = 4 * rate * t * float(mu.square().sum()) / 5, 4 * rate * t * float(star.square().sum()) / 5
    assert pull > 0.1
    assert tangent(after) / tangent(mu) == pytest.approx((1 - shift) / (1 - shift + pull), rel=0.01)


@over("length", [0.5, 2.0, 10.0])
@over("t", [0.1, 5.0])
def test_mu_star_is_stationary_at_every_noise(t, length):
    star = length * normal(5, seed=1) / normal(5, seed=1).norm()
    assert float(population(star, t)(star.unsqueeze(0))[1].abs().max()) < 1e-13


def test_the_printed_low_noise_loss_is_least_at_zero_and_not_at_mu_star():
    star = normal(5, seed=1)
    printed = population(star, 5.0, protocol="text")
    values = [float(printed(scale * star.unsqueeze(0))[0]) for scale in (0.0, 0.5, 1.0, 1.5)]
    assert values == sorted(values)
    assert values[0] == 0
    assert float((printed(star.unsqueeze(0))[1] @ star).squeeze()) > 0


@over(("length", "bias"), [(2.0, True), (8.0, False)])
def test_dropping_the_noise_moves_the_minimiser_where_the_modes_overlap(length, bias):
    star = torch.tensor([length, 0.0], dtype=torch.float64)
    gradient = population(star, 5.0, protocol="author")(star.unsqueeze(0))[1]
    assert (float(gradient[0, 0]) < -1e-3) if bias else abs(float(gradient[0, 0])) < 1e-12


# Runs. --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def result(run_once):
    return run_once(*QUICK)


def test_two_stages_recover_the_mean(result):
    found = result.metrics["two_stage"]
    assert found["diverged"] == []
    assert min(found["stage1_cosine"]) > 0.99
    assert found["stage2_distance_mean"] < found["floor"] + 4 * found["floor_deviation"] / math.sqrt(5)
    assert max(found["optimisation_error"]) < 1e-3
    assert max(found["population"]["stage2_distance"]) < 1e-5
    assert found["floor"] == pytest.approx(math.sqrt(6 / 100), rel=0.05)
    assert result.config.general.stage == "all"
    assert json.loads((result.directory / "status.json").read_text())["state"] == "done"


def test_the_table_has_every_curve(result):
    table = pandas.read_csv(result.directory / "two_stage.csv")
    columns = ["loss_over", "start", "stage", "step", "loss", "cosine", "distance", "norm"]
    assert list(table.columns) == columns
    assert table.groupby(["loss_over", "start", "stage"])["step"].max().isin([200, 300]).all()
    assert len(table.groupby(["loss_over", "start", "stage"])) == 2 * 5 * 2
    last = table[(table["loss_over"] == "samples") & (table["stage"] == 2) & (table["step"] == 300)]
    assert last["distance"].tolist() == pytest.approx(result.metrics["two_stage"]["stage2_distance"])


def test_the_figure_is_written(result):
    assert "two_stage" in TwoStage.figures
    assert isinstance(draw(TwoStage, "two_stage", result.arrays["two_stage"]), Figure)
    assert (result.directory / "figures" / "two_stage.png").stat().st_size > 10_000


def test_the_summary_names_the_figure(result, capsys):
    from scorelab.lab.runs import Run
    from scorelab.lab.summary import summary

    summary(Run(result.directory), result.config.study)
    assert "two_stage.png" in capsys.readouterr().out


def test_a_start_is_the_same_whatever_else_runs(result, tmp_path, undrawn):
    changes = ("study.starts=2", "study.protocol=author", "study.stage1.steps=1", "study.stage2.steps=1")
    other = scorelab.run([*QUICK, *changes], tmp_path / "run").metrics["two_stage"]
    assert other["initial_cosine"] == result.metrics["two_stage"]["initial_cosine"][:2]
    assert other["labelled_distance"] == pytest.approx(result.metrics["two_stage"]["labelled_distance"][:2], rel=1e-12)


def test_a_start_that_diverges_is_reported_and_the_others_go_on(tmp_path, undrawn):
    """At this rate the printed cubic gradient carries off the starts that are long, and only those."""
    changes = ("study.protocol=text", "study.constant=1.0", "study.initial_std=4.0", "study.stage2.steps=10")
    changes += ("study.stage1.lr=0.65", "study.stage1.steps=300", "study.starts=8")
    result = scorelab.run([*QUICK, *changes], tmp_path / "run")
    found = result.metrics["two_stage"]
    assert 0 < found["diverged_count"] == len(found["diverged"]) < 8
    for lost in found["diverged"]:
        assert lost["stage"] == 1
        assert 0 < lost["step"] < 50
        assert found["stage1_norm"][lost["start"]] is None
        assert found["stage2_distance"][lost["start"]] is None
    assert sum(value is not None for value in found["stage2_distance"]) == 8 - found["diverged_count"]
    assert math.isfinite(found["stage2_distance_mean"])
    assert "diverged in stage 1" in (result.directory / "run.log").read_text()
    assert isinstance(draw(TwoStage, "two_stage", result.arrays["two_stage"]), Figure)


def test_a_run_in_which_all_starts_diverge_is_done_all_the_same(tmp_path, undrawn):
    changes = ("study.protocol=text", "study.constant=20", "study.stage1.lr=1.0", "study.loss=population")
    metrics = scorelab.run([*QUICK, *changes], tmp_path / "run").metrics
    found = metrics["two_stage"]
    assert found["diverged_count"] == 5
    assert metrics["not_measured"]["two_stage.stage2_distance_mean"] == "every start has diverged"
    assert found["stage2_distance"] == [None] * 5


def test_one_draw_of_noise_a_sample_raises_the_floor(tmp_path, undrawn):
    found = scorelab.run([*QUICK, "study.noise=drawn", "study.starts=8"], tmp_path / "run").metrics["two_stage"]
    assert found["floor"] == pytest.approx(math.sqrt(6) * math.sqrt(6 / 100), rel=0.05)
    assert abs(found["stage2_distance_mean"] - found["floor"]) < 4 * found["floor_deviation"] / math.sqrt(8)
    assert max(found["optimisation_error"]) < 0.1


def test_analysing_again_gives_the_same_and_cannot_change_the_study(result, tmp_path, undrawn):
    copy = copied(result, tmp_path)
    again = scorelab.run(["stage=analyse", f"run={copy}"])
    assert again.metrics["two_stage"] == result.metrics["two_stage"]
    with pytest.raises(ScorelabError, match="cannot change what was descended"):
        scorelab.run([*QUICK, "stage=analyse", f"run={copy}", "study.samples=50"])


@over(
    ("override", "message"),
    [
        ("study.protocol=autor", "study.protocol = autor"),
        ("study.loss=empirical", "study.loss = empirical"),
        ("study.samples=1", "study.samples = 1"),
        ("study.starts=1", "study.starts = 1"),
        ("study.stage1.t=0", r"study.stage1.t = 0"),
        ("study.stage1.t=6", "stage1.t = 6, stage2.t = 5: the first stage has more noise"),
        ("study.stage2.lr=-1", r"study.stage2.lr = -1"),
        ("+study.stage2.momentum=0.9", "study.stage2.momentum: unknown key"),
    ],
)
def test_mistakes_are_refused_in_one_line(override, message, tmp_path):
    text = refused(ConfigError, scorelab.run, [*QUICK, override], tmp_path / "run")
    assert message in text
    assert "\n" not in text
    assert not (tmp_path / "run").exists()


def test_the_published_code_has_no_ddpm():
    node = study_of().model_dump() | {"_target_": "scorelab.studies.TwoStage"}
    with pytest.raises(ConfigError, match="objective = ddpm: protocol=author has stochastic_localization alone"):
        component("study", node | {"protocol": "author", "objective": "ddpm"})
