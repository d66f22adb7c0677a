"""The exact and the learned posterior mean, one panel for each angle: figures 3, 5 and 8 of the semester paper."""

import numpy

from scorelab.figures.style import EXACT, LEARNED, PAGE, new_figure


def figure(arrays):
    """arrays: signal, exact, learned (angles, count); angle, t, relative_error (angles,)."""
    count = len(arrays["t"])
    columns = 4
    rows = -(-count // columns)
    drawing = new_figure(PAGE, 0.5 + 1.5 * rows)
    grid = drawing.subplots(rows, columns, squeeze=False)
    for k, axes in enumerate(grid.flat):
        if k >= count:
            axes.remove()
            continue
        signal, exact, learned = (arrays[name][k] for name in ("signal", "exact", "learned"))
        order = numpy.argsort(signal)
        marks = {"linestyle": "none", "markeredgewidth": 0, "rasterized": True}
        axes.plot(signal, learned, ".", color=LEARNED, markersize=2.5, alpha=0.35, label="learned", **marks)
        axes.plot(signal[order], exact[order], ".", color=EXACT, markersize=1.6, label="exact", **marks)
        axes.set_title(rf"$t={_short(arrays['t'][k])}$", pad=3)
        axes.text(
            0.96,
            0.05,
            f"error {100 * arrays['relative_error'][k]:.2g}%",
            transform=axes.transAxes,
            ha="right",
            va="bottom",
            fontsize=7,
        )
    handles, labels = grid[0, 0].get_legend_handles_labels()
    legend = drawing.legend(handles[::-1], labels[::-1], loc="outside upper right", ncols=2, markerscale=4)
    for handle in legend.legend_handles:
        handle.set_alpha(1.0)
    drawing.supxlabel(r"projection of the state, $\langle y_t,a\rangle/(t\,|a|^2)$", fontsize=8)
    drawing.supylabel(r"projection of the posterior mean, $\langle m,a\rangle/|a|^2$", fontsize=8)
    return drawing


def _short(t):
    return f"{t:.2f}" if t < 10 else f"{t:.1f}"
