"""Samples projected on the signal direction, with the exact density: figures 1, 2 and 4 of the semester paper."""

import numpy

from scorelab.figures.style import COLUMN, EXACT, FILL, LEARNED, new_figure


def figure(arrays):
    """arrays: values (count,), and on `grid` (points,) the densities `exact` and `exact_at_T`."""
    drawing = new_figure(COLUMN, 2.4)
    axes = drawing.subplots()
    panel(axes, arrays)
    axes.set_xlabel(r"projection $\langle x,a\rangle/|a|^2$")
    axes.set_ylabel("density")
    low, high = axes.get_ylim()
    axes.set_ylim(low, high * 1.22)
    axes.legend(loc="upper left", ncols=1)
    return drawing


def panel(axes, arrays):
    """The histogram and both exact densities, without labels."""
    grid, values = arrays["grid"], arrays["values"]
    low, high = grid[0], grid[-1]
    bins = numpy.linspace(low, high, _bins(values, low, high) + 1)
    inside = numpy.clip(values, low, high)
    weights = numpy.full(len(values), 1 / (len(values) * (bins[1] - bins[0])))
    axes.hist(inside, bins, weights=weights, color=FILL, label=f"samples ({len(values):,})")
    axes.plot(grid, arrays["exact"], color=EXACT, label="exact law")
    axes.plot(grid, arrays["exact_at_T"], "--", color=LEARNED, linewidth=1.0, label="exact law at finite $T$")
    axes.set_xlim(low, high)


def _bins(values, low, high):
    """Bins of a width that fits the modes, not the gap between them: about a sixth of the narrowest."""
    histogram, _ = numpy.histogram(values, numpy.linspace(low, high, 401))
    occupied = numpy.count_nonzero(histogram > 0.02 * histogram.max()) / 400
    return int(numpy.clip(2 * len(values) ** (1 / 3) / max(occupied, 0.05), 20, 160))
