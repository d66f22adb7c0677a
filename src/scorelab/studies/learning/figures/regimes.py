"""A map of where power iteration approximates a step of descent, where EM does, and where neither does."""

import numpy
from matplotlib.colors import ListedColormap
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from scorelab.figures.style import EXACT, PAGE, new_figure

#: approximation -> the colours of an error within a hundredth, a tenth and three tenths
_COLOURS = {"power": ("#0072B2", "#6BAED6", "#D0E3F2"), "em": ("#00765A", "#55BD9D", "#CDEBE1")}
_NEITHER = "#FFFFFF"
_BELOW = (0.01, 0.1, 0.3)
_LABELS = {"power": "power iteration", "em": "EM"}
_LINES = {"power": "-", "em": "--"}


def figure(arrays):
    """arrays: `norms` (maps,), `angle`, `tolerance`; for each map NUMBER.{t (times,), ratio (ratios,), power, em,
    power_direction, em_direction (times, ratios)}. The upper panels have the same rate, the lower the best."""
    norms = arrays["norms"].tolist()
    drawing = new_figure(PAGE, 4.7)
    panels = drawing.subplots(2, len(norms), sharex=True, sharey=True, squeeze=False)
    for row, suffix in enumerate(("", "_direction")):
        for number, norm in enumerate(norms):
            axes = panels[row, number]
            _map(axes, arrays, number, suffix, float(arrays["tolerance"]))
            _sizes(axes, arrays, number, norm, texts=row == 1)
            letter, what = "abcdefghijklmnopqr"[row * len(norms) + number], ("same rate", "best rate")[row]
            axes.set_title(rf"({letter})  $|\mu^*|={norm:g}$, {what}", loc="left", pad=4)
            if row == 1:
                axes.set_xlabel("time $t$")
        panels[row, 0].set_ylabel(r"$|\mu|/|\mu^*|$")
    handles = [
        Patch(facecolor=colour, label=f"{_LABELS[name]} within {below:g}")
        for name, colours in _COLOURS.items()
        for below, colour in zip(_BELOW, colours, strict=True)
    ]
    handles += [Patch(facecolor=_NEITHER, edgecolor=EXACT, linewidth=0.5, label="neither within 0.3")]
    tolerance = float(arrays["tolerance"])
    handles += [
        Line2D([], [], color=EXACT, linewidth=0.8, linestyle=style, label=f"{_LABELS[name]}: error {tolerance:g}")
        for name, style in _LINES.items()
    ]
    drawing.legend(handles=handles, loc="outside lower center", ncols=3)
    return drawing


def _map(axes, arrays, number, suffix, tolerance):
    """Each point has the colour of the better approximation; lines bound where an error is within tolerance."""
    t, ratio = arrays[f"{number}.t"], arrays[f"{number}.ratio"]
    errors = {name: arrays[f"{number}.{name}{suffix}"].T for name in _COLOURS}
    best = numpy.where(errors["power"] <= errors["em"], 0, len(_BELOW))
    grade = numpy.digitize(numpy.minimum(errors["power"], errors["em"]), _BELOW)
    shown = numpy.where(grade < len(_BELOW), best + grade, 2 * len(_BELOW))
    colours = ListedColormap([*_COLOURS["power"], *_COLOURS["em"], _NEITHER])
    axes.pcolormesh(t, ratio, shown, cmap=colours, vmin=0, vmax=2 * len(_BELOW), shading="nearest", rasterized=True)
    for name, style in _LINES.items():
        if errors[name].min() < tolerance < errors[name].max():
            axes.contour(t, ratio, errors[name], [tolerance], colors=EXACT, linewidths=0.8, linestyles=style)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(t[0], t[-1])
    axes.set_ylim(ratio[0], ratio[-1])


def _sizes(axes, arrays, number, norm, texts):
    """Lines of |mu*_t| = |mu*| sqrt(t/(t+1)); the map depends on t and |mu*| through |mu*_t| alone."""
    t = arrays[f"{number}.t"]
    wanted = [size for size in (0.03, 0.1, 0.3, 1, 3, 9) if size < 0.97 * norm]
    places = [(size / norm) ** 2 / (1 - (size / norm) ** 2) for size in wanted]
    for size, place in zip(wanted, places, strict=True):
        if 1.5 * t[0] <= place <= t[-1]:
            axes.axvline(place, color=EXACT, linewidth=0.4, alpha=0.5)
            text = rf"$|\mu^*_t|={size:g}$" if texts else ""
            style = {"rotation": 90, "fontsize": 5.5, "ha": "right", "va": "bottom", "color": "white"}
            axes.text(place, 0.03, text, transform=axes.get_xaxis_transform(), **style)
