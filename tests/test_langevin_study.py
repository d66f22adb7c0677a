"""The study of Langevin dynamics against diffusion, and the relaxation that it lays beside it."""

import itertools
import json
import math

import numpy
import pandas
import pytest
import torch
import yaml
from helpers import ROOT, composed, copied, measure, over, refused

import scorelab
from scorelab.claims import FAILS, HOLDS
from scorelab.claims.registry import every_claim
from scorelab.errors import ConfigError
from scorelab.lab.config import check
from scorelab.nodes import component
from scorelab.studies import Langevin, draw
from scorelab.studies.langevin import Plan, claims
from scorelab.studies.langevin.sample import draws_of_mode, geometric
from scorelab.studies.langevin.theory import Relaxation, relaxation_of
from scorelab.targets import GaussianMixture

#: a study of a second or two
QUICK = (
    "study=langevin",
    "target.n=4",
    "target.a=1.5",
    "study.count=512",
    "study.budgets=[8,32,128]",
    "study.floor_repeats=10",
    "study.separations.distances=[2.0,3.0]",
    "study.separations.count=256",
    "study.separations.budget=64",
    "study.separations.n=2",
    "figures.dpi=50",
    "threads=1",
)
TINY = ("denoiser.m=8", "training.N=400", "training.epochs=4", "training.batch_size=100")
METHODS = ["ula_first", "ula_least", "ula_prior", "mala_first"]
METHODS += ["annealed_1", "annealed_10", "euler_maruyama", "dpm_solver_2m_sde"]


@pytest.fixture(scope="module")
def finished(run_once):
    return run_once(*QUICK, "denoiser=exact")


def test_a_run_is_complete(finished):
    names = {path.name for path in finished.directory.iterdir()}
    promised = {".hydra", "run.log", "metrics.json", "langevin.csv", "langevin.npz", "denoiser.safetensors"}
    assert names == promised | {"figures", "status.json", "config.yaml", "report.html"}
    assert {path.name for path in (finished.directory / "figures").iterdir()} == {"langevin.png", "langevin.npz"}
    assert json.loads((finished.directory / "status.json").read_text())["state"] == "done"
    table = pandas.read_csv(finished.directory / "langevin.csv")
    assert list(table["method"].unique()) == METHODS
    assert set(table["evaluations"]) <= {8, 32, 128, 30, 120}
    last = table[table["method"] == "annealed_10"].iloc[-1]
    assert last["weight"] == pytest.approx(finished.metrics["langevin"]["methods"]["annealed_10"]["weight"])


def test_the_summary_names_every_method(finished, capsys):
    from scorelab.lab.runs import Run
    from scorelab.lab.summary import summary

    summary(Run(finished.directory), finished.config.study)
    printed = capsys.readouterr().out
    for name in METHODS:
        assert name in printed


def test_what_needs_the_exact_denoiser_is_left_out_with_a_learned_one(tmp_path, undrawn):
    result = scorelab.run([*QUICK, *TINY, "study.separations.distances=[]"], directory=tmp_path / "run")
    assert list(result.metrics["langevin"]["methods"]) == [name for name in METHODS if name != "mala_first"]
    assert result.metrics["training"]["steps"] == 16
    assert "left out, as they need the exact denoiser: mala_first" in (tmp_path / "run" / "run.log").read_text()
    assert set(result.arrays) == {"langevin", "training"}


def test_stages_on_an_existing_run_give_the_same_numbers(finished, tmp_path, undrawn):
    copy = copied(finished, tmp_path)
    again = scorelab.run(["stage=analyse", f"run={copy}"])
    assert again.metrics["langevin"] == finished.metrics["langevin"]


def test_chains_are_wrong_and_diffusion_is_right_where_modes_are_apart(finished, tmp_path, undrawn):
    far = [
        "target.a=5.0",
        "study.separations.distances=[]",
        "study.budgets=[64]",
        "study.methods.annealed_1.largest=64",
    ]
    result = scorelab.run([*QUICK, *far, "denoiser=exact"], directory=tmp_path / "run").metrics["langevin"]
    methods = result["methods"]
    assert methods["ula_first"]["weight"] == pytest.approx(1.0, abs=1e-6)
    assert methods["mala_first"]["weight"] == pytest.approx(1.0, abs=1e-6)
    assert methods["ula_least"]["weight"] == pytest.approx(0.0, abs=1e-6)
    assert methods["ula_first"]["w1"] > result["w1_floor"] + 6 * result["w1_floor_deviation"]
    for metrics in (result, finished.metrics["langevin"]):
        for name in ("euler_maruyama", "dpm_solver_2m_sde"):
            found = metrics["methods"][name]
            assert abs(found["weight"] - 0.7) < 4 * found["weight_standard_error"], name


def test_the_weight_that_ula_finds_follows_the_exact_relaxation(finished):
    curves = finished.arrays["langevin"]
    for name in ("ula_first", "ula_least", "ula_prior"):
        error = curves[f"{name}.weight"] - curves[f"{name}.weight_predicted"]
        assert numpy.abs(error / curves[f"{name}.weight_standard_error"]).max() < 4, name
    # On the way, neither where it started nor where it ends.
    middle = curves["ula_first.weight"][1]
    assert 0.72 < middle < 0.97


def test_annealing_and_diffusion_need_fewer_evaluations_than_chains(finished):
    apart = finished.metrics["langevin"]["separations"]
    assert apart["distance"] == [2.0, 3.0]
    chain, diffusion = apart["methods"]["ula_least"], apart["methods"]["dpm_solver_2m_sde"]
    assert chain["evaluations"][1] is None or chain["evaluations"][1] > 2 * diffusion["evaluations"][1]
    assert chain["evaluations_predicted"][1] > 1.8 * chain["evaluations_predicted"][0]
    assert "evaluations_predicted" not in diffusion


# The relaxation, against independent computations. ------------------------------------------------------------------


@over("variance", [0.3, 1.0, 4.0])
def test_of_one_gaussian_the_rates_are_those_of_ornstein_uhlenbeck(variance):
    relaxation = Relaxation([1.0], [0.7], variance)
    assert relaxation.rate == pytest.approx(1 / variance, rel=1e-4)
    assert relaxation.spectrum[0][:6] == pytest.approx(numpy.arange(6) / variance, rel=1e-3, abs=1e-9)


@over("distance", [2.0, 4.0])
def test_the_rate_is_that_of_the_transition_kernel_of_a_small_step(distance):
    means, weights, step = numpy.array([0.3, -0.7]) * distance, numpy.array([0.7, 0.3]), 0.01
    relaxation = Relaxation(weights, means, 1.0)
    y = numpy.linspace(-0.7 * distance - 6.5, 0.3 * distance + 6.5, 500)
    joint = weights * numpy.exp(-0.5 * (y[:, None] - means) ** 2)
    drift = (joint @ means) / joint.sum(1) - y
    kernel = numpy.exp(-((y - (y + step * drift)[:, None]) ** 2) / (4 * step))
    kernel /= kernel.sum(1, keepdims=True)
    second = numpy.sort(numpy.abs(numpy.linalg.eigvals(kernel)))[-2]
    assert relaxation.rate == pytest.approx(-math.log(second) / step, rel=0.01)


def test_the_rate_keeps_its_accuracy_where_it_is_tiny():
    """Eyring and Kramers: for two equal modes at +-b the rate tends to sqrt(U''(b) |U''(0)|)/pi exp(-barrier)."""
    b = 9.0
    relaxation = Relaxation([0.5, 0.5], [b, -b], 1.0)
    barrier = 0.5 * b**2 - math.log(2)
    kramers = math.sqrt(b**2 - 1) / math.pi * math.exp(-barrier)
    assert relaxation.rate < 1e-15
    assert relaxation.rate == pytest.approx(kramers, rel=0.1)


def test_the_weight_relaxes_from_where_it_started_to_the_exact_one_at_the_slowest_rate():
    relaxation = Relaxation([0.7, 0.3], [1.2, -2.8], 1.0)
    start = relaxation.weight(1.2, 1.0, 0.0)
    y = 1.2 + numpy.random.default_rng(0).normal(size=200_000)
    direct = 1 / (1 + 0.3 / 0.7 * numpy.exp(-0.5 * (y + 2.8) ** 2 + 0.5 * (y - 1.2) ** 2))
    assert start == pytest.approx(direct.mean(), abs=5 * direct.std() / math.sqrt(len(y)))
    late = relaxation.time * numpy.array([1.0, 2.0, 50.0])
    error = relaxation.weight(1.2, 1.0, late) - 0.7
    assert error[1] / error[0] == pytest.approx(math.exp(-1), rel=1e-3)
    assert error[2] == pytest.approx(0, abs=1e-9)
    passage = relaxation.passage(1.2, 1.0, 0.05)
    assert relaxation.weight(1.2, 1.0, passage) - 0.7 == pytest.approx(0.05, rel=0.01)


def test_a_direct_simulation_relaxes_as_predicted():
    relaxation = Relaxation([0.7, 0.3], [0.9, -2.1], 1.0)
    random, step, y = numpy.random.default_rng(1), 0.01, None
    y = -2.1 + random.normal(size=4000)
    for _ in range(300):
        gamma = 1 / (1 + 3 / 7 * numpy.exp(-0.5 * (y + 2.1) ** 2 + 0.5 * (y - 0.9) ** 2))
        y = y + step * (0.9 * gamma - 2.1 * (1 - gamma) - y) + math.sqrt(2 * step) * random.normal(size=len(y))
    gamma = 1 / (1 + 3 / 7 * numpy.exp(-0.5 * (y + 2.1) ** 2 + 0.5 * (y - 0.9) ** 2))
    assert abs(gamma.mean() - relaxation.weight(-2.1, 1.0, 3.0)) < 4 * gamma.std() / math.sqrt(len(y))


def test_where_double_precision_fails_there_is_no_prediction():
    far = Relaxation([0.7, 0.3], [12.0, -28.0], 1.0)
    assert not numpy.isfinite(far.weight(0.0, 1.0, [1.0])).any()
    assert numpy.isfinite(far.weight(12.0, 1.0, [1.0])).all()


def test_only_modes_of_one_width_on_a_line_have_a_relaxation():
    line = GaussianMixture([0.5, 0.3, 0.2], torch.tensor([[0.0, 0.0], [1.0, 2.0], [-2.0, -4.0]]))
    assert relaxation_of(line, 0.1) is not None
    corner = GaussianMixture([0.5, 0.3, 0.2], torch.tensor([[0.0, 0.0], [1.0, 2.0], [-2.0, 4.0]]))
    assert relaxation_of(corner, 0.1) is None
    assert relaxation_of(GaussianMixture([0.5, 0.5], [[1.0], [-1.0]], [1.0, 2.0]), 0.1) is None
    assert relaxation_of(GaussianMixture([1.0], [[1.0]]), 0.1) is None


# The claims. --------------------------------------------------------------------------------------------------------

#: claim, formula or number, another one, its verdict
WRONG = {
    "steps that shrink with the noise, not with its square": (
        "S0-05",
        "printed_step_size",
        lambda sigma, last, c: c * sigma / last,
        FAILS,
    ),
    "the printed order as the right one": ("S0-05", "corrected_levels", claims.printed_levels, FAILS),
    "the right order as the printed one": ("S0-05", "printed_levels", claims.corrected_levels, HOLDS),
    "twice the drift": ("S1-05", "corrected_drift", lambda score: 2 * score, FAILS),
    "the right sign as the printed one": ("S1-05", "printed_drift", claims.corrected_drift, HOLDS),
    "modes that are not apart": ("S0-04", "DISTANCE", 2.0, FAILS),
}


@pytest.mark.parametrize("name", WRONG)
def test_another_formula_gets_another_verdict(name, monkeypatch):
    claim, formula, mutated, verdict = WRONG[name]
    monkeypatch.setattr(claims, formula, mutated)
    assert measure(claim) == verdict != every_claim()[claim].recorded


# Parts. -------------------------------------------------------------------------------------------------------------


def test_draws_of_a_mode_have_its_law(generator):
    target = GaussianMixture.two_modes(0.7, torch.tensor([2.0, 0.0]))
    for mode, mean in ((0, 0.6), (1, -1.4)):
        x = draws_of_mode(target, mode, 5000, generator)
        assert x.shape == (5000, 2)
        assert abs(float(x[:, 0].mean()) - mean) < 4 / math.sqrt(5000)
        assert abs(float(x[:, 0].var()) - 1) < 4 * math.sqrt(2 / 5000)


def test_budgets_of_a_search_are_whole_numbers_from_one():
    assert geometric(1) == [1]
    found = geometric(1000)
    assert found[0] == 1
    assert found[-1] == 1000
    assert max(b / a for a, b in itertools.pairwise(found[8:])) < 1.3


def node():
    return yaml.safe_load((ROOT / "conf" / "study" / "langevin.yaml").read_text())


@over(
    ("key", "value", "says"),
    [
        ("sampler.step_size", -1, "study.methods.ula_first.sampler.step_size = -1: allowed is a number > 0"),
        ("sampler.stepsize", 1, "study.methods.ula_first.sampler.stepsize: unknown key; did you mean step_size?"),
        ("sampler.count", 9, "study.methods.ula_first.sampler.count: unknown key; valid names: noise_level, step_size"),
        ("sampler._target_", "scorelab.samplers.Nothing", "study.methods.ula_first.sampler._target_ = "),
        ("schedule.grid", "mesh", "study.methods.ula_first.schedule.grid = mesh: valid names: adaptive"),
        ("start", "middle", "study.methods.ula_first.start = middle: must be 'prior'"),
        ("largest", 0, "study.methods.ula_first.largest = 0: allowed is an integer >= 1"),
        ("largest", 2, "study.methods.ula_first: no budget of study.budgets"),
        ("strat", "prior", "study.methods.ula_first.strat: unknown key; did you mean start?"),
    ],
)
def test_a_mistake_in_a_method_is_one_line(key, value, says):
    data = json.loads(json.dumps(node()))
    place = data["methods"]["ula_first"]
    *path, last = key.split(".")
    for part in path:
        place = place[part]
    place[last] = value
    text = refused(ConfigError, component, "study", data)
    assert text.startswith(says)
    assert "\n" not in text


def test_a_sampler_that_cannot_run_on_its_schedule_is_refused():
    data = json.loads(json.dumps(node()))
    data["methods"]["annealed_1"]["schedule"] = data["methods"]["ula_first"]["schedule"]
    with pytest.raises(ConfigError, match=r"study.methods.annealed_1: .* first noise level is infinite"):
        component("study", data)


def test_a_separation_names_a_method_that_is_there():
    data = json.loads(json.dumps(node()))
    data["separations"]["methods"] = ["ula_frist"]
    with pytest.raises(ConfigError, match=r"study.separations.methods = ula_frist: unknown; did you mean ula_first\?"):
        component("study", data)


def test_a_bad_method_is_refused_before_anything_runs(tmp_path):
    with pytest.raises(ConfigError, match=r"study.methods.ula_first.sampler.step_size = -1"):
        scorelab.run([*QUICK, "study.methods.ula_first.sampler.step_size=-1"], directory=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_figure_shows_what_was_not_found(finished):
    arrays = dict(finished.arrays["langevin"])
    arrays["apart.ula_least.evaluations"] = numpy.array([20.0, numpy.nan])
    arrays["apart.ula_least.evaluations_standard_error"] = numpy.array([2.0, numpy.nan])
    drawing = draw(Langevin, "langevin", arrays)
    assert "not found" in [text.get_text() for text in drawing.axes[-1].texts]
    alone = {name: value for name, value in arrays.items() if not name.startswith("apart")}
    alone |= {"distances": numpy.zeros(0), "apart_names": numpy.zeros(0, str)}
    assert len(draw(Langevin, "langevin", alone).axes) == 1


def test_a_chain_of_a_mixture_of_three_modes_runs_without_a_prediction(tmp_path, undrawn):
    quick = [override for override in QUICK if not override.startswith("target")]
    more = ["target=mixture", "target.n=4", "denoiser=exact", "study.budgets=[16]", "study.separations.distances=[]"]
    result = scorelab.run([*quick, *more, "~study.methods.annealed_10"], directory=tmp_path / "run")
    found = result.metrics["langevin"]["methods"]["ula_first"]
    assert len(found["mode_weights"]) == 3
    assert "weight_predicted" not in found


# The clocks of the methods. -----------------------------------------------------------------------------------------


def clocks(target):
    study = check(composed("study=langevin", "denoiser=exact")).study
    return {name: Plan(name, method).schedule_on(target) for name, method in study.methods.items()}


def test_the_clocks_follow_from_the_target_and_are_the_usual_ones_on_the_default_target():
    usual = clocks(GaussianMixture.two_modes())
    assert usual["euler_maruyama"].end_angle == 1.4707963267948966
    assert (usual["annealed_1"].end("sigma_min"), usual["annealed_1"].end("sigma_max")) == (0.1, 50.0)
    narrow = clocks(GaussianMixture([0.7, 0.3], [[300.0], [-700.0]], 0.02))
    assert narrow["euler_maruyama"].end_snr >= 99 / 0.02**2 * (1 - 1e-9)
    assert narrow["annealed_10"].end("sigma_min") <= 0.02 / 99**0.5 * (1 + 1e-9)
    assert narrow["annealed_10"].first_snr * 700.0**2 <= 0.03 * (1 + 1e-9)


def test_an_end_that_is_given_and_does_not_fit_the_target_is_one_line(tmp_path, undrawn):
    target = ["target.a=20.0", "study.budgets=[16]", "study.separations.distances=[]"]
    text = (scorelab.run([*QUICK, "denoiser=exact", *target], tmp_path / "run").directory / "run.log").read_text()
    lines = [line for line in text.splitlines() if "no longer noise" in line]
    assert len(lines) == 2
    assert all("where the target is no longer noise; schedule.t_min=" in line for line in lines)
    assert "study.methods.euler_maruyama: the first step" in lines[0]


# A ladder of levels, and the exact score beside a network. -----------------------------------------------------------

#: the study of annealed Langevin beside ancestral sampling, small
SMLD = (
    *("study=smld", "target.n=4", "target.a=1.5", "study.count=400", "study.floor_repeats=10", "threads=1"),
    *("study.budgets=[6,24]", "study.methods.annealed.levels=6", "study.methods.annealed_exact.levels=6"),
)


def test_on_a_ladder_the_steps_of_a_level_follow_from_the_budget():
    study = check(composed("study=smld")).study
    (plan,) = (Plan(name, method) for name, method in study.methods.items() if name == "annealed")
    jobs = plan.jobs([10, 29, 60, 290], 5)
    assert [(job.steps, job.rule.repeats, job.nfe) for job in jobs] == [(29, 1, 29), (29, 2, 58), (29, 10, 290)]
    assert {job.rule.step_size for job in jobs} == {0.1}


def test_a_ladder_that_cannot_be_is_one_line():
    for override, said in (
        ("study.methods.ancestral.levels=9", "study.methods.ancestral.levels = 9: only AnnealedLangevin"),
        ("study.methods.annealed.levels=3000", "study.methods.annealed: no budget of study.budgets lies between 3000"),
        ("study.methods.annealed.levels=0", "study.methods.annealed.levels = 0: "),
    ):
        assert refused(ConfigError, check, composed("study=smld", override)).startswith(said), override


def test_a_method_has_the_exact_score_whatever_the_denoiser_of_the_run(tmp_path, undrawn):
    learned = scorelab.run([*SMLD, *TINY], directory=tmp_path / "learned").metrics["langevin"]["methods"]
    exact = scorelab.run([*SMLD, "denoiser=exact"], directory=tmp_path / "exact").metrics["langevin"]["methods"]
    for name in ("annealed", "ancestral", "reverse_sde"):
        assert learned[f"{name}_exact"] == exact[f"{name}_exact"], name
        assert learned[name]["w1"] != exact[name]["w1"], name
        assert learned[name]["evaluations"] == 24, name
