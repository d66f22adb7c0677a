"""Where along the angle a denoiser is the optimum of its training images, which copies them, and where it is better."""

import numpy

from scorelab.figures.style import EXACT, FAINT, LEARNED, PAGE, new_figure, time_axis

#: what is below this is a zero with rounding
_ZERO = 1e-9
_SETS = {"train": ("-", "training images"), "held_out": ("--", "held-out images")}


def figure(arrays):
    """arrays: angle (points,); gap, error and optimum, each with the ending _train and, where images are held out,
    _held_out (points,), and their standard errors: see `scorelab.metrics.images.generalisation`.
    of_images: there, and 0, for samples that are no images."""
    drawing = new_figure(PAGE, 2.7)
    left, right = drawing.subplots(1, 2)
    sets = {name: look for name, look in _SETS.items() if f"gap_{name}" in arrays}
    if "of_images" in arrays:  # which is there for other samples alone
        sets = {name: (line, label.replace("images", "samples")) for name, (line, label) in sets.items()}
    for name, (line, label) in sets.items():
        _curve(left, arrays, f"gap_{name}", LEARNED, line, f"denoiser, {label}")
        _curve(right, arrays, f"error_{name}", LEARNED, line, f"denoiser, {label}")
        _curve(right, arrays, f"optimum_{name}", EXACT, line, f"optimum, {label}")
    left.set_ylabel(r"$E\,|\hat m-m|^2$ to the optimum $m$")
    right.set_ylabel(r"denoising error $E\,|X-m|^2$")
    for axes, kinds in ((left, ("gap",)), (right, ("error", "optimum"))):
        values = numpy.concatenate([arrays[f"{kind}_{name}"] for kind in kinds for name in sets])
        top = values.max()
        if top > _ZERO:
            axes.set_yscale("log")
            # an optimum that copies falls to nothing, and a denoiser may be far off at angles it was not trained at
            least = values[values > _ZERO].min() if axes is left else 1e-3 * numpy.median(values)
            axes.set_ylim(max(least / 2, _ZERO), 2 * top)
        else:  # an exact denoiser
            axes.set_ylim(-0.05, 1.0)
            axes.text(0.5, 0.5, "the denoiser is the optimum", transform=axes.transAxes, ha="center", color=FAINT)
        axes.set_xlabel(r"angle $\alpha$ (rad)")
        axes.set_xlim(arrays["angle"][0], arrays["angle"][-1])
        time_axis(axes)
    handles, labels = right.get_legend_handles_labels()
    drawing.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return drawing


def _curve(axes, arrays, name, colour, line, label):
    values, error = arrays[name], 2 * arrays[f"{name}_standard_error"]
    axes.plot(arrays["angle"], values, line, color=colour, label=label)
    low = numpy.maximum(values - error, values / 3)
    axes.fill_between(arrays["angle"], low, values + error, color=colour, alpha=0.2, linewidth=0)
