"""Three panels: the limit against the step, the average of Polyak and Ruppert, and the distance of the equations."""

import numpy

from scorelab.figures.style import EXACT, PAGE, THIRD, new_figure
from scorelab.studies.sgd.figures.looks import LOOKS


def figure(arrays):
    """arrays: limit.gamma (steps,), limit.LAW (steps,) and limit.measured.gamma, limit.measured, its standard error;
    threshold, threshold_modified, two_over_d_plus_two; time.t, time.sgd, time.average (times,), time.looked,
    time.measured.sgd, time.measured.average with their errors; distance.g (steps,), distance.LAW.gelbrich
    (steps,), and its order."""
    drawing = new_figure(PAGE, 2.8)
    first, second, third = drawing.subplots(1, 3)
    _limits(first, arrays)
    _average(second, arrays)
    _distances(third, arrays)
    titles = ("limit", "average", "distance at one time")
    for axes, letter, title in zip((first, second, third), "abc", titles, strict=True):
        axes.set_title(f"({letter})  {title}", loc="left", pad=4)
    return drawing


def _limits(axes, arrays):
    gamma = arrays["limit.gamma"]
    for law in ("sgd", "modified", "ou"):
        name, colour, style = LOOKS[law]
        axes.plot(gamma, arrays[f"limit.{law}"], style, color=colour, label=name)
    error = 2 * arrays["limit.measured_standard_error"]
    style = {"fmt": "o", "color": EXACT, "markersize": 3, "label": "measured"}
    axes.errorbar(arrays["limit.measured.gamma"], arrays["limit.measured"], error, **style)
    for key, colour in (("threshold", EXACT), ("threshold_modified", THIRD)):
        axes.axvline(float(arrays[key]), color=colour, linewidth=0.6, linestyle=(0, (1, 2)))
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.text(float(arrays["threshold"]) * 0.9, 0.03, f"{float(arrays['threshold']):.3g}", ha="right", fontsize=6.5)
    axes.texts[-1].set_transform(axes.get_xaxis_transform())
    axes.set_xlabel(r"step $\gamma$")
    axes.set_ylabel(r"limit of $E|\theta_t-\theta^*|^2$")
    axes.legend(fontsize=6, loc="upper left")


def _average(axes, arrays):
    colours = {"sgd": (EXACT, "SGD"), "average": (THIRD, "its average")}
    for key, (colour, label) in colours.items():
        axes.plot(arrays["time.t"], arrays[f"time.{key}"], color=colour, label=f"{label}, exact", linewidth=0.9)
        values, error = (arrays[f"time.measured.{key}{end}"] for end in ("", "_standard_error"))
        axes.errorbar(arrays["time.looked"], values, 2 * error, fmt="o", color=colour, markersize=2.5)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("step $t$")
    axes.set_ylabel(r"$E|\theta_t-\theta^*|^2$")
    axes.legend(fontsize=6)


def _distances(axes, arrays):
    g = arrays["distance.g"]
    for law in ("modified", "second_order", "ou"):
        name, colour, style = LOOKS[law]
        values, order = arrays[f"distance.{law}.gelbrich"], float(arrays[f"distance.{law}.gelbrich_order"])
        label = name if numpy.isnan(order) else f"{name}: order {order:.2f}"
        axes.plot(g, values, style, color=colour, marker="o", markersize=2.5, label=label)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(bottom=axes.get_ylim()[0] / 30)
    axes.set_xlabel("time of a step, $g$")
    axes.set_ylabel("Wasserstein-2 distance to SGD")
    axes.legend(fontsize=6, loc="lower right")
