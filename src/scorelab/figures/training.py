"""Training: the loss beside the Bayes risk, and the excess of one over the other."""

import numpy

from scorelab.figures.style import COLUMN, EXACT, LEARNED, THIRD, new_figure


def figure(arrays):
    """arrays: the columns of training.csv, (records,) each."""
    drawing = new_figure(COLUMN, 3.6)
    top, bottom = drawing.subplots(2, 1, sharex=True)
    step, loss, bayes = arrays["step"], arrays["loss"], arrays["bayes_risk"]
    style = {"marker": "o", "markersize": 2.5} if len(step) < 25 else {}
    top.plot(step, loss, color=LEARNED, label="training loss", **style)
    if "validation_loss" in arrays:
        top.plot(step, arrays["validation_loss"], color=THIRD, linewidth=0.9, label="validation loss", **style)
    top.axhline(bayes[0], color=EXACT, linestyle="--", linewidth=1.0, label="Bayes risk")
    settled = numpy.sort(loss)[: max(3 * len(loss) // 4, 1)]
    if loss.max() > bayes[0] + 20 * (settled.max() - bayes[0]):
        top.set_yscale("log")
    top.set_ylabel("loss per coordinate")
    top.legend()
    excess, error = arrays["excess_risk"], arrays["excess_risk_se"]
    bottom.plot(step, excess, color=LEARNED, **style)
    low = numpy.maximum(excess - 2 * error, excess / 3)
    bottom.fill_between(step, low, excess + 2 * error, color=LEARNED, alpha=0.25, linewidth=0)
    if (excess > 0).all():
        bottom.set_yscale("log")
    bottom.set_ylabel("excess risk per coordinate")
    bottom.set_xlabel("optimiser step")
    bottom.set_xlim(0, None)
    drawing.align_ylabels()
    return drawing
