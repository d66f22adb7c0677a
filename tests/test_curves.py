"""A sweep over a number is drawn as curves over it."""

import math

import numpy
import pandas
import pytest
from matplotlib.figure import Figure

from scorelab.figures import curves as figure_of_curves
from scorelab.figures.files import load_arrays, save_arrays
from scorelab.lab.curves import curves, numeric
from scorelab.studies.base import Number

NUMBERS = [Number("error.w1", "W1", held="floor", scale="log"), Number("other", "never measured")]


def jobs(seeds=(0, 1, 2), denoisers=("velocity", "relu")):
    """A table of jobs over three numbers of samples, in no order, as gathering makes it."""
    rows = []
    for count in (1000, 100, 10000):
        for denoiser in denoisers:
            for seed in seeds:
                value = (1 + (denoiser == "relu")) * count**-0.5 * (1 + 0.1 * seed)
                floor = {"error.w1_floor": 0.1 * count**-0.5, "error.w1_standard_error": 0.001}
                rows.append({"training.N": count, "denoiser": denoiser, "seed": seed, "error.w1": value} | floor)
    return pandas.DataFrame(rows)


def told(name, value):
    return str(value)


def test_a_point_is_the_mean_over_seeds_with_its_standard_error(tmp_path):
    arrays = curves(jobs(), ["training.N", "denoiser"], NUMBERS, told)
    assert (arrays["key"], arrays["labels"], arrays["names"]) == ("training.N", ["velocity", "relu"], ["error.w1"])
    assert arrays["x"].tolist() == [100, 1000, 10000]
    values = 0.1 * numpy.array([1.0, 1.1, 1.2])
    assert arrays["error.w1"][0][0] == pytest.approx(values.mean())
    assert arrays["error.error.w1"][0][0] == pytest.approx(values.std(ddof=1) / math.sqrt(3))
    assert arrays["held.error.w1"][1] == pytest.approx([0.01, 0.1 * 1000**-0.5, 0.001])
    save_arrays(tmp_path / "curves.npz", arrays)
    drawn = figure_of_curves.figure(load_arrays(tmp_path / "curves.npz"))
    assert isinstance(drawn, Figure)
    axes = drawn.axes[0]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert [text.get_text() for text in drawn.legends[0].texts][:2] == ["velocity", "relu"]
    assert "over 3 seeds" in drawn.legends[0].texts[-1].get_text()


def test_one_seed_has_the_standard_error_of_its_run():
    arrays = curves(jobs(seeds=[0], denoisers=["relu"]), ["training.N"], NUMBERS, told)
    assert arrays["error.error.w1"] == [[0.001] * 3]
    assert arrays["labels"] == [""]


def test_only_three_or_more_numbers_make_a_curve():
    table = jobs()
    assert numeric(table, ["training.N", "denoiser"]) == "training.N"
    assert numeric(table[table["training.N"] > 100], ["training.N"]) is None
    assert numeric(table.assign(flag=table["training.N"] > 100), ["flag"]) is None
    assert curves(table, ["denoiser"], NUMBERS, told) == {}
    assert numeric(table.assign(mixed=[1, "null"] * (len(table) // 2)), ["mixed"]) is None
