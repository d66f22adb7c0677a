"""The figure that compares configurations: every seed, and the mean with its standard error."""

import textwrap

import numpy

from scorelab.figures.style import EXACT, FAINT, LEARNED, PAGE, new_figure, plain_ticks
from scorelab.laws.estimate import mean_and_error


def figure(arrays):
    """Draw one panel for each metric.

    arrays: `labels` (groups,); `names`, `titles` and `scales` (panels,), a metric, its title and the scale of its axis;
    for each metric NAME the values (groups, seeds), nan where a group has fewer seeds; `error.NAME` (groups,), the
    standard error of their mean, nan where it is not known, by default that of independent values; `exact.NAME`
    (groups,), the exact value or the floor of the metric, nan where a group has none, or one number for all groups.
    """
    shown = [
        tuple(map(str, panel)) for panel in zip(*(arrays[key] for key in ("names", "titles", "scales")), strict=True)
    ]
    labels = ["\n".join(textwrap.wrap(str(label), 52)) for label in arrays["labels"]]
    heights = numpy.array([0.08 + 0.1 * (label.count("\n") + 1) for label in labels])  # inches
    drawing = new_figure(PAGE, 0.9 + heights.sum())
    places = 0.5 * heights - heights.cumsum()
    every = drawing.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    for axes, (name, title, scale) in zip(every, shown, strict=True):
        values = numpy.asarray(arrays[name], float)
        _dots(axes, places, values, arrays.get(f"error.{name}", [_error(row) for row in values]), scale)
        if f"exact.{name}" in arrays:
            _held(axes, places, arrays[f"exact.{name}"])
        axes.set_xscale(scale)
        if scale == "log":
            plain_ticks(axes.xaxis)
        axes.set_xlabel(title)
        axes.grid(axis="y", linewidth=0.3, color=FAINT, alpha=0.5)
        axes.tick_params(axis="y", length=0)
    every[0].set_yticks(places, labels, fontsize=6)
    every[0].set_ylim(-heights.sum(), 0)
    pairs = [pair for axes in every for pair in zip(*axes.get_legend_handles_labels(), strict=True)]
    pairs.sort(key=lambda pair: pair[1].startswith("floor"))  # what was measured first
    entries = {text: handle for handle, text in pairs}
    drawing.legend(entries.values(), entries, loc="outside upper center", ncols=len(entries))
    return drawing


def _held(axes, places, exact):
    """Draw the exact values or floors of the rows: one line where they are equal to rounding, else a tick each."""
    exact = numpy.broadcast_to(numpy.asarray(exact, float), len(places))
    if not numpy.isfinite(exact).any():
        return
    if numpy.allclose(exact, exact[0], rtol=1e-6, atol=0):
        axes.axvline(exact[0], color=EXACT, linewidth=0.8, linestyle="--", label="floor or exact value")
        return
    style = {"color": EXACT, "markersize": 10, "markeredgewidth": 1.2, "zorder": 1.5}
    axes.plot(exact, places, "|", label="floor or exact value of the row", **style)


def _error(row) -> float:
    row = row[numpy.isfinite(row)]
    return mean_and_error(row)[1] if len(row) > 1 else numpy.nan


def _dots(axes, places, values, errors, scale):
    """Draw a small dot for each seed, and a large dot with its standard error for the mean."""
    for place, row, error in zip(places, values, numpy.nan_to_num(numpy.asarray(errors, float)), strict=True):
        row = row[numpy.isfinite(row)]
        if not len(row):
            continue
        first = bool(place == places[0])
        axes.plot(row, [place] * len(row), ".", color=FAINT, markersize=4, markeredgewidth=0, label="a seed" * first)
        mean = row.mean()
        low = min(error, 0.9 * mean) if scale == "log" else error
        bar = {"xerr": [[low], [error]], "fmt": "o", "markersize": 3, "linewidth": 1.0}
        axes.errorbar([mean], [place], color=LEARNED, label="mean ± standard error" * first, **bar)
