"""The exact and the learned score in the plane at several times, and their difference in a scale of its own."""

import math

import numpy
from matplotlib.colors import to_rgba

from scorelab.figures.style import EXACT, LEARNED, PAGE, THIRD, new_figure, short
from scorelab.studies.generate.figures.plane import image

#: every so many points of the grid have an arrow
_EVERY = 4
#: there is no arrow where the density is below this share of its maximum
_NEGLIGIBLE = 1e-3
#: the length of a long arrow, in spacings
_LENGTH = 1.5
_ROWS = (("exact", EXACT), ("learned", LEARNED), ("learned − exact", THIRD))


def figure(arrays):
    """arrays: angle (times,); x, y (times, points); exact, learned (times, points, points, 2), cos times the score on
    the grid, with rows along y; log_density (times, points, points); rms (times,), the root mean square of the
    difference under the exact law; labels (2,)."""
    count = len(arrays["angle"])
    drawing = new_figure(PAGE, 0.95 + 3 * (PAGE - 0.6 - 0.22 * count) / count)
    panels = drawing.subplots(3, count, sharex="col", sharey="col", squeeze=False)
    here = slice(_EVERY // 2, None, _EVERY)
    relative = arrays["log_density"] - arrays["log_density"].max((1, 2), keepdims=True)
    likely = relative > math.log(_NEGLIGIBLE)
    exact, learned = (arrays[name] for name in ("exact", "learned"))
    lengths = [_typical(exact[likely])] * 2 + [_typical((learned - exact)[likely], 0.95)]
    for row, (values, length, (name, colour)) in enumerate(
        zip((exact, learned, learned - exact), lengths, _ROWS, strict=True)
    ):
        for k in range(count):
            axes, x, y = panels[row, k], arrays["x"][k], arrays["y"][k]
            step = (x[1] - x[0]) / 2
            edges = [numpy.linspace(each[0] - step, each[-1] + step, len(each) + 1) for each in (x, y)]
            image(axes, *edges, arrays["log_density"][k])
            arrows = numpy.where(likely[k][..., None], values[k], numpy.nan)[here, here]
            spacing = _EVERY * (x[1] - x[0])
            of = {"scale": length / (_LENGTH * spacing), "scale_units": "xy", "angles": "xy", "minlength": 0.4}
            head = {"width": 0.007, "headwidth": 3.2, "headlength": 3.5, "headaxislength": 3.2}
            strength = (1 - relative[k][here, here] / math.log(_NEGLIGIBLE)).clip(0, 1) ** 0.7
            inks = [to_rgba(colour, alpha) for alpha in (0.3 + 0.7 * strength).ravel()]
            axes.quiver(x[here], y[here], arrows[..., 0], arrows[..., 1], color=inks, pivot="tail", **of, **head)
            axes.set_xlim(x[0], x[-1])
            axes.set_ylim(y[0], y[-1])
            axes.set_aspect("equal")
            axes.tick_params(labelsize=6)
            if row == 0:
                angle = arrays["angle"][k]
                axes.set_title(rf"$t={short(math.tan(angle) ** 2, 2)}$", pad=3)
            if row == 2:
                axes.text(
                    *(0.04, 0.03, f"rms {arrays['rms'][k]:.2g}"),
                    transform=axes.transAxes,
                    fontsize=6.5,
                    bbox={"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 1},
                )
        panels[row, 0].set_ylabel(f"{name}\n" + str(arrays["labels"][1]))
    for axes in panels[-1]:
        axes.set_xlabel(str(arrays["labels"][0]))
    _key(drawing, lengths)
    return drawing


def _key(drawing, lengths):
    said = (
        r"arrows: $\cos\alpha\,\nabla\log p_\alpha(x)$ on the density of $x_\alpha$ (grey, log scale). "
        f"An arrow of {_LENGTH:g} spacings is {lengths[0]:g}, in the lowest row {lengths[2]:g}.\n"
        f"Arrows are fainter where the density is lower, and end at {_NEGLIGIBLE:g} of its maximum. "
        "rms: root mean square of the difference under the exact law."
    )
    drawing.supxlabel(said, fontsize=6.5, color="#444444")


def _typical(vectors, share=0.9):
    """A round number near the length of the longer ones of vectors (count, 2); 1 where all are 0."""
    value = numpy.quantile(numpy.linalg.norm(vectors, axis=-1), share)
    if not value > 0:
        return 1.0
    unit = 10.0 ** math.floor(math.log10(value))
    return next((step * unit for step in (1, 2, 5) if step * unit >= 0.75 * value), 10 * unit)
