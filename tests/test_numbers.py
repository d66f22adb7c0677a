"""A number knows its error: from the measurement to metrics.json, its page, tables and texts."""

import importlib
import json
import math
import shutil

import numpy
import pandas
import pytest
from conftest import SMALL
from helpers import ROOT, over

import scorelab
from scorelab.figures.files import load_arrays, save_arrays
from scorelab.lab.context import Context
from scorelab.lab.gather import gather
from scorelab.lab.numbers import RUN
from scorelab.lab.pages import metrics_page, sections, studies
from scorelab.lab.runs import Run
from scorelab.laws.estimate import Estimate, flatten, mean_over_causes, shown, spelled_out
from scorelab.laws.section import Section, leaves, undeclared
from scorelab.markdown import table, text
from scorelab.studies import Number, Study
from scorelab.studies.base import lookup, sections_of

# Estimates. ---------------------------------------------------------------------------------------------------------


def test_a_mean_has_the_standard_error_of_its_values():
    values = numpy.random.default_rng(0).normal(3.0, 2.0, 400)
    mean = Estimate.mean(values)
    resampled = numpy.random.default_rng(1).choice(values, (4000, 400)).mean(1)
    assert mean.value == pytest.approx(math.fsum(values) / 400)
    assert mean.standard_error == pytest.approx(resampled.std(), rel=0.05)
    assert Estimate.mean(values[:1]).keys("x") == {"x": values[0]}
    assert Estimate.mean(values[:0], none="nobody came").not_measured == "nobody came"


def test_the_mean_of_equal_values_is_their_value_and_has_no_error():
    floor, values = 0.1, numpy.full(7, 0.1)
    assert values.std(ddof=1) > 0  # by rounding
    assert (Estimate.mean(values).value, Estimate.mean(values).standard_error) == (floor, 0.0)
    assert mean_over_causes(values, range(7)) == (floor, 0.0)


def test_several_estimates_together_are_lists_of_the_parts_that_any_has():
    together = Estimate.together([Estimate(1.0, 0.1), Estimate(2.0)])
    assert together.keys("x") == {"x": [1.0, 2.0], "x_standard_error": [0.1, None]}


def test_what_is_missing_is_named_with_its_place_and_reason():
    values = {"a": {"b": Estimate.missing("no b"), "c": Estimate(1, floor=2)}, "d": 3}
    plain, missing = flatten(values, "here")
    assert plain == {"a": {"c": 1, "c_floor": 2}, "d": 3}
    assert missing == {"here.a.b": "no b"}


@over(
    ("value", "error", "expected"),
    [
        (0.11527, 0.00312, "0.1153 ± 0.0031"),
        (1234.4, 123.4, "1234 ± 123"),
        (0.99999, 5e-6, "0.9999900 ± 0.0000050"),
        (5e-7, 2e-8, "5.00e-07 ± 2.0e-08"),
        (0.70004, None, "0.7"),
        (0.70004, 0.0, "0.7"),
        (0.70004, math.nan, "0.7"),
    ],
)
def test_a_number_is_shown_as_far_as_its_error_says(value, error, expected):
    assert shown(value, error) == expected


def test_the_digits_can_be_chosen():
    assert shown(0.1234567, 0.00123, digits=6, error_digits=1) == "0.123457 ± 0.001"


def test_the_closing_table_says_what_was_not_measured():
    metrics = {"a": {"b": 1.25, "b_standard_error": 0.5}, "not_measured": {"a.c": "there is no c", "a.d": "nor d"}}
    own = type("Own", (Study,), {"headline": (Number("a.b", "B"), Number("a.c", "C"))})
    closing = own().closing(metrics)
    assert closing.rows == [("B", "1.25", "0.5", "")]
    assert closing.lines == ("not measured, as there is no c: a.c", "not measured, as nor d: a.d")


# Markdown. ----------------------------------------------------------------------------------------------------------


def test_no_name_or_error_breaks_a_table():
    nasty = "a | b\n`c` *d* <e> \\|"
    _, _, row = table(["x", "y"], [[text(nasty), "z"]])
    assert row == r"| a \| b \`c\` \*d\* &lt;e> \\\| | z |"
    # Read back as Markdown does: cells end at bars that are not escaped, then escapes go.
    cells = [cell.strip() for cell in row.replace("\\\\", "\0").replace("\\|", "\1").strip("|").split("|")]
    shown = cells[0].replace("\\", "").replace("\1", "|").replace("\0", "\\").replace("&lt;", "<")
    assert (shown, cells[1]) == (" ".join(nasty.split()), "z")


# Declarations. ------------------------------------------------------------------------------------------------------

#: small runs, all but two of which other test files need anyway: module, its overrides, further ones
RUNS = (
    ("test_collapse", "QUICK", ()),
    ("test_conditional_mean", "QUICK", ()),
    ("test_discretization", "QUICK", ()),
    ("test_langevin_study", "QUICK", ("denoiser=exact",)),
    ("test_process_study", "QUICK", ()),
    ("test_learning", "QUICK", ()),
    ("test_likelihood", "QUICK", ()),
    ("test_sampler_accuracy", "STUDY", ()),
    ("test_peers", "QUICK", ("study.only=[ours_ddim]",)),
    ("test_sde", "QUICK", ()),
    ("test_sgd_study", "QUICK", ()),
    ("test_spin_glass", "QUICK", ()),
    ("test_synchronization", "QUICK", ()),
    ("test_two_stage", "QUICK", ()),
    ("conftest", "SMALL", ()),
    ("test_image_metrics", "RUN", ("denoiser=exact",)),
    ("test_samples_target", "RUN", ()),
)
PARTS = [one for one in SMALL if not one.startswith(("denoiser.", "study.trajectories"))]
CLAIM = ("study=claims", "claims.only=[S0-02]", "claims.quick=true", "claims.jobs=1")


def test_every_number_of_a_run_of_every_study_is_declared(run_once, tmp_path, monkeypatch):
    runs = [run_once(*getattr(importlib.import_module(name), asked), *more) for name, asked, more in RUNS]
    monkeypatch.setattr(Context, "draw_figures", lambda context: None)
    runs.append(scorelab.run([*PARTS, "denoiser=phase_aware", "study.trajectories=40"], tmp_path / "parts"))
    runs.append(scorelab.run(CLAIM, tmp_path / "claims"))
    assert {type(run.config.study) for run in runs} == set(studies())
    for run in runs:
        study = type(run.config.study)
        assert undeclared(run.metrics, (*sections_of(study), RUN)) == [], study
        json.loads((run.directory / "metrics.json").read_text(), parse_constant=lambda name: pytest.fail(name))


def test_a_number_that_is_not_declared_is_found():
    section = Section("s s.NAME.t", "", (("w _floor", "1", "w"), ("list.K", "1", "K")))
    good = {"s": {"w": 1, "w_floor": 2, "list": [{"K": 1}], "any": {"t": {"w": 1}}}, "not_measured": {"s.b.t": "no b"}}
    assert undeclared(good, [section]) == []
    bad = {"s": {"w_exact": 1, "list": [{"L": 1}], "any": {"w": 1}}, "not_measured": {"s.v": "no v"}}
    assert undeclared(bad, [section]) == ["s.any.w", "s.list.L", "s.v", "s.w_exact"]


def test_every_declared_number_has_a_unit_and_a_meaning_and_is_declared_once():
    declared = [key for section in sections() for key in section.keys]
    assert sorted(set(declared)) == sorted(declared)
    assert len(declared) > 200
    for section in sections():
        for keys, unit, meaning in section.rows:
            assert keys.split(), section.name
            assert unit, (section.name, keys)
            assert meaning, (section.name, keys)


def test_the_page_of_metrics_is_what_the_studies_declare():
    assert (ROOT / "docs" / "metrics.md").read_text() == metrics_page(), "`make docs` writes it"


# Directories of earlier runs. ----------------------------------------------------------------------------------------


@pytest.fixture
def earlier(run_once, tmp_path):
    """A sweep of two jobs: the first as an earlier version left it, with NAME_se, the second of today."""
    today = run_once(*SMALL)
    for name in "01":
        shutil.copytree(today.directory, tmp_path / "sweep" / name)
    old = tmp_path / "sweep" / "0"
    metrics = json.loads((old / "metrics.json").read_text())
    (old / "metrics.json").write_text(json.dumps(metrics).replace('_standard_error"', '_se"'))
    for path in old.glob("*.csv"):
        path.write_text(path.read_text().replace("_standard_error", "_se"))
    for path in (old / "figures").glob("*.npz"):
        arrays = dict(numpy.load(path))
        save_arrays(path, {key.replace("_standard_error", "_se"): value for key, value in arrays.items()})
    assert "excess_risk_se" in (old / "training.csv").read_text()
    return tmp_path / "sweep"


def test_an_earlier_run_is_read_in_the_present_spelling(earlier):
    old, new = Run(earlier / "0"), Run(earlier / "1")
    assert old.metrics == new.metrics
    assert old.metrics["projection"]["w1_standard_error"] > 0
    table = gather(earlier)
    assert not [name for name in table if name.endswith("_se")]
    assert list(table["training.excess_risk_standard_error"].notna()) == [True, True]
    assert not [name for name in pandas.read_csv(earlier / "sweep.csv") if name.endswith("_se")]


def test_stages_of_an_earlier_run_can_be_done_again(earlier, small):
    again = scorelab.run([*small, "stage=analyse", f"run={earlier / '0'}"])
    new = Run(earlier / "1").metrics
    for section in ("training", "projection", "posterior_mean"):
        assert again.metrics[section] == new[section]
    scorelab.run([*small, "figures.formats=[png]", "stage=plot", f"run={earlier / '0'}"])
    assert (earlier / "0" / "figures" / "training.png").stat().st_size > 1000


def test_only_a_standard_error_beside_its_number_is_respelled(tmp_path):
    values = {"a": 1, "a_se": 2, "b_se": 3, "inside": [{"c": 1, "c_se": 2}]}
    expected = {"a": 1, "a_standard_error": 2, "b_se": 3, "inside": [{"c": 1, "c_standard_error": 2}]}
    assert spelled_out(values) == expected
    save_arrays(tmp_path / "own.npz", {"a": [1.0], "a_se": [2.0]})  # a figure of a user's own may ask for either
    assert set(load_arrays(tmp_path / "own.npz")) == {"a", "a_se", "a_standard_error"}


def test_numbers_answer_to_the_keys_of_earlier_versions():
    numbers = spelled_out({"a": 1, "a_standard_error": 2, "inside": {"b": 3, "b_standard_error": 4}})
    assert (numbers["a_se"], numbers["inside"]["b_se"]) == (2, 4)
    with pytest.raises(KeyError):
        _ = numbers["c_se"]


def test_a_finished_run_of_every_study_has_the_numbers_that_its_tables_show(run_once):
    """Of several runs of a study, those that their targets allow."""
    missing = {}
    for name, asked, more in RUNS:
        run = run_once(*getattr(importlib.import_module(name), asked), *more)
        study, keys = run.config.study, list(leaves(run.metrics))
        assert study.closing({}) is None, study
        cells = [cell for row in study.closing(run.metrics).rows for cell in row[1:]]
        assert any(cell.lstrip("-")[:1].isdigit() for cell in cells), study
        assert study.columns, study
        absent = set()
        for number in (*study.headline, *study.columns, *study.compared):
            found = [lookup(run.metrics, each.key) for each in number.among(keys)]
            if not any(isinstance(value, (int, float)) for value in found):
                absent.add(number.key)
            for each in number.among(keys):
                assert isinstance(lookup(run.metrics, each.reference_key) or 0.0, float), each
        if study.goal is not None and not lookup(run.metrics, study.goal) > 0:
            absent.add(study.goal)
        missing[type(study)] = missing.get(type(study), absent) & absent
    assert not any(missing.values()), missing
