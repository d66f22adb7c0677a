"""One path of each process as it localizes, and what is still unknown along it."""

import numpy

from scorelab.figures.style import EXACT, PAGE, new_figure

_COLUMNS = 3


def figure(arrays):
    """arrays: names (processes,); NAME.angles (points,) and NAME.means (points, n), the posterior means along one
    sampled path, whose last row is the sample; NAME.at and NAME.risk, the remaining uncertainty at angles.

    A row of colours is a coordinate: grey-white is not known, a colour is known. The line is the remaining uncertainty.
    """
    names = arrays["names"].tolist()
    count = -(-len(names) // _COLUMNS)
    drawing = new_figure(PAGE, 0.5 + 1.55 * count)
    panels = drawing.subplots(count, _COLUMNS, sharex=True, squeeze=False)
    for place, (panel, name) in enumerate(zip(panels.flat, names, strict=False)):
        image, line = _panel(panel, name, arrays)
        if place % _COLUMNS == 0:
            panel.set_ylabel("coordinate", labelpad=1)
        if place % _COLUMNS == _COLUMNS - 1 or place == len(names) - 1:
            line.set_ylabel("still unknown (line)", labelpad=-4)
    for panel in panels.flat[len(names) :]:
        panel.set_visible(False)
    drawing.supxlabel("share of the path, from nothing known to everything known", fontsize=8)
    drawing.colorbar(image, ax=panels, shrink=0.6, label="posterior mean of a coordinate")
    return drawing


def _panel(panel, name, arrays):
    angles, means = arrays[f"{name}.angles"] / (numpy.pi / 2), arrays[f"{name}.means"]
    # a mean stands from its own angle to the next one; the last column is the sample
    edges = numpy.append(angles[:-1], [1.0, 1.06])
    low, high = _range(arrays)
    image = panel.pcolormesh(
        edges,
        numpy.arange(means.shape[1] + 1),
        means.T,
        cmap="RdBu_r",
        vmin=low,
        vmax=high,
        rasterized=True,
    )
    panel.axvline(1.0, color="white", linewidth=1.5)
    panel.set_title(name.replace("_", " "))
    panel.set_yticks([])
    panel.set_xticks([0, 0.5, 1.0], ["0", "½", "1"])
    line = panel.twinx()
    line.plot(arrays[f"{name}.at"] / (numpy.pi / 2), arrays[f"{name}.risk"], color=EXACT, linewidth=2.4)
    line.plot(arrays[f"{name}.at"] / (numpy.pi / 2), arrays[f"{name}.risk"], color="#F0E442", linewidth=1.2)
    line.set_ylim(0, 1.05)
    line.set_yticks([0, 1])
    return image, line


def _range(arrays):
    """The colours of all panels: symmetric around 0 where there are negative values, else from 0."""
    values = numpy.concatenate([arrays[f"{name}.means"].ravel() for name in arrays["names"].tolist()])
    high = float(numpy.abs(values).max())
    return (-high if values.min() < 0 else 0.0), high
