"""Where along the angle a denoiser errs: relative error, excess beside Bayes risk, and the density of the path KL."""

import numpy

from scorelab.figures.outside import mark_outside
from scorelab.figures.style import COLUMN, EXACT, FAINT, LEARNED, THIRD, new_figure, time_axis

#: what is below this is a zero with rounding
_ZERO = 1e-12


def figure(arrays):
    """arrays: posterior_mean_{angle, relative_error, relative_error_standard_error, relative_error_floor,
    squared_error, squared_error_standard_error, bayes_risk} (angles,) and path_kl_{angle, density,
    density_standard_error} (points,); the floor may be absent. The middle panel shows the two parts of
    E|X - m_hat|^2 = E|X - m|^2 + E|m_hat - m|^2."""
    drawing = new_figure(COLUMN, 5.2)
    top, middle, bottom = drawing.subplots(3, 1, sharex=True)
    angle, error = arrays["posterior_mean_angle"], 100 * arrays["posterior_mean_relative_error"]
    spread = 100 * arrays["posterior_mean_relative_error_standard_error"]
    top.errorbar(angle, error, yerr=2 * spread, fmt="o-", color=LEARNED, markersize=3, label="learned")
    if "posterior_mean_relative_error_floor" in arrays:
        floor = 100 * arrays["posterior_mean_relative_error_floor"]
        top.plot(angle, floor, "--", color=FAINT, label="parametric floor")
        top.legend()
    _log_or_zero(top, error)
    top.set_ylabel("relative error (%)")

    excess, spread = arrays["posterior_mean_squared_error"], arrays["posterior_mean_squared_error_standard_error"]
    middle.plot(angle, arrays["posterior_mean_bayes_risk"], "s--", color=EXACT, markersize=2.5, label="Bayes risk")
    middle.errorbar(angle, excess, yerr=2 * spread, fmt="o-", color=LEARNED, markersize=3, label="excess risk")
    if (excess > _ZERO).all():
        middle.set_yscale("log")
        # the Bayes risk of spins falls below every excess risk
        middle.set_ylim(bottom=max(middle.get_ylim()[0], 1e-3 * excess.min()))
        mark_outside(
            middle, arrays["posterior_mean_angle"], arrays["posterior_mean_bayes_risk"], colour=EXACT, write=False
        )
    middle.set_ylabel("risk (squared norm)")
    middle.legend()

    angle, density, spread = (arrays[f"path_kl_{name}"] for name in ("angle", "density", "density_standard_error"))
    bottom.plot(angle, density, color=THIRD)
    low = numpy.maximum(density - 2 * spread, density / 3)
    bottom.fill_between(angle, low, density + 2 * spread, color=THIRD, alpha=0.25, linewidth=0)
    _log_or_zero(bottom, density)
    bottom.set_ylabel("path-KL density (nats/rad)")
    bottom.set_xlabel(r"angle $\alpha$ (rad)")
    bottom.set_xlim(0, numpy.pi / 2)
    time_axis(top)
    drawing.align_ylabels()
    return drawing


def _log_or_zero(axes, values):
    """Make the axis logarithmic, unless there are zeros; where all are, as of an exact denoiser, say so."""
    if (values > _ZERO).all():
        axes.set_yscale("log")
    elif not (values > _ZERO).any():
        axes.set_ylim(-0.05, 1.0)
        axes.set_yticks([0])
        axes.text(0.5, 0.5, "none: the denoiser is exact", transform=axes.transAxes, ha="center", color=FAINT)
