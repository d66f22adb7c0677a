"""The exact conditional mean of two modes: its curves, its slopes, the time when it is a step, its non-linearity."""

import matplotlib
import numpy
from matplotlib.colors import LinearSegmentedColormap, LogNorm

from scorelab.figures.style import EXACT, FAINT, LEARNED, PAGE, THIRD, new_figure

#: coordinate of a slope of gamma_1 -> its label and colour
_COORDINATES = {
    "state": (r"$\gamma_1$ in $\langle y_t,a\rangle$", LEARNED),
    "standardised": (r"$\gamma_1$ in $\langle y_t,a\rangle\,/\,$its std. dev. in a mode", "#009E73"),
    "scaled": (r"$\gamma_1$ in $\langle y_t,a\rangle/(t\,|a|^2)$", THIRD),
}
_TIME = r"time $t$"
_LEAST = 1e-6  # shares below are not drawn
_SMALL = {"fontsize": 6.5, "textcoords": "offset points"}


def figure(arrays):
    """arrays: curve_t (times,), u (points,), mean and likely (times, points): the curves and where they are solid. t
    (times,) with slope_{state, scaled, standardised}, mean_slope, undecided, nonlinearity and its limits
    nonlinearity_{early, late}; slope_sup_{state, ...}, numbers. threshold (thresholds,) with sharp_t_{state, ...}.
    switch, switch_t (switches,), names and times; steepest_t, inf for none, speciation_t, nan for none, and
    speciation_t_estimate, numbers."""
    drawing = new_figure(PAGE, 5.5)
    (first, second), (third, fourth) = drawing.subplots(2, 2)
    _curves(drawing, first, arrays)
    _slopes(second, arrays)
    _sharp(third, arrays)
    _nonlinearity(fourth, arrays)
    for axes, letter in zip((first, second, third, fourth), "abcd", strict=True):
        axes.set_title(f"({letter})", loc="left", pad=4)
    handles, labels = second.get_legend_handles_labels()
    drawing.legend(handles, labels, loc="outside upper center", ncols=4, title="largest slope of", title_fontsize=7)
    return drawing


def _curves(drawing, axes, arrays):
    """The family of posterior means, solid where the exact law has its mass."""
    times, u = arrays["curve_t"], arrays["u"]
    norm = LogNorm(times.min(), max(times.max(), 1.01 * times.min()))
    colours = LinearSegmentedColormap.from_list("cut", matplotlib.colormaps["viridis"](numpy.linspace(0, 0.93, 256)))
    axes.plot(u, u, ":", color=EXACT, linewidth=0.8, zorder=3, label=r"$\langle y_t,a\rangle/(t\,|a|^2)$")
    for t, mean, likely in zip(times, arrays["mean"], arrays["likely"], strict=True):
        axes.plot(u, mean, color=colours(norm(t)), linewidth=0.7, alpha=0.4)
        axes.plot(u, numpy.where(likely, mean, numpy.nan), color=colours(norm(t)), linewidth=1.5)
    axes.set_xlim(u[0], u[-1])
    axes.set_ylim(u[0], u[-1])
    axes.set_xlabel(r"$\langle y_t,a\rangle/(t\,|a|^2)$")
    axes.set_ylabel(r"$\langle m,a\rangle/|a|^2$")
    bar = drawing.colorbar(matplotlib.cm.ScalarMappable(norm, colours), ax=axes, pad=0.02, aspect=30)
    bar.set_label(_TIME)
    bar.minorticks_off()
    bar.outline.set_visible(False)


def _slopes(axes, arrays):
    """The largest slope of gamma_1 in three coordinates with its suprema, and the slope of the curves of panel (a)."""
    t = arrays["t"]
    for name, (label, colour) in _COORDINATES.items():
        axes.plot(t, arrays[f"slope_{name}"], color=colour, label=label)
        axes.axhline(arrays[f"slope_sup_{name}"], color=colour, linestyle=":", linewidth=0.8)
    label = r"$\langle m,a\rangle/|a|^2$ in $\langle y_t,a\rangle/(t\,|a|^2)$"
    axes.plot(t, arrays["mean_slope"], "--", color=EXACT, linewidth=1.0, label=label)
    steepest = float(arrays["steepest_t"])
    if t[0] < steepest < t[-1]:
        axes.plot(steepest, numpy.interp(steepest, t, arrays["mean_slope"]), "o", color=EXACT, markersize=3)
    _time_axis(axes, t)
    axes.set_yscale("log")
    axes.set_ylim(bottom=1e-3)
    axes.set_ylabel("largest slope")


def _sharp(axes, arrays):
    """t_sharp against the threshold; dotted lines are thresholds that no time reaches."""
    threshold, t = arrays["threshold"], arrays["t"]
    for name, (_, colour) in _COORDINATES.items():
        found, limit = arrays[f"sharp_t_{name}"], float(arrays[f"slope_sup_{name}"])
        reached = numpy.isfinite(found)
        axes.axvline(limit, color=colour, linestyle=":", linewidth=0.8)
        if (found[reached] == 0).all():
            axes.plot(threshold[reached], 0 * found[reached] + t[0], color=colour, linewidth=2.5, clip_on=False)
            axes.annotate(r"$t_\mathrm{sharp}=0$", (limit, t[0]), (-4, 4), ha="right", **_SMALL)
        else:
            axes.plot(threshold[reached], found[reached], color=colour)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(threshold[0], threshold[-1])
    axes.set_ylim(t[0], t[-1])
    marks = _marks(arrays)
    after = [time for _, time in marks[1:]] + [numpy.inf]
    before = [0.0] + [time for _, time in marks[:-1]]
    for (name, time), earlier, later in zip(marks, before, after, strict=True):
        axes.axhline(time, color=FAINT, linewidth=0.7, linestyle="--", zorder=0)
        below = later < 4 * time and earlier < time / 12
        offset, side = (-1, "top") if below else (1, "bottom")
        axes.annotate(name, (threshold[0], time), (3, offset), va=side, **_SMALL)
    axes.set_xlabel(r"threshold $\epsilon^{-1}$")
    axes.set_ylabel(r"$t_\mathrm{sharp}$, equation (17)")


def _nonlinearity(axes, arrays):
    """The share of the posterior mean that no line explains, with its limits, and how far the modes are undecided."""
    t, share = arrays["t"], arrays["nonlinearity"]
    low, before = max(share.min() / 2, _LEAST), 0.0
    for name, time in _marks(arrays):
        axes.axvline(time, color=FAINT, linewidth=0.7, linestyle="--", zorder=0)
        crowded, before = time < 4 * before, time
        at = {"ha": "left" if crowded else "right", "va": "bottom", "rotation": 90}
        axes.annotate(name, (time, low), (1 if crowded else -1, 3), **at, **_SMALL)
    for name in ("early", "late"):
        axes.plot(t, arrays[f"nonlinearity_{name}"], ":", color=EXACT, linewidth=0.9)
    axes.plot(t, share, color=EXACT, label="non-linear")
    axes.plot(t, arrays["undecided"], color="#CC79A7", label=r"undecided, E$\,\gamma_1(1-\gamma_1)$")
    _time_axis(axes, t)
    axes.set_yscale("log")
    axes.set_ylim(low, 1.5)
    axes.set_ylabel(r"share of Var$\,\langle m,a\rangle$, of $p(1-p)$")
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 0.99), borderaxespad=0, ncols=2, handlelength=1.5)


def _time_axis(axes, t):
    axes.set_xscale("log")
    axes.set_xlim(t[0], t[-1])
    axes.set_xlabel(_TIME)


def _marks(arrays):
    """Names and times that t_sharp is compared with, in the order of time."""
    marks = [(f"switch: {name}", float(t)) for name, t in zip(arrays["switch"], arrays["switch_t"], strict=True)]
    marks.append((r"$1/|a|^2$", float(arrays["speciation_t_estimate"])))
    if numpy.isfinite(arrays["speciation_t"]):
        marks.append(("speciation", float(arrays["speciation_t"])))
    low, high = arrays["t"][0], arrays["t"][-1]
    return sorted((mark for mark in marks if low < mark[1] < high), key=lambda mark: mark[1])
