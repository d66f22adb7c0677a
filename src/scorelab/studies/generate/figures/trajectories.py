"""Sampling paths from noise to data, drawn over the exact law at each angle; also as an animation."""

import math

import numpy
from matplotlib.backends.backend_agg import FigureCanvasAgg

from scorelab.figures.modes import classes, colours, label
from scorelab.figures.outside import mark_outside
from scorelab.figures.style import EXACT, FAINT, LEARNED, PAGE, new_figure, time_axis

#: metric -> threshold of the posterior weight, and its line style
_THRESHOLDS = {"commitment_t": ("1/2", "-"), "commitment_90_t": ("0.9", "--")}
_SHOWN = 60
_LABEL = r"projection $\langle x_\alpha,a\rangle/|a|^2$"
#: the animation: frames, frames a second, seconds that the last frame stays, pixels an inch
_FRAMES, RATE, STILL, _DPI = 56, 14, 1.2, 125


def figure(arrays):
    """arrays: angle (steps + 1,), projection (count, steps + 1), mode (count,), the mode a path ends in; density
    (angles, points), the exact density at evenly spaced density_angle (angles,) on grid (points,), both absent where
    the density is not known; for more than one mode commitment_t (count,), commitment_t_exact (exact paths,), the same
    with commitment_90_t, and speciation, an angle."""
    commits = "commitment_t" in arrays
    drawing = new_figure(PAGE, 4.4 if commits else 2.8)
    places = drawing.add_gridspec(1 + commits, 2, width_ratios=(5.2, 1), height_ratios=(2.1, 1)[: 1 + commits])
    axes = drawing.add_subplot(places[0, 0])
    side = drawing.add_subplot(places[0, 1], sharey=axes)
    _background(axes, arrays)
    _draw_paths(axes, arrays)
    axes.set_xlim(arrays["angle"][0], arrays["angle"][-1])
    shown = arrays["projection"][:_SHOWN]
    axes.set_ylim(arrays["grid"][0], arrays["grid"][-1])
    mark_outside(axes, numpy.tile(arrays["angle"], len(shown)), shown.ravel(), colour="#444444", write=False, size=2.5)
    _histogram(side, arrays, -1)
    ends = arrays["projection"][:, -1]
    mark_outside(side, numpy.zeros(len(ends)), ends)
    side.xaxis.tick_top()
    side.xaxis.set_label_position("top")
    side.spines["top"].set_visible(True)
    side.spines["bottom"].set_visible(False)
    time_axis(axes)
    if commits:
        below = drawing.add_subplot(places[1, 0], sharex=axes)
        axes.tick_params(labelbottom=False)
        _committed(below, arrays)
        entries = below.get_legend_handles_labels()
        drawing.legend(*entries, loc="outside lower center", ncols=len(entries[0]), columnspacing=1.2, handlelength=1.8)
        key = drawing.add_subplot(places[1, 1])
        key.set_axis_off()
        key.legend(*side.get_legend_handles_labels(), loc="upper left", borderaxespad=0)
    else:
        side.legend(loc="best")
    (below if commits else axes).set_xlabel(r"angle $\alpha$ (rad)")
    drawing.align_ylabels()
    return drawing


def animation(arrays):
    """The paths as they grow, and beside them their histogram, which moves from the law of the noise to the law of the
    data. arrays: as for `figure`. Yields frames (height, width, 3), uint8: `RATE` frames a second, and the last frame
    stays for `STILL` seconds."""
    drawing = new_figure(5.6, 2.5)
    drawing.set_dpi(_DPI)
    canvas = FigureCanvasAgg(drawing)
    places = drawing.add_gridspec(1, 2, width_ratios=(2.6, 1))
    axes = drawing.add_subplot(places[0])
    side = drawing.add_subplot(places[1], sharey=axes)
    _background(axes, arrays)
    lines = _draw_paths(axes, arrays)
    now = axes.axvline(arrays["angle"][-1], color=FAINT, linewidth=0.7)
    bars, exact = _histogram(side, arrays, -1)
    if "density" in arrays:
        side.set_xlim(0, 1.1 * float(arrays["density"].max()))
    side.legend(loc="lower right", fontsize=6)
    axes.set_xlabel(r"angle $\alpha$ (rad)")
    title = side.set_title("$t=0$")
    drawing.draw_without_rendering()
    drawing.set_layout_engine("none")  # all frames have the layout of the last one
    angle = arrays["angle"]
    share = numpy.linspace(0, 1, _FRAMES) ** 1.5  # slower where the modes part, which is early
    points = numpy.searchsorted(angle, angle[0] + share * (angle[-1] - angle[0])).clip(0, len(angle) - 1)
    for k in points.tolist():
        for line, path in zip(lines, arrays["projection"], strict=False):
            line.set_data(angle[: k + 1], path[: k + 1])
        now.set_xdata([angle[k]] * 2)
        for bar, (left, width) in zip(bars, _boxes(arrays, k), strict=True):
            bar.set_x(left)
            bar.set_width(width)
        if exact is not None:
            exact.set_xdata(_density_at(arrays, angle[k]))
        time = math.tan(angle[k]) ** 2
        title.set_text(rf"$t={time:.0f}$" if time >= 10 else rf"$t={time:.2f}$")
        canvas.draw()
        yield numpy.array(canvas.buffer_rgba())[..., :3]


def _background(axes, arrays):
    """The exact density at every angle, in grey, where it is known."""
    axes.set_ylabel(_LABEL)
    if "density" not in arrays:
        return
    at, grid, density = arrays["density_angle"], arrays["grid"], numpy.sqrt(arrays["density"].T)
    axes.imshow(
        density,
        cmap="Greys",
        vmin=0,
        vmax=2.4 * density.max(),
        extent=(at[0], at[-1], grid[0], grid[-1]),
        origin="lower",
        aspect="auto",
        interpolation="bilinear",
    )


def _draw_paths(axes, arrays):
    """Draw the first paths, each in the colour of the mode that it ends in; return their lines."""
    of = colours(arrays["mode"])
    return [
        axes.plot(arrays["angle"], path, color=of[mode], linewidth=0.5, alpha=0.8)[0]
        for path, mode in zip(arrays["projection"][:_SHOWN], arrays["mode"][:_SHOWN].tolist(), strict=True)
    ]


def _histogram(axes, arrays, k):
    """Draw the projections of all paths at the grid point k, stacked by the mode that they end in, and the exact
    density there. Return the boxes, mode by mode, and the line, which is None where the density is not known."""
    grid, edges = arrays["grid"], _edges(arrays)
    groups = classes(arrays["mode"])
    left, width = zip(*_boxes(arrays, k), strict=True)
    centres = numpy.tile((edges[1:] + edges[:-1]) / 2, len(groups))
    inks = [colour for colour, _ in groups for _ in edges[1:]]
    bars = axes.barh(centres, width, edges[1] - edges[0], left, color=inks, alpha=0.6)
    said = label(arrays["mode"])
    bars.set_label(f"{len(arrays['mode']):,} paths" + (f"\n{said}" if said else ""))
    line = None
    if "density" in arrays:
        (line,) = axes.plot(_density_at(arrays, arrays["angle"][k]), grid, color=EXACT, label="exact law")
    axes.set_ylim(grid[0], grid[-1])
    axes.set_xlim(0, None)
    axes.set_xlabel("density")
    axes.tick_params(labelleft=False)
    return bars, line


def _edges(arrays):
    """The edges of bins that resolve a mode, as far as the number of paths allows."""
    grid = arrays["grid"]
    return numpy.linspace(grid[0], grid[-1], int(numpy.clip(3.5 * len(arrays["mode"]) ** 0.45, 12, 80)) + 1)


def _boxes(arrays, k):
    """Left end and width of every box of the stacked histogram at the grid point k."""
    edges, values = _edges(arrays), arrays["projection"][:, k]
    inside = numpy.clip(values, edges[0], edges[-1])
    unit = 1 / (len(values) * (edges[1] - edges[0]))
    stack, boxes = numpy.zeros(len(edges) - 1), []
    for _, own in classes(arrays["mode"]):
        width = unit * numpy.histogram(inside[own], edges)[0]
        boxes += zip(stack.copy(), width, strict=True)
        stack += width
    return boxes


def _committed(axes, arrays):
    """The share of the paths that stay with their final mode from an angle on, with two standard errors."""
    at = numpy.linspace(arrays["angle"][0], arrays["angle"][-1], 800)
    for name, (threshold, style) in _THRESHOLDS.items():
        for suffix, colour, of in (("_exact", EXACT, "exact paths"), ("", LEARNED, "sampler")):
            angle = numpy.sort(numpy.arctan(numpy.sqrt(arrays[f"{name}{suffix}"])))
            share = numpy.searchsorted(angle, at, side="right") / len(angle)
            axes.plot(at, share, style, color=colour, linewidth=1.0, label=rf"{of}, $\gamma\geq{threshold}$")
            if not suffix:
                error = 2 * numpy.sqrt(share * (1 - share) / len(angle))
                axes.fill_between(at, share - error, share + error, color=colour, alpha=0.2, linewidth=0)
    if "speciation" in arrays:
        axes.axvline(float(arrays["speciation"]), color=FAINT, linewidth=1.0, linestyle=":", label="speciation")
    axes.set_ylim(0, 1.03)
    axes.set_ylabel("share committed")


def _density_at(arrays, angle):
    """The exact density at any angle, interpolated between the angles at which it is known."""
    at, density = arrays["density_angle"], arrays["density"]
    right = int(numpy.clip(numpy.searchsorted(at, angle), 1, len(at) - 1))
    share = numpy.clip((angle - at[right - 1]) / (at[right] - at[right - 1]), 0, 1)
    return density[right - 1] + share * (density[right] - density[right - 1])
