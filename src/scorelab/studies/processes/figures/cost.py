"""The error of each process against the evaluations of its posterior."""

import numpy

from scorelab.figures.style import EXACT, FAINT, PAGE, new_figure

_COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
_MARKERS = "osD^vPX*"


def figure(arrays):
    """arrays: the columns of processes.csv, each (settings,), and the name of the distance. A process whose paths are
    exact is one point; hollow markers and dashed lines are learned posteriors."""
    drawing = new_figure(0.75 * PAGE, 3.4)
    axes = drawing.subplots()
    for number, name in enumerate(dict.fromkeys(arrays["process"].tolist())):
        colour, marker = _COLOURS[number % 8], _MARKERS[number % 8]
        for kind, line, face in (("exact", "-", colour), ("learned", "--", "white")):
            rows = (arrays["process"] == name) & (arrays["posterior"] == kind)
            if not rows.any():
                continue
            label = name.replace("_", " ") + ("" if kind == "exact" else ", learned")
            style = {"color": colour, "marker": marker, "markerfacecolor": face, "markersize": 4, "linestyle": line}
            error, spread = arrays["error"][rows], arrays["error_standard_error"][rows]
            axes.errorbar(arrays["evaluations"][rows], error, yerr=2 * spread, label=label, linewidth=0.9, **style)
    floor, deviation = arrays["error_floor"][0], arrays["error_floor_deviation"][0]
    axes.axhspan(floor - 2 * deviation, floor + 2 * deviation, color=FAINT, alpha=0.25, linewidth=0)
    axes.axhline(floor, color=EXACT, linestyle="--", linewidth=0.8, label="as many exact samples")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    low, high = numpy.log2(axes.get_xlim())
    ticks = 2.0 ** numpy.arange(numpy.ceil(low), numpy.floor(high) + 1)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xlabel("evaluations of the posterior for one sample")
    axes.set_ylabel(str(arrays["distance"]))
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return drawing
