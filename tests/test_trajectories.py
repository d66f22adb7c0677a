"""Sampling paths: the run's own, when they commit to a mode, their laws on the way, and the exact ones beside them."""

import math

import numpy
import pytest
import torch
from conftest import SMALL
from helpers import assert_close, copied, legends_lie_beside, noisy_states, over, random_mixture, refused, seeded
from matplotlib.figure import Figure

import scorelab
from scorelab.denoisers.exact import ExactDenoiser
from scorelab.errors import ConfigError
from scorelab.laws.mode_pairs import undecided
from scorelab.metrics.projection import project
from scorelab.randomness import BlockNoise
from scorelab.samplers import EulerMaruyama, simulate
from scorelab.studies import Generate, draw
from scorelab.studies.generate.trajectories import (
    Record,
    exact_process,
    in_span,
    law_metrics,
    law_points,
    observed_angles,
    trajectory_metrics,
)
from scorelab.targets import GaussianMixture
from scorelab.targets.speciation import speciation_angle

GRID = torch.linspace(0, 1.45, 61, dtype=torch.float64)


def exact_record(target, count, angles=GRID, seed=0):
    record = Record(target, angles, count, seeded(seed + 1))
    exact_process(target, angles, count, seeded(seed), record)
    return record


#: a main job with paths and small pictures
OBSERVED = (*SMALL, "study.trajectories=40")
#: the same without what is of a network
EXACT = (*(one for one in OBSERVED if not one.startswith("denoiser.")), "denoiser=exact")


@pytest.fixture
def short(monkeypatch):
    """Animations of four pictures."""
    monkeypatch.setattr("scorelab.studies.generate.figures.trajectories._FRAMES", 4)


# The run's own paths. -----------------------------------------------------------------------------------------------


def test_the_ends_of_the_paths_are_the_first_samples_on_every_clock(run_once, tmp_path, undrawn):
    target = GaussianMixture.two_modes(n=8)
    runs = {name: scorelab.run([*OBSERVED, f"schedule={name}"], tmp_path / name) for name in ("ou", "ve")}
    for schedule, result in {"localization": run_once(*OBSERVED), **runs}.items():
        arrays = result.arrays["trajectories"]
        ends = arrays["projection"][:, -1] / math.sin(arrays["angle"][-1])
        assert_close(ends, project(result.samples[:40], target.direction), rtol=1e-4, atol=1e-5, case=schedule)
        assert arrays["projection"].shape == (40, 21)
        assert result.metrics["trajectories"]["count"] == 40


def test_paths_change_no_other_number_of_a_run(run_once):
    with_paths, without = run_once(*OBSERVED), run_once(*SMALL)
    for section in ("projection", "orthogonal", "path_kl", "posterior_mean"):
        assert with_paths.metrics[section] == without.metrics[section]
    assert without.metrics["trajectories"] == {"count": 0}
    assert not {"trajectories", "laws"} & set(without.arrays)


def test_a_sampler_that_stays_at_one_angle_has_no_paths(tmp_path, undrawn):
    result = scorelab.run([*OBSERVED, "sampler=ula", "sampler.steps=20"], directory=tmp_path / "run")
    assert result.metrics["trajectories"] == {"count": 0}


def test_what_is_left_of_paths_goes_with_them(run_once, tmp_path):
    directory = copied(run_once(*OBSERVED), tmp_path)
    for name in ("trajectories.gif", "trajectories.png", "laws.pdf", "projection.pdf"):
        (directory / "figures" / name).write_bytes(b"drawn before")
    again = scorelab.run(["stage=analyse", f"run={directory}", "study.trajectories=0", "figures.formats=[png]"])
    assert again.metrics["trajectories"] == {"count": 0}
    left = [path.name for path in (directory / "figures").iterdir()]
    assert "projection.png" in left
    assert "projection.pdf" not in left  # of other formats, which nobody draws anew
    assert not [name for name in left if name.startswith(("trajectories", "laws"))]


def test_a_number_of_paths_that_has_no_spread_is_refused(tmp_path):
    for value in ("1", "-1", "2.5"):
        text = refused(ConfigError, scorelab.run, [*SMALL, f"study.trajectories={value}"], tmp_path / "run")
        assert "study.trajectories" in text, value


# Commitment. --------------------------------------------------------------------------------------------------------


def hand_made(*weights, angles=(0.0, 0.5, 1.0)):
    """A record of one path a list of weights of the first of two modes."""
    record = Record(GaussianMixture.two_modes(n=2), angles, len(weights), None)
    first = torch.tensor(weights, dtype=torch.float64).T
    record.weights = torch.stack([first, 1 - first], -1)
    return record


def test_commitment_of_paths_made_by_hand():
    record = hand_made(
        [0.7, 0.9, 1.0],  # never below
        [0.7, 0.4, 0.8],  # below at 0.5, halfway at 0.625
        [0.3, 0.6, 0.9],  # below at 0, above from 1/3 on
        [0.7, 0.6, 0.2],  # ends in the other mode, whose weights are 0.3, 0.4, 0.8
        [0.2, 0.9, 0.4],  # the same, once the other way
    )
    assert record.mode.tolist() == [0, 0, 0, 1, 1]
    angles = [0.0, 0.625, 1 / 3, 0.5 + 0.5 * 0.1 / 0.4, 0.5 + 0.5 * 0.4 / 0.5]
    assert_close(record.commitment(0.5), torch.tensor(angles).double().tan() ** 2, rtol=1e-6)
    assert record.commitment(0.9)[[0, 1]].tolist() == [math.tan(0.5) ** 2, math.inf]
    assert record.switched(0.0).tolist() == [False, True, True, True, True]
    assert record.switched(0.5).tolist() == [False, True, False, True, True]
    assert record.switched(1.0).tolist() == [False] * 5


def test_a_path_that_keeps_its_weight_between_two_points_is_committed_from_the_later_on():
    record = hand_made([0.4, 0.4, 0.4, 0.6], angles=(0.0, 0.1, 0.1, 0.3))
    assert float(record.commitment(0.5)) == pytest.approx(math.tan(0.2) ** 2)


def test_commitment_does_not_depend_on_the_grid():
    """Exact paths on 6 and on 120 steps: what they do between two steps is completed by its exact law."""
    target, quantiles, errors = GaussianMixture([0.7, 0.3], [[1.8], [-4.2]]), [], []
    for steps in (6, 120):
        angles = torch.linspace(0.0, 1.45, steps + 1, dtype=torch.float64)
        times = observed_angles(target, angles)
        record = Record(target, angles, 1500, seeded(steps), times)
        exact_process(target, angles, 1500, seeded(steps + 1), record)
        for place in (80, 200, 300):  # the bridges have the exact law of the weights
            values = 1 - record.weights[place].square().sum(1)
            expected = undecided(target, float(times[place]))[0]
            assert abs(float(values.mean()) - expected) < 4 * float(values.std()) / math.sqrt(1500), (steps, place)
        metrics, _ = trajectory_metrics(record, 50, seeded(steps + 2))
        names = ("commitment_t", "commitment_90_t", "switched_after_speciation")
        quantiles.append([metrics[name] for name in names])
        errors.append([metrics[f"{name}_standard_error"] for name in names])
    assert min(quantiles[0]) > 0
    (coarse, fine), (one, other) = numpy.array(quantiles), numpy.array(errors)
    assert (numpy.abs(coarse - fine) < 4 * numpy.hypot(one, other)).all()


def test_quantiles_of_paths_that_never_commit_are_null(tmp_path, undrawn):
    """Modes that lie one upon another: the larger one leads for ever, and never reaches 0.9."""
    target = ["target=mixture", "target.weights=[0.7,0.3]", "target.means=[0.01,-0.01]"]
    found = scorelab.run([*EXACT, *target], directory=tmp_path / "run").metrics["trajectories"]
    assert found["commitment_t"] == 0
    assert found["commitment_90_t"] is None
    assert found["speciation_t"] is None
    assert found["switched_after_speciation"] is None


# The exact process. -------------------------------------------------------------------------------------------------


@over("start", [0.0, 0.02])
def test_exact_paths_have_the_exact_law_at_every_angle(start):
    target, count = GaussianMixture([0.7, 0.3], [[1.0, 0.5, 0.0], [-2.0, 0.0, 0.0]], [1.0, 0.5]), 4000
    angles = torch.linspace(start, 1.45, 31, dtype=torch.float64)
    record = exact_record(target, count, angles)
    for angle, values in zip(angles.tolist(), record.projection, strict=True):
        law = target.noisy_projection(target.direction, angle)
        fourth = float(((values - law.mean) ** 4).mean())
        assert abs(float(values.mean()) - law.mean) < 4 * math.sqrt(law.variance / count)
        assert abs(float(values.var()) - law.variance) < 4 * math.sqrt((fourth - law.variance**2) / count)


def test_exact_paths_have_independent_increments():
    """Y_t = t X + W_t of a point mass in the limit: Cov(W_s, W_t) = min(s, t)."""
    target, states = GaussianMixture([1.0], [[0.0]], 1e-6), {}
    angles = [0.3, 0.8, 1.2]
    exact_process(target, angles, 4000, seeded(1), lambda k, angle, x: states.update({k: x[:, 0].clone()}))
    times = [math.tan(angle) ** 2 for angle in angles]
    brownian = [
        states[k] / math.cos(angle) * math.sqrt(t) for k, (angle, t) in enumerate(zip(angles, times, strict=True))
    ]
    for i, s in enumerate(times):
        for j, t in enumerate(times[: i + 1]):
            error = math.sqrt((s * t + min(s, t) ** 2) / 4000)
            assert abs(float((brownian[i] * brownian[j]).mean()) - min(s, t)) < 4 * error


@over(("modes", "n"), [(2, 6), (3, 6), (4, 2)])
def test_the_span_of_the_modes_has_their_posterior_weights(modes, n):
    target = random_mixture(modes, n, "common")
    small, coordinates = in_span(target)
    assert small.n == min(modes - 1, n)
    for angle in (0.0, 0.6, math.pi / 2):
        x = noisy_states(target, angle, 100)
        assert_close(small.posterior_weights(coordinates(x, angle), angle), target.posterior_weights(x, angle), 1e-10)
    assert in_span(random_mixture(2, 6, "per_mode"))[0].n == 6


@over(("modes", "n", "std"), [(2, 6, "common"), (3, 6, "common"), (3, 6, "per_mode"), (3, 1, "per_mode")])
def test_what_is_undecided_is_the_mean_over_states(modes, n, std):
    target = random_mixture(modes, n, std)
    gamma = target.posterior_weights(noisy_states(target, 0.5, 20000), 0.5)
    values = 1 - gamma.square().sum(1)
    assert abs(float(values.mean()) - float(undecided(target, 0.5)[0])) < 4 * float(values.std()) / math.sqrt(20000)
    assert float(undecided(target, 1e-9)[0]) == pytest.approx(1 - float(target.weights.square().sum()), rel=1e-6)


def test_at_speciation_the_between_mode_part_of_the_bayes_risk_is_half():
    """For modes of one width risk = n cos^2 + E[gamma (1 - gamma)] |a|^2 cos^4."""
    target = GaussianMixture.two_modes(0.7, n=32)
    angle = speciation_angle(target)
    between = (float(target.bayes_risk(angle)) - 32 * math.cos(angle) ** 2) / (32 * math.cos(angle) ** 4)
    assert between == pytest.approx(0.7 * 0.3 / 2, rel=1e-8)
    assert speciation_angle(GaussianMixture([1.0], [[0.0, 1.0]])) is None
    assert speciation_angle(GaussianMixture([0.5, 0.5], [[0.1], [-0.1]])) is None


def test_paths_with_the_exact_denoiser_commit_as_exact_paths_do():
    target, count = GaussianMixture.two_modes(0.7, n=32), 1500
    angles = torch.linspace(0, 1.45, 161, dtype=torch.float64)
    record, noise = (
        Record(target, angles, count, seeded(1), observed_angles(target, angles)),
        BlockNoise(5, 0, count, 32),
    )
    simulate(EulerMaruyama(), ExactDenoiser(target), angles, noise().clone(), noise, record)
    found, arrays = trajectory_metrics(record, 50, seeded(2))
    quantities = ["commitment_t", "commitment_90_t", "switched_after_speciation"]
    for name in quantities:
        error = math.hypot(found[f"{name}_standard_error"], found[f"{name}_exact_standard_error"])
        assert abs(found[name] - found[f"{name}_exact"]) < 4 * error, name
    quartiles = "commitment_90_t_quartiles"
    rows = (found[f"{quartiles}{end}"] for end in ("", "_exact", "_standard_error", "_exact_standard_error"))
    for value, exact, *errors in zip(*rows, strict=True):
        assert abs(value - exact) < 4 * math.hypot(*errors)
    assert len(arrays["commitment_t_exact"]) == found["exact_count"] == 4000
    metrics, _ = law_metrics(record, 50, seeded(3))
    for value, floor, deviation in zip(
        metrics["law_w1"], metrics["law_w1_floor"], metrics["law_w1_floor_deviation"], strict=True
    ):
        assert value < floor + 5 * deviation


# The laws on the way. -----------------------------------------------------------------------------------------------


@over("angle", [0.0, 0.4, 1.5])
def test_the_law_on_the_way_is_that_of_noisy_states(angle):
    target = random_mixture(3, 5, "per_mode")
    direction = target.direction
    law = target.noisy_projection(direction, angle)
    values = project(noisy_states(target, angle, 20000), direction)
    for level in (0.1, 0.5, 0.9):
        share = float((values <= law.quantile(level)).double().mean())
        assert abs(share - level) < 4 * math.sqrt(level * (1 - level) / 20000)
    if angle > 0:
        scaled = target.output_law(angle, "scaled").projection(direction)
        assert_close(law.stds, math.sin(angle) * scaled.stds, rtol=1e-12)
        assert_close(law.means, math.sin(angle) * scaled.means, rtol=1e-12)


def test_six_angles_up_to_the_last_show_the_modes_part():
    target = GaussianMixture.two_modes(0.7, n=128)
    points = law_points(target, GRID)
    assert len(points) == 6
    assert points[-1] == len(GRID) - 1
    assert float(GRID[points[0]]) < speciation_angle(target) < float(GRID[points[2]])
    assert law_points(target, [0.1, 0.7]) == [0, 1]


# Figures. -----------------------------------------------------------------------------------------------------------


def test_one_mode_and_three_modes_have_paths_and_figures(tmp_path, short):
    """One mode has no commitment; three, here on a line, have an animation."""
    one = ["target.weights=[1]", "target.means=[0.5]"]
    three = ["target.means=[2.0,0.0,-2.0]", "target.std=0.5", "study.animation=true"]
    for modes, target in ((1, one), (3, three)):
        drawn = [*EXACT, "figures.formats=[png]", "target=mixture", *target]
        result = scorelab.run(drawn, directory=tmp_path / str(modes))
        found = result.metrics["trajectories"]
        assert len(result.metrics["projection"]["mode_weights"]) == modes
        assert found["count"] == 40
        assert ("commitment_t" in found) == (modes > 1)
        assert len(found["law_w1"]) == len(found["law_t"]) >= 3
        for name in ("trajectories", "laws"):
            assert isinstance(draw(Generate, name, result.arrays[name]), Figure)
            assert (result.directory / "figures" / f"{name}.png").stat().st_size > 1000
        animation = result.directory / "figures" / "trajectories.gif"
        assert animation.is_file() == (modes == 3)
    assert animation.read_bytes()[:6] == b"GIF89a"


def test_the_stacked_histogram_has_unit_area_also_with_paths_outside_of_the_window():
    record = exact_record(GaussianMixture.two_modes(0.7, n=8), 100)
    _, arrays = trajectory_metrics(record, 5, seeded(0))
    arrays["projection"][0] = 50.0
    figure = draw(Generate, "trajectories", arrays)
    (side,) = (axes for axes in figure.axes if axes.get_xlabel() == "density")
    assert sum(bar.get_width() * bar.get_height() for bar in side.patches) == pytest.approx(1.0)
    assert legends_lie_beside(figure)
    assert numpy.trapezoid(arrays["density"], arrays["grid"], axis=1) == pytest.approx(1.0, abs=1e-3)
