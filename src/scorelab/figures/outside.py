"""Marks for what lies outside of the axes: nothing is cut off without a sign."""

import numpy

from scorelab.figures.style import LEARNED


def mark_outside(axes, x, y=None, *, colour=LEARNED, write=True, size=3.5, height=0.025) -> int:
    """Mark the points outside of the limits of the axes by small triangles at the border, write how many they are, and
    return their number.

    x (count,), y (count,): the points. Without y only the horizontal limits count, and each end that numbers lie beyond
    has one triangle at the foot, and its text at a height, as a share of the axes. Nothing is drawn where all points
    are inside.
    """
    x = numpy.asarray(x, float)
    (left, right), (bottom, top) = sorted(axes.get_xlim()), sorted(axes.get_ylim())
    style = {"color": colour, "markersize": size, "markeredgewidth": 0, "linestyle": "none", "clip_on": False}
    total = 0
    if y is None:
        on_border = axes.get_xaxis_transform()
        for at, marker, side, there in ((left, "<", "left", x < left), (right, ">", "right", x > right)):
            if not there.any():
                continue
            total += int(there.sum())
            axes.plot([at], [0.025], marker, transform=on_border, zorder=5, **style)
            if write:
                text = {"xycoords": on_border, "textcoords": "offset points", "fontsize": 6, "color": colour}
                text["bbox"] = {"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 0.5}
                offset = (6 if side == "left" else -6, 2)
                axes.annotate(f"{there.sum():,} outside", (at, height), offset, ha=side, **text)
        return total
    y = numpy.asarray(y, float)
    above, below = (y > top), (y < bottom)
    sides = (("^", above), ("v", below), ("<", (x < left) & ~above & ~below), (">", (x > right) & ~above & ~below))
    for marker, there in sides:
        if there.any():
            at = numpy.clip(x[there], left, right), numpy.clip(y[there], bottom, top)
            axes.plot(*at, marker, zorder=5, **style)
            total += int(there.sum())
    if total and write:
        axes.text(
            *(0.98, 0.02, f"{total:,} outside"),
            transform=axes.transAxes,
            ha="right",
            va="bottom",
            fontsize=6,
            color=colour,
        )
    return total
