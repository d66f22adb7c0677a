"""Figures are functions from arrays to a Figure."""

import subprocess
import sys

import matplotlib
import numpy
import pytest
from matplotlib.figure import Figure

from scorelab.studies import Generate, draw
from scorelab.studies.generate.figures.projection import grid

RANDOM = numpy.random.default_rng(0)
X = numpy.linspace(-1, 1, 50)
ERRORS = {
    **{
        f"posterior_mean_{name}": numpy.linspace(0.1, 1.4, 12)
        for name in (
            "angle",
            "relative_error",
            "relative_error_standard_error",
            "squared_error",
            "squared_error_standard_error",
            "bayes_risk",
        )
    },
    **{f"path_kl_{name}": numpy.linspace(0.1, 1.4, 8) for name in ("angle", "density", "density_standard_error")},
}
ARRAYS = {
    "projection": {"values": RANDOM.normal(size=200), "grid": X, "exact": X**2, "exact_at_T": X**2},
    "posterior_mean": {
        **{name: RANDOM.normal(size=(12, 30)) for name in ("signal", "exact", "learned")},
        **{name: numpy.linspace(0.1, 90, 12) for name in ("angle", "t", "relative_error")},
    },
    "errors": ERRORS,
    "training": {
        **{name: numpy.linspace(1, 2, 5) for name in ("step", "loss", "bayes_risk", "excess_risk", "excess_risk_se")},
    },
}


@pytest.mark.parametrize("name", ARRAYS)
def test_each_figure_labels_its_axes(name):
    figure = draw(Generate, name, ARRAYS[name])
    assert isinstance(figure, Figure)
    labelled = figure.get_supxlabel() or all(axes.get_xlabel() or axes.get_ylabel() for axes in figure.axes)
    assert labelled
    figure.savefig("/dev/null", format="pdf")


def test_a_figure_of_an_exact_denoiser_can_be_drawn():
    zeros = {name: values if "angle" in name else 0 * values for name, values in ERRORS.items()}
    assert draw(Generate, "errors", zeros).axes[0].get_yscale() == "linear"


def test_the_histogram_has_unit_area_also_with_samples_outside_of_the_window():
    values = numpy.concatenate([RANDOM.normal(size=100) / 5, [50.0]])
    axes = draw(Generate, "projection", {**ARRAYS["projection"], "values": values}).axes[0]
    area = sum(bar.get_height() * bar.get_width() for bar in axes.patches)
    assert area == pytest.approx(1.0)


def test_text_stays_text_in_vector_files():
    import io

    from scorelab.figures.style import house_style

    buffer = io.BytesIO()
    with house_style():
        draw(Generate, "projection", ARRAYS["projection"]).savefig(buffer, format="svg")
    assert "exact law" in buffer.getvalue().decode()


def test_the_users_own_style_is_left_alone():
    before = dict(matplotlib.rcParams)
    draw(Generate, "training", ARRAYS["training"])
    assert dict(matplotlib.rcParams) == before


def test_a_grid_has_a_panel_for_each_run():
    panels = [(f"seed={seed}", ARRAYS["projection"]) for seed in range(5)]
    assert len([axes for axes in grid(panels).axes if axes.lines]) == 5


def test_pyplot_is_never_imported():
    """It would pick a backend and keep figures alive in a notebook or a sweep."""
    drawn = "scorelab.figures, scorelab.studies.generate.figures.projection, scorelab.studies.generate.figures.errors"
    code = f"import {drawn}, sys; "
    code += "assert 'matplotlib.pyplot' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
