"""`scorelab.evaluate`: samples of any origin beside what exact samples have."""

import json

import numpy
import pandas
import pytest
import torch
from helpers import over, refused, seeded

import scorelab
from scorelab import cli
from scorelab.errors import ConfigError, ScorelabError
from scorelab.targets import GaussianMixture

TARGET = GaussianMixture([0.6, 0.3, 0.1], [[2.0, 0, 0], [-1.0, 1, 0], [0, 0, 1]], [0.5, 1.0, 0.8])


def exact(count=600, seed=0):
    return TARGET.sample(count, seeded(seed))


def evaluated(samples, seed=0, **options):
    return scorelab.evaluate(samples, TARGET, seed=seed, **{"repeats": 20, **options})


def differing(evaluation):
    return {finding.name for finding in evaluation.findings if finding.differs}


def test_exact_samples_pass_again_and_again():
    """Four deviations: of 30 sets with ten numbers each, hardly one fails."""
    failed = [differing(evaluated(exact(250, 100 + seed), seed, repeats=8)) for seed in range(30)]
    assert sum(map(len, failed)) <= 2


@over(
    "fault",
    [
        ("a shift across the direction", "moments.mean", lambda x: x + torch.tensor([0.0, 0.0, 0.5])),
        ("a wider law", "orthogonal.variance", lambda x: 1.4 * x),
        ("a correlation", "moments.covariance", lambda x: torch.stack([x[:, 0], x[:, 1], x[:, 2] + 0.8 * x[:, 1]], 1)),
        ("a mode that is lost", "modes.weight", lambda x: _without_a_mode(x)),
        ("a shift along the direction", "projection.mean", lambda x: x + 0.3 * TARGET.direction.float()),
        ("half of them at one point", "distance.mmd_squared", lambda x: torch.cat([x[:300], 0 * x[300:]])),
    ],
)  # fmt: skip
def test_a_fault_is_found_by_the_number_that_it_changes(fault):
    _, name, change = fault
    evaluation = evaluated(change(exact()))
    assert name in differing(evaluation)
    assert not evaluation.passed


def test_the_error_of_a_weight_is_that_of_its_mean_also_where_chance_would_make_more():
    samples = exact()
    (found,) = (each.estimate for each in evaluated(samples).findings if each.name == "modes.weight")
    gamma = TARGET.posterior_weights(samples.double(), torch.pi / 2)
    k = int((gamma.mean(0) - found.value).abs().argmin())
    assert found.standard_error == pytest.approx(float(gamma[:, k].std()) / len(gamma) ** 0.5, rel=1e-5)
    assert found.floor > 0


def _without_a_mode(x):
    gamma = TARGET.posterior_weights(x, torch.pi / 2)
    return torch.where((gamma[:, 2] > 0.5)[:, None], x.roll(1, 0), x)


def test_an_evaluation_has_its_numbers_in_every_form(tmp_path):
    samples = exact(500)
    evaluation = evaluated(samples)
    numpy.save(tmp_path / "samples.npy", samples.numpy())
    numpy.savetxt(tmp_path / "samples.csv", samples.double().numpy(), delimiter=",", header="a,b,c", comments="")
    pandas.DataFrame(samples.double().numpy()).to_csv(tmp_path / "numbered.csv", index=False)
    pandas.DataFrame(samples.double().numpy()).to_csv(tmp_path / "counted.csv")
    pandas.DataFrame(samples.double().numpy()).to_csv(tmp_path / "comma.csv", sep=";", decimal=",", index=False)
    numpy.savetxt(tmp_path / "tabs.csv", samples.double().numpy(), delimiter="\t")
    files = (tmp_path / "samples.npy", str(tmp_path / "samples.csv"))
    files += tuple(tmp_path / f"{name}.csv" for name in ("numbered", "counted", "comma", "tabs"))
    for other in (samples.numpy(), samples.double(), *files):
        again = evaluated(other).metrics
        assert again.keys() == evaluation.metrics.keys()
        for section, numbers in evaluation.metrics.items():
            assert again[section] == pytest.approx(numbers, rel=1e-5, abs=1e-9)
    assert list(evaluation.table["name"]) == [finding.name for finding in evaluation.findings]
    assert str(evaluation).endswith("500 samples: nothing tells them from exact ones")
    assert "<table" in evaluation._repr_html_()
    evaluation.save(tmp_path / "out")
    read = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert read["metrics"]["projection"]["mean"] == evaluation.metrics["projection"]["mean"]
    assert (read["count"], read["passed"]) == (500, True)
    assert (tmp_path / "out" / "evaluation.png").is_file()


def test_a_target_may_be_named_as_in_a_run():
    overrides = ["target=two_modes", "target.n=3", "target.p=0.6"]
    samples = GaussianMixture.two_modes(n=3, p=0.6).sample(400, seeded(1))
    named = scorelab.evaluate(samples, overrides, repeats=10)
    assert min(abs(named.metrics["modes"]["weight_exact"] - p) for p in (0.6, 0.4)) < 1e-12
    assert named.passed
    for wrong in (["target=no_such_target"], ["target=two_modes", "training.N=3"], ["seed=4"]):
        assert wrong[-1].partition("=")[2] in refused(ConfigError, scorelab.evaluate, samples, wrong)


def test_a_number_that_the_target_does_not_know_is_not_measured():
    spins = scorelab.evaluate(torch.tensor([[1.0, -1.0] * 4, [-1.0, 1.0] * 4] * 50), "ising_small", repeats=10)
    found = {finding.name: finding for finding in spins.findings}
    assert found["modes.weight"].verdict.startswith("not measured: ")
    assert found["modes.weight"].deviations is None
    assert found["spins.energy"].differs
    assert "modes.weight" in spins.metrics["not_measured"]


@over(
    "wrong",
    [
        (torch.zeros(5, 4), "has the shape (5, 4), and (count, 3)"),
        (torch.zeros(1, 3), "with count >= 2"),
        (torch.tensor([[0.0, 1, 2], [0, float("nan"), 1]]), "sample 1 is not finite"),
        (torch.full((2, 3), 1e200, dtype=torch.float64), "sample 0 is beyond the numbers of float32"),
        (torch.zeros(5, 3, dtype=torch.complex64), "real numbers are needed"),
        ([["a", "b", "c"], ["d", "e", "f"]], "not an array of numbers"),
        ("/nowhere/samples.npy", "/nowhere/samples.npy: no such file"),
    ],
)
def test_samples_that_do_not_fit_are_refused(wrong):
    samples, says = wrong
    assert says in refused(ScorelabError, evaluated, samples)


def test_a_place_that_cannot_be_written_is_told_before_anything_is_computed(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("mine")
    monkeypatch.setattr("scorelab.evaluation.evaluate", lambda *_, **__: pytest.fail("it was computed"))
    monkeypatch.setattr(
        "sys.argv", ["scorelab", "evaluate", "x.npy", "target=two_modes", "--out", f"{tmp_path}/file/a"]
    )
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == f"error: {tmp_path}/file/a: cannot be made, as {tmp_path}/file is no folder"
