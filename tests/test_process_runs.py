"""The main job under an observation process: `process=NAME`."""

import json
import shutil

import pytest
import torch
import yaml
from conftest import SMALL
from helpers import composed, over, refused

import scorelab
from scorelab.errors import ScorelabError
from scorelab.lab.config import check
from scorelab.lab.context import Context
from scorelab.lab.runs import Run
from scorelab.randomness import stream_seed
from scorelab.samplers import draw_samples

SPINS = ("target=ising_small", "target.n=4", *(one for one in SMALL if not one.startswith("target.")))
EXACT = ("denoiser=exact", *(one for one in SPINS if not one.startswith("denoiser.")))
ERASURE = ("process=erasure", *EXACT, "sampler.count=4000", "study.trajectories=20")


def results(directory):
    """What a run leaves, without its times."""
    metrics = json.loads((directory / "metrics.json").read_text())
    del metrics["run"]
    numbers = {key: value for values in metrics.values() for key, value in values.items() if "second" not in key}
    return numbers, (directory / "samples.npy").read_bytes(), (directory / "denoiser.safetensors").read_bytes()


@pytest.fixture(scope="module")
def default(tmp_path_factory):
    """A run that names no process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Context, "draw_figures", lambda context: None)
        return scorelab.run(SMALL, tmp_path_factory.mktemp("default") / "run")


@pytest.fixture
def earlier(default, tmp_path):
    """A finished run whose config.yaml has no node `process`, as those of earlier versions."""
    shutil.copytree(default.directory, tmp_path / "earlier")
    path = tmp_path / "earlier" / "config.yaml"
    saved = yaml.safe_load(path.read_text())
    assert saved.pop("process") == {"_target_": "scorelab.processes.Isotropic", "alpha_max": None, "grid": None}
    path.write_text(yaml.safe_dump(saved))
    return tmp_path / "earlier"


def test_the_isotropic_process_is_the_run_without_the_group(default, tmp_path, undrawn):
    without = scorelab.run([*SMALL, "~process"], tmp_path / "without")
    assert results(without.directory) == results(default.directory)
    assert without.config.fingerprint == default.config.fingerprint
    assert "process" not in default.config.essential
    assert "not_measured" not in default.metrics


def test_the_isotropic_process_follows_the_schedule_the_grid_and_the_sampler(default):
    context = Context(Run(default.directory), default.config)
    seed, grid = stream_seed(0, "sampling"), context.schedule.angles(20)
    drawn = draw_samples(context.sampling, context.schedule, context.denoiser, 8, seed, angles=grid)
    assert torch.equal(torch.cat(list(drawn)), torch.tensor(default.samples))


def test_a_run_of_an_earlier_version_is_read_and_goes_on(default, earlier, undrawn):
    assert scorelab.load(earlier).config.fingerprint == default.config.fingerprint
    again = scorelab.run(["stage=sample", f"run={earlier}", "in_place=true"])
    assert results(again.directory) == results(default.directory)
    text = refused(ScorelabError, scorelab.run, ["stage=sample", f"run={earlier}", "process=linear"])
    assert "stage=sample cannot change process" in text


def test_erasure_with_the_exact_posterior_lands_on_the_exact_law(run_once):
    run = run_once(*ERASURE)
    points, log_weights = run.target.states()
    weights = torch.softmax(log_weights, 0)

    def variation(samples):
        places = (samples.double() @ points.T).argmax(1)
        return float(0.5 * (torch.bincount(places, minlength=len(points)) / len(samples) - weights).abs().sum())

    floor = torch.tensor([variation(run.target.sample(4000, torch.Generator().manual_seed(k))) for k in range(50)])
    assert abs(variation(torch.tensor(run.samples)) - float(floor.mean())) < 4 * float(floor.std())
    projection = run.metrics["projection"]
    assert projection["w1"] < projection["w1_floor"] + 4 * projection["w1_floor_deviation"]
    assert run.metrics["orthogonal"]["variance_exact_at_T"] == run.metrics["orthogonal"]["variance_exact"]
    assert run.metrics["sampling"]["nfe"] == run.metrics["sampling"]["steps"] == 4


def test_what_needs_the_channel_is_not_measured_and_says_why(run_once):
    run = run_once(*ERASURE)
    missing = run.metrics["not_measured"]
    for key in ("path_kl.total", "posterior_mean.relative_error", "trajectories.count", "sampling.T"):
        assert missing[key] == "the process is Erasure", key
    assert run.arrays.keys() == {"projection"}
    assert [path.name for path in run.directory.glob("figures/*")] == ["projection.npz"]
    assert "no schedule and no rule of sampling is used" in (run.directory / "run.log").read_text()


def test_the_schedule_is_no_part_of_a_run_by_another_process(run_once):
    config = run_once(*ERASURE).config
    assert not config.uses("schedule")
    assert check(config.data).fingerprint == config.fingerprint
    for changed, same in (("schedule=vp", True), ("process.order=random", False)):
        assert (check(composed(*ERASURE, changed)).fingerprint == config.fingerprint) is same, changed


def test_the_posterior_of_a_learned_flip_process_is_trained_sampled_and_drawn(run_once):
    more = ("training.N=2000", "training.epochs=20", "denoiser.m=16", "sampler.count=1000")
    run = run_once("process=binary_symmetric", *SPINS, *more, "figures.formats=[png]")
    assert run.metrics["training"]["steps"] == 400
    assert "Bayes risk of this process is not known" in run.metrics["not_measured"]["training.bayes_risk"]
    first, last = (run.arrays["training"]["excess_risk"][k] for k in (0, -1))
    assert last + 4 * run.metrics["training"]["excess_risk_standard_error"] < first
    samples = torch.tensor(run.samples).double()
    assert bool((samples.abs() == 1).all())
    gap = samples.mean(0) - run.target.marginals()
    assert gap.abs().max() < 0.2
    assert run.metrics["sampling"]["nfe"] > run.metrics["sampling"]["steps"]
    assert {path.stem for path in run.directory.glob("figures/*.png")} == {"projection", "training"}


def test_an_exact_posterior_needs_what_its_process_needs(tmp_path, undrawn):
    """The Gamma mixture has no posterior mean under Gaussian noise, and one given counts."""
    counts = [one for one in EXACT if not one.startswith("target")]
    counts += ["target=gamma_mixture", "process=poisson", "process.leap=true"]
    run = scorelab.run(counts, tmp_path / "counts")
    assert abs(run.metrics["projection"]["mean"] - run.metrics["projection"]["mean_exact"]) < 1
    assert "projection.w1_at_T" in run.metrics["not_measured"]
    text = refused(ScorelabError, scorelab.run, [*counts[:-2]], tmp_path / "noise")
    assert "no exact posterior mean" in text


@over(
    ("overrides", "message"),
    [
        (("process=erasure", *SMALL), "cannot run with a learned posterior mean of target GaussianMixture: the coord"),
        (("process=poisson", *SMALL), "counts need coordinates >= 0"),
        (("process=poisson", *EXACT), "process Poisson cannot run with target Ising: the mean of the target given"),
        (("process=half_space", *SPINS), "its steps need the weights of the states"),
        (("process=linear", *SPINS, "target.n=3"), "process: haar: n = 3: a power of 2 is needed"),
        (("process.alpha_max=1.2", *SMALL), "process.alpha_max = 1.2: in the main job the schedule says where"),
        (("process=erasure", *SPINS, "training.angles=native"), "training.angles = native: a process needs uniform"),
        (("process=erasure", *SPINS, "training.objective=sliced"), "training.objective = sliced: a process is learned"),
        (("process=erasure", *SPINS[:2], "denoiser=mixture_aware", "training.N=100"), "one function of the state"),
        (("process=erasure", *SPINS[:2], "denoiser=amp"), "denoiser Amp with process Erasure: exact is needed"),
        (("process=erasure", *SPINS, "process.leap=2"), "process.leap = 2"),
    ],
)
def test_what_a_process_does_not_allow_is_one_line_before_anything_is_trained(overrides, message, tmp_path):
    where = tmp_path / message[:20]
    text = refused(ScorelabError, scorelab.run, overrides, where)
    assert message in text
    assert "\n" not in text
    assert not (where / "denoiser.safetensors").exists()
