"""Grids against what their names say, on every clock, and how a configuration names them."""

import math

import numpy
import pytest
import torch
import yaml
from clocks import CHAINS, CLOCKS, float64, localization, of
from helpers import assert_close, job, over
from hydra import compose, initialize_config_dir

import scorelab
from scorelab.channel import HALF_PI
from scorelab.denoisers import ExactDenoiser, OuterProduct
from scorelab.errors import ConfigError
from scorelab.lab.app import config_folder, plain
from scorelab.lab.config import check
from scorelab.lab.hydra_internals import BASE
from scorelab.lab.runs import Run
from scorelab.nodes import component
from scorelab.randomness import default_stream
from scorelab.samplers import EulerMaruyama
from scorelab.samplers.risk import exact_risk, grid_of, learned_risk, remembered
from scorelab.schedules import DDPM, EDM
from scorelab.schedules.grids import GROWTH, NAMES, Karras
from scorelab.targets import GaussianMixture

# Grids. -------------------------------------------------------------------------------------------------------------


@over("steps", [1, 7, 150])
def test_angle_grid_is_uniform_in_the_angle(steps):
    angles = localization("angle", alpha_max=HALF_PI - 0.01).angles(steps)
    expected = (HALF_PI - 0.01) * torch.arange(steps + 1, dtype=torch.float64) / steps
    assert_close(angles, expected, rtol=1e-14)
    assert float(angles[-1]) == HALF_PI - 0.01


def test_log_t_grid_is_uniform_in_log_t_after_its_first_step():
    t = torch.tan(localization("log_t", t_min=1e-3, T=1e3).angles(60)) ** 2
    assert t[0] == 0
    assert_close(t[1], 1e-3, rtol=1e-12)
    assert_close(t[-1], 1e3, rtol=1e-11)
    assert_close(torch.log(t[2:] / t[1:-1]), torch.full((59,), math.log(1e6) / 59, dtype=torch.float64), rtol=1e-9)


@over("grid", ["angle", "log_t"])
def test_description_is_one_line_with_both_ends(grid):
    line = localization(grid, T=50.0).describe(20)
    assert "\n" not in line
    assert "20 steps" in line
    assert "T = 50" in line
    assert ("t_min = 0.0006" in line) == (grid == "log_t")


@over("rho", [1.0, 3.0, 7.0])
@over("steps", [1, 2, 17])
def test_the_karras_grid_of_edm_is_equation_5(rho, steps):
    low, high = 0.002, 80.0
    schedule = EDM(grid=Karras(rho=rho), sigma_min=low, sigma_max=high)
    expected = [
        (high ** (1 / rho) + i / steps * (low ** (1 / rho) - high ** (1 / rho))) ** rho for i in range(steps + 1)
    ]
    assert_close(schedule.time(schedule.angles(steps)), float64(expected), rtol=1e-11)


def test_the_karras_grid_of_edm_is_that_of_diffusers():
    diffusers = pytest.importorskip("diffusers")
    reference = diffusers.EDMEulerScheduler(sigma_min=0.002, sigma_max=80.0, rho=7.0)
    reference.set_timesteps(18)
    schedule = EDM(grid="karras", sigma_min=0.002, sigma_max=80.0)
    # Their last sigma is 0, one more step.
    assert_close(schedule.time(schedule.angles(17)), reference.sigmas[:-1].double(), rtol=1e-4)


# Grids of every clock. ----------------------------------------------------------------------------------------------

COMBINATIONS = [(name, grid) for name in CLOCKS for grid in NAMES if (name, grid) != ("ve", "log_t")]


def unit_gaussian_risk(angle):
    """E |X - m|^2 of N(0, 1): 1/(1+t) = cos^2."""
    return torch.cos(angle).square()


@over("steps", [1, 2, 7, 200])
@over(("name", "grid"), COMBINATIONS)
def test_every_grid_of_every_clock_increases_and_has_exact_ends(name, grid, steps):
    schedule = CLOCKS[name](grid)
    angles = schedule.angles(steps, unit_gaussian_risk)
    assert angles.shape == (steps + 1,)
    assert angles.dtype == torch.float64
    assert bool((angles.diff() > 0).all())
    assert (float(angles[0]), float(angles[-1])) == (schedule.start_angle, schedule.end_angle)


@over("steps", [7, 200])
@over(("name", "grid"), [(name, grid) for name, grid in COMBINATIONS if not grid.startswith("adaptive")])
def test_every_grid_is_uniform_in_what_its_name_says(name, grid, steps):
    clock = CLOCKS[name]
    schedule = clock(Karras(rho=5.0) if grid == "karras" else grid)
    angles = schedule.angles(steps)
    if clock.last == 0 and grid in ("log_snr", "log_t", "karras"):  # a first step leads from 0 to t_min
        assert_close(torch.tan(angles[1]) ** 2, 1e-3, rtol=1e-13)
        angles = angles[1:]
    coordinate = {
        "native": schedule.time,
        "angle": lambda angle: angle,
        "log_snr": lambda angle: 2 * torch.log(torch.tan(angle)),
        "log_t": lambda angle: torch.log(schedule.time(angle)),
        "karras": lambda angle: torch.tan(angle) ** (-1 / 5.0),
    }[grid](angles)
    count = len(angles) - 1
    even = coordinate[0] + (coordinate[-1] - coordinate[0]) * torch.arange(count + 1).double() / count
    span = float((coordinate[-1] - coordinate[0]).abs())
    if name in CHAINS and grid == "native":  # integers, each the nearest to an even one
        assert_close(coordinate, coordinate.round(), rtol=1e-9)
        assert float((coordinate - even).abs().max()) <= 0.5 + 1e-6
    else:
        assert_close(coordinate, even, rtol=0, atol=1e-10 * span)


@over(
    ("name", "one", "other"),
    [("localization", "log_t", "log_snr"), ("ve", "native", "log_snr"), ("edm", "log_t", "log_snr")],
)
def test_grids_that_are_the_same_by_definition(name, one, other):
    clock = CLOCKS[name]
    assert_close(clock(one).angles(40), clock(other).angles(40), rtol=1e-12)


@over("timesteps", [2, 3, 37])
def test_the_native_grid_of_a_chain_visits_integers_once(timesteps):
    schedule = of(DDPM, grid="native", timesteps=timesteps, beta="linear", beta_min=1e-3, beta_max=0.3)()
    for steps in range(1, timesteps):
        times = schedule.native_times(steps)
        assert (float(times[0]), float(times[-1])) == (timesteps, 1)
        assert torch.equal(times, times.round())
        assert bool((times.diff() <= -1).all())
        assert_close(schedule.time(schedule.angles(steps)), times, rtol=1e-10)


# The adaptive grid. -------------------------------------------------------------------------------------------------


@over("name", ["localization", "ou", "vp_cosine", "ve", "edm", "ddpm_linear"])
@over("steps", [5, 60])
def test_for_a_gaussian_the_adaptive_grid_is_uniform_in_log_one_plus_t(name, steps):
    """R = n/(1+t), so sqrt(-dR/dt) dt = sqrt(n) d log(1+t); a hundredth of the grid is uniform otherwise."""
    t = torch.tan(CLOCKS[name]("adaptive").angles(steps, lambda angle: 8 * unit_gaussian_risk(angle))) ** 2
    share = torch.log1p(t) - torch.log1p(t[0])
    even = torch.arange(steps + 1, dtype=torch.float64) / steps
    assert float((share / share[-1] - even).abs().max()) < 0.0102


def test_the_hundredth_is_uniform_in_log_snr():
    t = torch.tan(CLOCKS["edm"]("adaptive").angles(60, unit_gaussian_risk)) ** 2
    adapted, uniform = torch.log1p(t) - torch.log1p(t[0]), torch.log(t) - torch.log(t[0])
    mixed = 0.99 * adapted / adapted[-1] + 0.01 * uniform / uniform[-1]
    assert_close(mixed, torch.arange(61, dtype=torch.float64) / 60, rtol=0, atol=1e-4)


@over("name", ["localization", "ou", "edm"])
def test_steps_concentrate_where_the_risk_falls(name):
    """A risk that falls evenly in t from t = 1 to t = 2 and nowhere else. The steps after it grow by `GROWTH`, but for
    the step on which the risk stops."""

    def risk(angle):
        return 3 - (torch.tan(angle) ** 2).clamp(1, 2)

    t = torch.tan(CLOCKS[name]("adaptive").angles(100, risk)) ** 2
    assert int(((t > 1) & (t < 2)).sum()) >= 80
    steps = t[t > 0].log().diff()
    assert float((steps[1:] / steps[:-1]).sort().values[-2]) < 1.2 * GROWTH
    # Evenly, where -dR/dt is constant.
    lengths = t[(t > 1.05) & (t < 1.95)].diff()
    assert float(lengths.max() / lengths.min()) < 1.05


@over("name", ["localization", "ou", "edm"])
@over(
    "risk",
    [
        torch.ones_like,
        torch.zeros_like,
        torch.tan,
        lambda angle: 1 + 0.1 * torch.sin(40 * angle),
        lambda angle: (angle < 0.8).double(),
    ],
)
def test_the_adaptive_grid_increases_whatever_the_risk(name, risk):
    schedule = CLOCKS[name]("adaptive_learned")
    angles = schedule.angles(50, risk)
    assert bool((angles.diff() > 0).all())
    assert (float(angles[0]), float(angles[-1])) == (schedule.start_angle, schedule.end_angle)


def test_a_flat_risk_gives_steps_that_are_uniform_in_log_snr():
    angles = CLOCKS["edm"]("adaptive").angles(30, torch.ones_like)
    assert_close(torch.tan(angles), torch.tan(CLOCKS["edm"]("log_snr").angles(30)), rtol=1e-3)


def discretisation_cost(angles, risk, points=12):
    """sum over steps of 1/2 int_{t_k}^{t_k+1} (R(t_k) - R(s)) ds by Gauss-Legendre: path KL with the exact mean."""
    nodes, weights = (float64(values) for values in numpy.polynomial.legendre.leggauss(points))
    t = torch.tan(angles) ** 2
    half = t.diff()[:, None] / 2
    inside = t[:-1, None] + half * (1 + nodes)
    fall = risk(angles[:-1])[:, None] - risk(torch.atan(inside.sqrt()))
    return float(0.5 * (weights * half * fall).sum())


@over("name", ["localization", "ou", "edm"])
def test_the_adaptive_grid_costs_less_path_kl(name):
    target, clock = GaussianMixture.two_modes(p=0.7, n=16), CLOCKS[name]
    cost = {
        grid: discretisation_cost(clock(grid).angles(20, target.bayes_risk), target.bayes_risk, points=5)
        for grid in ("adaptive", "angle", "log_snr")
    }
    assert 0 < cost["adaptive"] < 0.8 * min(cost["angle"], cost["log_snr"])


def test_the_adaptive_grid_of_a_gaussian_has_the_least_cost():
    """With equal steps d of log(1+t) each costs n/2 (e^d - 1 - d), and no other grid costs less."""
    n, steps, clock = 8, 50, CLOCKS["ou"]

    def risk(angle):
        return n * unit_gaussian_risk(angle)

    ends = torch.log1p(torch.tan(clock().angles(1)) ** 2)
    d = float(ends[1] - ends[0]) / steps
    least = steps * n / 2 * (math.expm1(d) - d)
    assert_close(discretisation_cost(clock("adaptive").angles(steps, risk), risk), least, rtol=2e-3)
    for other in ("angle", "log_snr", "native", "karras"):
        assert discretisation_cost(clock(other).angles(steps), risk) > 1.05 * least


# Mistakes. -----------------------------------------------------------------------------------------------------------


@over("ask", ["require_steps", "native_times", "angles"])
def test_a_chain_refuses_more_native_steps_than_it_has(ask):
    schedule = CLOCKS["ddpm_linear"]("native")
    getattr(schedule, ask)(999)
    with pytest.raises(ValueError, match=r"sampler.steps = 1000: .* schedule.timesteps = 1000 at most 999 steps"):
        getattr(schedule, ask)(1000)


def test_other_grids_of_a_chain_have_any_number_of_steps():
    schedule = of(DDPM, timesteps=4, beta="linear", beta_min=0.1, beta_max=0.5)(grid="log_snr")
    schedule.require_steps(50)
    assert schedule.angles(50).shape == (51,)


@over("grid", ["adaptive", "adaptive_learned"])
def test_an_adaptive_grid_needs_a_risk(grid):
    with pytest.raises(ValueError, match=f"grid = {grid}: the risk that it adapts to is needed"):
        CLOCKS["ou"](grid).angles(10)


def test_steps_too_short_for_double_precision_are_refused():
    schedule = CLOCKS["ou"]("angle", t_min=5.0 - 1e-14)
    with pytest.raises(ValueError, match=r"200 steps on the grid angle between the angles .* do not increase"):
        schedule.angles(200)


@over("grid", ["log_snr", "log_t", "karras", "adaptive"])
def test_a_clock_that_starts_without_any_signal_is_refused_where_the_grid_needs_some(grid):
    assert CLOCKS["ou"]("angle", T=1000.0).angles(10)[0] == 0
    with pytest.raises(ValueError, match=r"schedule: at time 1000 no signal is left .* an earlier start"):
        CLOCKS["ou"](grid, T=1000.0).angles(10, unit_gaussian_risk)


# The risk of a learned posterior mean. -------------------------------------------------------------------------------


def network(n):
    with default_stream(0):
        options = {"activation": "tanh", "parametrization": "velocity", "input": "angle", "zero_output": False}
        return OuterProduct(L=2, m=8, frequencies=5, **options).build(n)


def test_a_remembered_risk_is_computed_once_for_the_same_angles():
    asked = []
    ask = remembered(lambda angles: asked.append(angles) or angles.cos())
    few, many = (torch.linspace(0.1, 1.2, count, dtype=torch.float64) for count in (3, 5))
    for angles in (few, many, few.clone()):
        assert torch.equal(ask(angles), angles.cos())
    assert [len(angles) for angles in asked] == [3, 5]
    assert remembered(None) is None


def test_the_learned_risk_of_the_exact_posterior_mean_is_the_exact_risk():
    target = GaussianMixture.two_modes(0.7, n=3)
    angles = torch.linspace(0.1, 1.4, 9, dtype=torch.float64)
    exact, measured = exact_risk(target)(angles), learned_risk(ExactDenoiser(target), target)(angles)
    assert exact.shape == measured.shape == (2, 9)
    assert_close(measured[0], exact[0], rtol=0.1)
    assert bool((learned_risk(network(3), target)(angles)[0] > measured[0]).all())


@over("name", ["localization", "ou", "vp_cosine", "ve", "edm", "ddpm_linear"])
def test_a_grid_adapts_to_a_network_on_every_schedule(name):
    """Its weights have gradients, which are no part of a grid."""
    target, given = GaussianMixture.two_modes(0.7, n=3), job(EulerMaruyama(), steps=20)
    schedule = CLOCKS[name]("adaptive_learned")
    angles = grid_of(given, schedule, target, network(3))
    assert not angles.requires_grad
    assert bool((angles.diff() > 0).all())
    assert (float(angles[0]), float(angles[-1])) == (schedule.start_angle, schedule.end_angle)
    assert not torch.equal(angles, grid_of(given, schedule, target, ExactDenoiser(target)))


# Configurations. ----------------------------------------------------------------------------------------------------


def composed(*overrides):
    with initialize_config_dir(str(config_folder()), **BASE):
        return plain(compose("config", overrides=list(overrides), return_hydra_config=True))


@over("name", sorted(path.stem for path in (config_folder() / "schedule").glob("*.yaml")))
def test_every_configured_schedule_composes_and_names_both_ends_in_one_line(name):
    schedule = check(composed(f"schedule={name}")).options("schedule")
    line = schedule.describe(20)
    assert "\n" not in line
    assert line.startswith(f"{schedule.label}, 20 steps")
    assert f"time from {schedule.start_time:g} to {schedule.end_time:g}" in line
    assert f"angle from {schedule.start_angle:.6g} to {schedule.end_angle:.6g}" in line
    angles = schedule.angles(20, unit_gaussian_risk)
    assert (float(angles[0]), float(angles[-1])) == (schedule.start_angle, schedule.end_angle)
    # Sampling stops where little noise is left, and starts where the terminal law is nearly that of x.
    assert schedule.end_snr > 90
    assert 0.99 < schedule.start_std <= 1 + 1e-12


def test_every_name_stands_for_the_grid_of_its_option_file():
    for name in NAMES:
        node = yaml.safe_load((config_folder() / "grid" / f"{name}.yaml").read_text())
        assert component("grid", node).options == localization(name).grid == NAMES[name]()
    assert {path.stem for path in (config_folder() / "grid").glob("*.yaml")} == set(NAMES)


def test_a_grid_is_a_name_a_node_or_an_object():
    named = check(composed("schedule.grid=karras"))
    option = check(composed("grid@schedule.grid=karras"))
    node = check(composed("grid@schedule.grid=karras", "schedule.grid.rho=5"))
    assert named.fingerprint == option.fingerprint != node.fingerprint
    assert named.data["schedule"]["grid"] == "karras"
    assert node.data["schedule"]["grid"] == {"_target_": "scorelab.schedules.grids.Karras", "rho": 5.0}
    assert check(node.data).data == node.data
    assert node.options("schedule").grid == Karras(rho=5.0) == localization(Karras(rho=5)).grid
    assert "uniform in sigma^(1/rho)" in node.options("schedule").describe(8)


@over(
    ("overrides", "says"),
    [
        (["schedule.grid=karas"], "schedule.grid = karas: did you mean karras? valid names: adaptive, "),
        (["grid@schedule.grid=karras", "schedule.grid.rho=0"], "schedule.grid.rho = 0: allowed is a number > 0"),
        (["grid@schedule.grid=karras", "+schedule.grid.rh=1"], "schedule.grid.rh: unknown key; did you mean rho?"),
        (["grid@schedule.grid=karras", "schedule.grid._target_=os.system"], "schedule.grid._target_ = os.system: "),
    ],
)
def test_a_mistake_in_a_grid_is_one_line(overrides, says):
    with pytest.raises(ConfigError) as mistake:
        check(composed(*overrides))
    assert str(mistake.value).startswith(says)
    assert "\n" not in str(mistake.value)


OWN = """
from typing import ClassVar

import torch

from scorelab.options import Positive
from scorelab.schedules import Grid


class Power(Grid):
    "Uniform in a power of the angle."

    power: Positive
    label: ClassVar[str] = "a power of the angle"

    def points(self, schedule, steps, risk):
        ends = (end**self.power for end in (schedule.start_angle, schedule.end_angle))
        return torch.linspace(*ends, steps + 1, dtype=torch.float64) ** (1 / self.power)
"""


def test_a_users_own_grid_runs_by_its_option_and_by_its_name(tmp_path, monkeypatch, small):
    (tmp_path / "own_grid.py").write_text(OWN)
    (tmp_path / "conf" / "grid").mkdir(parents=True)
    (tmp_path / "conf" / "grid" / "power.yaml").write_text("_target_: own_grid.Power\npower: 2.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    common = [override for override in small if not override.startswith("denoiser")]
    common += ["denoiser=exact", "extensions=[own_grid]"]
    found = scorelab.run([*common, "schedule.grid=power"], tmp_path / "run", config_dir=tmp_path / "conf")
    search = f"hydra.searchpath=[file://{tmp_path / 'conf'}]"
    assert found.config.fingerprint == check(composed(search, *common, "grid@schedule.grid=power")).fingerprint
    angles = found.config.options("schedule").angles(4)
    assert_close(angles.square().diff(), angles[-1].square().expand(4) / 4, rtol=1e-12)
    assert "uniform in a power of the angle" in (found.directory / "run.log").read_text()
    opened = [f"run={found.directory}", "extensions=[own_grid]"]
    again = scorelab.run([*opened, "stage=sample", "grid@schedule.grid=karras"], tmp_path / "again")
    assert again.config.data["schedule"]["grid"] == "karras"


def test_a_run_saved_when_rho_was_a_key_of_the_schedule_can_be_read(tmp_path):
    data = check(composed("schedule=edm")).data
    for grid, rho, expected in (("karras", 5.0, Karras(rho=5.0)), ("karras", 7.0, Karras()), ("angle", 7.0, None)):
        old = {**data, "schedule": {**data["schedule"], "grid": grid, "rho": rho}}
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(old))
        schedule = Run(tmp_path).config.options("schedule")
        assert schedule.grid == (expected or NAMES[grid]())
