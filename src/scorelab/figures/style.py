"""The look of every figure: widths, fonts that stay text in vector files, colours that all readers can tell apart."""

import contextlib
import io

import matplotlib
import numpy
from matplotlib import ticker
from matplotlib.figure import Figure

from scorelab.figures.own_style import parameters

#: the palette of Okabe and Ito, whose colours differ also in grey and for readers who are colour-blind
EXACT, LEARNED, THIRD, FAINT = "#000000", "#D55E00", "#0072B2", "#999999"
FILL = "#9CC9E3"
COLUMN, PAGE = 3.4, 7.0  # inches

_STYLE = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.2,
    "mathtext.fontset": "dejavusans",
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "figure.dpi": 150,
}


@contextlib.contextmanager
def house_style(own: str | None = None):
    """Use the style for the figures drawn inside this context, and keep the user's own settings outside.

    own: the text of a style on top of it, see `scorelab.figures.own_style`.
    """
    with matplotlib.rc_context({**_STYLE, **parameters(own)}):
        yield


class Drawing(Figure):
    """A Figure that pyplot does not manage, and that a notebook shows all the same."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        with house_style():
            self.savefig(buffer, format="png")
        return buffer.getvalue()


def new_figure(width: float, height: float) -> Drawing:
    """A Figure; width and height in inches."""
    return Drawing(figsize=(width, height), layout="constrained")


def short(number: float, digits: int = 3) -> str:
    """A positive number in plain digits, as a label has it: 0.016, 99.3, 1580."""
    if 1e-4 <= number < 10**digits:
        return f"{number:.{digits}g}"
    return f"{float(f'{number:.{digits}g}'):.0f}" if number >= 1 else f"{number:.1e}"


def plain_ticks(axis):
    """Number the ticks of a logarithmic axis in plain digits: 1, 2 and 5 of each decade; every step of a linear scale
    where the axis shows less than a decade; and the decades alone where it shows many."""
    low, high = sorted(axis.get_view_interval())
    decades = numpy.log10(high / low)
    if decades > 4:
        return
    within = ticker.MaxNLocator(5, steps=(1, 2, 2.5, 5, 10)) if decades < 0.8 else None
    few = decades < (1.7 if axis.axis_name == "x" else 2.5)  # side by side the numbers need more room
    axis.set_major_locator(within or ticker.LogLocator(subs=(1, 2, 5) if few else (1,)))
    axis.set_major_formatter(
        ticker.FuncFormatter(lambda value, _: f"{value:.10g}" if value >= 1e-4 else f"{value:.0e}")
    )
    axis.set_minor_formatter(ticker.NullFormatter())
    if within:
        axis.set_minor_locator(ticker.NullLocator())


def time_axis(axes):
    """Add a second scale above an angle axis, in the paper's time t = tan^2(alpha), and return it."""
    top = axes.secondary_xaxis("top")
    times = numpy.array([0.01, 0.1, 1.0, 10.0, 100.0])
    low, high = axes.get_xlim()
    times = times[(numpy.arctan(numpy.sqrt(times)) > low) & (numpy.arctan(numpy.sqrt(times)) < high)]
    top.set_xticks(numpy.arctan(numpy.sqrt(times)), [f"{time:g}" for time in times])
    top.set_xlabel(r"time $t=\tan^2\alpha$")
    top.spines["top"].set_visible(True)
    return top
