"""Figures are functions from arrays to a Figure."""

import matplotlib
import numpy
import pytest
from conftest import SMALL
from helpers import legends_lie_beside
from matplotlib.figure import Figure

from scorelab.figures import comparison, losses
from scorelab.figures.files import save_figure
from scorelab.figures.projection import grid
from scorelab.figures.style import new_figure, plain_ticks
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
    top, middle, bottom = draw(Generate, "errors", zeros).axes
    assert top.get_yscale() == bottom.get_yscale() == "linear"
    said = [text.get_text() for axes in (top, middle, bottom) for text in axes.texts]
    assert said == ["none: the denoiser is exact"] * 2


def test_errors_that_vanish_at_one_angle_alone_are_drawn(arrays):
    density = arrays["errors"]["path_kl_density"].copy()
    density[0], density[1] = 0.0, 7.0
    bottom = draw(Generate, "errors", arrays["errors"] | {"path_kl_density": density}).axes[-1]
    assert not bottom.texts
    assert bottom.get_ylim()[1] > 7


def test_the_differences_of_posterior_means_are_drawn_where_there_are_any(arrays):
    two = arrays["posterior_mean"]
    same = two | {"learned": two["exact"], "relative_error": 0 * two["relative_error"]}
    for values, panels, says in ((two, 24, "lower panels"), (same, 12, "the denoiser is the exact posterior mean")):
        figure = draw(Generate, "posterior_mean", values)
        title = figure.legends[0].get_title().get_text()
        assert len(figure.axes) == panels
        assert says in title
        assert r"|\hat m-m|/\max(|m|,\sqrt{0.1})" in title  # the number of test_relative_error_is_the_published_one


def test_samples_outside_of_the_window_are_marked_and_counted_and_lower_the_histogram(arrays):
    values = numpy.append(arrays["projection"]["values"].clip(-1, 1), [50.0, 60.0])
    few = {**arrays["projection"], "values": values, "grid": numpy.linspace(-1.5, 1.5, 1201)}
    axes, logarithmic = draw(Generate, "projection", few).axes
    stairs = axes.patches[0].get_data()
    assert (stairs.values * numpy.diff(stairs.edges)).sum() == pytest.approx(1 - 2 / len(values))
    assert [text.get_text() for text in axes.texts] == ["2 outside"]
    assert logarithmic.get_yscale() == "log"


def test_the_legend_of_the_projection_has_every_mark_and_lies_beside_it(arrays):
    figure = draw(Generate, "projection", arrays["projection"])
    labels = [text.get_text() for text in figure.legends[0].texts]
    assert labels[:3] == [f"samples ({len(arrays['projection']['values'])})", "bins, 68% intervals", "exact law"]
    assert legends_lie_beside(figure)


@pytest.mark.parametrize(
    ("exact", "line", "ticks"),
    [
        ([0.6, 0.7, numpy.nan], [], [0.6, 0.7, numpy.nan]),
        ([0.7, 0.7 + 1e-9, 0.7], [0.7], []),
        ([0.7, 0.7, numpy.nan], [], [0.7, 0.7, numpy.nan]),
        (0.7, [0.7], []),  # as files of earlier versions have it
        ([numpy.nan] * 3, [], []),
    ],
)
def test_configurations_are_compared_each_with_its_own_exact_value(exact, line, ticks):
    shown = {"labels": ["a", "b", "c"], "names": ["w"], "titles": ["weight"], "scales": ["linear"]}
    values = numpy.array([[0.61, 0.63], [0.69, 0.7], [0.5, 0.6]])
    (axes,) = comparison.figure(shown | {"w": values, "exact.w": numpy.array(exact)}).axes
    held = [one for one in axes.lines if one.get_label().startswith("floor")]
    lines = [one for one in held if one.get_linestyle() == "--"]
    drawn = [one for one in held if one.get_marker() == "|"]
    assert len(held) == len(lines) + len(drawn)
    assert [one.get_xdata()[0] for one in lines] == pytest.approx(line)
    assert [x for one in drawn for x in one.get_xdata()] == pytest.approx(ticks, nan_ok=True)
    assert all(one.get_ydata().tolist() == axes.get_yticks().tolist() for one in drawn)


@pytest.mark.parametrize("epochs", [[1], [1, 2]])
def test_epochs_are_whole_numbers(epochs):
    arrays = {"titles": ["p=0.6"], "0.epoch": numpy.array(epochs), "0.loss": numpy.array([epochs, epochs]) + 0.1}
    (axes,) = losses.figure(arrays).axes
    assert {*epochs} <= {*axes.get_xticks()} <= {0, 1, 2, 3}


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


def test_the_exact_posterior_mean_is_a_line_where_it_is_a_function_of_the_projection(arrays, run_once):
    two = arrays["posterior_mean"]
    for k in (0, 6, 11):
        line = numpy.interp(two["signal"][k], two["line_signal"][k], two["line_exact"][k])
        assert numpy.abs(line - two["exact"][k]).max() < 2e-3  # of the interpolation
    axes = draw(Generate, "posterior_mean", two).axes
    assert numpy.ptp(axes[1].lines[1].get_ydata()) > 0  # what the learned mean adds to the exact one
    plane = run_once(*SMALL, "target=mixture").arrays["posterior_mean"]
    assert "line_exact" not in plane
    assert isinstance(draw(Generate, "posterior_mean", plane), Figure)


@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [(0.9, 40, {"1", "2", "5", "10", "20"}), (1.02, 1.07, {"1.02", "1.04"}), (1e-3, 0.5, {"0.001", "0.01", "0.1"})],
)
def test_a_logarithmic_axis_is_numbered_in_plain_digits(low, high, wanted):
    axes = new_figure(2, 2).subplots()
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    plain_ticks(axes.yaxis)
    axes.figure.draw_without_rendering()
    assert wanted <= {tick.get_text() for tick in axes.get_yticklabels()}
