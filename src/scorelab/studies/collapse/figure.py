"""Collapse: what an error costs by its noise level, memorised data, and the trade between phases in training."""

import numpy

from scorelab.figures.style import EXACT, FAINT, LEARNED, PAGE, THIRD, new_figure

_MIDDLE = "#009E73"
_MARKERS = "osD^vPX*"
_BARS = {"elinewidth": 0.8, "markersize": 3.4, "linewidth": 0.9}


def figure(arrays):
    """arrays: `names`, `labels`, `stochasticity` (methods,); for each method band.NAME.{low, high, lost,
    lost_standard_error, predicted} (bands,); `memory`, names of methods, with memory.NAME.{angle, training,
    training_standard_error} (cutoffs,) and `memory_floor`; `widths`, and for each width trade.WIDTH.{high, low}.{share,
    error, error_standard_error} (shares,), both, both_standard_error; `std`."""
    drawing = new_figure(PAGE, 3.2)
    axes = drawing.subplots(1, 3)
    looks = _looks(arrays)
    _bands(axes[0], arrays, looks)
    _memory(axes[1], arrays, looks)
    _trade(axes[2], arrays)
    for axis, text in zip(axes, ("(a)  one band errs", "(b)  memorised up to an angle", "(c)  learned"), strict=True):
        axis.set_title(text, loc="left", pad=4)
    handles, labels = axes[0].get_legend_handles_labels()
    drawing.legend(handles, labels, loc="outside lower left", ncols=3, columnspacing=1.0, handlelength=1.6)
    handles, labels = axes[2].get_legend_handles_labels()
    drawing.legend(handles, labels, loc="outside lower right", ncols=2, columnspacing=1.0, handlelength=1.8)
    return drawing


def _colour(stochasticity):
    return LEARNED if stochasticity == 0 else THIRD if stochasticity >= 1 else _MIDDLE


def _looks(arrays):
    """Name -> the look of a method: its colour says how stochastic it is."""
    pairs = zip(map(str, arrays["names"]), arrays["stochasticity"], strict=True)
    return {
        name: {"color": _colour(float(value)), "marker": _MARKERS[number % len(_MARKERS)], "markerfacecolor": "none"}
        for number, (name, value) in enumerate(pairs)
    }


def _bands(axes, arrays, looks):
    """The variance that is lost, against the middle of the band, over the closed forms."""
    drawn = set()
    for name, label, value in zip(map(str, arrays["names"]), arrays["labels"], arrays["stochasticity"], strict=True):
        low, high = arrays[f"band.{name}.low"], arrays[f"band.{name}.high"]
        middle = 0.5 * (low + high)
        error = 200 * arrays[f"band.{name}.lost_standard_error"]
        style = _BARS | looks[name] | {"fmt": looks[name]["marker"]}
        style.pop("marker")
        axes.errorbar(middle, 100 * arrays[f"band.{name}.lost"], yerr=error, label=str(label), **style)
        if float(value) not in drawn:
            drawn.add(float(value))
            axes.plot(middle, 100 * arrays[f"band.{name}.predicted"], ":", color=_colour(float(value)), linewidth=1.1)
    axes.axvline(numpy.arctan(1 / float(arrays["std"])), color=FAINT, linewidth=0.8)
    style = {"transform": axes.get_xaxis_transform(), "fontsize": 6.5, "rotation": 90, "ha": "right", "va": "top"}
    axes.text(numpy.arctan(1 / float(arrays["std"])) - 0.02, 0.99, "signal = noise", color=EXACT, **style)
    axes.set_ylim(bottom=min(-0.5, axes.get_ylim()[0]))
    axes.set_xlabel(r"angle of the error, noise $\to$ data (rad)")
    axes.set_ylabel("variance lost (%)")


def _memory(axes, arrays, looks):
    """The distance to the nearest training sample, against the angle up to which the samples are memorised."""
    floor = float(arrays["memory_floor"])
    axes.axhspan(1 - 2 * floor, 1 + 2 * floor, color=FAINT, alpha=0.35, linewidth=0)
    axes.axhline(1.0, color=EXACT, linewidth=0.8)
    for name in map(str, arrays["memory"]):
        angle, error = arrays[f"memory.{name}.angle"], 2 * arrays[f"memory.{name}.training_standard_error"]
        axes.errorbar(angle, arrays[f"memory.{name}.training"], yerr=error, **_BARS, **looks[name])
    axes.set_ylim(0, 1.08)
    axes.set_xlabel("memorised up to the angle (rad)")
    axes.set_ylabel("distance to training data / exact")


def _trade(axes, arrays):
    """The error in each phase, against the share of the training samples that is spent on low noise."""
    for number, width in enumerate(arrays["widths"].tolist()):
        for phase, colour in (("high", LEARNED), ("low", THIRD)):
            one = {
                key: arrays[f"trade.{width}.{phase}.{key}"]
                for key in ("share", "error", "error_standard_error", "both")
            }
            style = {"color": colour, "marker": _MARKERS[number % 8], "linestyle": "-" if number == 0 else "--"}
            label = f"{phase} noise, m = {width}"
            axes.errorbar(
                one["share"], one["error"], yerr=2 * one["error_standard_error"], label=label, **_BARS, **style
            )
            style = {"color": colour, "marker": _MARKERS[number % 8], "fillstyle": "none", "markersize": 5.5}
            axes.errorbar(
                [0.5], [one["both"]], yerr=[2 * arrays[f"trade.{width}.{phase}.both_standard_error"]], **style
            )
    axes.set_yscale("log")
    axes.text(0.97, 0.98, "open: twice the steps", transform=axes.transAxes, ha="right", va="top", fontsize=6.5)
    low, high = axes.get_ylim()
    axes.set_ylim(low, 1.6 * high)
    axes.set_xlabel("share of training at low noise")
    axes.set_ylabel("error of the velocity")
