"""Paths from noise to data in the plane: the sampler's, exact ones, and the probability flow of the same denoiser."""

import math

import numpy
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection

from scorelab.figures.modes import classes, colours, label
from scorelab.figures.outside import mark_outside
from scorelab.figures.style import FAINT, PAGE, new_figure, short
from scorelab.studies.generate.figures.plane import contours, frame, image

_SHOWN = 30
_PANELS = (("", "sampler"), ("exact_", "exact paths"), ("flow_", "probability flow (DDIM)"))
#: the animation: frames, frames a second, seconds that the last frame stays, pixels an inch
_FRAMES, RATE, STILL, _DPI = 48, 14, 1.5, 110


def figure(arrays):
    """arrays: angle (steps + 1,); low, high (2,), the window; labels (2,); for each kind of paths `paths`,
    `exact_paths`, `flow_paths` (count, steps + 1, 2) in states x_phi, and `mode`, `exact_mode`, `flow_mode` (count,),
    the mode that a path ends in; x, y (cells + 1,) and log_density (cells, cells), the exact law at the last angle,
    where it is known."""
    drawing = new_figure(PAGE, 2.85)
    panels = drawing.subplots(1, 3, sharex=True, sharey=True)
    for axes, (kind, title) in zip(panels, _PANELS, strict=True):
        frame(axes, arrays)
        if "log_density" in arrays:
            contours(axes, arrays["x"], arrays["y"], arrays["log_density"], FAINT)
        paths, modes = arrays[f"{kind}paths"], arrays[f"{kind}mode"]
        of = colours(modes)
        for path, mode in zip(paths[:_SHOWN], modes[:_SHOWN].tolist(), strict=True):
            lines = LineCollection(numpy.stack([path[:-1], path[1:]], 1), colors=of[mode], linewidths=0.6)
            lines.set_alpha(numpy.linspace(0.1, 0.9, len(path) - 1))
            axes.add_collection(lines, autolim=False)
            axes.plot(*path[0], "o", color=of[mode], markersize=2, markerfacecolor="white", markeredgewidth=0.5)
            axes.plot(*path[-1], "o", color=of[mode], markersize=2.2, markeredgewidth=0)
        ends = paths[:_SHOWN].reshape(-1, 2)
        mark_outside(axes, *ends.T, colour="#444444", size=2.5, write=False)
        axes.set_title(title, pad=4)
    panels[0].set_ylabel(str(arrays["labels"][1]))
    end = math.tan(float(arrays["angle"][-1])) ** 2 if arrays["angle"][-1] < math.pi / 2 - 1e-9 else math.inf
    lines = (
        f"lines hold 50, 90 and 99% of the exact law at $t={short(end)}$" if math.isfinite(end) else "lines: exact law"
    )
    count = min(_SHOWN, len(arrays["paths"]))
    said = f"{count} paths of $x_\\alpha$, from noise (open, faint) to data (filled); {lines}"
    if label(arrays["mode"]):
        said += f"\ncolours: {label(arrays['mode'])}".replace(";\n", ", ")
    drawing.supxlabel(said, fontsize=6.5, color="#444444")
    return drawing


def animation(arrays):
    """The cloud of the sampler's states, moving over the exact density from noise to data. arrays: as for `figure`, and
    frame_angle (frames,), frame_x, frame_y (cells + 1,) and frame_density (frames, cells, cells). Yields frames
    (height, width, 3), uint8: `RATE` frames a second, and the last frame stays for `STILL` seconds."""
    drawing = new_figure(3.6, 3.7)
    drawing.set_dpi(_DPI)
    canvas = FigureCanvasAgg(drawing)
    axes = drawing.subplots()
    frame(axes, arrays)
    axes.set_ylabel(str(arrays["labels"][1]))
    x, y = arrays["frame_x"], arrays["frame_y"]
    image(axes, x, y, _log(arrays["frame_density"][-1]))
    shown = axes.images[-1]
    groups = [(of, axes.plot([], [], ".", color=colour, markersize=4, markeredgewidth=0, alpha=0.8)[0])
              for colour, of in classes(arrays["mode"])]  # fmt: skip
    title = axes.set_title("$t=0$")
    drawing.draw_without_rendering()
    drawing.set_layout_engine("none")  # all frames have the layout of the first one
    angle = arrays["angle"]
    for share in numpy.linspace(0, 1, _FRAMES) ** 1.3:  # slower where the modes part, which is early
        at = angle[0] + share * (angle[-1] - angle[0])
        states = _between(angle, arrays["paths"].swapaxes(0, 1), at)
        for of, dots in groups:
            dots.set_data(*states[of].T)
        values = _log(_between(arrays["frame_angle"], arrays["frame_density"], at))
        low, _ = shown.get_clim()
        shown.set_data(numpy.clip(values - values.max(), low, 0))
        time = math.tan(at) ** 2 if at < math.pi / 2 - 1e-9 else math.inf
        title.set_text(rf"$t={time:.0f}$" if time >= 10 else rf"$t={time:.2f}$")
        canvas.draw()
        yield numpy.array(canvas.buffer_rgba())[..., :3]


def _log(density):
    return numpy.log(numpy.maximum(density, 1e-30))


def _between(at, values, point):
    """The values at a point between those of increasing points `at`, linear in between."""
    right = int(numpy.clip(numpy.searchsorted(at, point), 1, len(at) - 1))
    share = float(numpy.clip((point - at[right - 1]) / (at[right] - at[right - 1]), 0, 1))
    return (1 - share) * values[right - 1] + share * values[right]
