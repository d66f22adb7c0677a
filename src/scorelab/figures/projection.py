"""Samples projected on the signal direction, with the exact density, and below both in log scale: figures 1, 2 and 4 of
the semester paper."""

import textwrap

import numpy
from scipy import special

from scorelab.figures.outside import mark_outside
from scorelab.figures.style import COLUMN, EXACT, FILL, LEARNED, THIRD, new_figure, short

_LABEL = r"projection $\langle x,a\rangle/|a|^2$"
#: probabilities of a standard normal variable below -1 and below 1
_ONE_DEVIATION = (0.1587, 0.8413)


def figure(arrays):
    """arrays: values (count,), and on `grid` (points,) the densities `exact` and `exact_at_T`, that at T, where they
    are known; a law without a density has the distribution function `exact_cdf` instead.

    The lower panel has the densities in log scale, with the tails and the valleys between modes: a point for each bin
    that has samples, with its Poisson interval of 68 per cent.
    """
    logarithmic = "exact_cdf" not in arrays
    drawing = new_figure(COLUMN, 4.0 if logarithmic else 2.5)
    axes, *below = drawing.subplots(
        1 + logarithmic, 1, sharex=True, squeeze=False, height_ratios=(3, 2)[: 1 + logarithmic]
    )[:, 0]
    panel(axes, arrays)
    mark_outside(axes, arrays["values"])
    axes.set_ylabel("density" if logarithmic else "share below")
    handles, labels = axes.get_legend_handles_labels()
    for axes in below:
        points = _in_log_scale(axes, arrays)
        axes.set_ylabel("density, log scale")
        handles.insert(1, points)
        labels.insert(1, points.get_label())
    axes.set_xlabel(_LABEL)
    drawing.legend(handles, labels, loc="outside upper center", ncols=2)
    drawing.align_ylabels()
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
    for (_, arrays), axes in zip(panels, all_axes.flat, strict=False):
        mark_outside(axes, arrays["values"], size=2.5, height=0.9)
        if "exact" in arrays:
            bins, density = histogram(arrays)
            centres, top = (bins[1:] + bins[:-1]) / 2, axes.get_ylim()[1]
            seen = (centres > axes.get_xlim()[0]) & (centres < axes.get_xlim()[1])
            mark_outside(
                axes, centres[seen], numpy.minimum(density[seen], 2 * top), colour=THIRD, write=False, size=2.5
            )
    handles, labels = all_axes[0, 0].get_legend_handles_labels()
    labels[0] = "samples"
    drawing.legend(handles, labels, loc="outside upper center", ncols=1 if columns == 1 else 3)
    drawing.supxlabel(_LABEL, fontsize=8)
    drawing.supylabel("density", fontsize=8)
    return drawing


def panel(axes, arrays):
    """The histogram and the exact densities, or both distribution functions, without labels."""
    grid, values = arrays["grid"], arrays["values"]
    axes.set_xlim(grid[0], grid[-1])
    if "exact_cdf" in arrays:
        shares = numpy.searchsorted(numpy.sort(values), grid, side="right") / len(values)
        axes.plot(grid, shares, color=LEARNED, label=f"samples ({len(values):,})")
        axes.plot(grid, arrays["exact_cdf"], color=EXACT, label="exact law")
        return
    bins, density = histogram(arrays)
    axes.stairs(density, bins, fill=True, color=FILL, label=f"samples ({len(values):,})")
    _densities(axes, arrays)


def histogram(arrays):
    """The edges of bins (bins + 1,) over the grid, and the density of the samples in them (bins,). Samples outside of
    the grid are in no bin and count for the density: its integral is the share inside."""
    values, low, high = arrays["values"], arrays["grid"][0], arrays["grid"][-1]
    bins = numpy.linspace(low, high, _bins(values, low, high) + 1)
    return bins, numpy.histogram(values, bins)[0] / (len(values) * (bins[1] - bins[0]))


def _densities(axes, arrays):
    if "exact" in arrays:
        axes.plot(arrays["grid"], arrays["exact"], color=EXACT, label="exact law")
    if "exact_at_T" in arrays:
        at = f"$T={short(float(arrays['T']))}$" if "T" in arrays else "finite $T$"
        axes.plot(arrays["grid"], arrays["exact_at_T"], "--", color=LEARNED, linewidth=1.0, label=f"exact law at {at}")


def _in_log_scale(axes, arrays):
    """Draw the densities, and for each bin that has samples a point with its interval; return the points."""
    bins, density = histogram(arrays)
    one = 1 / (len(arrays["values"]) * (bins[1] - bins[0]))  # the density of a bin with one sample
    counts, middle = numpy.round(density / one), (bins[1:] + bins[:-1]) / 2
    there = counts > 0
    low, high = (
        special.gammaincinv(counts[there], _ONE_DEVIATION[0]),
        special.gammaincinv(counts[there] + 1, _ONE_DEVIATION[1]),
    )
    bars = one * numpy.array([counts[there] - low, high - counts[there]])
    style = {"fmt": ".", "color": THIRD, "markersize": 3, "markeredgewidth": 0, "linewidth": 0.6}
    points = axes.errorbar(middle[there], density[there], bars, label="bins, 68% intervals", **style)
    _densities(axes, arrays)
    axes.set_yscale("log")
    highest = max(density.max(), *(arrays[name].max() for name in ("exact", "exact_at_T") if name in arrays), one)
    axes.set_ylim(0.15 * one, 3 * highest)
    return points


def _bins(values, low, high):
    """The number of bins. The width of a bin fits the modes, not the gap between them."""
    histogram, _ = numpy.histogram(values, numpy.linspace(low, high, 401))
    occupied = numpy.count_nonzero(histogram > 0.02 * histogram.max()) / 400
    return int(numpy.clip(2 * len(values) ** (1 / 3) / max(occupied, 0.05), 20, 160))
