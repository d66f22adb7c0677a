"""Samples in the plane on the exact density, as many exact samples beside them, and what of the difference is noise."""

import numpy

from scorelab.figures.outside import mark_outside
from scorelab.figures.style import EXACT, LEARNED, PAGE, THIRD, new_figure, short

#: shares of the law that the contour lines hold
_SHARES = (0.5, 0.9, 0.99)
#: the grey of the density ends at this share of its maximum
_LOWEST = 1e-4
#: a bin is compared with what is expected there if so many samples are expected
LEAST = 5
#: the residual at which the scale of the colours ends
_END = 5


def figure(arrays):
    """arrays: `samples`, `exact_samples` (some, 2); count; low, high (2,), the window; labels (2,). Where the density
    is known: x, y (cells + 1,) and log_density (cells, cells); edges_x, edges_y (bins + 1,), counts and expected (bins,
    bins). T where the density is that at a finite T.

    The third panel has the Pearson residuals, (counts - expected)/sqrt(expected), of the bins in which at least 5
    samples are expected. Of exact samples they are about standard normal. All other samples are counted together.
    """
    known = "log_density" in arrays
    drawing = new_figure(PAGE, 2.9 if known else 3.8)
    panels = drawing.subplots(1, 2 + known, sharex=True, sharey=True)
    some = len(arrays["samples"])
    shown = f"the first {some:,} of {int(arrays['count']):,} samples" if some < arrays["count"] else f"{some:,} samples"
    for axes, name, title, colour in (
        (panels[0], "samples", shown, LEARNED),
        (panels[1], "exact_samples", "as many exact samples", THIRD),
    ):
        frame(axes, arrays)
        if known:
            image(axes, arrays["x"], arrays["y"], arrays["log_density"])
            contours(axes, arrays["x"], arrays["y"], arrays["log_density"])
        size = float(numpy.clip(110 / numpy.sqrt(some), 1.3, 3.5))
        x, y = arrays[name].T
        marks = {"markersize": size, "markeredgewidth": 0, "alpha": 0.6, "rasterized": True}
        axes.plot(x, y, ".", color=colour, **marks)
        mark_outside(axes, x, y, colour=colour)
        axes.set_title(title, pad=4)
    panels[0].set_ylabel(str(arrays["labels"][1]))
    if known:
        _residuals(drawing, panels[2], arrays)
        law = f"exact law at $T={short(float(arrays['T']))}$" if "T" in arrays else "exact law"
        said = (
            f"grey: density of the {law}, in log scale; lines: they hold 50, 90 and 99% of it; "
            f"right: bins where {LEAST} samples or more are expected"
        )
        drawing.supxlabel(said, fontsize=6.5, color="#444444")
    return drawing


def _residuals(drawing, axes, arrays):
    frame(axes, arrays)
    expected = arrays["expected"]
    compared = expected >= LEAST
    residual = numpy.where(compared, arrays["counts"] - expected, numpy.nan) / numpy.sqrt(numpy.maximum(expected, 1e-9))
    shown = axes.pcolormesh(
        *(arrays["edges_x"], arrays["edges_y"], residual), cmap="PuOr_r", vmin=-_END, vmax=_END, rasterized=True
    )
    axes.set_facecolor("#EEEEEE")
    axes.set_title("(count − expected)/√expected", pad=22 if compared.any() else 4)
    if compared.any():
        found = residual[compared]
        error = numpy.sqrt((2 + 1 / expected[compared]).sum()) / len(found)
        said = f"mean square {numpy.square(found).mean():.2f} (exact: 1 ± {error:.2f})"
        rest = float(arrays["count"]) - arrays["counts"][compared].sum()
        there = max(float(arrays["count"]) - expected[compared].sum(), 0.0)
        said += f"\nelsewhere {rest:,.0f} (exact: {there:,.0f} ± {numpy.sqrt(there):.0f})"
        axes.text(0.5, 1.02, said, transform=axes.transAxes, ha="center", va="bottom", fontsize=6)
    beyond = bool((numpy.abs(residual[compared]) > _END).any())
    place = axes.inset_axes([1.04, 0, 0.045, 1])
    bar = drawing.colorbar(shown, cax=place, extend="both" if beyond else "neither")
    bar.outline.set_visible(False)


def frame(axes, arrays):
    """Axes with one unit in both directions, that show the window."""
    low, high = arrays["low"], arrays["high"]
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(low[1], high[1])
    axes.set_aspect("equal")
    axes.set_xlabel(str(arrays["labels"][0]))


def image(axes, x, y, log_density, alpha=1.0):
    """The density in grey, in log scale, down to 1e-4 of its maximum. x, y: edges (cells + 1,)."""
    highest = float(log_density.max())
    values = numpy.clip(log_density - highest, numpy.log(_LOWEST), 0)
    extent = (x[0], x[-1], y[0], y[-1])
    axes.imshow(
        *(values,),
        extent=extent,
        origin="lower",
        cmap="Greys",
        vmin=numpy.log(_LOWEST),
        vmax=-1.6 * numpy.log(_LOWEST),
        interpolation="bilinear",
        alpha=alpha,
    )


def contours(axes, x, y, log_density, colour=EXACT):
    """Lines of the density, which hold 50, 90 and 99 per cent of the law. x, y: edges (cells + 1,)."""
    weight = numpy.sort(numpy.exp(log_density - log_density.max(), dtype=float).ravel())[::-1]
    held = weight.cumsum() / weight.sum()
    levels = sorted({float(weight[numpy.searchsorted(held, share)]) for share in _SHARES})
    middle = [(edges[1:] + edges[:-1]) / 2 for edges in (x, y)]
    axes.contour(*middle, numpy.exp(log_density - log_density.max()), levels, colors=colour, linewidths=0.5, alpha=0.8)
