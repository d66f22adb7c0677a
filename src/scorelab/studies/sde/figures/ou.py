"""Figure 16: a path of the OU process for each coordinate, with its exact law; one of them closer; the variance."""

import numpy

from scorelab.figures.style import EXACT, FAINT, FILL, LEARNED, PAGE, THIRD, new_figure

_COLOURS = (LEARNED, THIRD, "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


def figure(arrays):
    """arrays: t (times,); paths and mean (times, d); deviation (times,); optimum (d,); looked, variance with its error
    and exact value (looks,); stationary_variance, kappa."""
    drawing = new_figure(PAGE, 2.7)
    first, second, third = drawing.subplots(1, 3)
    _paths(first, arrays)
    _closer(second, arrays)
    _variance(third, arrays)
    for axes, letter, title in zip(
        (first, second, third), "abc", ("paths", "paths less their mean", "variance"), strict=True
    ):
        axes.set_title(f"({letter})  {title}", loc="left", pad=4)
        axes.set_xlabel("time $t$")
    return drawing


def _paths(axes, arrays):
    t, deviation = arrays["t"], arrays["deviation"]
    for number, (path, mean) in enumerate(zip(arrays["paths"].T, arrays["mean"].T, strict=True)):
        axes.fill_between(t, mean - 2 * deviation, mean + 2 * deviation, color=FILL, alpha=0.6, linewidth=0)
        axes.plot(t, path, color=_COLOURS[number % len(_COLOURS)], linewidth=0.7)
        axes.plot(t, mean, "--", color=EXACT, linewidth=0.7)
        axes.annotate(rf"$\theta_{{{number + 1}}}$", (t[-1], mean[-1]), (2, 0), textcoords="offset points", va="center")
    axes.set_ylabel(r"$\theta(t)$")


def _closer(axes, arrays):
    t, deviation = arrays["t"], arrays["deviation"]
    axes.fill_between(
        t, -2 * deviation, 2 * deviation, color=FILL, alpha=0.6, linewidth=0, label=r"exact, $\pm$ 2 s.d."
    )
    for number, path in enumerate((arrays["paths"] - arrays["mean"]).T):
        axes.plot(t, path, color=_COLOURS[number % len(_COLOURS)], linewidth=0.5)
    axes.axhline(0, color=EXACT, linewidth=0.7, linestyle="--")
    largest = 1.35 * max(numpy.abs(arrays["paths"] - arrays["mean"]).max(), 2 * deviation.max())
    axes.set_ylim(-largest, largest)
    axes.set_ylabel(r"$\theta(t)-E\,\theta(t)$")
    axes.legend(fontsize=6, loc="upper right")


def _variance(axes, arrays):
    axes.plot(arrays["t"], arrays["deviation"] ** 2, "--", color=EXACT, label="exact")
    error = 2 * arrays["variance_standard_error"]
    axes.errorbar(arrays["looked"], arrays["variance"], error, fmt="o", color=LEARNED, markersize=3, label="measured")
    axes.axhline(float(arrays["stationary_variance"]), color=FAINT, linewidth=0.6, linestyle=":")
    axes.set_ylim(bottom=0)
    axes.set_ylabel(r"Var $\theta(t)$")
    axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
    axes.legend(fontsize=6, loc="lower right")
