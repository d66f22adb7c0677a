"""The exact and the learned posterior mean, one panel for each angle, with their difference below: figures 3, 5 and 8
of the semester paper."""

import numpy

from scorelab.figures.style import EXACT, LEARNED, PAGE, new_figure, short

_COLUMNS = 4
#: the learned mean is the exact one where they differ by this share of its size at most
_ROUNDING = 1e-6
_ERROR = r"error: mean of $|\hat m-m|/\max(|m|,\sqrt{0.1})$ over the states, in all directions; "


def figure(arrays):
    """arrays: signal, exact, learned (angles, count); angle, t, relative_error (angles,); line_signal, line_exact
    (angles, points), the exact posterior mean where it is a function of the projection."""
    count = len(arrays["t"])
    rows = -(-count // _COLUMNS)
    learned, exact = arrays["learned"], arrays["exact"]
    differ = bool(numpy.abs(learned - exact).max() > _ROUNDING * numpy.abs(exact).max())
    drawing = new_figure(PAGE, 0.65 + (1.95 if differ else 1.5) * rows)
    panels = 2 if differ else 1
    places = drawing.add_gridspec(panels * rows, _COLUMNS, height_ratios=(2.2, 1)[:panels] * rows)
    drawing.get_layout_engine().set(h_pad=0.02, hspace=0.0)
    for k in range(count):
        row, column = divmod(k, _COLUMNS)
        axes = drawing.add_subplot(places[panels * row, column])
        _panel(axes, arrays, k)
        if differ:
            _difference(drawing.add_subplot(places[2 * row + 1, column], sharex=axes), arrays, k)
            axes.tick_params(labelbottom=False)
    first = drawing.axes[0]
    handles, labels = first.get_legend_handles_labels()
    legend = drawing.legend(
        handles[::-1],
        labels[::-1],
        loc="outside upper center",
        ncols=2,
        markerscale=4,
        title=_ERROR + ("lower panels: learned − exact" if differ else "the denoiser is the exact posterior mean"),
        title_fontsize=7,
    )
    for handle in legend.legend_handles:
        handle.set_alpha(1.0)
    drawing.supxlabel(r"projection of the state, $\langle y_t,a\rangle/(t\,|a|^2)$", fontsize=8)
    drawing.supylabel(r"projection of the posterior mean, $\langle m,a\rangle/|a|^2$", fontsize=8)
    return drawing


def _panel(axes, arrays, k):
    """The means at one angle."""
    signal, exact, learned = (arrays[name][k] for name in ("signal", "exact", "learned"))
    marks = {"linestyle": "none", "markeredgewidth": 0, "rasterized": True}
    axes.plot(signal, learned, ".", color=LEARNED, markersize=2.5, alpha=0.35, label="learned", **marks)
    if "line_exact" in arrays:
        axes.plot(arrays["line_signal"][k], arrays["line_exact"][k], color=EXACT, linewidth=0.9, label="exact")
    else:
        axes.plot(signal, exact, ".", color=EXACT, markersize=1.6, label="exact", **marks)
    axes.tick_params(labelsize=6)
    axes.set_title(rf"$t={short(float(arrays['t'][k]), 2 if arrays['t'][k] < 10 else 3)}$", pad=3)
    error = f"error {100 * arrays['relative_error'][k]:.2g}%"
    axes.text(0.97, 0.05, error, transform=axes.transAxes, ha="right", va="bottom", fontsize=6.5)


def _difference(axes, arrays, k):
    """What the learned mean adds to the exact one."""
    signal, added = arrays["signal"][k], arrays["learned"][k] - arrays["exact"][k]
    axes.axhline(0, color=EXACT, linewidth=0.6)
    marks = {"linestyle": "none", "markersize": 2, "markeredgewidth": 0, "alpha": 0.35, "rasterized": True}
    axes.plot(signal, added, ".", color=LEARNED, **marks)
    reach = 1.1 * float(numpy.abs(added).max()) or 1.0
    axes.set_ylim(-reach, reach)
    axes.locator_params(axis="y", nbins=3)
    axes.tick_params(labelsize=6)
