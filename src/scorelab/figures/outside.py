"""Marks for what lies outside of the axes: nothing is cut off without a sign."""

import numpy

from scorelab.figures.style import LEARNED


def mark_outside(axes, x, y=None, *, colour=LEARNED, write=True, size=3.5) -> int:
    """Mark the points outside of the limits of the axes by small triangles at the border, write how many they are, and
    return their number.

    x (count,), y (count,): the points. Without y only the horizontal limits count, and each end that numbers lie beyond
    has one triangle at the foot. Nothing is drawn where all points are inside.
    """
    x = numpy.asarray(x, float)
    (left, right), (bottom, top) = sorted(axes.get_xlim()), sorted(axes.get_ylim())
    style = {"color": colour, "markersize": size, "markeredgewidth": 0, "linestyle": "none", "clip_on": False}
    total = 0
    if y is None:
        for at, marker, count, where in (
            (left, "<", (x < left).sum(), "left"),
            (right, ">", (x > right).sum(), "right"),
        ):
            if count:
                axes.plot([at], [0.025], marker, transform=axes.get_xaxis_transform(), zorder=5, **style)
                if write:
                    axes.annotate(
                        f"{count:,} outside",
                        (at, 0.025),
                        (6 if where == "left" else -6, 3),
                        xycoords=axes.get_xaxis_transform(),
                        textcoords="offset points",
                        ha=where,
                        fontsize=6,
                        color=colour,
                    )
            total += int(count)
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
