"""The figure of a training: the loss with its least value, and the excess risk."""

import numpy

from scorelab.figures.style import COLUMN, EXACT, FAINT, LEARNED, THIRD, new_figure, plain_ticks

#: the colours of the parts of a denoiser
_COLOURS = (LEARNED, THIRD, "#009E73", "#CC79A7", FAINT)


def figure(arrays):
    """Draw the loss with its least value, and the excess risk below.

    arrays: the columns of training.csv, (records,) each, with a column `part` if a denoiser is trained in several
    parts. The excess risk is drawn if there is a column excess_risk, and the least value if there is bayes_risk.
    """
    excess = "excess_risk" in arrays
    drawing = new_figure(COLUMN, 3.6 if excess else 2.2)
    top, *below = drawing.subplots(2 if excess else 1, 1, sharex=True, squeeze=False)[:, 0]
    parts = arrays.get("part", numpy.full(len(arrays["step"]), ""))
    for number, name in enumerate(dict.fromkeys(parts.tolist())):
        rows = parts == name
        columns = {key: values[rows] for key, values in arrays.items()}
        colour = _COLOURS[number % len(_COLOURS)]
        _loss(top, columns, colour, name.replace("_", " "), several="part" in arrays)
        for axes in below:
            _excess(axes, columns, colour)
    settled = numpy.sort(arrays["loss"])[: max(3 * len(parts) // 4, 1)]
    least = arrays["bayes_risk"].min() if "bayes_risk" in arrays else 0.0
    if arrays["loss"].max() > least + 20 * (settled.max() - least) and least > 0:
        top.set_yscale("log")
        plain_ticks(top.yaxis)
    top.set_ylabel("loss per coordinate")
    top.legend()
    for axes in below:
        if (arrays["excess_risk"] > 0).all():
            axes.set_yscale("log")
            plain_ticks(axes.yaxis)
        axes.set_ylabel("excess risk per coordinate")
    last = below[0] if below else top
    last.set_xlabel("optimiser steps")
    last.set_xlim(0, None)
    last.locator_params(axis="x", integer=True)
    drawing.align_ylabels()
    return drawing


def _style(columns):
    return {"marker": "o", "markersize": 2.5} if len(columns["step"]) < 25 else {}


def _loss(axes, columns, colour, name, several):
    axes.plot(columns["step"], columns["loss"], color=colour, label=name or "training loss", **_style(columns))
    if "validation_loss" in columns:
        style = {"color": colour, "linestyle": ":"} if several else {"color": THIRD}
        label = None if several else "validation loss"
        axes.plot(columns["step"], columns["validation_loss"], linewidth=0.9, label=label, **style, **_style(columns))
    if "bayes_risk" in columns:
        style = {"color": colour} if several else {"color": EXACT, "label": "least value"}
        axes.axhline(columns["bayes_risk"][0], linestyle="--", linewidth=1.0, **style)


def _excess(axes, columns, colour):
    step, excess, error = (columns[name] for name in ("step", "excess_risk", "excess_risk_standard_error"))
    axes.plot(step, excess, color=colour, **_style(columns))
    low = numpy.maximum(excess - 2 * error, excess / 3)
    axes.fill_between(step, low, excess + 2 * error, color=colour, alpha=0.25, linewidth=0)
