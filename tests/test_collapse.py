"""Collapse: the closed forms, the statistics of concentration, and the study."""

import math

import numpy
import pandas
import pytest
import torch
import yaml
from helpers import normal, over, refused, seeded
from scipy.integrate import solve_ivp

import scorelab
from scorelab.channel import HALF_PI
from scorelab.denoisers.exact import ExactDenoiser
from scorelab.errors import ConfigError
from scorelab.lab.config import check
from scorelab.samplers import DDIM, DPMSolver2M, DPMSolverSDE2M, EulerMaruyama, FlowHeun
from scorelab.studies import Collapse, draw
from scorelab.studies.collapse.flawed import Flawed
from scorelab.studies.collapse.jackknife import neighbour, participation
from scorelab.studies.collapse.measurements import (
    Concentration,
    nearest,
    shrinkage,
    variance_of_rule,
    within_modes,
)
from scorelab.studies.collapse.theory import (
    after,
    crossing,
    influence,
    mean_shift,
    relative_variance,
    shrunken_variance,
    standard_angle,
    total_influence,
)
from scorelab.studies.collapse.train import Phases, errors, options_of, train
from scorelab.targets import GaussianMixture

BAND, END = (0.3, 0.9), 1.4
STD = (0.5, 1.0, 2.0)


def one_mode(std=1.0):
    return GaussianMixture([1.0], torch.zeros(1, 1), std)


# The closed forms against the differential equations of the state itself. ---------------------------------------------


def solved(right, start, ends):
    return solve_ivp(right, ends, start, method="DOP853", rtol=1e-11, atol=1e-13).y[0, -1]


def drift(angle, factor, stochasticity):
    """The slope of dx/dphi in x, where the posterior mean is `factor` x."""
    sin, cos = math.sin(angle), math.cos(angle)
    return (factor - sin) / cos + stochasticity * (sin * factor - 1) / (sin * cos)


def variance_by_the_state(epsilon, std, stochasticity):
    """V/v at the end for m_hat = (1 - epsilon) m in the band; epsilon: a function of the angle."""

    def slope(angle, variance):
        exact = std**2 * math.sin(angle) / (std**2 * math.sin(angle) ** 2 + math.cos(angle) ** 2)
        factor = exact * (1 - (epsilon(angle) if angle <= ends[1] else 0.0) * inside)
        return [2 * drift(angle, factor, stochasticity) * variance[0] + 2 * stochasticity / math.tan(angle)]

    ends, inside = BAND, 1.0
    variance = solved(slope, [std**2 * math.sin(ends[0]) ** 2 + math.cos(ends[0]) ** 2], ends)
    ends, inside = (BAND[1], END), 0.0
    return solved(slope, [variance], ends) / (std**2 * math.sin(END) ** 2 + math.cos(END) ** 2)


@over("std", STD)
@over("stochasticity", [0.0, 0.5, 1.0, 2.0])
def test_the_variance_of_a_shrunken_posterior_mean(std, stochasticity):
    band, end = [standard_angle(angle, std) for angle in BAND], standard_angle(END, std)
    by_state = variance_by_the_state(lambda angle: 0.2, std, stochasticity)
    assert shrunken_variance(0.2, band, end, stochasticity) == pytest.approx(by_state, abs=1e-9)
    by_state = variance_by_the_state(lambda angle: 0.2 / math.tan(standard_angle(angle, std)), std, stochasticity)
    assert relative_variance(0.2, band, end, stochasticity) == pytest.approx(by_state, abs=1e-9)


def test_the_elementary_forms():
    u_1, u_2 = (math.sin(angle) ** 2 for angle in BAND)
    assert shrunken_variance(0.3, BAND, END, 0.0) == pytest.approx(((1 - u_2) / (1 - u_1)) ** 0.3, abs=1e-12)
    assert relative_variance(0.3, BAND, END, 0.0) == pytest.approx(math.exp(-0.6 * 0.6), abs=1e-12)
    near_one = relative_variance(0.3, BAND, END, 1.0 - 1e-9)  # by quadrature
    assert relative_variance(0.3, BAND, END, 1.0) == pytest.approx(near_one, abs=1e-8)


@over("stochasticity", [0.0, 1.0])
@over("std", STD)
def test_the_mean_of_a_biased_posterior_mean(std, stochasticity):
    """The mean of the state, dM/dphi = A M + (1 + lambda) bias/cos."""

    def slope(angle, mean):
        variance = std**2 * math.sin(angle) ** 2 + math.cos(angle) ** 2
        inside = 0.1 * std * math.cos(standard_angle(angle, std)) * biased
        own = drift(angle, std**2 * math.sin(angle) / variance, stochasticity) * mean[0]
        return [own + (1 + stochasticity) * inside / math.cos(angle)]

    biased = 1.0
    mean = solved(slope, [0.0], BAND)
    biased = 0.0
    mean = solved(slope, [mean], (BAND[1], END)) / math.sqrt(std**2 * math.sin(END) ** 2 + math.cos(END) ** 2)
    band, end = [standard_angle(angle, std) for angle in BAND], standard_angle(END, std)
    assert mean_shift(0.1, band, end, stochasticity) == pytest.approx(mean, abs=1e-9)


@over("stochasticity", [0.0, 0.5, 1.0, 3.0])
def test_the_influence_is_the_first_order_of_the_loss(stochasticity):
    angle, width, size = 0.7, 1e-3, 1e-3
    band = (angle - width / 2, angle + width / 2)
    loss = 1 - relative_variance(size, band, HALF_PI, stochasticity)
    assert loss == pytest.approx(influence(angle, stochasticity) * size * width, rel=2e-5)
    points, weights = numpy.polynomial.legendre.leggauss(400)
    points = HALF_PI * (points + 1) / 2
    total = HALF_PI / 2 * sum(w * influence(x, stochasticity) for x, w in zip(points, weights, strict=True))
    assert total_influence(stochasticity) == pytest.approx(total, rel=1e-6)


def test_both_samplers_lose_alike_where_signal_and_noise_are_equal_and_over_all_noise_levels():
    assert crossing(1.0) == 0.5
    for stochasticity in (0.3, 1.0, 2.0):
        angle = math.asin(math.sqrt(crossing(stochasticity)))
        assert influence(angle, stochasticity) == pytest.approx(influence(angle, 0.0), rel=1e-12)
    assert total_influence(0.0) == pytest.approx(math.pi) == total_influence(1.0)


def test_the_exact_denoiser_keeps_the_variance_and_forgets_earlier_errors():
    assert after(1.0, 0.3, 1.2, 1.0) == 1.0
    assert after(0.5, 0.3, 1.2, 0.0) == 0.5
    assert after(0.5, 0.3, 1.2, 1.0) == pytest.approx(1 - 0.5 * (math.sin(0.3) / math.sin(1.2)) ** 2)


def refined(rule, std, options, steps=256):
    """The variance of the last state by a second-order rule, its h^2 removed from that of two grids."""
    variances = []
    for number in (steps, 2 * steps):
        denoiser = Flawed(one_mode(std), "shrink", 0.2)
        variances.append(variance_of_rule(rule(**options), denoiser, numpy.linspace(0, END, number + 1)))
    return (4 * variances[1] - variances[0]) / 3


@over("std", [0.5, 1.0])
def test_the_deterministic_sampler_has_the_variance_of_the_closed_form_to_1e_6(std):
    end = standard_angle(END, std)
    exact = (std**2 * math.sin(END) ** 2 + math.cos(END) ** 2) * relative_variance(0.2, (0.0, end), end, 0.0)
    assert refined(FlowHeun, std, {"coordinate": "angle"}) == pytest.approx(exact, abs=1e-6)


def test_the_stochastic_sampler_has_the_variance_of_the_closed_form_to_1e_6():
    """A grid uniform in log tan, on which the second-order rule has its order from the first step on."""
    start, variances = 1e-3, []
    for number in (250, 500):
        angles = numpy.arctan(numpy.geomspace(math.tan(start), math.tan(END), number + 1))
        denoiser = Flawed(one_mode(), "shrink", 0.2)
        variances.append(variance_of_rule(DPMSolverSDE2M(), denoiser, angles))
    best = (4 * variances[1] - variances[0]) / 3
    assert best == pytest.approx(relative_variance(0.2, (start, END), END, 1.0), abs=1e-6)


@over(
    ("rule", "options", "stochasticity"),
    [
        (DDIM, {"eta": 0.0}, 0.0),
        (DPMSolver2M, {}, 0.0),
        (DDIM, {"eta": math.sqrt(0.5)}, 0.5),
        (DDIM, {"eta": 1.0}, 1.0),
        (EulerMaruyama, {}, 1.0),
    ],
)
def test_every_rule_loses_what_its_stochasticity_says(rule, options, stochasticity):
    steps, band = 512, (0.25 * END, 0.5 * END)
    angles = numpy.linspace(0, END, steps + 1)
    found = [variance_of_rule(rule(**options), Flawed(one_mode(), "shrink", size, band), angles) for size in (0.3, 0.0)]
    loss = 1 - relative_variance(0.3, band, END, stochasticity)
    assert 1 - found[0] / found[1] == pytest.approx(loss, rel=0.01)


def test_the_exact_variance_of_a_rule_is_that_of_its_samples():
    from scorelab.samplers import Sampling, draw_samples
    from scorelab.schedules import Localization

    schedule = Localization(grid="angle", alpha_max=END, T=None, t_min=3e-4)
    rule = DDIM(eta=0.7)
    job = Sampling(count=20000, steps=8, batch_size=20000, output="scaled", rule=rule)
    denoiser = Flawed(one_mode(), "shrink", 0.3)
    samples = torch.cat(list(draw_samples(job, schedule, denoiser, 1, 0)))
    exact = variance_of_rule(rule, denoiser, schedule.angles(8)) / math.sin(END) ** 2
    assert float(samples.var()) == pytest.approx(exact, abs=4 * exact * math.sqrt(2 / 20000))


# Statistics. --------------------------------------------------------------------------------------------------------


def test_exact_samples_have_all_statistics_near_1_and_samples_that_are_shrunk_below():
    law = GaussianMixture.two_modes(0.6, 4 * torch.ones(8))
    train, measured = law.sample(300, seeded(1)), law.sample(1000, seeded(2))
    concentration = Concentration(law, 1000, 8, seeded(3), train)
    exact = concentration.measure(measured)
    for name in ("trace", "participation", "neighbour", "training"):
        assert abs(exact[name] - 1) < 5 * exact[f"{name}_standard_error"] + 0.01, name
        assert 0 < concentration.floor[name] < 0.05
    mode = law.posterior_weights(measured, HALF_PI).argmax(1)
    centres = law.means.float()[mode]
    shrunk = concentration.measure(centres + math.sqrt(0.5) * (measured - centres))
    assert shrunk["trace"] == pytest.approx(0.5, abs=0.03)
    assert shrunk["participation"] == pytest.approx(1.0, abs=0.02)
    assert shrunk["neighbour"] == pytest.approx(math.sqrt(0.5), abs=0.02)
    flat = centres + (measured - centres) * torch.tensor([2.0] * 2 + [0.1] * 6)
    assert concentration.measure(flat)["participation"] < 0.4
    copies = concentration.measure(train[torch.randint(300, (1000,), generator=seeded(4))])
    assert copies["training"] < 1e-3
    assert copies["neighbour"] < 0.2
    assert "training" not in concentration.measure(measured, repeated=False)


def test_the_spectrum_of_a_sample():
    x = normal(5000, 6, seed=0) * torch.tensor([3.0, 1, 1, 1, 1, 1], dtype=torch.float64)
    eigenvalues = torch.linalg.eigvalsh(x.T @ x)
    share = float(eigenvalues.sum() ** 2 / (6 * eigenvalues.square().sum()))
    assert participation(x, torch.zeros(5000, dtype=torch.long))[0] == pytest.approx(share, rel=1e-12)
    few = x[:4]
    eigenvalues = torch.linalg.eigvalsh(few.T @ few)
    share = float(eigenvalues.sum() ** 2 / (6 * eigenvalues.square().sum()))
    assert participation(few, torch.zeros(4, dtype=torch.long))[0] == pytest.approx(share, rel=1e-10)


def test_the_shrinkage_of_a_denoiser_is_found():
    target = GaussianMixture([0.6, 0.4], torch.tensor([[9.0] * 4, [-9.0] * 4]), 0.5)
    denoiser = Flawed(target, "shrink", 0.2, (0.4, HALF_PI))
    free, within = shrinkage(denoiser, target, [0.3, 1.1], 4000, seeded(0))
    assert free["size"] == pytest.approx(0.0, abs=1e-6)
    assert within["size"] == pytest.approx(0.2, rel=1e-4)
    assert within["error"] == pytest.approx(0.2, rel=0.05)
    assert within["psi"] == pytest.approx(standard_angle(1.1, 0.5))
    (shifted,) = shrinkage(Flawed(target, "bias_along", 0.2), target, [1.1], 4000, seeded(0))
    assert abs(shifted["size"]) < 4 * shifted["size_standard_error"]
    assert shifted["error"] == pytest.approx(0.2, rel=0.01)


def test_distances_do_not_depend_on_blocks(monkeypatch):
    x, others = normal(50, 3, seed=0), normal(20, 3, seed=1)
    whole = nearest(x, others), neighbour(x), participation(x, torch.arange(50) % 2)
    for module in ("measurements", "jackknife"):
        monkeypatch.setattr(f"scorelab.studies.collapse.{module}.ROWS", 7)
    assert torch.allclose(nearest(x, others), whole[0])
    assert neighbour(x) == pytest.approx(whole[1], rel=1e-12)
    assert participation(x, torch.arange(50) % 2) == pytest.approx(whole[2], rel=1e-12)


def test_a_mode_with_one_sample_counts_as_having_no_variance():
    law = GaussianMixture.two_modes(0.5, 20 * torch.ones(2))
    scaled, mode = within_modes(torch.cat([law.means[:1].repeat(3, 1) + normal(3, 2, seed=0), law.means[1:]]), law)
    assert mode.tolist() == [0, 0, 0, 1]
    assert scaled[3].abs().max() == 0


# The clock of two phases. -------------------------------------------------------------------------------------------


@over("share", [0.0, 0.25, 0.75, 1.0])
def test_a_share_of_the_angles_lies_at_low_noise(share):
    from scorelab.training.angles import native

    law = native(Phases(1.5, 0.8).of(share))
    angles = law.sample(20000, seeded(0), torch.float64)
    assert float((angles >= 0.8).double().mean()) == pytest.approx(share, abs=0.02)
    assert float(angles.min()) >= 0
    assert float(angles.max()) <= 1.5
    assert torch.allclose(
        law.coordinate(law.angle(torch.linspace(0, 1, 11).double())), torch.linspace(0, 1, 11).double()
    )


# The study. ---------------------------------------------------------------------------------------------------------

QUICK = (
    "study=collapse",
    "target.n=8",
    "target.a=2.0",
    "denoiser.m=8",
    "training.N=400",
    "training.epochs=4",
    "training.batch_size=100",
    "study.steps=16",
    "study.count=300",
    "study.floor_repeats=3",
    "study.injected.bands=4",
    "study.injected.steps=32",
    "study.injected.count=256",
    "study.memory.cutoffs=3",
    "study.memory.count=256",
    "study.memory.steps=16",
    "study.trade.widths=[4]",
    "study.trade.steps=20",
    "study.trade.batch_size=50",
    "study.trade.N=500",
    "study.trade.repeats=2",
    "study.trade.draws=200",
    "figures.dpi=50",
    "threads=1",
)


@pytest.fixture(scope="module")
def run(run_once):
    return run_once(*QUICK)


def test_the_study_measures_what_the_closed_forms_say(run):
    for name, stochasticity in (("heun", 0.0), ("dpm_solver_2m_sde", 1.0)):
        bands = run.metrics["collapse"]["bands"][name]
        for low, high, lost, predicted in zip(*(bands[k] for k in ("low", "high", "lost", "predicted")), strict=True):
            exact = 1 - relative_variance(0.2, (low, high), HALF_PI - 0.1, stochasticity)
            assert predicted == pytest.approx(exact, abs=1e-12)
            assert lost == pytest.approx(predicted, abs=0.03)
    first, last = (run.metrics["collapse"]["bands"]["dpm_solver_2m_sde"]["lost"][k] for k in (0, -1))
    assert first < run.metrics["collapse"]["bands"]["heun"]["lost"][1] < last


def test_memorised_data_are_repeated(run):
    memory = run.metrics["collapse"]["memory"]
    for name in ("heun", "ddim_half", "dpm_solver_2m_sde"):
        assert memory[name]["training"][0] > 0.9
        assert memory[name]["training"][-1] < 0.3
    assert memory["heun"]["training"][1] < memory["dpm_solver_2m_sde"]["training"][1]


def test_every_training_is_in_the_table(run):
    table = pandas.read_csv(run.directory / "trade.csv")
    assert len(table) == 2 * (2 + 3 + 1)
    assert set(table["steps"]) == {20, 40}
    assert sorted(table[table["repeat"] == 0]["share"]) == [0.0, 0.25, 0.5, 0.5, 0.75, 1.0]


def test_a_network_of_one_phase_is_better_there(run):
    config = check(yaml.safe_load((run.directory / "config.yaml").read_text()))
    study, training = config.options("study"), config.options("training")
    trade = study.trade.model_copy(update={"steps": 200, "N": 2000})
    target, phases = GaussianMixture.two_modes(0.7, 2 * torch.ones(4)), Phases(1.5, math.pi / 4)
    options = options_of(training, trade, trade.steps)
    assert options.total_steps == 200
    found = []
    for share in (0.0, 1.0):
        torch.manual_seed(0)
        network = trade.network.build(n=4, target=target)
        found.append(errors(train(network, target, options, phases, share, 0), target, phases, 500))
    assert found[0]["high"] < 0.5 * found[1]["high"]
    assert found[1]["low"] < 0.5 * found[0]["low"]
    assert errors(ExactDenoiser(target), target, phases, 50)["high"] < 1e-10


def test_the_figure_labels_its_panels(run):
    figure = draw(Collapse, "collapse", run.arrays["collapse"])
    assert len(figure.axes) == 3
    assert all(axes.get_xlabel() and axes.get_ylabel() for axes in figure.axes)


def test_an_exact_denoiser_and_modes_of_several_widths_that_overlap_are_measured(tmp_path):
    target = ["target=mixture", "target.n=4", "target.std=[0.5,1.0,1.5]", "target.means=[0.3,0.0,-0.3]"]
    quick = [one for one in QUICK if not one.startswith(("target.", "denoiser.", "training."))]
    result = scorelab.run([*quick, *target, "denoiser=exact", "study.trade.shares=[]"], tmp_path / "run")
    found = result.metrics["collapse"]
    assert found["learned"] == {}
    assert "predicted" not in found["bands"]["heun"]
    assert "collapse.bands.heun.predicted" in result.metrics["not_measured"]
    assert "high_shared" not in found["trade"]["4"]
    error = found["exact"]["dpm_solver_2m_sde"]["mode_weight_standard_error"]
    assert found["mode_weight_floor"] == pytest.approx(error, rel=0.15)


@over(
    ("override", "message"),
    [
        ("study.methods.ddim.sampler.eta=2.0", "study.methods.ddim.sampler.eta = 2.0"),
        ("study.memory.methods=[nothing]", "study.memory.methods = nothing: unknown"),
        ("study.injected.steps=30", "a multiple of bands"),
        ("study.trade.network.L=0", "study.trade.network.L = 0"),
        ("study.memory.target.p=2", "study.memory.target.p = 2"),
        ("+study.kinds.sizes.melt=1.0", "study.kinds.sizes"),
    ],
)
def test_mistakes_are_refused_before_anything_runs(override, message, tmp_path):
    assert message in refused(ConfigError, scorelab.run, [*QUICK, override], tmp_path / "run")
    assert not (tmp_path / "run").exists()
