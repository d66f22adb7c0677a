"""Error against evaluations, a panel a library, with rules of ours beside."""

import numpy

from scorelab.figures.style import FAINT, PAGE, new_figure

_COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = "osD^vPX"
_COLUMNS = 2
#: ours, which every panel has in grey
_OURS = {"ours_ddim": ":", "ours_dpm_2m": "--", "ours_heun": "-"}
_SHOWN = {"k_diffusion": "k-diffusion"}


def figure(arrays):
    """arrays: names, libraries, titles (samplers,), and for each name NAME.evaluations and NAME.error (steps,), the
    error of mean and covariance on a Gaussian, exact up to rounding."""
    names, libraries, titles = (arrays[key].tolist() for key in ("names", "libraries", "titles"))
    shown = [each for each in dict.fromkeys(libraries) if each != "scorelab"] or ["scorelab"]
    rows = -(-len(shown) // _COLUMNS)
    drawing = new_figure(PAGE, 0.3 + 2.3 * rows)
    panels = drawing.subplots(rows, _COLUMNS, squeeze=False, sharex=True)
    for panel, library in zip(panels.flat, shown, strict=False):
        for name, line in _OURS.items():
            if name in names and library != "scorelab":
                label = titles[names.index(name)]
                panel.loglog(*_curve(arrays, name), line, color=FAINT, linewidth=1.4, label=label, zorder=1)
        own = [name for name, each in zip(names, libraries, strict=True) if each == library]
        for place, name in enumerate(own):
            style = {"color": _COLOURS[place % 7], "marker": _MARKERS[place % 7], "markersize": 3.2, "linewidth": 0.9}
            style["linestyle"] = "-" if place < 7 else "--"
            label = titles[names.index(name)].partition(" ")[2]  # without the library
            panel.loglog(*_curve(arrays, name), label=label, **style)
        panel.set_title(_SHOWN.get(library, library))
        panel.legend(fontsize=5, loc="center left", bbox_to_anchor=(1.0, 0.5), handlelength=2.2, labelspacing=0.35)
    for panel in panels.flat[len(shown) :]:
        panel.set_visible(False)
    ticks = 2.0 ** numpy.arange(3, 10)
    for panel in panels.flat[: len(shown)]:
        panel.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        panel.minorticks_off()
        panel.tick_params(labelbottom=True)
    drawing.supxlabel("evaluations of the denoiser", fontsize=8)
    drawing.supylabel("error of mean and covariance on a Gaussian", fontsize=8)
    return drawing


def _curve(arrays, name):
    """Evaluations and errors; an error that is rounding is left out."""
    error = arrays[f"{name}.error"]
    seen = error > 1e-12
    return arrays[f"{name}.evaluations"][seen], error[seen]
