"""The figure of a report: errors on a Gaussian against the number of steps."""

import numpy

from scorelab.figures.style import COLUMN, FAINT, LEARNED, THIRD, new_figure


def figure(report):
    """Errors of mean and covariance on a Gaussian, exact up to rounding, beside slopes of order 1 and 2."""
    steps = numpy.array([row["steps"] for row in report.curves], float)
    drawing = new_figure(COLUMN, 2.6)
    axes = drawing.subplots()
    for key, name, marker, colour in (
        ("mean_error", "mean", "o", THIRD),
        ("covariance_error", "covariance", "s", LEARNED),
    ):
        errors = numpy.array([row[key] for row in report.curves])
        seen = errors > 1e-12
        axes.loglog(steps[seen], errors[seen], marker=marker, color=colour, label=name)
    top = max(row["covariance_error"] for row in report.curves)
    for order, style in ((1, ":"), (2, "--")):
        axes.loglog(steps, top * (steps[0] / steps) ** order, style, color=FAINT, label=f"order {order}")
    axes.set(xlabel="steps", ylabel="error on a Gaussian (norm)", title=report.name)
    axes.set_xticks(steps, [f"{step:g}" for step in steps])
    axes.minorticks_off()
    axes.legend()
    return drawing
