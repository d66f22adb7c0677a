"""The figures of reports: a sampler's errors by the number of steps, a denoiser's by the noise level."""

import numpy

from scorelab.figures.style import EXACT, FAINT, LEARNED, PAGE, THIRD, new_figure, time_axis

#: below it an error is rounding, and is not drawn
_ROUNDING = 1e-12


def figure(report):
    """The figure of a report that has curves: by steps for a sampler, by angle for a denoiser."""
    return _by_steps(report) if "steps" in report.curves[0] else _by_angle(report)


def _column(report, name):
    return numpy.array([row.get(name, numpy.nan) for row in report.curves], float)


def _by_steps(report):
    """Left the errors of the moments on a Gaussian, exact up to rounding; right what changes on a mixture from half as
    many steps, with four standard errors where it is a mean."""
    steps = _column(report, "steps")
    drawing = new_figure(PAGE, 2.6)
    left, right = drawing.subplots(1, 2)
    lines = [
        (left, "mean_error", "mean", "o", THIRD),
        (left, "variance_error", "variances", "s", LEARNED),
        (left, "correlation_error", "correlations", "^", EXACT),
        (right, "path_change", "paths, root mean square", "o", THIRD),
        (right, "weak_change", "means of smooth functions", "s", LEARNED),
    ]
    for axes, key, name, marker, colour in lines:
        errors = numpy.abs(_column(report, key))
        seen = numpy.isfinite(errors) & (errors > _ROUNDING)
        spread = 4 * _column(report, f"{key}_standard_error") if key == "weak_change" else numpy.full(len(steps), 0.0)
        if seen.any():
            style = {"marker": marker, "markersize": 4, "color": colour, "label": name}
            axes.errorbar(steps[seen], errors[seen], yerr=spread[seen] if spread.any() else None, capsize=2, **style)
    for axes, label, title in (
        (left, "error", "moments on a Gaussian"),
        (right, "change from half the steps", "samples of a mixture"),
    ):
        if axes.get_legend_handles_labels()[0]:
            _slopes(axes, steps)
            axes.set(xscale="log", yscale="log")
            axes.legend()
        axes.set(xlabel="steps", ylabel=label, title=title)
        axes.set_xticks(steps, [f"{step:g}" for step in steps])
        axes.set_xlim(steps[0] / 1.2, 1.2 * steps[-1])
        axes.minorticks_off()
    drawing.suptitle(report.name, fontsize=9)
    return drawing


def _slopes(axes, steps):
    """Lines of order 1 and 2 from the largest number that is drawn."""
    drawn = [line for line in axes.get_lines() if len(line.get_xdata()) > 1]
    top, first = max(((max(line.get_ydata()), line.get_xdata()[0]) for line in drawn), default=(1.0, steps[0]))
    there = steps[steps >= first]
    for order, style in ((1, ":"), (2, "--")):
        axes.plot(there, 1.5 * top * (first / there) ** order, style, color=FAINT, lw=0.9, label=f"order {order}")


def _by_angle(report):
    """Left the relative error by the noise level; right the largest slopes of the denoiser and of the exact mean."""
    angles = _column(report, "angle")
    drawing = new_figure(PAGE, 2.7)
    left, right = drawing.subplots(1, 2)
    errors, spread = _column(report, "relative_error"), _column(report, "relative_error_standard_error")
    if numpy.isfinite(errors).any():
        left.errorbar(angles, errors, yerr=spread, marker="o", markersize=4, color=LEARNED, capsize=2)
        if (errors > 0).all():
            left.set_yscale("log")
    left.set(ylabel=r"$E|\hat m-m|^2\,/\,E|m|^2$")
    if numpy.isfinite(_column(report, "slope")).any():
        right.plot(angles, _column(report, "exact_slope"), "o-", color=EXACT, markersize=5, label="exact")
        right.plot(angles, _column(report, "slope"), "s--", color=LEARNED, markersize=3, label="denoiser")
        right.set_ylim(bottom=0)
        right.legend()
    right.set(ylabel="largest slope")
    for axes in (left, right):
        axes.set(xlabel="angle (rad)", xlim=(0, numpy.pi / 2))
        time_axis(axes)
    drawing.suptitle(report.name, fontsize=9)
    return drawing
