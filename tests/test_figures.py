"""Figures are functions from arrays to a Figure."""

import matplotlib
import numpy
import pytest
from conftest import SMALL
from matplotlib.figure import Figure

from scorelab.figures.files import save_figure
from scorelab.figures.projection import grid
from scorelab.studies import Generate, draw


@pytest.fixture(scope="module")
def arrays(run_once):
    """The arrays of a small main job's figures."""
    return run_once(*SMALL).arrays


def test_each_figure_labels_its_axes_and_can_be_written(arrays, tmp_path, caplog):
    caplog.set_level("INFO")
    assert set(arrays) == {"projection", "posterior_mean", "errors", "training"}
    for name, values in arrays.items():
        figure = draw(Generate, name, values)
        assert isinstance(figure, Figure), name
        assert figure.get_supxlabel() or all(axes.get_xlabel() or axes.get_ylabel() for axes in figure.axes), name
        save_figure(figure, tmp_path / f"{name}.pdf")
        written = (tmp_path / f"{name}.pdf").read_bytes()
        assert written.startswith(b"%PDF"), name
        assert b"/Type3" not in written, name  # fonts that journals refuse
    assert not caplog.records  # of the fonts that a pdf embeds


def test_a_figure_of_an_exact_denoiser_can_be_drawn(arrays):
    zeros = {name: values if "angle" in name else 0 * values for name, values in arrays["errors"].items()}
    assert draw(Generate, "errors", zeros).axes[0].get_yscale() == "linear"


def test_the_histogram_has_unit_area_also_with_samples_outside_of_the_window(arrays):
    values = numpy.append(arrays["projection"]["values"], 50.0)
    axes = draw(Generate, "projection", {**arrays["projection"], "values": values}).axes[0]
    area = sum(bar.get_height() * bar.get_width() for bar in axes.patches)
    assert area == pytest.approx(1.0)


def test_text_stays_text_in_vector_files(arrays, tmp_path):
    save_figure(draw(Generate, "projection", arrays["projection"]), tmp_path / "projection.svg")
    assert "exact law" in (tmp_path / "projection.svg").read_text()


def test_the_users_own_style_is_left_alone(arrays):
    before = dict(matplotlib.rcParams)
    draw(Generate, "training", arrays["training"])
    assert dict(matplotlib.rcParams) == before


def test_a_grid_has_a_panel_for_each_run(arrays):
    panels = [(f"seed={seed}", arrays["projection"]) for seed in range(5)]
    assert len([axes for axes in grid(panels).axes if axes.lines]) == 5
