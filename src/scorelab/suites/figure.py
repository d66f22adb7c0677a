"""The figure of a suite: a small picture of each target."""

import numpy
from matplotlib import ticker

from scorelab.figures.style import EXACT, FILL, PAGE, THIRD, new_figure
from scorelab.metrics.projection import density, project

#: reference draws in a picture, those of them in a plane, and images in a row
_DRAWS, _POINTS, _IMAGES = 20_000, 2500, 7
#: how far below the top a density is drawn, and over how many points
_DEPTH, _GRID = 1e-5, 2001


def figure(suite):
    """Draws in the plane; the exact law of the projection beside a histogram of draws; images."""
    columns = 4
    rows = -(-len(suite) // columns)
    drawing = new_figure(PAGE, 1.75 * rows)
    panels = drawing.subplots(rows, columns, squeeze=False).flat
    for entry, axes in zip(suite, panels, strict=False):
        axes.set_title(f"{entry.name}, n = {entry.n}", loc="left", pad=4)
        if entry.target.can("images"):
            _images(axes, entry)
        elif entry.n == 2 or entry.name == "funnel":
            _plane(axes, entry)
        else:
            _projection(axes, entry)
    for axes in list(panels):
        axes.set_axis_off()
    return drawing


def _plane(axes, entry):
    x = entry.draws(_POINTS).numpy()
    axes.plot(x[:, 0], x[:, 1], ".", color=THIRD, markersize=1.6, markeredgewidth=0, alpha=0.6, rasterized=True)
    axes.set(xlabel="$x_1$", ylabel="$x_2$")
    if entry.n == 2:
        axes.set_aspect("equal", adjustable="box")


def _projection(axes, entry):
    law = entry.target.projection(entry.target.direction)
    values = project(entry.draws(_DRAWS), entry.target.direction).numpy()
    axes.set(xlabel=r"$\langle x, a\rangle/|a|^2$")
    if density(law, 0.0) is None:
        axes.vlines(law.values.numpy(), 0, law.weights.numpy(), color=EXACT, linewidth=0.8)
        axes.set(ylabel="weight")
        axes.set_ylim(0)
        return
    low, high = law.quantile([1e-5, 1 - 1e-5]).tolist()
    margin = 0.04 * (high - low)
    # places that lie close where the law does, so that no narrow mode is missed
    even = numpy.linspace(low, high, _GRID)
    at = numpy.sort(numpy.concatenate([even, law.quantile(numpy.linspace(1e-5, 1 - 1e-5, _GRID)).numpy()]))
    exact = law.pdf(at).numpy()
    axes.hist(values, bins=120, range=(low, high), density=True, color=FILL)
    axes.plot(at, exact, color=EXACT, linewidth=0.9)
    axes.set(yscale="log", ylabel="density")
    axes.set_ylim(exact.max() * _DEPTH, exact.max() * 2)
    axes.set_xlim(low - margin, high + margin)
    axes.xaxis.set_major_locator(ticker.MaxNLocator(3))


def _images(axes, entry):
    images = entry.draws(_IMAGES**2).reshape(_IMAGES, _IMAGES, *entry.target.shape[1:]).numpy()
    mosaic = numpy.pad(images, ((0, 0), (0, 0), (1, 0), (1, 0)), constant_values=-1.0)
    height, width = mosaic.shape[2:]
    mosaic = mosaic.transpose(0, 2, 1, 3).reshape(_IMAGES * height, _IMAGES * width)
    axes.imshow(-mosaic, cmap="gray", vmin=-1, vmax=1, interpolation="nearest")
    axes.set_axis_off()
