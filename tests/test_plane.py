"""Pictures in the plane: the law of the plane, what is noise in a histogram, the field, and the paths."""

import math

import numpy
import pytest
import torch
from conftest import SMALL
from helpers import seeded
from matplotlib.figure import Figure

import scorelab
from scorelab.figures.files import save_figure
from scorelab.figures.modes import PALETTE, classes, colours, label
from scorelab.figures.outside import mark_outside
from scorelab.figures.style import FAINT, new_figure
from scorelab.studies import Generate, draw
from scorelab.studies.generate.plane import _shares, plane_of
from scorelab.targets import AnisotropicMixture, GaussianMixture

assert_close = torch.testing.assert_close

TRIANGLE = ("target=mixture", "target.n=2", "target.means=[[-2,0],[2,0],[0,3]]", "target.std=0.5")
#: a small main job of an exact denoiser; what is of a network is left out
SHORT = [one for one in SMALL if not one.startswith(("denoiser.", "study.trajectories", "target.n", "sampler.count"))]
EXACT = (*SHORT, "denoiser=exact", "study.trajectories=12", "sampler.count=3000")


@pytest.fixture(scope="module")
def flat(run_once):
    """A run in two dimensions, with the exact denoiser and animations of three pictures."""
    with pytest.MonkeyPatch.context() as short:
        for name in ("trajectories", "flow"):
            short.setattr(f"scorelab.studies.generate.figures.{name}._FRAMES", 3)
        return run_once(*EXACT, *TRIANGLE, "study.animation=true")


def three_modes(n=6):
    means = 3 * torch.randn(3, n, generator=seeded(3), dtype=torch.float64)
    return GaussianMixture([0.5, 0.3, 0.2], means, [0.4, 0.5, 1.1])


def test_the_law_in_the_plane_of_the_means_has_the_projections_of_the_target():
    target = three_modes()
    plane = plane_of(target)
    assert_close(plane.basis @ plane.basis.T, torch.eye(2, dtype=torch.float64), atol=1e-12, rtol=0)
    within = (target.means - target.means[0]) @ plane.basis.T @ plane.basis
    assert_close(within, target.means - target.means[0], atol=1e-12, rtol=0)
    for turn in (0.0, 0.7, 2.0):
        direction = torch.tensor([math.cos(turn), math.sin(turn)], dtype=torch.float64)
        points = torch.linspace(-6, 6, 7)
        assert_close(
            plane.law.projection(direction).pdf(points), target.projection(direction @ plane.basis).pdf(points)
        )


def test_only_two_dimensions_and_three_isotropic_modes_off_a_line_have_a_plane():
    line = GaussianMixture([1, 1, 1], torch.tensor([[0.0, 0, 0], [1, 1, 1], [3, 3, 3]]))
    two, four = GaussianMixture.two_modes(n=5), GaussianMixture([1] * 4, torch.eye(4, dtype=torch.float64))
    stretched = AnisotropicMixture([1, 1, 1], torch.eye(3, dtype=torch.float64), torch.rand(3, 3) + 1)
    assert all(plane_of(target) is None for target in (line, two, four, stretched))
    flat = AnisotropicMixture([1, 1], torch.eye(2, dtype=torch.float64), torch.rand(2, 2) + 1)
    assert plane_of(flat).law is flat


def test_the_residuals_of_exact_samples_are_noise(flat):
    arrays = flat.arrays["plane"]
    counts, expected = arrays["counts"], arrays["expected"]
    assert expected.sum() == pytest.approx(3000, rel=2e-3)  # what lies in the window
    assert counts.sum() >= 2980
    compared = expected >= 5
    squares = (counts - expected)[compared] ** 2 / expected[compared]
    error = math.sqrt((2 + 1 / expected[compared]).sum()) / compared.sum()
    assert squares.mean() == pytest.approx(1, abs=4 * error)  # also of an exact denoiser in few steps
    # the density of the outputs is that of X + N(0, 1/T)
    law = GaussianMixture([0.5, 0.3, 0.2], [[-2.0, 0], [2, 0], [0, 3]], math.sqrt(0.25 + 1 / float(arrays["T"])))
    x, y = ((arrays[name][1:] + arrays[name][:-1]) / 2 for name in ("x", "y"))
    row = torch.tensor(numpy.stack([x, numpy.full(len(x), y[90])], 1))
    numpy.testing.assert_allclose(arrays["log_density"][90], law.log_prob(row).numpy(), atol=0.02)


def test_the_shares_of_bins_are_those_of_modes_much_narrower_than_a_bin():
    law = GaussianMixture([0.6, 0.4], [[0.5, 0.5], [20.3, 30.7]], 0.05)
    edges = numpy.linspace(-10, 40, 26)
    density, shares = _shares(lambda u: law.log_prob(u), edges, edges, 4)
    assert density.shape == (100, 100)
    assert shares.sum() == pytest.approx(1, abs=2e-3)
    assert sorted(shares.ravel())[-2:] == pytest.approx([0.4, 0.6], abs=2e-3)


def test_the_field_is_the_gradient_of_the_noisy_density(flat):
    arrays, target = flat.arrays["fields"], flat.target
    for k in (0, 2, 4):
        angle = float(arrays["angle"][k])
        points = torch.tensor([[arrays["x"][k][20], arrays["y"][k][33]]], requires_grad=True)
        (gradient,) = torch.autograd.grad(target.noisy_log_prob(points, angle).sum(), points)
        assert_close(math.cos(angle) * gradient[0], torch.tensor(arrays["exact"][k][33, 20]), atol=1e-4, rtol=0)
    assert arrays["rms"].max() < 1e-4  # of an exact denoiser, in single precision


def test_the_paths_in_the_plane_end_in_the_first_samples(flat):
    arrays = flat.arrays["flow"]
    angle = float(arrays["angle"][-1])
    ends = torch.tensor(arrays["paths"][:, -1] / math.sin(angle))
    assert_close(ends, torch.tensor(flat.samples[:12]), atol=1e-5, rtol=0)
    assert_close(torch.tensor(arrays["flow_paths"][:, 0]), torch.tensor(arrays["paths"][:, 0]))  # from the same noise
    nearest = torch.cdist(ends.double(), flat.target.means).argmin(1)
    assert arrays["mode"].tolist() == nearest.tolist()


def test_the_pictures_are_drawn_from_their_arrays_alone(flat, tmp_path):
    for name in ("plane", "fields", "flow"):
        save_figure(draw(Generate, name, flat.arrays[name]), tmp_path / "one.pdf")
        assert b"/Type3" not in (tmp_path / "one.pdf").read_bytes(), name  # fonts that journals refuse
    assert (flat.directory / "figures" / "plane.gif").read_bytes()[:6] == b"GIF89a"


def test_what_is_said_of_the_residuals_lies_beside_them(flat):
    figure = draw(Generate, "plane", flat.arrays["plane"])
    figure.draw_without_rendering()
    (axes,) = (axes for axes in figure.axes if axes.get_title().startswith("(count"))
    (said,) = axes.texts
    assert said.get_text().startswith("mean square")
    assert axes.get_window_extent().y1 <= said.get_window_extent().y0
    assert said.get_window_extent().y1 <= axes.title.get_window_extent().y0


def test_three_modes_of_many_dimensions_have_samples_and_paths_in_the_plane_and_no_field(run_once):
    arrays = run_once(*EXACT, "target=mixture", "target.n=8").arrays
    assert {"plane", "flow"} <= arrays.keys()
    assert "fields" not in arrays
    assert arrays["plane"]["expected"].sum() == pytest.approx(3000, rel=2e-3)


def test_a_target_that_can_only_be_sampled_is_drawn_beside_exact_samples(tmp_path, undrawn):
    (tmp_path / "conf" / "target").mkdir(parents=True)
    (tmp_path / "conf" / "target" / "own.yaml").write_text("{_target_: own_targets.OnlySamples, side: 2}\n")
    own = ["extensions=[own_targets]", "target=own", "study.trajectories=5", "sampler.count=100", "denoiser.m=8"]
    arrays = scorelab.run([*SHORT, *own], tmp_path / "run", config_dir=tmp_path / "conf").arrays
    assert {"plane", "flow"} <= arrays.keys()
    assert "log_density" not in arrays["plane"]
    for name in ("plane", "flow"):
        assert isinstance(draw(Generate, name, arrays[name]), Figure)


# Colours, and marks. ------------------------------------------------------------------------------------------------


def test_of_many_modes_the_heaviest_have_colours_and_the_others_are_grey():
    modes = numpy.repeat(numpy.arange(200), 1 + (numpy.arange(200) % 25 == 7) * numpy.arange(200))
    of = colours(modes)
    assert {mode for mode in of if of[mode] != FAINT} == {7, 32, 57, 82, 107, 132, 157, 182}
    assert len(classes(modes)) == len(PALETTE) + 1
    assert sum(own.sum() for _, own in classes(modes)) == len(modes)
    assert "192" in label(modes)
    assert colours([2, 0, 2]) == {0: PALETTE[0], 2: PALETTE[2]}
    assert label([2, 0, 2]) == ""


def test_what_lies_outside_of_the_axes_is_marked_and_counted():
    axes = new_figure(2, 2).subplots()
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    assert mark_outside(axes, [0.5, 2, -1], [0.5, 0.5, 3]) == 2
    assert [text.get_text() for text in axes.texts] == ["2 outside"]
    assert mark_outside(axes, [0.5], [0.5]) == 0
    assert mark_outside(axes, [0.5, 7, 8]) == 2
