"""Six panels: energy, overlap, the distance of coupled samples, state evolution, cost, and the speed of Glauber
dynamics."""

import numpy

from scorelab.figures.style import EXACT, FAINT, LEARNED, PAGE, THIRD, new_figure

_COLOURS = (LEARNED, THIRD, "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_METHODS = {
    "diffusion": (LEARNED, "o", "diffusion with AMP"),
    "glauber": (THIRD, "s", "Glauber"),
    "tempering": ("#009E73", "D", "tempering"),
}


def figure(arrays):
    """arrays: PART.KEY (rows,), with the keys of `numbers.SECTIONS` for the parts exact, large, iterates, chains,
    glauber."""
    tables = {}
    for name, values in arrays.items():
        part, _, key = name.partition(".")
        if numpy.ndim(values):
            tables.setdefault(part, {})[key] = values
    drawing = new_figure(PAGE, 4.4)
    panels = drawing.subplots(2, 3)
    draw = (_energy, _overlap, _distance, _iterates, _cost, _speed)
    for letter, axes, one in zip("abcdef", panels.flat, draw, strict=True):
        title = one(axes, tables)
        axes.set_title(f"({letter})  {title}", loc="left", pad=4)
    return drawing


def _where(table, **values):
    """The rows of a table with these values."""
    chosen = numpy.ones(len(next(iter(table.values()))), dtype=bool)
    for key, value in values.items():
        chosen &= table[key] == value
    return {key: column[chosen] for key, column in table.items()}


def _each(table, key):
    return list(dict.fromkeys(table[key].tolist()))


def _by_size(axes, tables, key):
    """Measured values against beta: filled for large n, hollow for small n with a bar at the exact value."""
    small, large = tables["exact"], tables["large"]
    for number, n in enumerate(_each(large, "n")):
        rows, colour = _where(large, n=n), _COLOURS[number % len(_COLOURS)]
        error = 2 * rows[f"{key}_standard_error"]
        axes.errorbar(rows["beta"], rows[key], error, fmt="o", color=colour, markersize=3.5, label=f"$n={n}$")
    n = max(_each(small, "n"))
    rows = _where(small, n=n)
    axes.plot(rows["beta"], rows[key], "s", color=FAINT, markerfacecolor="none", markersize=5, label=f"$n={n}$")
    axes.plot(rows["beta"], rows[f"{key}_exact"], "_", color=EXACT, markersize=9, label=f"exact, $n={n}$")
    chains = _where(tables["chains"], method="tempering")
    last = [_last(chains, beta, key) for beta in _each(chains, "beta")]
    axes.plot(_each(chains, "beta"), last, "x", color=EXACT, markersize=5, label="tempering")
    axes.set_xlabel(r"inverse temperature $\beta$")


def _last(chains, beta, key):
    """The value at the largest cost."""
    rows = _where(chains, beta=beta)
    return rows[key][rows["cost"].argmax()]


def _energy(axes, tables):
    _by_size(axes, tables, "energy")
    axes.plot([0, 1], [0, 1], "--", color=EXACT, linewidth=0.9, label=r"$\beta$")
    axes.set_ylabel(r"$\langle x, Ax\rangle/n$")
    axes.legend(fontsize=6)
    return "energy"


def _overlap(axes, tables):
    _by_size(axes, tables, "overlap")
    beta = numpy.linspace(0, 0.98, 100)
    (limit,) = axes.plot(beta, 1 / (1 - beta**2), "--", color=EXACT, linewidth=0.9, label=r"$1/(1-\beta^2)$")
    axes.axvline(1, color=FAINT, linewidth=0.6, linestyle=":")
    axes.set_yscale("log")
    axes.set_ylabel(r"$n\,\mathrm{E}R^2$")
    axes.legend(handles=[limit], fontsize=6, loc="upper left")
    return "overlap of two samples"


def _distance(axes, tables):
    table = tables["exact"]
    for number, beta in enumerate(_each(table, "beta")):
        rows, colour = _where(table, beta=beta), _COLOURS[number % len(_COLOURS)]
        error = 2 * rows["distance_standard_error"]
        axes.errorbar(rows["n"], rows["distance"], error, marker="o", color=colour, markersize=3, label=rf"${beta:g}$")
    axes.set_yscale("log")
    axes.set_ylim(bottom=0.25 * table["distance"].min())
    axes.set_xticks(_each(table, "n"))
    axes.set_xlabel("$n$")
    axes.set_ylabel(r"$W_2^2/n$ at most")
    axes.legend(title=r"$\beta$", title_fontsize=6, fontsize=6, ncol=2, loc="lower right")
    return "AMP against the exact mean"


def _iterates(axes, tables):
    table = tables["iterates"]
    t = min(_each(table, "t"))
    for number, beta in enumerate(_each(table, "beta")):
        rows, colour = _where(table, beta=beta, t=t), _COLOURS[number % len(_COLOURS)]
        axes.plot(rows["k"], rows["predicted"], "--", color=colour, linewidth=0.9)
        error = 2 * rows["overlap_standard_error"]
        axes.errorbar(rows["k"], rows["overlap"], error, fmt="o", color=colour, markersize=2.5)
    axes.set_xlabel("iteration $k$ of AMP")
    axes.set_ylabel(r"$|m^k|^2/n$")
    return rf"state evolution, $t={t:g}$, $n={int(rows['n'][0])}$"


def _cost(axes, tables):
    table = tables["chains"]
    below = [beta for beta in _each(table, "beta") if beta < 1] or _each(table, "beta")
    beta = max(below)
    for method, (colour, mark, label) in _METHODS.items():
        rows = _where(table, method=method, beta=beta)
        order = numpy.argsort(rows["cost"])
        error = 2 * rows["overlap_standard_error"][order]
        style = {"marker": mark, "markersize": 3, "color": colour, "label": label}
        axes.errorbar(rows["cost"][order], rows["overlap"][order], error, **style)
    axes.set_xscale("log")
    axes.set_xlabel("matrix products a sample")
    axes.set_ylabel(r"$n\,\mathrm{E}R^2$")
    axes.legend(fontsize=6)
    return rf"equal cost, $\beta={beta:g}$"


def _speed(axes, tables):
    table = tables["glauber"]
    for number, n in enumerate(_each(table, "n")):
        rows, colour = _where(table, n=n), _COLOURS[number % len(_COLOURS)]
        axes.plot(rows["beta"], rows["rate"], marker="o", color=colour, markersize=2.5, label=f"$n={n}$")
    axes.plot([0, 0.25], [1, 0], "--", color=EXACT, linewidth=0.9, label=r"$1-4\beta$")
    axes.set_ylim(bottom=0)
    axes.set_xlabel(r"inverse temperature $\beta$")
    axes.set_ylabel("rate a sweep")
    axes.legend(fontsize=6)
    return "Glauber dynamics, exact"
