"""Strong and weak errors against the step: measured on common paths, and exact."""

import numpy

from scorelab.figures.style import FAINT, LEARNED, PAGE, THIRD, new_figure

_STYLES = {
    "black_scholes_euler_maruyama": ("geometric Brownian motion, Euler-Maruyama", LEARNED, "o", 3),
    "black_scholes_milstein": ("geometric Brownian motion, Milstein", THIRD, "s", -7),
    "langevin_euler_maruyama": ("OU, Euler-Maruyama", "#009E73", "D", -2),
}
_LABELS = {
    "strong": r"$(E|w-X|^2)^{1/2}$",
    "weak": r"$|E\,w-E\,X|$",
    "weak_second": r"$|E\,w^2-E\,X^2|$",
}


def figure(arrays):
    """arrays: h (counts,); names; NAME.KIND, its standard error and exact value (counts,), and NAME.KIND_order, for the
    kinds strong, weak and weak_second."""
    drawing = new_figure(PAGE, 2.8)
    panels = drawing.subplots(1, 3)
    titles = ("strong error", "weak error, mean", "weak error, second moment")
    for axes, letter, title, kind in zip(panels, "abc", titles, _LABELS, strict=True):
        for name in map(str, arrays["names"]):
            label, colour, mark, lift = _STYLES[name]
            values, error, exact = (arrays[f"{name}.{kind}{end}"] for end in ("", "_standard_error", "_exact"))
            axes.plot(arrays["h"], exact, "-", color=colour, linewidth=0.9)
            style = {"fmt": mark, "color": colour, "markersize": 3.5, "linewidth": 0.8}
            axes.errorbar(arrays["h"], values, 2 * error, label=label, **style)
            place = (arrays["h"][0], exact[0]), (4, lift)
            axes.annotate(_order(arrays[f"{name}.{kind}_order"]), *place, color=colour, **_SMALL)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xlabel("step $h$")
        axes.set_ylabel(_LABELS[kind])
        axes.set_title(f"({letter})  {title}", loc="left", pad=4)
        axes.grid(visible=True, color=FAINT, linewidth=0.2)
    handles, labels = panels[0].get_legend_handles_labels()
    drawing.legend(handles, labels, loc="outside lower center", ncol=3)
    return drawing


_SMALL = {"fontsize": 6.5, "textcoords": "offset points", "annotation_clip": False}


def _order(value):
    """A fitted order as text; nothing where none was fitted."""
    return "" if numpy.isnan(value) else f"{float(value):.2f}"
