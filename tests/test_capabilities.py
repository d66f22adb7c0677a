"""Targets that can do more or less: what is measured of them, what is said not to be, and what is refused."""

import math

import numpy
import pytest
import torch
import yaml
from helpers import assert_close, normal, over, random_mixture, seeded
from own_targets import Flattening, Images, Lacking, Measured, OnlySamples
from scipy import stats
from test_training import BASE

import scorelab
from scorelab.denoisers import ExactDenoiser
from scorelab.errors import ScorelabError
from scorelab.lab.context import Context
from scorelab.lab.runs import Run
from scorelab.metrics.projection import LawComparison
from scorelab.randomness import BlockNoise
from scorelab.samplers.risk import exact_risk
from scorelab.studies.base import not_measured
from scorelab.targets import CAPABILITIES, GaussianMixture
from scorelab.targets.base import OneSide
from scorelab.training import Training, angle_law, build_objective

#: a main job that takes a second
TINY = (
    "extensions=[own_targets]",
    "training.N=200",
    "training.epochs=2",
    "training.batch_size=100",
    "sampler.count=200",
    "sampler.steps=12",
    "study.path_kl_angles=6",
    "study.path_kl_draws=40",
    "study.posterior_mean_draws=40",
    "study.floor_repeats=5",
    "study.trajectories=0",
    "figures.formats=[]",  # to write a figure takes longer than the run; `figures` makes it
    "threads=1",
)
NETWORK = ("denoiser=relu", "denoiser.m=8")


@pytest.fixture
def run(tmp_path):
    """A function from nodes of groups and overrides to a finished run."""

    def start(*overrides, **nodes):
        for group, node in nodes.items():
            (tmp_path / "conf" / group).mkdir(parents=True, exist_ok=True)
            (tmp_path / "conf" / group / "own.yaml").write_text(yaml.safe_dump(node))
        named = {override.partition("=")[0] for override in overrides}
        chosen = [f"{group}=own" for group in nodes if group not in named]
        number = len(list(tmp_path.glob("run*")))
        return scorelab.run([*TINY, *chosen, *overrides], tmp_path / f"run{number}", config_dir=tmp_path / "conf")

    return start


def lacking(*names):
    return {"_target_": "own_targets.Lacking", "lacking": list(names)}


def only_samples():
    return {"_target_": "own_targets.OnlySamples"}


def images():
    return {"_target_": "own_targets.Images"}


def flat(value, name=""):
    """Dotted key -> number."""
    if isinstance(value, dict):
        return {key: number for inner, v in value.items() for key, number in flat(v, f"{name}{inner}.").items()}
    return {name.rstrip("."): value}


def numbers(result):
    """What a run measured, without times and origins."""
    sections = ("training", "projection", "orthogonal", "path_kl", "posterior_mean", "trajectories")
    found = flat({section: result.metrics[section] for section in sections})
    return {key: value for key, value in found.items() if "second" not in key}


# What a target says of itself. --------------------------------------------------------------------------------------


#: capabilities of targets with couplings, on few states, with counts, or made of data
OF_OTHERS = {"couplings", "states", "spins", "count_mean", "points", "images", "held_out", "labels"}


def test_a_mixture_can_everything_but_what_is_of_others_and_samples_alone_nothing_else():
    assert GaussianMixture.two_modes(n=3).can(*CAPABILITIES.keys() - OF_OTHERS)
    for name in CAPABILITIES.keys() - {"samples"}:
        assert OnlySamples().lacks(name).startswith("the ")
    assert OnlySamples().lacks("noisy_projection", "modes") == CAPABILITIES["noisy_projection"].lacking
    assert OnlySamples().shape == (4,)
    assert Images().n == 16


def test_a_risk_follows_from_the_posterior_mean_and_the_signal_risk_from_the_direction_as_well():
    target = Measured()
    assert target.can("bayes_risk", "signal_risk")
    assert not target.gives("bayes_risk")
    assert GaussianMixture.two_modes(n=3).gives("bayes_risk")
    target.direction = None
    assert target.lacks("signal_risk") == "the target has no signal direction"
    target = Lacking(["posterior_mean", "bayes_risk"])
    assert target.lacks("bayes_risk") == "the target has no exact posterior mean"


def test_what_a_target_has_not_is_one_line():
    target, x = OnlySamples(), torch.zeros(2, 4)
    for ask in (
        lambda: target.posterior_mean(x, 0.3),
        lambda: target.bayes_risk(0.3),
        lambda: target.weights,
        lambda: target.projection(x[0]),
        lambda: target.speciation_angle(),
    ):
        with pytest.raises(ScorelabError, match=r"OnlySamples: the .*(no|not) "):
            ask()
    assert target.output_law(1.4, "scaled") is None
    assert target.output_law(1.4, "posterior_draw") is None
    assert target.output_law(math.pi / 2, "posterior_draw") is target
    assert target.output_law(math.pi / 2, "scaled") is target


def test_a_target_without_n_and_shape_is_refused():
    class Nothing(OnlySamples):
        def __init__(self):
            pass

    with pytest.raises(TypeError, match="sets n or shape"):
        Nothing().sample(3, seeded(0))


def test_measured_risks_are_within_their_errors_of_the_closed_forms():
    exact, target = Lacking([]), Measured()
    angles = torch.tensor([0.0, 0.4, 0.9, 1.4], dtype=torch.float64)
    risk, error = target.bayes_risk_and_error(angles)
    assert bool(((risk - exact.bayes_risk(angles)).abs() < 4 * error + 1e-9).all())
    assert bool((error[1:] > 0).all())
    assert torch.equal(target.bayes_risk(angles), risk)
    assert exact.bayes_risk_and_error(0.4)[1] is None
    along = target.signal_risk(angles[1:])
    assert_close(along, exact.signal_risk(angles[1:])[0], rtol=0.1)
    assert exact_risk(target)(angles[1:]).shape == (3,)


def test_one_side_of_a_target_can_only_be_sampled():
    target = GaussianMixture.two_modes(n=3)
    right = OneSide(target, lambda x: (x[:, 0] > 0.2).long(), 1)
    x = right.sample(500, seeded(1))
    assert x.shape == (500, 3)
    assert bool((x[:, 0] > 0.2).all())
    assert right.lacks("posterior_mean")
    share, law = OnlySamples().restricted(lambda x: (x[:, 0] > 0.5).long(), 1)
    assert share == pytest.approx(0.25, abs=4 * math.sqrt(0.1875 / 65536))
    assert law.lacks("posterior_mean")


# Runs of targets that lack something. -------------------------------------------------------------------------------


MISSING = {
    ("direction",): {
        *(f"projection.{name}" for name in ("w1", "w1_at_T", "ks", "mean", "variance")),
        *("orthogonal.variance", "trajectories.count"),
    },
    ("posterior_mean",): {
        *(f"posterior_mean.{name}" for name in ("relative_error", "squared_error", "bayes_risk")),
        *("training.excess_risk", "path_kl.total", "path_kl.parametric_floor"),
    },
    ("density", "score"): set(),
    ("projection", "noisy_projection", "signal_risk"): {
        *(f"projection.{name}" for name in ("w1", "ks", "mean_exact", "variance_exact")),
        "trajectories.law_w1",
    },
    ("modes",): {
        *("projection.mode_weight", "projection.mode_weights"),
        *("path_kl.parametric_floor", "posterior_mean.relative_error_floor"),
        *(f"trajectories.{name}" for name in ("commitment_t", "commitment_90_t", "switched_after_speciation")),
    },
    ("speciation",): {"trajectories.speciation_t", "trajectories.switched_after_speciation"},
    ("output_law", "orthogonal_variance"): {
        *("projection.w1_at_T", "projection.variance_exact_at_T"),
        *("projection.mode_weight_exact", "projection.mode_weights_exact"),
        *("orthogonal.variance_exact", "orthogonal.variance_exact_at_T"),
    },
}


def test_what_a_target_lacks_is_not_measured_and_every_other_number_stays(run):
    paths = [*NETWORK, "study.trajectories=10", "training.N=1000"]  # enough to tell the modes apart, for the floors
    whole = run(*paths, target=lacking())
    assert "not_measured" not in whole.metrics
    expected = numbers(whole)
    for names, missing in MISSING.items():
        result = run(*paths, target=lacking(*names))
        assert set(result.metrics.get("not_measured", {})) == missing, names
        for key, value in numbers(result).items():  # what is left out leaves its random numbers to what comes after
            random = key.startswith("trajectories.") or key.endswith(("_floor", "_deviation", "_standard_error"))
            other = "output_law" in names and key.startswith("projection.mode_weight")  # the posterior of another law
            assert value == expected[key] or random or other, (names, key)
        assert Run(result.directory).state == "done"
        assert set(result.figures) == set(result.arrays)


def test_a_target_with_nothing_but_samples_trains_and_samples(run):
    result = run(*NETWORK, "study.trajectories=10", target=only_samples())
    metrics = result.metrics
    assert metrics["training"]["loss"] > 0
    assert result.samples.shape == (200, 4)
    assert set(result.figures) == {"training"}
    missing = metrics["not_measured"]
    assert missing["projection.w1"] == missing["trajectories.count"] == "the target has no signal direction"
    assert missing["training.bayes_risk"] == missing["path_kl.total"] == "the target has no exact posterior mean"
    assert not {"excess_risk", "bayes_risk"} & set(metrics["training"])
    lines = result.config.study.closing(metrics).lines
    assert lines == not_measured(metrics)
    assert any(line.startswith("not measured, as the target has no modes: projection.mode_weight") for line in lines)


def test_a_mixture_aware_denoiser_is_not_held_against_sides_that_are_not_known(run):
    network = {"_target_": "own_targets.Flattening"}
    result = run("denoiser=mixture_aware", "denoiser@denoiser.network=own", target=images(), denoiser=network)
    why = "the law of the target on one side of the data is not known"
    assert result.metrics["not_measured"]["path_kl.total"] == why
    assert result.metrics["training"]["parts"]["side_1"]["loss"] > 0
    assert result.metrics["not_measured"]["training.parts.side_1.excess_risk"].endswith("no exact posterior mean")
    assert result.metrics["projection"]["w1"] > 0


def test_floors_are_there_for_modes_of_any_width_that_the_samples_tell_apart(run):
    node = {"_target_": "scorelab.targets.Mixture", "n": 4, "weights": [1, 2], "means": [1.0, -1.0], "std": 0.5}
    metrics = run(*NETWORK, target=node).metrics
    assert 0 < metrics["path_kl"]["parametric_floor"] < metrics["path_kl"]["total"]
    assert len(metrics["posterior_mean"]["relative_error_floor"]) == 12
    metrics = run(*NETWORK, target=node | {"means": [0.01, -0.01]}).metrics
    assert "parametric_floor" not in metrics["path_kl"]
    assert "relative_error_floor" not in metrics["posterior_mean"]
    for key in ("path_kl.parametric_floor", "posterior_mean.relative_error_floor"):
        assert "the samples tell apart" in metrics["not_measured"][key]


def test_a_measured_bayes_risk_comes_with_its_error(run):
    exact = run(*NETWORK, target=lacking()).metrics
    found = run(*NETWORK, "schedule.grid=adaptive", target={"_target_": "own_targets.Measured"}).metrics
    value, error = (found["training"][f"bayes_risk{end}"] for end in ("", "_standard_error"))
    assert 0 < abs(value - exact["training"]["bayes_risk"]) < 4 * error
    rows = (found["posterior_mean"][f"bayes_risk{end}"] for end in ("", "_standard_error"))
    for measured, spread, known in zip(*rows, exact["posterior_mean"]["bayes_risk"], strict=True):
        assert abs(measured - known) < 4 * spread


@pytest.mark.parametrize(
    ("node", "overrides", "says"),
    [
        (only_samples(), ["denoiser=exact"], "denoiser Exact .* no exact posterior mean"),
        (only_samples(), ["schedule.grid=adaptive"], "schedule .* no signal direction"),
        (only_samples(), ["schedule.grid=adaptive_learned"], "schedule .* no signal direction"),
        (only_samples(), ["training.objective=explicit"], "training Training .* no exact posterior mean"),
        (
            only_samples(),
            ["denoiser=phase_aware", "denoiser.switches=[speciation]"],
            "no speciation time",
        ),
        (only_samples(), ["study=sampler_accuracy"], "study SamplerAccuracy .* projection is not known"),
        (only_samples(), ["study=langevin"], "study Langevin .* projection is not known"),
        (only_samples(), ["study=collapse"], "study=collapse needs .*: the target has no isotropic Gaussian modes"),
        (
            only_samples(),
            ["study=conditional_mean"],
            "two .*: the target has no isotropic Gaussian modes",
        ),
        (lacking("density"), ["denoiser=exact", "sampler=mala"], "sampler MALA .* the target has no density"),
        (lacking("density"), ["denoiser=exact", "study=langevin"], "study.methods.mala.*: the target has no density"),
        (lacking("score"), ["denoiser=exact", "sampler=ula", "sampler.noise_level=0"], "sampler ULA .* exact score"),
    ],
)
def test_what_cannot_run_ends_in_one_line_before_anything_is_trained(run, tmp_path, node, overrides, says):
    tiny = [option for option in TINY if not option.startswith("study")]  # keys of the main job
    (tmp_path / "conf" / "target").mkdir(parents=True)
    (tmp_path / "conf" / "target" / "own.yaml").write_text(yaml.safe_dump(node))
    with pytest.raises(ScorelabError, match=says) as caught:
        scorelab.run([*tiny, "target=own", *overrides], tmp_path / "run", config_dir=tmp_path / "conf")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run" / "denoiser.safetensors").exists()
    assert not (tmp_path / "run" / "training.csv").exists()


# States of any shape. -----------------------------------------------------------------------------------------------


def test_images_are_measured_as_the_vectors_that_they_are(run):
    own = {"denoiser": {"_target_": "own_targets.Flattening"}}
    asked = ("sampler.output=posterior_draw", "study.trajectories=10")
    image, vector = run(*asked, target=images(), **own), run(*asked, target=lacking(), **own)
    assert image.samples.shape == (200, 1, 4, 4)
    assert numpy.array_equal(image.samples.reshape(200, 16), vector.samples)
    expected = numbers(vector)
    for key, value in numbers(image).items():
        # paths are observed in all 16 dimensions, not along the line between the modes, before what is random here
        random = key.startswith("trajectories.") and key.endswith(("_exact", "_error", "_floor", "_deviation"))
        random |= key.startswith(("trajectories.commitment", "trajectories.switched"))
        assert value == expected[key] or random, key
    assert set(image.metrics["not_measured"]) == {"path_kl.parametric_floor", "posterior_mean.relative_error_floor"}


def test_a_convolutional_network_trains_and_is_measured(run):
    result = run(target=images(), denoiser={"_target_": "own_targets.Convolutional"})
    assert result.metrics["training"]["excess_risk"] > 0
    assert result.metrics["path_kl"]["total"] > 0
    assert set(result.figures) == {"projection", "posterior_mean", "errors", "training"}


def test_every_objective_of_images_is_the_one_of_the_vectors_that_they_are():
    image, vector, network = Images(), Lacking([]), Flattening(16)
    x, angle = normal(6, 1, 4, 4, seed=1, dtype=torch.float32), torch.linspace(0.3, 1.2, 6)
    for name in ("velocity", "score", "explicit", "implicit", "implicit_hutchinson", "sliced"):
        options = Training(**BASE | {"objective": name, "angle_min": 0.1, "probes": 2})
        law, losses = angle_law(options), []
        for target, state, denoiser in ((image, x, network), (vector, x.flatten(1), network.network)):
            objective = build_objective(options, law, target)
            columns = objective.columns(state, state, angle, seeded(2))
            losses.append(objective.losses(denoiser, state, angle, *columns))
        assert_close(losses[0], losses[1], rtol=1e-5)


@over("sampler", ["mala", "predictor_corrector", "heun"])
def test_samplers_move_images_as_they_move_vectors(run, sampler):
    overrides = ["denoiser=exact", f"sampler={sampler}", "sampler.count=64", "sampler.steps=6", "stage=train"]
    samples = []
    for node in (images(), lacking()):
        trained = run(*overrides, "sampler.output=posterior_draw", target=node)
        trained.config.study.run_stage("sample", Context(Run(trained.directory), trained.config))
        samples.append(numpy.load(trained.directory / "samples.npy").reshape(64, 16))
    assert numpy.array_equal(*samples)


def test_draws_depend_on_the_number_of_entries_alone():
    flat, shaped = BlockNoise(3, 256, 300, 6), BlockNoise(3, 256, 300, (2, 3))
    for _ in range(3):
        assert torch.equal(shaped().reshape(300, 6), flat())


# Laws without a density. --------------------------------------------------------------------------------------------


class Atoms:
    """The binomial law of the mean of five fair signs."""

    at = torch.arange(-5, 6, 2, dtype=torch.float64) / 5
    mass = torch.tensor([1, 5, 10, 10, 5, 1], dtype=torch.float64) / 32
    mean, variance = 0.0, 0.2

    def cdf(self, x):
        return ((self.at <= torch.as_tensor(x).unsqueeze(-1)) * self.mass).sum(-1)

    def integrated_cdf(self, x):
        return ((x.unsqueeze(-1) - self.at).clamp_min(0) * self.mass).sum(-1)

    def integrated_survival(self, x):
        return ((self.at - x.unsqueeze(-1)).clamp_min(0) * self.mass).sum(-1)

    def quantile(self, u):
        return self.at[torch.searchsorted(self.mass.cumsum(0), torch.as_tensor(u)).clamp_max(5)]

    def sample(self, count, generator):
        return self.at[torch.multinomial(self.mass, count, replacement=True, generator=generator)]


@over("noise", [0.0, 0.05, 0.5])
def test_distances_to_a_law_with_atoms_agree_with_independent_ones(noise):
    law = Atoms()
    values = law.sample(400, seeded(1)) + noise * normal(400, seed=2)
    comparison = LawComparison(law, 400)
    expected = stats.wasserstein_distance(values.numpy(), law.at.numpy(), None, law.mass.numpy())
    assert_close(comparison.wasserstein_1(values), float(expected), rtol=1e-9, atol=1e-12)
    # the supremum over the points of both laws, at and just below each
    points = torch.cat([values, law.at, values - 1e-7, law.at - 1e-7])
    empirical = (values <= points.unsqueeze(1)).double().mean(1)
    brute_force = float((empirical - law.cdf(points)).abs().max())
    assert_close(comparison.kolmogorov_smirnov(values), brute_force, rtol=1e-9)
    if noise == 0:
        assert brute_force < 0.07


@over("error", [TypeError, NotImplementedError])
def test_a_law_may_say_that_it_has_no_density_when_it_is_asked(error):
    class Asked(Atoms):
        def pdf(self, x):
            raise error("no density")

    assert LawComparison(Asked(), 10).below > 0


@over("error", [AttributeError, ValueError, ZeroDivisionError])
def test_a_fault_of_a_density_is_not_taken_for_a_law_without_one(error):
    class Faulty(Atoms):
        def pdf(self, x):
            raise error("a fault")

    with pytest.raises(error, match="a fault"):
        LawComparison(Faulty(), 10)
    given_up = type("GivenUp", (Faulty,), {"pdf": None})
    assert LawComparison(given_up(), 10).below > 0


# Moving. ------------------------------------------------------------------------------------------------------------


def tensors(value):
    """Every tensor that an object holds, wherever in it."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from tensors(item)
    elif hasattr(value, "__dict__"):
        yield from tensors(list(vars(value).values()))


def test_everything_that_a_target_holds_moves_with_it():
    mixture = random_mixture(3, 4, "per_mode")
    side = OneSide(mixture, lambda x: x[:, 0] > 0, 1)
    for thing in (mixture, mixture.projection(mixture.direction), side, Images()):
        moved = thing.to("meta")
        assert {tensor.device.type for tensor in tensors(moved)} == {"meta"}
        assert {tensor.device.type for tensor in tensors(thing)} == {"cpu"}
    denoiser = ExactDenoiser(mixture).to(torch.device("meta"))
    assert denoiser.target.means.device.type == "meta"
    same, x = mixture.to(torch.device("cpu")), normal(5, 4, seed=3)
    assert torch.equal(same.posterior_mean(x, 0.7), mixture.posterior_mean(x, 0.7))
    assert torch.equal(ExactDenoiser(mixture).to("cpu")(x, 0.7), mixture.posterior_mean(x, 0.7))


def test_a_denoiser_that_returns_another_shape_is_refused(run):
    with pytest.raises(ScorelabError, match=r"Wrong returns the shape \(2, 16\) for states of shape \(2, 1, 4, 4\)"):
        run(target=images(), denoiser={"_target_": "own_targets.Wrong"})
