"""Samples projected on the signal direction, with the exact density: figures 1, 2 and 4 of the semester paper."""

import textwrap

import numpy

from scorelab.figures.style import COLUMN, EXACT, FILL, LEARNED, new_figure


def figure(arrays):
    """arrays: values (count,), and on `grid` (points,) the densities `exact` and `exact_at_T` where they are known; a
    law without a density has the distribution function `exact_cdf` instead."""
    drawing = new_figure(COLUMN, 2.4)
    axes = drawing.subplots()
    panel(axes, arrays)
    axes.set_xlabel(r"projection $\langle x,a\rangle/|a|^2$")
    axes.set_ylabel("share below" if "exact_cdf" in arrays else "density")
    low, high = axes.get_ylim()
    axes.set_ylim(low, high * 1.22)
    axes.legend(loc="upper left", ncols=1)
    return drawing


def grid(panels):
    """One panel for each run, all at one scale. panels: (title, arrays) pairs, arrays as for `figure`."""
    columns = min(4, max(1, round(len(panels) ** 0.5)))
    rows = -(-len(panels) // columns)
    drawing = new_figure(max(COLUMN, 1.9 * columns), 1.6 * rows + 0.5)
    all_axes = drawing.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for (title, arrays), axes in zip(panels, all_axes.flat, strict=False):
        panel(axes, arrays)
        axes.set_title("\n".join(textwrap.wrap(title, 34)), fontsize=6.5, pad=3)
    for axes in all_axes.flat[len(panels) :]:
        axes.remove()
    # The axes show the exact law and as much again around it: one run that went astray must not flatten the others.
    known = [arrays for _, arrays in panels if "exact" in arrays]
    if known:
        supports = [arrays["grid"][arrays["exact"] > 1e-3 * arrays["exact"].max()] for arrays in known]
        low, high = min(support[0] for support in supports), max(support[-1] for support in supports)
        all_axes[0, 0].set_xlim(low - 0.5 * (high - low), high + 0.5 * (high - low))
        all_axes[0, 0].set_ylim(0, 1.3 * max(arrays["exact"].max() for arrays in known))
    handles, labels = all_axes[0, 0].get_legend_handles_labels()
    labels[0] = "samples"
    drawing.legend(handles, labels, loc="outside upper center", ncols=1 if columns == 1 else 3)
    drawing.supxlabel(r"projection $\langle x,a\rangle/|a|^2$", fontsize=8)
    drawing.supylabel("density", fontsize=8)
    return drawing


def panel(axes, arrays):
    """The histogram and the exact densities, or both distribution functions, without labels."""
    grid, values = arrays["grid"], arrays["values"]
    low, high = grid[0], grid[-1]
    axes.set_xlim(low, high)
    if "exact_cdf" in arrays:
        shares = numpy.searchsorted(numpy.sort(values), grid, side="right") / len(values)
        axes.plot(grid, shares, color=LEARNED, label=f"samples ({len(values):,})")
        axes.plot(grid, arrays["exact_cdf"], color=EXACT, label="exact law")
        return
    bins = numpy.linspace(low, high, _bins(values, low, high) + 1)
    inside = numpy.clip(values, low, high)
    weights = numpy.full(len(values), 1 / (len(values) * (bins[1] - bins[0])))
    axes.hist(inside, bins, weights=weights, color=FILL, label=f"samples ({len(values):,})")
    if "exact" in arrays:
        axes.plot(grid, arrays["exact"], color=EXACT, label="exact law")
    if "exact_at_T" in arrays:
        axes.plot(grid, arrays["exact_at_T"], "--", color=LEARNED, linewidth=1.0, label="exact law at finite $T$")


def _bins(values, low, high):
    """The number of bins. The width of a bin fits the modes, not the gap between them."""
    histogram, _ = numpy.histogram(values, numpy.linspace(low, high, 401))
    occupied = numpy.count_nonzero(histogram > 0.02 * histogram.max()) / 400
    return int(numpy.clip(2 * len(values) ** (1 / 3) / max(occupied, 0.05), 20, 160))
