"""Claims: the rule that turns numbers into verdicts, the study, and every claim on a share of its draws."""

import json
import math
import os
import runpy
import sys

import pandas
import pytest
from helpers import ROOT, answer_here, over

import scorelab
from scorelab.claims import CORRECTED, FAILS, HOLDS, Budget, Evidence, at_least, at_most, claim, equal, judge
from scorelab.claims.claim import REGISTRY, SEEDS, UNDECIDED
from scorelab.claims.registry import every_claim, select
from scorelab.errors import ConfigError, ScorelabError
from scorelab.studies.generate import published_networks
from scorelab.studies.generate.published_networks import BY_MODE, BY_PHASE, MANY_SAMPLES, RELU, TANH, UNIT_INPUT, Runs

CLAIMS = every_claim()
TRUE, FALSE, UNCLEAR = equal("", 1, 1), equal("", 1, 2), equal("", 1, 1, error=1)


def test_a_claim_has_the_verdict_that_is_recorded():
    wrong = {}
    for name, each in CLAIMS.items():
        evidence = each.measure(Budget(quick=True, seed=0, claim=name))
        if judge(evidence) != each.recorded:
            wrong[name] = evidence
        assert "{" not in each.finding.format(**evidence.numbers), name
        assert evidence.counterexample or each.recorded != FAILS, name
    assert wrong == {}


@over(
    ("stated", "corrected", "verdict"),
    [
        ([TRUE, TRUE], [], HOLDS),
        ([TRUE, FALSE], [TRUE], CORRECTED),
        ([TRUE, FALSE], [TRUE, FALSE], FAILS),
        ([FALSE], [], FAILS),
        ([TRUE, UNCLEAR], [TRUE], UNDECIDED),
        ([FALSE, UNCLEAR], [TRUE], CORRECTED),
        ([FALSE], [TRUE, UNCLEAR], UNDECIDED),
        ([], [TRUE], UNDECIDED),
    ],
)
def test_the_rule(stated, corrected, verdict):
    assert judge(Evidence(stated, corrected)) == verdict


@over(
    ("comparison", "outcome"),
    [
        (equal("", 1 + 1e-11, 1), True),
        (equal("", 1 + 1e-9, 1), False),
        (equal("", 1.03, 1, error=0.01), True),
        (equal("", 1.05, 1, error=0.01), False),
        (equal("", 1.05, 1, error=0.05), None),
        (equal("", 1.05, 1, error=0.05, resolution=0.3), True),
        (equal("", math.nan, 1), False),
        (at_most("", 1, 1), True),
        (at_most("", 1, 1.03, error=0.01), None),
        (at_most("", 1, 1.05, error=0.01), True),
        (at_most("", 1.05, 1, error=0.01), False),
        (at_most("", math.inf, 1), None),
        (at_least("", 1.05, 1, error=0.01), True),
        (at_least("", 1, 1.05, error=0.01), False),
    ],
)
def test_comparisons_know_what_their_error_bars_allow(comparison, outcome):
    assert comparison.outcome is outcome


def test_claims_are_named_after_their_seeds_and_say_where_they_stand():
    for name, each in CLAIMS.items():
        assert each.id == name
        assert each.source.startswith(f"{SEEDS[each.seed][0]}, ")


def test_claims_are_chosen_by_id_and_by_seed():
    assert [each.id for each in select(CLAIMS, ["S0-02"])] == ["S0-02"]
    assert {each.seed for each in select(CLAIMS, ["S0"])} == {"S0"}
    assert len(select(CLAIMS, [])) == len(CLAIMS)
    with pytest.raises(ConfigError, match=r"claims\.only = S0-2: unknown; did you mean S0-2"):
        select(CLAIMS, ["S0-2"])


def test_a_declaration_has_to_be_consistent():
    def declare(**more):
        words = {"source": "", "statement": "", "finding": ""}
        claim("S9-99", **words, **more)(lambda budget: Evidence([]))

    for wrong in (
        {"recorded": "true"},
        {"recorded": HOLDS, "fault": "error"},
        {"recorded": CORRECTED, "fault": "error"},
    ):
        with pytest.raises(ValueError, match="S9-99"):
            declare(**wrong)
    assert "S9-99" not in REGISTRY


def test_claims_about_the_published_networks_read_a_table_of_runs_with_the_full_budget():
    """Each network has the same seeds, at least six, and 50 000 steps a network."""
    table = published_networks.table()
    every = {*BY_MODE.values(), *BY_PHASE.values(), RELU, TANH, MANY_SAMPLES, UNIT_INPUT}
    assert {name for name, _ in table.index} == every
    for name in every:
        seeds = list(Runs(name).rows.index)
        assert seeds == list(Runs(RELU).rows.index)
        assert len(seeds) >= 6
        assert (table.loc[name]["steps"] >= 50_000).all()
        assert Runs(name).errors.shape == (len(seeds), 12)
    assert sorted({round(float(T), 1) for T in table["T"]}) == [10.5, 24.3, 99.3]
    assert list(Runs(BY_MODE["tanh"]).values("T").round(1)) == [10.5] * len(seeds)
    assert list(Runs(BY_MODE["tanh"], equal=True).values("T").round(1)) == [99.3] * len(seeds)


def test_another_table_has_another_verdict(monkeypatch):
    """With all modes weighted right the claims about weights are decided, and with all distances the same none is."""
    table = published_networks.table()
    heavy = table.assign(mode_weight=0.8)
    monkeypatch.setattr(published_networks, "table", lambda: heavy)
    assert measured("S0-16") == HOLDS
    light = table.assign(mode_weight=0.6)
    monkeypatch.setattr(published_networks, "table", lambda: light)
    assert measured("S0-16") == FAILS
    near = table.assign(w1=1.0, ks=1.0, miss=0.1)
    near.loc[BY_PHASE["1.0"], ["w1", "ks", "miss", "log_kl", *near.filter(like="error_")]] = 1e-3
    monkeypatch.setattr(published_networks, "table", lambda: near)
    assert measured("S0-20") == HOLDS


def measured(name):
    return judge(CLAIMS[name].measure(Budget(quick=True, seed=0, claim=name)))


def test_finished_runs_are_kept_as_a_row_each_and_sampled_once_more_up_to_the_common_time(small, tmp_path, monkeypatch):
    keep = runpy.run_path(ROOT / "scripts" / "keep_published_networks.py")
    preset = ["+experiment=fig06_mixture_tanh", "training.N=400", "training.epochs=1", "seed=3"]
    own = [each for each in small if not each.startswith(("denoiser.", "training."))]
    scorelab.run([*preset, "denoiser.network.m=4", *own], tmp_path / "sweep" / "0")
    monkeypatch.setitem(keep["main"].__globals__, "TABLE", tmp_path / "table.csv")
    keep["main"](tmp_path / "sweep")
    rows = pandas.read_csv(tmp_path / "table.csv", comment="#")
    assert list(rows) == list(pandas.read_csv(published_networks.TABLE, comment="#"))
    assert list(rows["network"]) == ["fig06_mixture_tanh training.N=400 training.epochs=1 denoiser.network.m=4"] * 2
    assert list(rows["T"].round(1)) == [10.5, 99.3]
    assert list(rows["seed"]) == [3, 3]
    assert rows["share"].between(0.5, 1).all()


@pytest.fixture
def extension(tmp_path, monkeypatch):
    """A package with one claim that is wrong about its verdict and one that breaks."""
    (tmp_path / "homemade.py").write_text("""
from scorelab.claims import Evidence, HOLDS, claim, equal

@claim("S9-01", source="a book", statement="2 + 2 = 5", recorded=HOLDS, finding="It is {sum:g}.")
def addition(budget):
    return Evidence([equal("2 + 2", 2 + 2, 5)], numbers={"sum": 4.0})

@claim("S9-02", source="a book", statement="1/0 = 1", recorded=HOLDS, finding="")
def division(budget):
    return Evidence([equal("1/0", 1 / 0, 1)])
""")
    monkeypatch.syspath_prepend(tmp_path)
    yield "homemade"
    sys.modules.pop("homemade", None)
    for name in ("S9-01", "S9-02"):
        REGISTRY.pop(name, None)


def test_another_verdict_than_the_recorded_one_is_an_error_and_takes_no_other_claim_with_it(extension, tmp_path):
    run = tmp_path / "run"
    with pytest.raises(ScorelabError, match=r"S9-01 fails \(recorded: holds\); S9-02 error .*division by zero"):
        scorelab.run(["study=claims", "extensions=[homemade]", "claims.only=[S9,S0-02]", "claims.jobs=1"], run)
    verdicts = {result["id"]: result["verdict"] for result in json.loads((run / "claims.json").read_text())}
    assert verdicts == {"S0-02": CORRECTED, "S9-01": FAILS, "S9-02": "error"}
    page = (run / "claims.md").read_text()
    assert "| fails |  | [S9-01](#s9-01) | a book | 2 + 2 = 5 |" in page
    assert "It is 4." in page


def test_the_page_is_written_where_it_is_wanted(tmp_path):
    asked = ["study=claims", "claims.quick=true", "claims.jobs=1"]
    with pytest.raises(ScorelabError, match=r"claims.docs = .*: the page has every claim"):
        scorelab.run([*asked, "claims.only=[S0-02]", f"claims.docs={tmp_path}"])
    result = scorelab.run([*asked, "claims.only=[S0-02]"], tmp_path / "run")
    assert result.metrics["claims"]["verdicts"] == {CORRECTED: 1}
    assert result.metrics["claims"]["unexpected"] == []


def test_claims_are_listed_without_a_run_directory(tmp_path):
    listed = answer_here("study=claims", "claims.list=true", cwd=tmp_path)
    assert listed["status"] == 0, listed
    assert [line[:5] for line in listed["out"].splitlines() if line[0] == "S"] == list(CLAIMS)
    assert not list(tmp_path.iterdir())


def test_claims_are_measured_in_as_many_processes_as_there_may_be_threads(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    asked = ["study=claims", "claims.quick=true", "claims.only=[S0-02,S0-10]", "threads=1", "figures.formats=[]"]
    with caplog.at_level("INFO", logger="scorelab"):
        scorelab.run(asked, tmp_path / "run")
    assert "measuring 2 claims in 1 processes" in caplog.text
