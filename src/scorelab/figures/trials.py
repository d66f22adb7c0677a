"""What the trials of a sweep that optimises found: the objective over the trials, or the Pareto front of two."""

import numpy
from matplotlib.ticker import MaxNLocator

from scorelab.figures.style import COLUMN, FAINT, LEARNED, PAGE, THIRD, new_figure, plain_ticks

#: the least ratio of the largest to the smallest value on a logarithmic axis
_LOGARITHMIC = 8
_FOUND = {"linestyle": "none", "marker": "o", "markersize": 3.2, "markeredgewidth": 0, "elinewidth": 0.7}


def figure(arrays):
    """Draw one objective over the trials with the best so far, two against each other, or a panel for each of more.

    arrays: `trial` (trials,) the numbers; `names` and `directions` (objectives,); `values` and `errors` (trials,
    objectives), nan where there is none; `best`, rows of the best trial or of the Pareto front in the order of the
    first objective.
    """
    names = [str(name) for name in arrays["names"]]
    values, errors = (numpy.atleast_2d(numpy.asarray(arrays[key], float)) for key in ("values", "errors"))
    best = numpy.asarray(arrays["best"], int)
    if len(names) == 2:
        drawing = new_figure(COLUMN, 2.9)
        _front(drawing.subplots(), arrays, names, values, errors, best)
    else:
        drawing = new_figure(COLUMN if len(names) == 1 else PAGE, 2.7)
        panels = drawing.subplots(1, len(names), squeeze=False)[0]
        for place, (axes, name) in enumerate(zip(panels, names, strict=True)):
            found, error = values[:, place], errors[:, place]
            _over_trials(axes, arrays["trial"], found, error, ~numpy.isfinite(values).all(1))
            if len(names) == 1:
                _best_so_far(axes, arrays["trial"], found, str(arrays["directions"][0]))
            else:
                axes.plot(arrays["trial"][best], found[best], "o", color=LEARNED, markersize=4, label="Pareto front")
            _scaled(axes, "y", found)
            axes.set_ylabel(name)
        drawing.supxlabel("trial", fontsize=8)
    pairs = [pair for axes in drawing.axes for pair in zip(*axes.get_legend_handles_labels(), strict=True)]
    entries = {text: handle for handle, text in pairs}
    drawing.legend(entries.values(), entries, loc="outside upper center", ncols=min(len(entries), 3))
    return drawing


def _over_trials(axes, trials, found, errors, failed):
    there = numpy.isfinite(found)
    bars = numpy.nan_to_num(errors[there])
    low = numpy.minimum(bars, 0.9 * numpy.abs(found[there])) if (found[there] > 0).all() else bars
    label = "a trial ± standard error" if (bars > 0).any() else "a trial"
    axes.errorbar(trials[there], found[there], [low, bars], color=THIRD, label=label, **_FOUND)
    if failed.any():  # at the foot of the panel, whatever its scale
        place = axes.get_xaxis_transform()
        axes.plot(
            trials[failed], 0.02 + 0 * trials[failed], "x", color=FAINT, markersize=4, transform=place, label="no value"
        )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(linewidth=0.3, color=FAINT, alpha=0.4)


def _best_so_far(axes, trials, found, direction):
    fold, worst = (numpy.fmin, numpy.inf) if direction == "minimise" else (numpy.fmax, -numpy.inf)
    best = fold.accumulate(numpy.where(numpy.isfinite(found), found, worst))
    there = numpy.isfinite(best)
    axes.step(trials[there], best[there], where="post", color=LEARNED, label="best so far")


def _front(axes, arrays, names, values, errors, best):
    there = numpy.isfinite(values).all(1)
    other = there.copy()
    other[best] = False
    bars = [numpy.nan_to_num(errors[:, place]) for place in (0, 1)]
    for rows, colour, label in ((other, THIRD, "a trial"), (best, LEARNED, "Pareto front")):
        if len(values[rows]):
            both = {"xerr": bars[0][rows], "yerr": bars[1][rows]}
            barred = " ± standard error" if max(map(numpy.max, both.values())) > 0 else ""
            axes.errorbar(*values[rows].T, **both, color=colour, label=label + barred, **_FOUND)
    for place, axis in enumerate("xy"):
        _scaled(axes, axis, values[there][:, place])
        getattr(axes, f"set_{axis}label")(f"{names[place]} ({arrays['directions'][place]}d)")
    axes.step(
        *values[best].T,
        where="post",  # what is attained: the order is that of the first objective, from its best value
        color=LEARNED,
        linewidth=0.8,
    )
    axes.grid(linewidth=0.3, color=FAINT, alpha=0.4)


def _scaled(axes, axis, values):
    """A logarithmic axis for positive values of several sizes."""
    known = values[numpy.isfinite(values)]
    if len(known) and known.min() > 0 and known.max() > _LOGARITHMIC * known.min():
        getattr(axes, f"set_{axis}scale")("log")
        plain_ticks(getattr(axes, f"{axis}axis"))
