"""The study of processes, and posterior means of processes that are learned."""

import pandas
import pytest
import torch
from helpers import assert_close, blocks, composed, over, refused, seeded, with_values
from test_processes import SPINS, made

import scorelab
from scorelab.channel import mix
from scorelab.errors import ConfigError, ScorelabError
from scorelab.lab.config import check
from scorelab.lab.context import Context
from scorelab.processes import Learned, draw_samples
from scorelab.targets import GaussianMixture
from scorelab.training.trainer import Trainer

QUICK = (
    "study=processes",
    "target.n=4",
    "study.steps=[4,16]",
    "study.count=800",
    "study.floor_repeats=20",
    "study.localization={angles:3,draws:300,steps:6}",
    "study.learn=[binary_symmetric_leap]",
    "training.N=2000",
    "training.epochs=20",
    "training.batch_size=100",
    "denoiser.m=16",
    "figures.dpi=50",
    "threads=1",
)


@pytest.fixture(scope="module")
def run(run_once):
    return run_once(*QUICK)


def trainer(denoiser, target, process=None, *overrides):
    options = check(with_values("training.N=2000", "training.epochs=40", *overrides)).options("training")
    return Trainer(denoiser, target, options, 0, process=process)


def network(n):
    return check(composed("denoiser=velocity", "denoiser.m=16"))["denoiser"].build(n=n, target=None)


def test_every_process_that_the_target_allows_is_measured(run):
    table = pandas.read_csv(run.directory / "processes.csv")
    exact = table[table["posterior"] == "exact"]
    assert set(exact["process"]) == set(run.config.study.processes) - {"poisson", "poisson_leap"}
    assert "given Poisson counts is not known" in (run.directory / "run.log").read_text()
    erasure = exact[exact["process"] == "erasure"]
    assert erasure["evaluations"].tolist() == [4]
    assert exact[exact["process"] == "erasure_leap"]["steps"].tolist() == [4]
    found = run.metrics["processes"]
    assert found["distance"] == "total variation"
    noise = found["error_floor_deviation"]
    for name in ("erasure", "binary_symmetric", "half_space"):
        assert abs(found["exact"][name]["error_last"] - found["error_floor"]) < 4 * noise, name
        assert found["exact"][name]["evaluations_at_floor"] == found["exact"][name]["evaluations"][-1], name
    assert found["exact"]["anisotropic"]["error"][0] > found["exact"]["anisotropic"]["error"][1] + 4 * noise
    assert max(values["largest_drift"] for values in found["exact"].values()) < 4.5
    assert {path.name for path in run.directory.glob("figures/*.png")} == {"cost.png", "localization.png"}


def test_a_learned_posterior_mean_samples_the_spins(run):
    learned = run.metrics["processes"]["learned"]["binary_symmetric_leap"]
    floor = run.metrics["processes"]["error_floor"]
    assert learned["error_last"] < 3 * floor
    assert run.metrics["process_training"]["binary_symmetric_leap"]["steps"] == 400


def test_a_target_without_states_is_measured_along_its_direction(run_once):
    small = [one for one in QUICK if not one.startswith(("target", "study.learn"))]
    run = run_once(*small, "target=gamma_mixture", "study.steps=[20]", "study.processes.poisson.alpha_max=1.0")
    found = run.metrics["processes"]
    assert found["distance"] == "W1 of the projection"
    assert set(found["exact"]) == {"poisson", "poisson_leap"}
    assert found["exact"]["poisson"]["error_last"] < found["error_floor"] + 4 * found["error_floor_deviation"]


@over(
    ("overrides", "message"),
    [
        (["study.learn=[erasur]"], "study.learn = erasur: unknown; did you mean erasure?"),
        (["study.learn=[poisson]"], "study.processes.poisson cannot run with target Ising"),
        (["study.learn=[half_space]"], "HalfSpace cannot run with a learned posterior mean"),
        (["study.processes.linear.coarse_gain=0"], "study.processes.linear.coarse_gain = 0"),
        (["study.processes.erasure.ordr=random"], "study.processes.erasure.ordr: unknown key; did you mean order?"),
        (
            [
                "target=gamma_mixture",
                "study.learn=[]",
                *(f"~study.processes.{one}" for one in ("poisson", "poisson_leap")),
            ],
            "cannot run with target GammaMixture",
        ),
        (["denoiser=exact"], "a denoiser with parameters is needed"),
    ],
)
def test_mistakes_end_the_run_before_anything_is_trained(overrides, message, tmp_path):
    quick = [
        one for one in QUICK if not one.startswith(("denoiser.", "target.") if len(overrides) > 1 else "denoiser.")
    ]
    overrides = [("+" if "ordr" in one else "") + one for one in overrides]
    text = refused(ScorelabError, scorelab.run, [*quick, *overrides], tmp_path / message[-8:].replace("/", ""))
    assert message in text
    assert "\n" not in text


def test_a_process_that_cannot_be_built_on_the_target_is_left_out_with_its_reason():
    config = check(composed("study=processes", "target.n=6"))
    found, left_out = config.study.allowed(Context(None, config))
    assert "study.processes.linear: haar: n = 6: a power of 2 is needed" in left_out
    assert "linear" not in found
    assert "erasure" in found


def test_training_under_the_isotropic_process_is_training_under_the_channel():
    target = GaussianMixture.two_modes(n=4)
    one, other = trainer(network(4), target), trainer(network(4), target, made("Isotropic", target))
    for mine, theirs in ((other.flat.value, one.flat.value), (other.average, one.average)):
        mine.data.copy_(theirs.data)
    losses = [each.train_epoch() for each in (one, other)]
    assert losses[0] == losses[1]
    assert torch.equal(one.flat.value, other.flat.value)
    assert one.excess_risk() == other.excess_risk()
    batch = next(one.batches.segments(one.batches.draws(one.data[:8], 8, seeded(5))))
    draws = seeded(5)
    angle = one.law.sample(8, draws)
    assert torch.equal(batch[0], mix(one.data[:8], torch.randn(8, 4, generator=draws), angle))


@over(("name", "options"), [("Erasure", {}), ("BinarySymmetric", {"leap": True})])
def test_a_network_learns_the_posterior_mean_of_a_process(name, options):
    process = made(name, SPINS, **options)
    training = trainer(
        network(4), SPINS, process, "training.objective=posterior_mean", "training.batch_size=50", "training.epochs=20"
    )
    before, _ = training.excess_risk()
    training.run()
    after, error = training.excess_risk()
    assert after + 4 * error < 0.5 * before
    assert "of this process is not known" in training.not_measured["bayes_risk"].not_measured
    posterior = Learned(process, training.denoiser, SPINS)
    states = process.observe(SPINS.sample(500, seeded(0)), 0.7, seeded(1))
    assert posterior(states, 0.7).abs().max() <= 1
    drawn = torch.cat(list(draw_samples(process, posterior, 2000, 20, 0)))
    exact = SPINS.marginals()
    assert_close(drawn.double().mean(0), exact, rtol=0, atol=0.3)


def test_a_process_is_learned_by_a_regression_only():
    process = made("Erasure", SPINS)
    text = refused(ConfigError, trainer, network(4), SPINS, process, "training.objective=explicit")
    assert "a process is learned by a regression" in text


def test_the_process_of_the_guide_is_measured_with_the_others(tmp_path, monkeypatch):
    (code,) = blocks("docs/extending/process.md", "python")
    (tmp_path / "guide_lab.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    node = "{_target_: guide_lab.FirstHalf, factor: 4.0}"
    config = check(composed("study=processes", "extensions=[guide_lab]", f"+study.processes.mine={node}"))
    found, _ = config.study.allowed(Context(None, config))
    ratios = found["mine"].ratios(0.5)
    assert_close(ratios[0] / ratios[-1], 4.0, rtol=1e-14)
