"""Langevin dynamics and diffusion: the weight found against evaluations, and evaluations against the separation."""

import matplotlib
import numpy

from scorelab.figures.style import COLUMN, EXACT, FAINT, LEARNED, PAGE, THIRD, new_figure

#: chains are warm, annealed dynamics green, diffusion blue; methods of a kind differ in shade, all differ in marker
_KINDS = (
    ("ula", (LEARNED, "#8C3B00", "#E69F00")),
    ("mala", ("#CC79A7", "#882255")),
    ("annealed", ("#00735A", "#5FB88F")),
    ("", (THIRD, "#56B4E9", "#332288", "#88CCEE")),
)
_MARKERS = "osDv^PXd<>"
_BARS = {"linewidth": 1.0, "elinewidth": 0.7, "markersize": 3.2, "markeredgewidth": 0.8}


def figure(arrays):
    """arrays: `names`, `labels` (methods,), `exact`, `floor`; for each method NAME.{evaluations, weight,
    weight_standard_error} (budgets,) and, if it has a prediction, NAME.weight_predicted; `relaxation_evaluations` of
    the last method with a prediction.

    There are two more panels if `distances` (distances,) and `apart_names` are not empty, with `apart_labels` and
    `apart_exact`; for each such method apart.NAME.{evaluations, evaluations_standard_error} (distances,), nan where the
    weight was not found, apart.NAME.budget and, if it has a prediction, apart.NAME.evaluations_predicted and the curves
    apart.NAME.POSITION.{evaluations, weight, weight_standard_error, weight_predicted} (budgets,) of each distance."""
    looks = _looks([str(name) for name in (*arrays["names"], *arrays["apart_names"])])
    more = len(arrays["distances"]) > 0 and len(arrays["apart_names"]) > 0
    chains = [str(name) for name in arrays["apart_names"] if f"apart.{name}.evaluations_predicted" in arrays]
    panels = 1 + more + bool(more and chains)
    drawing = new_figure(COLUMN if panels == 1 else PAGE, 3.3 if panels == 1 else 2.75)
    axes = drawing.subplots(1, panels, squeeze=False)[0]
    _weights(axes[0], arrays, looks)
    if chains and more:
        _relaxation(axes[1], arrays, chains[0])
    if more:
        _separations(axes[-1], arrays, looks)
    if panels > 1:
        for axis, letter in zip(axes, "abc", strict=False):
            axis.set_title(f"({letter})", loc="left", pad=4)
    handles, labels = axes[0].get_legend_handles_labels()
    columns = 2 if panels == 1 else -(-len(labels) // 2)
    drawing.legend(handles, labels, loc="outside lower center", ncols=columns, columnspacing=1.0, handlelength=1.8)
    return drawing


def _looks(names):
    """Method name -> colour and marker."""
    used, looks = {}, {}
    for name in dict.fromkeys(names):
        kind, colours = next(pair for pair in _KINDS if name.startswith(pair[0]))
        index = used.get(kind, 0)
        used[kind] = index + 1
        marker = _MARKERS[len(looks) % len(_MARKERS)]
        looks[name] = {"color": colours[index % len(colours)], "marker": marker}
        if kind == "mala":  # its curve lies on top of others
            looks[name] |= {"markerfacecolor": "none"}
    return looks


def _weights(axes, arrays, looks):
    """The weight found against the evaluations, with the exact weight and its noise floor."""
    exact, floor = float(arrays["exact"]), float(arrays["floor"])
    axes.axhspan(exact - 2 * floor, exact + 2 * floor, color=FAINT, alpha=0.3, linewidth=0)
    axes.axhline(exact, color=EXACT, linewidth=1.0, label="exact ± 2 s.e.")
    label = "exact relaxation"
    for name in map(str, arrays["names"]):
        curve = arrays.get(f"{name}.weight_predicted")
        if curve is not None and numpy.isfinite(curve).any():
            axes.plot(arrays[f"{name}.evaluations"], curve, ":", color=EXACT, linewidth=1.2, zorder=5, label=label)
            label = None
    for name, label in zip(map(str, arrays["names"]), arrays["labels"], strict=True):
        error = 2 * arrays[f"{name}.weight_standard_error"]
        style = _BARS | looks[name] | ({"markersize": 5.5} if "markerfacecolor" in looks[name] else {})
        axes.errorbar(arrays[f"{name}.evaluations"], arrays[f"{name}.weight"], yerr=error, label=str(label), **style)
    if "relaxation_evaluations" in arrays:
        text = f"relaxation: {_short(float(arrays['relaxation_evaluations']))} evaluations"
        axes.text(0.5, 0.08, text, transform=axes.transAxes, ha="center", va="bottom", fontsize=7)
    axes.set_xscale("log")
    axes.set_ylim(-0.03, 1.05)
    axes.set_xlabel("score evaluations a sample")
    axes.set_ylabel("weight found of mode 1")


def _short(number):
    """A number to two digits, in powers of ten if it is large."""
    if number < 1e4:
        return f"{number:.2g}" if number < 100 else f"{number:.0f}"
    digits, power = f"{number:.1e}".split("e")
    return rf"${digits}\times10^{{{int(power)}}}$"


def _relaxation(axes, arrays, name):
    """The weight that a chain finds against its length: a curve for each distance, with its exact relaxation."""
    distances = arrays["distances"]
    colours = matplotlib.colormaps["YlOrBr"](numpy.linspace(0.35, 0.95, len(distances)))
    exact = float(arrays["apart_exact"])
    axes.axhline(exact, color=EXACT, linewidth=1.0)
    for position, (distance, colour) in enumerate(zip(distances, colours, strict=True)):
        x, weight, error, curve = (
            arrays[f"apart.{name}.{position}.{key}"]
            for key in ("evaluations", "weight", "weight_standard_error", "weight_predicted")
        )
        shown = slice(None, None, max(len(x) // 14, 1))
        axes.errorbar(
            x[shown], weight[shown], yerr=2 * error[shown], fmt="o", color=colour, markersize=2.2, elinewidth=0.7
        )
        axes.plot(x, curve, ":", color=EXACT, linewidth=1.1, zorder=5)
        arrival = x[numpy.argmin(numpy.abs(curve - 0.95 * exact))]
        beside = {"xytext": (0, 3), "textcoords": "offset points", "va": "bottom", "fontsize": 7, "color": colour}
        axes.annotate(f"{distance:g}", (arrival, exact), ha="center", **beside)
        if position == 0:
            axes.annotate("$|a|=$", (arrival, exact), ha="right", **beside | {"xytext": (-4, 3), "color": EXACT})
    axes.set_xscale("log")
    axes.set_ylim(-0.03, 1.05)
    axes.set_xlabel("score evaluations a sample")
    axes.set_ylabel("weight found of mode 1")
    title = dict(zip(map(str, arrays["apart_names"]), map(str, arrays["apart_labels"]), strict=True))[name]
    axes.text(0.5, 0.97, title, transform=axes.transAxes, ha="center", va="top", fontsize=7)


def _separations(axes, arrays, looks):
    """The evaluations until the weight is found, against half the distance of the modes."""
    half = 0.5 * arrays["distances"]
    for name in map(str, arrays["apart_names"]):
        found, error = arrays[f"apart.{name}.evaluations"], 2 * arrays[f"apart.{name}.evaluations_standard_error"]
        axes.errorbar(half, found, yerr=[numpy.minimum(error, 0.6 * found), error], **_BARS, **looks[name])
        lost = ~numpy.isfinite(found)
        if lost.any():
            colour, budget = looks[name]["color"], float(arrays[f"apart.{name}.budget"])
            heights = numpy.full(lost.sum(), budget)
            axes.plot(half[lost], heights, "^", fillstyle="none", color=colour, markersize=4)
            beside = {"xytext": (-6, 0), "textcoords": "offset points", "ha": "right", "va": "center"}
            axes.annotate("not found", (half[lost][0], budget), fontsize=7, color=colour, **beside)
        curve = arrays.get(f"apart.{name}.evaluations_predicted")
        if curve is not None:
            axes.plot(half, curve, ":", color=EXACT, linewidth=1.2, zorder=5)
    axes.set_yscale("log")
    axes.set_xlabel(r"half the distance, $|a|/2$ (std)")
    axes.set_ylabel("evaluations until it is found")
