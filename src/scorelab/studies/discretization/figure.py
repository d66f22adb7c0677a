"""The three terms of the discretization theorem: each is measured by itself and drawn with its bound."""

import numpy
from matplotlib.lines import Line2D

from scorelab.figures.style import EXACT, FAINT, LEARNED, PAGE, THIRD, new_figure

_COLOURS = (LEARNED, "#009E73", THIRD, "#CC79A7", "#E69F00", "#56B4E9")
#: markers and their sizes; the first is drawn hollow, as another line may cover it
_MARKS = (("o", 6.0), ("s", 3.0), ("D", 3.0), ("^", 3.5), ("v", 3.5), ("P", 3.5))
_SMALL = {"fontsize": 6.5, "textcoords": "offset points", "annotation_clip": False}
#: shape of an error of the score -> its name, colour and marker
_SHAPES = {
    "weight": (r"along $\nabla\gamma_1$", "#CC79A7", "s"),
    "along": (r"constant, along $a$", "#E69F00", "o"),
    "orthogonal": (r"constant, across $a$", "#56B4E9", "D"),
    "radial": (r"radial, across $a$", FAINT, "^"),
}


def figure(arrays):
    """arrays: targets, labels (targets,); initialisation.TARGET.{T, variation, variation_at_the_end, bound},
    discretization.TARGET.{h, variation, path_kl, bound}, score.SHAPE.{eps, variation, pinsker, bound}, with shapes
    (shapes,) of the last target; with each of them the fitted rate, rate_at_the_end, path_rate."""
    drawing = new_figure(PAGE, 3.55)
    first, second, third = drawing.subplots(1, 3)
    names = [str(name) for name in arrays["targets"]]
    labels = dict(zip(names, map(str, arrays["labels"]), strict=True))
    handles = []
    taken = []
    for number, name in enumerate(names):
        colour, mark = _COLOURS[number % len(_COLOURS)], _MARKS[number % len(_MARKS)]
        style = {"color": colour, "marker": mark[0], "markersize": mark[1], "markeredgewidth": 0.8}
        style |= {"markerfacecolor": "none"} if number == 0 else {}
        handles.append(_initialisation(first, arrays, name, style, taken))
        _discretization(second, arrays, name, style, taken)
    _score(third, arrays)
    titles = ("start", "steps", f"score, {labels[names[-1]]}")
    for axes, letter, title in zip((first, second, third), "abc", titles, strict=True):
        axes.set_title(f"({letter})  {title}", loc="left", pad=4)
    first.set_xlabel("$T$")
    second.set_xlabel("step $h$")
    third.set_xlabel(r"$L_2$ error $\epsilon$ of the score")
    first.set_ylabel("total variation")
    _legend(drawing, handles, [labels[name] for name in names])
    return drawing


def _initialisation(axes, arrays, name, style, taken):
    """TV(q_T, N(0, I)), what the reversed process leaves of this distance at its end, and the bound."""
    T, values, end, bound, slope, end_slope = (
        arrays[f"initialisation.{name}.{key}"]
        for key in ("T", "variation", "variation_at_the_end", "bound", "rate", "rate_at_the_end")
    )
    if (values > 0).any():
        axes.set_yscale("log")
    axes.plot(T, bound, "--", color=style["color"], linewidth=0.9)
    axes.plot(T, end, ":", color=style["color"], linewidth=1.4)
    (line,) = axes.plot(T, values, **style)
    for curve, fitted in ((values, slope), (end, end_slope)):
        _slope(axes, T[-1], curve[-1], fitted, style["color"], (4, -2), "left", taken)
    return line


def _discretization(axes, arrays, name, style, taken):
    """TV at the end, its bound by the KL of paths with Pinsker's inequality, and the theorem's bound."""
    h, values, kl, bound, slope, path_slope = (
        arrays[f"discretization.{name}.{key}"] for key in ("h", "variation", "path_kl", "bound", "rate", "path_rate")
    )
    paths, middle = numpy.sqrt(kl / 2), len(h) // 2
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.plot(h, bound, "--", color=style["color"], linewidth=0.9)
    axes.plot(h, paths, "-.", color=style["color"], linewidth=0.9)
    axes.plot(h, values, **style)
    _slope(axes, h[middle], values[middle], slope, style["color"], (4, -9), "left", taken)
    _slope(axes, h[middle], paths[middle], path_slope, style["color"], (-2, 4), "right", taken)


def _slope(axes, x, y, slope, colour, offset, side, taken):
    """Write a fitted slope beside its curve, if there is one; curves that lie on each other get one slope."""
    if numpy.isnan(slope) or any(axes is other and abs(numpy.log(at / (x, y))).max() < 0.5 for other, at in taken):
        return
    taken.append((axes, numpy.array([x, y])))
    axes.annotate(f"{float(slope):.2f}", (x, y), offset, ha=side, color=colour, **_SMALL)


def _score(axes, arrays):
    """TV by shape of the error, its bound by the KL of paths, and the theorem's bound."""
    shapes = [shape for shape in _SHAPES if shape in arrays["shapes"]]
    for shape in shapes:
        eps, values = arrays[f"score.{shape}.eps"], arrays[f"score.{shape}.variation"]
        name, colour, mark = _SHAPES[shape]
        label = f"{name}: {float(arrays[f'score.{shape}.rate']):.2f}"
        axes.plot(eps, values, f"{mark}-", color=colour, markersize=3, label=label)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.plot(eps, arrays[f"score.{shapes[0]}.bound"], "--", color=EXACT, linewidth=0.9)
    axes.plot(eps, arrays[f"score.{shapes[0]}.pinsker"], "-.", color=EXACT, linewidth=0.9)
    axes.set_ylim(bottom=min(arrays[f"score.{shape}.variation"].min() for shape in shapes) / 10)
    axes.legend(loc="lower right", fontsize=6.5, borderaxespad=0, handlelength=1.5)


def _legend(drawing, handles, labels):
    """Draw the legend of targets and kinds of line below the panels, each in its own columns."""
    kinds = {
        "measured": "-",
        "the theorem's term": "--",
        "bound by paths (Pinsker)": "-.",
        "left of it at the end": ":",
    }
    lines = [Line2D([], [], linestyle=kind, color=EXACT, linewidth=1.0) for kind in kinds.values()]
    columns = -(-len(handles) // 2) + 2
    blank = [Line2D([], [], linestyle="")] * (len(handles) % 2)
    texts = [*labels, *("" for _ in blank), *kinds]
    drawing.legend([*handles, *blank, *lines], texts, loc="outside lower center", ncols=columns)
