"""Generated images, and below each of them its nearest training image."""

from scorelab.figures.style import PAGE, new_figure

_COLUMNS = 12
#: inches: what is left of the images and above a row of them, between images, and below a pair of rows
_LEFT, _TITLE, _GAP, _BELOW = 0.5, 0.16, 0.03, 0.06


class Tiles:
    """A page of grey images in rows, each of the same size; all places are in inches from the top left.

    columns: images in a row. rows: inches above each row. shape: (H, W) of an image. below: inches below the last row.
    width: of the page, in inches, of which the columns take what is right of the names of the rows.
    """

    def __init__(self, columns: int, rows, shape, below: float = _BELOW, width: float = PAGE):
        self.side = (width - _LEFT) / columns
        self.high = self.side * shape[0] / shape[1]
        self.tops = [sum(rows[: k + 1]) + k * self.high for k in range(len(rows))]
        self.height = self.tops[-1] + self.high + below
        self.drawing = new_figure(width, self.height)
        self.drawing.set_layout_engine("none")  # every image has its place
        self.axes = self.drawing.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(self.height, 0))
        self.axes.set_axis_off()

    def show(self, row: int, column: int, image):
        """Draw an image (1, H, W), white for 1 and black for -1."""
        left, top = _LEFT + column * self.side, self.tops[row]
        place = (left, left + self.side - _GAP, top + self.high - _GAP, top)
        look = {"cmap": "gray", "vmin": -1, "vmax": 1, "interpolation": "nearest", "aspect": "auto"}
        self.axes.imshow(image[0], extent=place, **look)

    def name(self, row: int, text: str):
        """Write the name of a row at its left."""
        self.write(_LEFT - 0.06, self.tops[row] + self.high / 2, text, 7, ha="right")

    def above(self, row: int, column: int, text: str):
        """Write a text above an image."""
        self.write(self._middle(column), self.tops[row] - 0.015, text, 6, va="bottom")

    def under(self, row: int, column: int, text: str):
        """Write a text under an image."""
        self.write(self._middle(column), self.tops[row] + self.high - 0.01, text, 5, va="top")

    def write(self, x: float, y: float, text: str, size: float, ha: str = "center", va: str = "center"):
        """Write a text of a size in points at a place in inches."""
        self.axes.text(x, y, text, fontsize=size, ha=ha, va=va)

    def _middle(self, column):
        return _LEFT + column * self.side + (self.side - _GAP) / 2


def figure(arrays):
    """arrays: samples, nearest (count, 1, H, W), with values in [-1, 1] up to noise, and ratio (count,), the distance
    to the nearest training image over that to the second nearest, which stands above each sample."""
    count, columns = len(arrays["samples"]), min(_COLUMNS, len(arrays["samples"]))
    pairs = -(-count // columns)
    width = _LEFT + columns * (PAGE - _LEFT) / _COLUMNS
    tiles = Tiles(columns, [_TITLE, 0.0] * pairs, arrays["samples"].shape[-2:], width=width)
    for k in range(count):
        pair, column = divmod(k, columns)
        tiles.show(2 * pair, column, arrays["samples"][k])
        tiles.above(2 * pair, column, f"{arrays['ratio'][k]:.2f}")
        tiles.show(2 * pair + 1, column, arrays["nearest"][k])
    for pair in range(pairs):
        tiles.name(2 * pair, "sample")
        tiles.name(2 * pair + 1, "nearest")
    return tiles.drawing
