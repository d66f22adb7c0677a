"""The losses of trainings that differ by their seed alone: every run, their mean, and their standard deviation."""

import textwrap

import numpy

from scorelab.figures.style import COLUMN, EXACT, LEARNED, PAGE, THIRD, new_figure, plain_ticks

#: column of training.csv -> its name and its colour
_COLUMNS = {"loss": ("training", LEARNED), "validation_loss": ("held-out samples", THIRD)}


def figure(arrays):
    """Draw one panel for each configuration.

    arrays: `titles` (panels,); for the panel i `i.epoch` (records,), `i.loss` (runs, records), and where there are such
    numbers `i.validation_loss` (runs, records) and `i.bayes_risk`, the least value of the loss.
    """
    titles = [str(title) for title in arrays["titles"]]
    columns = min(3, len(titles))
    rows = -(-len(titles) // columns)
    drawing = new_figure(COLUMN if columns == 1 else PAGE, 0.5 + (1.9 if columns == 1 else 1.6) * rows)
    every = list(drawing.subplots(rows, columns, squeeze=False).flat)
    for number, (axes, title) in enumerate(zip(every, titles, strict=False)):
        _panel(axes, arrays, f"{number}.")
        axes.set_title("\n".join(textwrap.wrap(title, 34)), fontsize=6.5, pad=3)
    for axes in every[len(titles) :]:
        axes.remove()
    entries = {
        text: handle for axes in drawing.axes for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    drawing.legend(entries.values(), entries, loc="outside upper center", ncols=1 if columns == 1 else len(entries))
    drawing.supxlabel("epoch", fontsize=8)
    drawing.supylabel("loss per coordinate", fontsize=8)
    return drawing


def _panel(axes, arrays, prefix):
    epoch = arrays[f"{prefix}epoch"]
    every = {name: arrays[prefix + name] for name in _COLUMNS if prefix + name in arrays}
    means = numpy.concatenate([runs.mean(0) for runs in every.values()])
    logarithmic = bool(means.min() > 0 and means.max() > 5 * numpy.median(means))
    for name, runs in every.items():
        label, colour = _COLUMNS[name]
        mean, deviation = runs.mean(0), runs.std(0, ddof=1)
        low = mean - deviation
        if logarithmic:  # there is no 0: where the band reaches it, it ends at the least of the runs
            low = numpy.where(low > 0, low, runs.min(0))
        axes.plot(epoch, runs.T, color=colour, linewidth=0.4, alpha=0.35)
        axes.plot(epoch, mean, color=colour, label=f"{label}: mean ± standard deviation, {len(runs)} runs")
        axes.fill_between(epoch, low, mean + deviation, color=colour, alpha=0.25, linewidth=0)
    axes.locator_params(axis="x", integer=True, min_n_ticks=1)
    least = arrays.get(f"{prefix}bayes_risk")
    if least is not None:
        axes.axhline(float(least), color=EXACT, linestyle="--", linewidth=1.0, label="least value")
    if logarithmic:
        axes.set_yscale("log")
        plain_ticks(axes.yaxis)
