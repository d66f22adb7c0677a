"""The look of every figure: one-column width, fonts that stay text in vector files, colours for all eyes."""

import contextlib

import matplotlib
from matplotlib.figure import Figure

#: Okabe and Ito's palette: distinct for the common forms of colour blindness and in grey
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
def house_style():
    """Use the style for what is drawn inside, and leave the user's own settings alone."""
    with matplotlib.rc_context(_STYLE):
        yield


def new_figure(width: float, height: float) -> Figure:
    """A Figure outside of pyplot, with its own layout."""
    return Figure(figsize=(width, height), layout="constrained")


def time_axis(axes):
    """A second scale above an angle axis, in the paper's time t = tan^2(alpha)."""
    import numpy

    top = axes.secondary_xaxis("top")
    times = numpy.array([0.01, 0.1, 1.0, 10.0, 100.0])
    low, high = axes.get_xlim()
    times = times[(numpy.arctan(numpy.sqrt(times)) > low) & (numpy.arctan(numpy.sqrt(times)) < high)]
    top.set_xticks(numpy.arctan(numpy.sqrt(times)), [f"{time:g}" for time in times])
    top.set_xlabel(r"time $t=\tan^2\alpha$")
    top.spines["top"].set_visible(True)
    return top
