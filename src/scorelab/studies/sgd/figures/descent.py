"""Three panels, as the thesis has them: the error of several runs over time, and their first two coordinates."""

import math

import numpy

from scorelab.figures.style import EXACT, FAINT, FILL, PAGE, new_figure
from scorelab.studies.sgd.figures.looks import LOOKS

#: laws that are drawn
_LAWS = ("sgd", "modified", "ou")
#: values above are drawn on a scale that is logarithmic on both sides of zero
_WIDE = 1e3


def figure(arrays):
    """arrays: t (times,); error (runs, times), theta (runs, times, 2) of runs; error.LAW (times,), mean.LAW and
    deviation.LAW (times, 2) of each law, exactly; optimum (2,); diverged_at (runs,); protocol, gamma, sigma, law."""
    drawing = new_figure(PAGE, 2.7)
    first, *others = drawing.subplots(1, 3)
    _error(first, arrays)
    for number, axes in enumerate(others):
        _coordinate(axes, arrays, number)
    titles = ("test error", r"$\theta_1$", r"$\theta_2$")
    for axes, letter, title in zip((first, *others), "abc", titles, strict=True):
        axes.set_title(f"({letter})  {title}", loc="left", pad=4)
        axes.set_xlabel("step $t$")
    step = f"{float(arrays['gamma']):g}" + ("/t" if arrays["law"] == "decreasing" else "")
    first.set_title(rf"$\gamma={step}$, $\sigma={float(arrays['sigma']):g}$", loc="right", pad=4, fontsize=7)
    handles, labels = others[0].get_legend_handles_labels()
    drawing.legend(handles, labels, loc="outside lower center", ncol=len(handles))
    return drawing


def _error(axes, arrays):
    t = arrays["t"]
    for run in arrays["error"]:
        axes.plot(t, run, color=FAINT, linewidth=0.5)
    for law in _LAWS:
        _, colour, style = LOOKS[law]
        axes.plot(t, arrays[f"error.{law}"], style, color=colour)
    axes.set_yscale("log")
    seen = numpy.concatenate([arrays["error"].ravel(), arrays["error.sgd"]])
    seen = seen[seen > 0]  # nothing is left of a run whose numbers are lost
    if len(seen):
        axes.set_ylim(0.5 * seen.min(), 2 * seen.max())
    squared = str(arrays["protocol"]) == "text"
    axes.set_ylabel(r"$|\theta_t-\theta^*|^2$" if squared else r"$\frac{1}{2}|\theta_t-\theta^*|$")
    at = arrays["diverged_at"]
    if numpy.isfinite(at).any():
        low, high = int(at[numpy.isfinite(at)].min()), int(at[numpy.isfinite(at)].max())
        steps = f"step {low}" if low == high else f"steps {low} to {high}"
        axes.text(0.97, 0.5, f"diverged at {steps}", transform=axes.transAxes, ha="right", fontsize=7)


def _coordinate(axes, arrays, number):
    t, runs = arrays["t"], arrays["theta"][..., number]
    for place, run in enumerate(runs):
        axes.plot(t, run, color=FAINT, linewidth=0.5, label=f"{len(runs)} runs" if place == 0 else None)
    for law in _LAWS:
        name, colour, style = LOOKS[law]
        mean, deviation = arrays[f"mean.{law}"][:, number], arrays[f"deviation.{law}"][:, number]
        low, high = mean - 2 * deviation, mean + 2 * deviation
        if law == "sgd":
            axes.fill_between(t, low, high, color=FILL, alpha=0.5, linewidth=0, label=r"SGD, mean $\pm$ 2 s.d.")
            axes.plot(t, mean, style, color=colour, linewidth=0.9, label="exact mean")
        else:
            axes.plot(t, low, style, color=colour, linewidth=0.9, label=rf"{name}, $\pm$ 2 s.d.")
            axes.plot(t, high, style, color=colour, linewidth=0.9)
    axes.axhline(arrays["optimum"][number], color=EXACT, linewidth=0.5, linestyle=(0, (1, 3)))
    if numpy.nanmax(numpy.abs(runs)) > _WIDE:
        _look_wide(axes, runs, arrays)
    else:
        _look_at(axes, runs, arrays, number)


def _look_wide(axes, runs, arrays):
    """A scale that is logarithmic on both sides of zero; of runs that are lost, the steps around their divergence."""
    t, lost = arrays["t"], ~numpy.isfinite(runs).all()
    seen = t <= (3 * arrays["diverged_at"][numpy.isfinite(arrays["diverged_at"])].max() if lost else t[-1])
    power = math.ceil(math.log10(numpy.nanmax(numpy.abs(runs[:, seen]))))
    axes.set_xlim(0, t[seen][-1])
    axes.set_yscale("symlog", linthresh=1.0)
    axes.set_ylim(-(10.0**power), 10.0**power)
    ticks = [10.0**each for each in range(power, 0, -max(1, math.ceil(power / 3)))]
    axes.set_yticks([*(-numpy.array(ticks)), 0, *ticks[::-1]])
    axes.minorticks_off()


def _look_at(axes, runs, arrays, number):
    """Show the runs and the band of SGD, whatever the equations do."""
    mean, deviation = arrays["mean.sgd"][:, number], arrays["deviation.sgd"][:, number]
    values = numpy.concatenate([runs.ravel(), mean - 2 * deviation, mean + 2 * deviation])
    low, high = numpy.nanmin(values), numpy.nanmax(values)
    axes.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
