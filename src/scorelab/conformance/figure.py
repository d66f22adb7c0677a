"""The figure of a report: errors on a Gaussian against the number of steps."""

import numpy
from matplotlib.figure import Figure


def figure(report) -> Figure:
    """Errors of mean and covariance on a Gaussian, exact up to rounding, beside slopes of order 1 and 2."""
    steps = numpy.array([row["steps"] for row in report.curves], float)
    drawn = Figure(figsize=(4.8, 3.4), layout="constrained")
    axes = drawn.subplots()
    for key, name, marker in (("mean_error", "mean", "o"), ("covariance_error", "covariance", "s")):
        errors = numpy.array([row[key] for row in report.curves])
        seen = errors > 1e-12
        axes.loglog(steps[seen], errors[seen], marker=marker, label=name)
    top = max(row["covariance_error"] for row in report.curves)
    for order, style in ((1, ":"), (2, "--")):
        axes.loglog(steps, top * (steps[0] / steps) ** order, style, color="0.6", label=f"order {order}")
    axes.set(xlabel="steps", ylabel="error on a Gaussian (norm)", title=report.name)
    axes.set_xticks(steps, [f"{step:g}" for step in steps])
    axes.minorticks_off()
    axes.legend()
    return drawn
