"""What several seeds of one configuration have in common, and how far they are apart."""

from pathlib import Path

import numpy

from scorelab.errors import ScorelabError
from scorelab.figures.files import load_arrays, save_arrays, save_figure
from scorelab.figures.style import EXACT, FAINT, LEARNED, PAGE, house_style, new_figure
from scorelab.files import made_from

#: bins of the histograms of projections
_BINS = 60


def draw(replicas: list[Path], folder: Path, wanted):
    """Write the figure `replicas` and its arrays into a folder, from the arrays of the replicas' own figures; nothing
    is written where they have none of them. wanted: the options `figures` of the run."""
    arrays = collect(replicas)
    if not arrays:
        return
    save_arrays(folder / "replicas.npz", arrays)
    for extension in wanted.formats:
        path = folder / f"replicas.{extension}"
        with house_style(wanted.style), made_from(path, "cannot be drawn"):
            save_figure(figure(arrays), path, wanted.dpi, wanted.style)


def collect(replicas: list[Path]) -> dict:
    """The arrays of the figure: of each panel what all replicas have, (replicas, ...)."""
    arrays = {}
    training, errors, projection = (_of_all(replicas, name) for name in ("training", "errors", "projection"))
    if training and _alike(training, "step", "excess_risk"):
        arrays |= {"step": training[0]["step"], "excess_risk": [each["excess_risk"] for each in training]}
    keys = ("posterior_mean_t", "posterior_mean_relative_error")
    if errors and _alike(errors, *keys):
        arrays |= {"t": errors[0][keys[0]], "relative_error": [each[keys[1]] for each in errors]}
        floor = f"{keys[1]}_floor"
        if _alike(errors, floor):
            arrays["relative_error_floor"] = numpy.mean([each[floor] for each in errors], 0)
    if projection and _alike(projection, "grid", "exact"):
        grid = projection[0]["grid"]
        edges = numpy.linspace(grid[0], grid[-1], _BINS + 1)
        counts = [numpy.histogram(each["values"], edges)[0] / len(each["values"]) for each in projection]
        arrays |= {"grid": grid, "exact": projection[0]["exact"], "edges": edges}
        arrays["density"] = numpy.array(counts) / numpy.diff(edges)
    return {name: numpy.asarray(values) for name, values in arrays.items()}


def _of_all(replicas, name):
    try:
        return [load_arrays(path / "figures" / f"{name}.npz") for path in replicas]
    except ScorelabError:  # one that was not measured, or not drawn
        return []


def _alike(every, *keys) -> bool:
    return all(key in each and each[key].shape == every[0][key].shape for each in every for key in keys)


def figure(arrays):
    """Draw a panel each for the excess risk over the training, the error of the posterior mean over t, and the density
    of the projection: every replica, their mean, and the standard deviation around it.

    arrays: those of `collect`.
    """
    panels = [panel for panel, needed in _PANELS.items() if needed in arrays]
    drawing = new_figure(PAGE if len(panels) > 1 else PAGE / 2, 2.4)
    for axes, panel in zip(drawing.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        panel(axes, arrays)
    count = len(arrays[_PANELS[panels[0]]])
    drawing.axes[0].plot([], [], color=LEARNED, label=f"mean ± standard deviation of {count} replicas")
    pairs = (zip(*axes.get_legend_handles_labels(), strict=True) for axes in drawing.axes)
    entries = {text: line for panel in pairs for line, text in panel}
    drawing.legend(entries.values(), entries, loc="outside upper center", ncols=len(entries))
    return drawing


def _band(axes, x, values, **style):
    mean, deviation = values.mean(0), values.std(0, ddof=1)
    axes.plot(x, values.T, color=LEARNED, linewidth=0.4, alpha=0.35, **style)
    axes.plot(x, mean, color=LEARNED, **style)
    step = {"step": "mid"} if style else {}
    axes.fill_between(x, mean - deviation, mean + deviation, color=LEARNED, alpha=0.25, linewidth=0, **step)


def _training(axes, arrays):
    _band(axes, arrays["step"], arrays["excess_risk"])
    axes.set_yscale("log")
    axes.set_xlabel("training step")
    axes.set_ylabel("excess risk")


def _errors(axes, arrays):
    _band(axes, arrays["t"], arrays["relative_error"])
    if "relative_error_floor" in arrays:
        axes.plot(arrays["t"], arrays["relative_error_floor"], color=FAINT, linestyle=":", label="parametric floor")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel(r"posterior mean at time $t$")
    axes.set_ylabel("relative error")


def _projection(axes, arrays):
    middle = (arrays["edges"][1:] + arrays["edges"][:-1]) / 2
    _band(axes, middle, arrays["density"], drawstyle="steps-mid")
    axes.plot(arrays["grid"], arrays["exact"], color=EXACT, linestyle="--", linewidth=1.0, label="exact")
    axes.set_xlabel(r"projection $\langle x, a\rangle/|a|^2$")
    axes.set_ylabel("density")


#: panel -> the array that it cannot be drawn without
_PANELS = {_training: "excess_risk", _errors: "relative_error", _projection: "density"}
