"""The error of each sampler against the number of denoiser evaluations, with a column for each grid."""

import numpy

from scorelab.figures.outside import mark_outside
from scorelab.figures.style import EXACT, FAINT, PAGE, new_figure
from scorelab.schedules.grids import NAMES

#: of the samplers, in their order: colour, marker and line tell them apart, also in grey
_COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
_MARKERS = "osD^vPX*"
_LINES = ("-", "--", "-.", (0, (1, 1)), (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 3)), (0, (5, 3)))
_ROWS = (
    ("w1", r"$W_1$ of the projection"),
    ("mode_weight_error", "error of the mode weight"),
    ("orthogonal_variance_error", "error of the\northogonal variance"),
)


def figure(arrays):
    """arrays: the columns of accuracy.csv with the errors and noises of the stage `analyse`, each (settings,), and
    setting_grid, setting_sampler and the fitted setting_order of each pair, each (pairs,)."""
    grids = list(dict.fromkeys(arrays["grid"].tolist()))
    samplers = list(dict.fromkeys(arrays["sampler"].tolist()))
    drawing = new_figure(max(PAGE, 1.75 * len(grids)), 5.4)
    panels = drawing.subplots(len(_ROWS), len(grids), sharex=True, sharey="row", squeeze=False)
    for column, grid in enumerate(grids):
        for row, (name, label) in enumerate(_ROWS):
            axes = panels[row, column]
            noise, highest = _noise(arrays, name), float(arrays[name].max())
            room = 10 if row == 2 else 1  # for the orders
            axes.set_ylim(noise / 4, room * max(2 * highest, 8 * noise))
            _panel(axes, arrays, grid, samplers, name)
            if column == 0:
                axes.set_ylabel(label)
        panels[0, column].set_title(f"uniform in {NAMES[grid].label}" if len(grids) < 4 else grid.replace("_", " "))
    for column, grid in enumerate(grids):
        _orders(panels[2, column], arrays, grid, samplers)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    drawing.legend(handles, labels, loc="outside upper center", ncols=4)
    said = "bars: ± one standard error; triangles at the lower border: values below a quarter of the noise floor"
    drawing.supxlabel(f"denoiser evaluations a sample\n{said}", fontsize=7)
    return drawing


def _panel(axes, arrays, grid, samplers, name):
    for number, sampler in enumerate(samplers):
        rows = (arrays["grid"] == grid) & (arrays["sampler"] == sampler)
        order = numpy.argsort(arrays["nfe"][rows])
        nfe, values = arrays["nfe"][rows][order], arrays[name][rows][order]
        error = arrays[f"{name.removesuffix('_error')}_standard_error"][rows][order]
        style = {"color": _COLOURS[number % 8], "marker": _MARKERS[number % 8], "markersize": 3, "linewidth": 0.9}
        style |= {"linestyle": _LINES[number % 8], "elinewidth": 0.6}
        apart = 1.02 ** (number - (len(samplers) - 1) / 2)  # bars at one number of evaluations stand side by side
        values = numpy.maximum(values, 1e-6)
        bars = [numpy.minimum(error, (1 - 1e-6) * values), error]
        drawn = axes.errorbar(nfe * apart, values, bars, label=sampler, **style)
        for bar in drawn[2]:
            bar.set_alpha(0.5)
        below = values < axes.get_ylim()[0]
        mark_outside(axes, (nfe * apart)[below], values[below], colour=style["color"], write=False)
    noise = _noise(arrays, name)
    axes.axhline(noise, color=EXACT, linestyle="--", linewidth=0.8, label="noise floor" if name == "w1" else None)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    ticks = numpy.unique(2 ** numpy.round(numpy.log2(arrays["nfe"])).astype(int))
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.grid(color=FAINT, alpha=0.25, linewidth=0.4)


def _noise(arrays, name):
    return float(arrays["w1_floor"][0] if name == "w1" else arrays[name.replace("_error", "_noise")].max())


def _orders(axes, arrays, grid, samplers):
    """Write the fitted orders above the lines, in two columns and in the colours of the lines."""
    number = 0
    for colour, sampler in zip(_COLOURS, samplers, strict=False):
        pair = (arrays["setting_grid"] == grid) & (arrays["setting_sampler"] == sampler)
        order = arrays["setting_order"][pair]
        if len(order) and numpy.isfinite(order[0]):
            style = {"transform": axes.transAxes, "va": "top", "fontsize": 6, "color": colour}
            axes.text(0.3 + 0.37 * (number % 2), 0.98 - 0.075 * (number // 2), f"order {order[0]:.1f}", **style)
            number += 1
