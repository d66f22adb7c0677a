"""The colours of modes, for any number of them."""

import numpy

from scorelab.figures.style import FAINT, THIRD

#: from the palettes of Okabe and Ito and of Tol, which colour-blind readers can tell apart
PALETTE = (THIRD, "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#8C6D31", "#332288", "#882255")


def colours(modes) -> dict:
    """Mode -> its colour, in the order in which they are stacked. modes (count,): the mode of each path.

    A mode keeps its colour from figure to figure while there are no more modes than colours. Of more modes the ones
    with the most paths have a colour, and all others are grey.
    """
    found, counts = numpy.unique(numpy.asarray(modes, int), return_counts=True)
    if not len(found) or found[-1] < len(PALETTE):
        return {int(mode): PALETTE[mode] for mode in found}
    heaviest = found[numpy.argsort(-counts, kind="stable")][: len(PALETTE)]
    coloured = dict(zip(sorted(heaviest.tolist()), PALETTE, strict=False))
    return coloured | {int(mode): FAINT for mode in found if mode not in coloured}


def classes(modes):
    """The colours that occur, each with the paths that have it, (count,) bool: one pair for each coloured mode, and one
    for all grey ones."""
    modes, of = numpy.asarray(modes, int), colours(modes)
    own = numpy.array([of[mode] for mode in modes.tolist()])
    return [(colour, own == colour) for colour in dict.fromkeys(of.values())]


def label(modes) -> str:
    """What a legend says of the colours; empty where every mode has one."""
    of = colours(modes)
    grey = sum(colour == FAINT for colour in of.values())
    return f"the {len(of) - grey} heaviest modes;\n{grey} others in grey" if grey else ""
