"""The law of the projection on the way from noise to data: paths against the exact density at six angles."""

import numpy

from scorelab.figures.outside import mark_outside
from scorelab.figures.style import EXACT, FILL, PAGE, new_figure, short

_NUMBERS = (("w1", "w1_standard_error"), ("w1_floor", "w1_floor_deviation"))


def figure(arrays):
    """arrays: t, w1, w1_standard_error, w1_floor, w1_floor_deviation (angles,); values (angles, count); grid, exact
    (angles, points). W1 is that of these paths alone, and stands above the mean W1 of as many exact samples, with the
    standard deviation of a set of them."""
    count, some = arrays["values"].shape
    drawing = new_figure(PAGE, 2.15)
    for k, axes in enumerate(drawing.subplots(1, count, squeeze=False)[0]):
        grid, values = arrays["grid"][k], arrays["values"][k]
        bins = numpy.linspace(grid[0], grid[-1], int(numpy.clip(2.2 * some**0.45, 10, 60)) + 1)
        density = numpy.histogram(values, bins)[0] / (some * (bins[1] - bins[0]))
        axes.stairs(density, bins, fill=True, color=FILL, label=f"{some:,} paths")
        axes.plot(grid, arrays["exact"][k], color=EXACT, linewidth=1.0, label="exact law")
        axes.set_title(rf"$t={short(float(arrays['t'][k]), 2)}$", pad=21)
        own, exact = (_with(arrays, *names, k) for names in _NUMBERS)
        distance = f"$W_1$ {own}\nexact {exact}"
        axes.text(0.5, 1.04, distance, transform=axes.transAxes, ha="center", va="bottom", fontsize=6)
        axes.set_xlim(grid[0], grid[-1])
        axes.set_ylim(0, None)
        axes.tick_params(labelsize=6)
        axes.locator_params(axis="x", nbins=3)
        axes.locator_params(axis="y", nbins=4)
        mark_outside(axes, values, size=2.5)
        if k == 0:
            axes.set_ylabel("density")
    handles, labels = axes.get_legend_handles_labels()
    title = f"$W_1$ of these {some:,} paths ± standard error; exact: that of {some:,} exact samples, mean ± deviation"
    drawing.legend(handles, labels, loc="outside upper center", ncols=2, title=title, title_fontsize=7)
    drawing.supxlabel(r"projection $\langle x_\alpha,a\rangle/|a|^2$", fontsize=8)
    return drawing


def _with(arrays, name, spread, k):
    """A number of the angle k, with its spread where the arrays have it."""
    text = f"{arrays[name][k]:.3f}"
    return text + (f" ± {arrays[spread][k]:.3f}" if spread in arrays else "")
