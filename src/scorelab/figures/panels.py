"""Panels of curves: what a claim measured, and what the measurement is compared with."""

from scorelab.figures.style import COLUMN, EXACT, FAINT, FILL, LEARNED, PAGE, THIRD, new_figure

_MEASURED = (LEARNED, THIRD, "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_AGAINST = (EXACT, FAINT, THIRD, FILL)


def figure(arrays):
    """Draw the panels; `scorelab.claims.panels.panels` makes the arrays."""
    count = 1 + max(int(key.partition(".")[0]) for key in arrays)
    drawing = new_figure(PAGE if count > 1 else COLUMN, 2.6)
    for number, axes in enumerate(drawing.subplots(1, count, squeeze=False)[0]):
        prefix = f"{number}."
        one = {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}
        _panel(axes, one)
        axes.set_title((f"({'abcdef'[number]})  " if count > 1 else "") + str(one["title"]), loc="left", pad=4)
    return drawing


def _panel(axes, one):
    x = one["x"]
    for colour, label in zip(_AGAINST, _labels(one, "dashed."), strict=False):
        axes.plot(x, one[f"dashed.{label}"], "--", color=colour, linewidth=1.0, label=label, zorder=3)
    for colour, label in zip(_MEASURED, _labels(one, "line."), strict=False):
        values, error = one[f"line.{label}"], one.get(f"error.{label}")
        if error is None:
            axes.plot(x, values, color=colour, label=label)
        else:
            axes.errorbar(x, values, yerr=2 * error, fmt="o", color=colour, markersize=3, linewidth=0.8, label=label)
    axes.set_xscale(str(one["xscale"]))
    axes.set_yscale(str(one["yscale"]))
    axes.set_xlabel(str(one["xlabel"]))
    axes.set_ylabel(str(one["ylabel"]))
    if len(_labels(one, "line.")) + len(_labels(one, "dashed.")) > 1:
        axes.legend()


def _labels(one, prefix):
    return [key.removeprefix(prefix) for key in one if key.startswith(prefix)]
