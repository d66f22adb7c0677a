"""The study of sampler accuracy: what it measures, fits and leaves out."""

import json

import numpy
import pandas
import pytest
from helpers import over, refused

import scorelab
from scorelab.errors import ConfigError
from scorelab.metrics.tables import first_within
from scorelab.studies.sampler_accuracy.analyse import fit_order

STUDY = (
    "study=sampler_accuracy",
    "target.n=8",
    "denoiser=exact",
    "sampler.count=1000",
    "study.grids=[angle,adaptive]",
    "study.evaluations=[8,16,32,64]",
    "study.repeats=2",
    "~study.samplers.ddim",
    "~study.samplers.dpm_solver_3m",
    "~study.samplers.dpm_solver_3m_sde",
    "+study.samplers.reverse={_target_:scorelab.samplers.ReverseSDE}",  # which localization refuses
    "study.floor_repeats=10",
    "figures.dpi=50",
    "threads=1",
)


@pytest.fixture(scope="module")
def run(run_once):
    return run_once(*STUDY)


def test_every_sampler_is_measured_on_every_grid_with_every_budget(run):
    table = pandas.read_csv(run.directory / "accuracy.csv")
    assert len(table) == 2 * 4 * 4
    assert set(table["nfe"]) == {8, 16, 32, 64}
    assert (table["steps"] == table["nfe"] // numpy.where(table["sampler"] == "heun", 2, 1)).all()
    assert (
        (table[["w1_standard_error", "mode_weight_standard_error", "orthogonal_variance_standard_error"]] > 0)
        .all()
        .all()
    )
    assert (run.directory / "figures" / "sampler_accuracy.png").is_file()


def test_the_order_of_euler_maruyama_is_found_where_its_error_is_above_the_noise(run):
    found = run.metrics["sampler_accuracy"]["grids"]["angle"]["euler_maruyama"]
    assert found["orthogonal_variance_order"] == pytest.approx(0.9, abs=0.2)
    assert found["orthogonal_variance_order_points"] >= 3


def test_many_evaluations_bring_a_second_order_rule_to_the_floor(run):
    assert run.metrics["sampler_accuracy"]["grids"]["angle"]["heun"]["nfe_at_floor"] in (16, 32, 64)


def test_the_metrics_are_valid_json(run):
    json.loads((run.directory / "metrics.json").read_text(), parse_constant=lambda name: pytest.fail(name))


def test_fitted_order_is_the_slope_over_the_points_above_the_noise():
    steps = numpy.array([8, 16, 32, 64, 128])
    errors = 3.0 * steps**-2.0
    one = numpy.ones(5)
    assert fit_order(steps, errors, 0 * one, one) == (pytest.approx(2.0, abs=1e-12), 5)
    errors[3:] = 1e-3
    assert fit_order(steps, errors, 5e-4 * one, one) == (pytest.approx(2.0, abs=1e-12), 3)
    assert fit_order(steps, errors, 5e-3 * one, one) == (None, 1)
    errors[:2] = 0.2  # saturated, on the scale of the target
    saturated = fit_order(steps, errors, 1e-5 * one, 0.1 * one)
    assert saturated[1] == 3
    assert fit_order(steps, 1e3 * errors, 1e-2 * one, 1e2 * one) == pytest.approx(saturated, rel=1e-12)


def test_the_floor_counts_as_reached_where_it_is_not_left_again():
    nfe = numpy.array([32, 8, 16, 64])
    assert first_within(nfe, numpy.array([1.0, 0.5, 2.0, 0.9]) <= 1.0) == 32
    assert first_within(nfe, numpy.array([1.0, 0.5, 0.7, 0.9]) <= 1.0) == 8
    assert first_within(nfe, numpy.array([1.0, 0.5, 0.7, 1.1]) <= 1.0) is None


def test_a_sampler_that_cannot_run_on_the_schedule_is_left_out(run):
    assert "reverse" not in set(pandas.read_csv(run.directory / "accuracy.csv")["sampler"])
    assert "ReverseSDE cannot run on Localization" in (run.directory / "run.log").read_text()


@over(
    ("override", "message"),
    [
        ("+study.samplers.mine={_target_:scorelab.samplers.DDIM,eta:2.0}", "study.samplers.mine.eta = 2.0"),
        ("+study.samplers.mine={_target_:scorelab.samplers.Nothing}", "cannot be imported"),
        ("study.evaluations=[0]", "study.evaluations"),
        ("study.grids=[diagonal]", "study.grids"),
        ("study.repeats=1", "study.repeats = 1"),
    ],
)
def test_mistakes_are_refused_before_anything_runs(override, message, tmp_path):
    assert message in refused(ConfigError, scorelab.run, [*STUDY, override], tmp_path / "run")
    assert not (tmp_path / "run").exists()
