"""The law of the projection on the way from noise to data: paths against the exact density at six angles."""

import numpy

from scorelab.figures.style import EXACT, FILL, PAGE, new_figure


def figure(arrays):
    """arrays: t, w1, w1_floor (angles,); values (angles, count); grid, exact (angles, points)."""
    count = len(arrays["t"])
    drawing = new_figure(PAGE, 1.75)
    for k, axes in enumerate(drawing.subplots(1, count, squeeze=False)[0]):
        grid, values = arrays["grid"][k], arrays["values"][k]
        bins = numpy.linspace(grid[0], grid[-1], int(numpy.clip(2.2 * len(values) ** 0.45, 10, 60)) + 1)
        weights = numpy.full(len(values), 1 / (len(values) * (bins[1] - bins[0])))
        inside = numpy.clip(values, grid[0], grid[-1])
        axes.hist(inside, bins, weights=weights, color=FILL, label=f"{len(values):,} paths")
        axes.plot(grid, arrays["exact"][k], color=EXACT, label="exact law")
        axes.set_title(rf"$t={arrays['t'][k]:.2g}$", pad=14)
        distance = rf"$W_1$ {arrays['w1'][k]:.3f}, floor {arrays['w1_floor'][k]:.3f}"
        axes.text(0.5, 1.03, distance, transform=axes.transAxes, ha="center", va="bottom", fontsize=6)
        axes.set_xlim(grid[0], grid[-1])
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
    handles, labels = axes.get_legend_handles_labels()
    drawing.legend(handles, labels, loc="outside upper right", ncols=2)
    drawing.supxlabel(r"projection $\langle x_\alpha,a\rangle/|a|^2$", fontsize=8)
    return drawing
