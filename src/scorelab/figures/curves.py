"""What a sweep over one number found: each metric against the number, a curve for each of the other settings."""

import numpy
from matplotlib.container import ErrorbarContainer

from scorelab.figures.style import EXACT, FAINT, LEARNED, PAGE, THIRD, new_figure, plain_ticks

#: of the curves, in their order: colour and marker tell them apart, also in grey
_STYLES = tuple(
    zip(
        (LEARNED, THIRD, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#332288", "#8C6D31"),
        "osD^vPX*",
        strict=True,
    )
)
#: so many curves can be told apart
MOST = len(_STYLES)
#: the least ratio of the largest to the smallest number on a logarithmic axis, and the most numbered points
_LOGARITHMIC, _NUMBERED = 8, 8


def figure(arrays):
    """Draw one panel for each metric.

    arrays: `key`, the swept key, and `x` (points,) its values in increasing order; `labels` (curves,), empty for the
    only curve; `names`, `titles` and `scales` (panels,), a metric, its title and the scale of its axis; for each metric
    NAME the mean over seeds, `error.NAME` its standard error and `held.NAME` the floor or exact value, each (curves,
    points), nan where there is none. `seeds`: the least and the most seeds of a point.
    """
    shown = [
        tuple(map(str, panel)) for panel in zip(*(arrays[key] for key in ("names", "titles", "scales")), strict=True)
    ]
    drawing = new_figure(PAGE, 2.7)
    every = drawing.subplots(1, len(shown), squeeze=False)[0]
    for axes, (name, title, scale) in zip(every, shown, strict=True):
        _panel(axes, arrays, name)
        axes.set_yscale(scale)
        if scale == "log":
            plain_ticks(axes.yaxis)
        axes.set_ylabel(title)
        axes.grid(linewidth=0.3, color=FAINT, alpha=0.4)
        _number(axes, arrays["x"])
    pairs = [pair for axes in every for pair in zip(*axes.get_legend_handles_labels(), strict=True)]
    pairs.sort(key=lambda pair: not isinstance(pair[0], ErrorbarContainer))  # the curves first
    entries = {text: handle for handle, text in pairs}
    drawing.legend(entries.values(), entries, loc="outside upper center", ncols=min(len(entries), 4))
    drawing.supxlabel(str(arrays["key"]), fontsize=8)
    return drawing


def _panel(axes, arrays, name):
    x, labels = arrays["x"], [str(label) for label in arrays["labels"]]
    held = arrays[f"held.{name}"]
    least, most = arrays["seeds"]
    over = "standard error of a run" if most == 1 else f"standard error over {least} to {most} seeds"
    over = over.replace(f"{least} to {most}", str(most)) if least == most else over
    for (colour, marker), label, values, error in zip(
        _STYLES, labels, arrays[name], arrays[f"error.{name}"], strict=False
    ):
        there = numpy.isfinite(values)
        bars = numpy.nan_to_num(error[there])
        low = numpy.minimum(bars, 0.9 * values[there]) if (values[there] > 0).all() else bars
        style = {
            "color": colour,
            "marker": marker,
            "markersize": 3.5,
            "linewidth": 1.0,
            "capsize": 2,
        }
        axes.errorbar(x[there], values[there], [low, bars], label=label or f"± {over}", **style)
    if numpy.isfinite(held).any():
        _held(axes, x, held)
    if labels != [""]:
        axes.plot([], [], " ", label=f"± {over}")


def _held(axes, x, held):
    """The floors or exact values: one line where they are about the same for all curves, else one for each curve."""
    with numpy.errstate(invalid="ignore"):
        middle = numpy.nanmean(held, 0)
        alike = bool((numpy.nanmax(held, 0) - numpy.nanmin(held, 0) <= 0.1 * numpy.abs(middle)).all())
    lines = [(EXACT, middle)] if alike else [(style[0], row) for style, row in zip(_STYLES, held, strict=False)]
    for colour, values in lines:
        axes.plot(x, values, "--", color=colour, linewidth=0.9, zorder=1)
    axes.plot([], [], "--", color=EXACT, linewidth=0.9, label="floor or exact value")


def _number(axes, x):
    if x[0] > 0 and x[-1] / x[0] >= _LOGARITHMIC:
        axes.set_xscale("log")
    if len(x) <= _NUMBERED:
        axes.set_xticks(x, [f"{value:g}" for value in x], fontsize=6)
        axes.minorticks_off()
