"""Samples on their way from noise to an image, and what the denoiser expects at each step: figure 18 of the thesis."""

import math

from scorelab.studies.generate.figures.images import Tiles

#: inches above the first row, between two samples, and below the last row
_FIRST, _NEXT, _LAST = 0.16, 0.07, 0.14


def figure(arrays):
    """arrays: step, angle (frames,); states, means (frames, count, 1, H, W): the states x_alpha and the posterior means
    there. Values beyond [-1, 1] are shown as the ends of this range."""
    frames, count, _, *shape = arrays["states"].shape
    rows = [_FIRST, *[0.0, _NEXT] * (count - 1), 0.0]
    tiles = Tiles(frames, rows, shape, _LAST)
    for number in range(count):
        for column in range(frames):
            tiles.show(2 * number, column, arrays["states"][column, number])
            tiles.show(2 * number + 1, column, arrays["means"][column, number])
        tiles.name(2 * number, "state")
        tiles.name(2 * number + 1, "mean")
    for column in range(frames):
        tiles.above(0, column, f"{arrays['step'][column]}")
        tiles.under(len(rows) - 1, column, _short(math.tan(arrays["angle"][column]) ** 2))
    tiles.write(0.44, 0.1, "step", 6, ha="right")
    tiles.write(0.44, tiles.height - 0.105, "$t$", 6, ha="right")
    return tiles.drawing


def _short(time) -> str:
    """A time in few characters."""
    if time == 0 or 0.01 <= time < 1000:
        return f"{time:.2g}" if time < 10 else f"{time:.0f}"
    return f"{time:.0e}".replace("e-0", "e-").replace("e+0", "e")
