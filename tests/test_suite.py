"""`scorelab.suite`: targets that never change, their reference draws, and their reference numbers."""

import itertools
import math

import numpy
import pytest
import torch
from helpers import ROOT, answer_here, assert_close, composed, refused, seeded, standard_error

import scorelab
from scorelab.errors import ScorelabError
from scorelab.lab.config import check
from scorelab.metrics.projection import LawComparison, project
from scorelab.quadrature import gauss_legendre
from scorelab.suites.named import recorded
from scorelab.suites.numbers import measured

SUITE = scorelab.suite("v1")
#: the first entries of random means, written down once: they follow from a seed alone
MEANS = {
    "rare": [-1.5943491568900514, -0.6682157698794293, -1.5034260219770512],
    "many_modes": [0.4914765364121405, -0.06342718328100315, 1.7315259215968017],
}
#: what is cheap to compute again
CHEAP = ("gaussian", "clusters", "grid", "widths", "spins", "ring")


@pytest.fixture(scope="module")
def draws():
    """Reference draws of each target; fewer where a draw is long."""
    return {entry.name: entry.draws(512 if entry.n > 500 else 4096) for entry in SUITE}


def test_the_suite_is_the_folder_of_its_options_and_the_record_is_of_these_configurations():
    names = {path.stem for path in (ROOT / "conf" / "target" / "v1").glob("*.yaml")}
    assert set(SUITE.names) == names == set(recorded("v1"))
    assert [entry.name for entry in SUITE] == SUITE.names
    for entry in SUITE:
        assert recorded("v1")[entry.name]["fingerprint"] == entry.fingerprint, entry.name


def test_the_reference_draws_are_those_of_the_record_on_this_machine():
    for entry in SUITE:
        assert recorded("v1")[entry.name]["draws"] == entry.draws_digest, entry.name


def test_the_first_rows_of_a_longer_draw_are_the_shorter_one_and_seeds_differ():
    for name in ("gaussian", "funnel", "spins"):
        entry = SUITE[name]
        assert torch.equal(entry.draws(300)[:7], entry.draws(7))
        assert torch.equal(entry.draws(300)[256:260], entry.draws(260)[256:])
        assert entry.draws(7).shape == (7, entry.n)
        assert not torch.equal(entry.draws(7, seed=1), entry.draws(7))


def test_a_run_has_the_same_target_whatever_its_seed():
    for name in ("rare", "ring"):
        config = check(composed(f"target=v1/{name}"))
        assert config.data["target"] == SUITE[name].node.data
        built = config["target"].build(generator=seeded(5))
        assert torch.equal(built.sample(4, seeded(0)), SUITE[name].target.sample(4, seeded(0)))


def test_random_means_are_these_numbers():
    assert_close(SUITE["rare"].target.means[0, :3], MEANS["rare"], 1e-9)
    assert_close(SUITE["many_modes"].target.means[199, :3], MEANS["many_modes"], 1e-9)
    assert_close(SUITE["many_modes"].target.means.norm(dim=1), torch.full((200,), 8.0, dtype=torch.float64), 1e-12)


def test_means_and_variances_are_those_of_the_draws(draws):
    for entry in SUITE:
        x, numbers = draws[entry.name], entry.numbers
        squared = (x - x.mean(0)).square().sum(1)
        assert abs(float(squared.mean()) - numbers["variance"].value) < 4.5 * standard_error(squared), entry.name
        if "projection.mean" in numbers:
            direction = entry.target.direction
            values = x @ direction / direction.square().sum()
            squared = (values - values.mean()).square()
            assert abs(float(values.mean()) - numbers["projection.mean"].value) < 4 * standard_error(values)
            assert abs(float(squared.mean()) - numbers["projection.variance"].value) < 4.5 * standard_error(squared)


def test_entropies_and_bayes_risks_are_those_of_the_draws(draws):
    for entry in SUITE:
        x, numbers, target = draws[entry.name][:512], entry.numbers, entry.target
        noise = torch.randn(x.shape, generator=seeded(3), dtype=torch.float64)
        for name, angle in (("pi/8", math.pi / 8), ("3pi/8", 3 * math.pi / 8)):
            state = math.sin(angle) * x + math.cos(angle) * noise
            error = x - target.posterior_mean(state.reshape(-1, *target.shape), angle).reshape(x.shape)
            squared, risk = error.square().sum(1), numbers[f"bayes_risk.{name}"]
            off = abs(float(squared.mean()) - risk.value)
            assert off < 4 * math.hypot(standard_error(squared), risk.error or 0), (entry.name, name)
        if target.can("score"):
            surprise, entropy = -target.noisy_log_prob(x, math.pi / 2), numbers["entropy"]
            off = abs(float(surprise.mean()) - entropy.value)
            assert off < 4 * math.hypot(standard_error(surprise), entropy.error or 0), entry.name


def test_exact_numbers_are_those_of_sums_by_hand():
    numbers = SUITE["gaussian"].numbers
    covariance = 0.9 ** (torch.arange(8.0).double().unsqueeze(1) - torch.arange(8.0)).abs()
    sign = torch.tensor([1.0, -1.0] * 4, dtype=torch.float64)
    assert numbers["projection.variance"].value == pytest.approx(float(sign @ covariance @ sign) / 64, rel=1e-9)
    assert numbers["entropy"].value == pytest.approx(
        4 * math.log(2 * math.pi * math.e) + 0.5 * float(torch.logdet(covariance)), abs=4 * numbers["entropy"].error
    )
    harmonic = sum(1 / k for k in range(1, 201))
    assert SUITE["many_modes"].numbers["weights"].value[-1] == pytest.approx(1 / (200 * harmonic), rel=1e-9)
    assert SUITE["checkerboard"].numbers["entropy"].value == pytest.approx(math.log(8), rel=1e-9)
    assert SUITE["digits"].numbers["entropy"].value == pytest.approx(math.log(1797), rel=1e-9)
    assert SUITE["funnel"].numbers["variance"].value == pytest.approx(2.25 + 9 * math.exp(1.125), rel=1e-9)
    radii, weights = gauss_legendre(1.4, 2.6, 200)  # E r^2 of a circle of 2 with noise of 0.05 in the plane
    near = weights * radii * torch.exp(-0.5 * ((radii - 2) / 0.05) ** 2) * torch.special.i0e(radii * 2 / 0.0025)
    assert SUITE["ring"].numbers["variance"].value == pytest.approx(
        float((near * radii**2).sum() / near.sum()), rel=1e-9
    )


def test_the_numbers_of_the_spins_are_those_of_a_list_of_all_states():
    target, numbers = SUITE["spins"].target, SUITE["spins"].numbers
    states = numpy.array(list(itertools.product((-1.0, 1.0), repeat=12)))
    log = 0.75 * ((states @ target.A.numpy()) * states).sum(1) + 0.1 * states.sum(1)
    total = numpy.logaddexp.reduce(log)
    share = numpy.exp(log - total)
    assert numbers["log_partition"].value == pytest.approx(total, rel=1e-9)
    assert numbers["entropy"].value == pytest.approx(-float(share @ (log - total)), rel=1e-8)
    assert numbers["variance"].value == pytest.approx(12 - float(((share @ states) ** 2).sum()), rel=1e-9)


def test_the_record_is_up_to_date(monkeypatch):
    """The numbers but for the floors, which take long; these are held to the draws in the test of the score."""
    monkeypatch.setattr("scorelab.suites.numbers.COUNTS", ())
    monkeypatch.setattr("scorelab.suites.numbers._DRAWS", 2**12)
    for name in CHEAP:
        for number, again in measured(SUITE[name].target).items():
            held = SUITE[name].numbers[number]
            assert again.exact == held.exact, (name, number)
            if again.exact:
                assert_close(again.value, held.value, 1e-8, 1e-12, case=(name, number))
            else:
                assert abs(again.value - held.value) < 4 * math.hypot(again.error, held.error), (name, number)


def test_floors_are_the_distances_of_reference_draws(draws):
    for name in ("gaussian", "spins", "funnel", "ring"):
        entry = SUITE[name]
        values = project(draws[name], entry.target.direction).split(1000)[:4]
        comparison = LawComparison(entry.target.projection(entry.target.direction), 1000)
        found = [comparison.distances(each) for each in values]
        for distance in ("w1", "ks"):
            floor = entry.numbers[f"floor.{distance}.1000"]
            deviation = entry.numbers[f"floor.{distance}.1000.deviation"].value
            mean = numpy.mean([each[distance] for each in found])
            assert abs(mean - floor.value) < 4 * deviation / 2, (name, distance)


def test_errors_of_reference_numbers_are_their_spread_over_repetitions(monkeypatch):
    """The ratio is known to 7 per cent by 100 repetitions; a fourth moment of 60 sets is a little too small."""
    monkeypatch.setattr("scorelab.suites.numbers.COUNTS", (40,))
    monkeypatch.setattr("scorelab.suites.numbers._AT_A_TIME", 256)
    monkeypatch.setattr("scorelab.suites.numbers._DRAWS", 256)
    rows = [measured(SUITE["funnel"].target, sets=60, seed=seed) for seed in range(100)]
    for name, first in rows[0].items():
        if not first.exact:
            spread = numpy.std([row[name].value for row in rows], ddof=1)
            ratio = numpy.mean([row[name].error for row in rows]) / spread
            assert 0.75 < ratio < 1.3, (name, ratio)


def test_exact_draws_pass_on_every_target_and_a_planted_bias_is_found():
    names = [name for name in SUITE.names if name not in ("high_dimension", "checkerboard")]
    found = SUITE.evaluate(lambda entry, count, _: entry.draws(count, seed=7), count=300, repeats=4, names=names)
    assert found.passed, str(found)
    assert list(found.table["name"]) == names
    assert "10 of 10 targets pass" in str(found)

    def planted(entry, count, generator):
        if entry.name == "spins":
            return None
        x = entry.target.sample(count, generator)
        return 1.5 * x if entry.name == "gaussian" else x

    wrong = SUITE.evaluate(planted, count=200, repeats=4, names=["gaussian", "clusters", "spins"])
    assert wrong.failures == ("gaussian",)
    assert not wrong.passed
    assert list(wrong.table["verdict"]) == ["differs", "passes", "not measured: the sampler does not apply"]


def test_what_there_is_not_is_said_in_one_line():
    assert refused(ScorelabError, scorelab.suite) == "suite: a version is needed; versions: v1"
    assert refused(ScorelabError, scorelab.suite, "v7") == "suite = v7: no such version; versions: v1"
    assert refused(ScorelabError, SUITE.__getitem__, "rink").startswith(
        "rink: no target of suite v1; did you mean ring?"
    )
    assert refused(ScorelabError, SUITE["ring"].draws, 0) == "count = 0: an integer >= 1 is needed"
    wrong = refused(ScorelabError, lambda: SUITE.evaluate(lambda *_: torch.zeros(5, 3), names=["ring"]))
    assert wrong.startswith("v1/ring: samples: has the shape (5, 3)")
    few = refused(ScorelabError, lambda: SUITE.evaluate(lambda *_: torch.zeros(5, 2), count=10, names=["ring"]))
    assert few == "v1/ring: samples: has the shape (5, 2); 10 samples are needed"
    broken = refused(ScorelabError, lambda: SUITE.evaluate(lambda *_: 1 / 0, names=["ring"]))
    assert broken == "v1/ring: the draw raises ZeroDivisionError: division by zero"
    assert refused(ScorelabError, SUITE["ring"].draws, 2.5) == "count = 2.5: an integer >= 1 is needed"
    typo = refused(ScorelabError, SUITE["ring"].numbers.__getitem__, "entrop")
    assert typo.startswith("entrop: no such number; valid names: variance, ")
    assert "bayes_risk.3pi/8" in typo


def test_a_suite_shows_itself_and_says_how_it_is_cited():
    assert str(SUITE).startswith(SUITE.cite)
    assert all(entry.name in str(SUITE) and entry.what in str(SUITE) for entry in SUITE)
    assert len(SUITE.table) == len(SUITE) == 12
    assert SUITE.fingerprint in SUITE.cite
    assert SUITE["ring"].fingerprint in SUITE["ring"].cite
    assert "<table" in SUITE._repr_html_()
    numbers = SUITE.numbers
    assert set(numbers["name"]) == set(SUITE.names)
    assert "bayes_risk.pi/4" in str(SUITE["ring"])


def test_the_page_has_a_row_for_each_target():
    page = (ROOT / "docs" / "suite.md").read_text()
    assert SUITE.fingerprint in page
    for entry in SUITE:
        row = f"| [`{entry.name}`](options.md#targetv1{entry.name}) | {entry.n} | {entry.what} {entry.hard} | "
        assert row.replace("|i - j|", r"\|i - j\|") + f"{', '.join(entry.exact)} |" in page, entry.name


def test_the_command_line_knows_options_in_folders(tmp_path):
    listed = answer_here("-m", "target=glob(v1/*)", "denoiser=exact", "sweep.dry_run=true", cwd=tmp_path)
    assert listed["out"].count("job #") == 12
    assert "target=v1/funnel" in listed["out"]
    refusal = answer_here("target=v1/rin", cwd=tmp_path)["err"]
    assert refusal.startswith("error: target = v1/rin: no such option; did you mean v1/ring? ")
