"""K modes by descent on the denoising objective and by EM: along the steps, by the number of samples, by separation."""

from matplotlib.ticker import LogLocator, NullFormatter

from scorelab.figures.style import EXACT, FAINT, LEARNED, PAGE, THIRD, new_figure
from scorelab.laws.estimate import mean_and_error

_COLOURS = {"ddpm": LEARNED, "annealed": THIRD, "em": "#009E73", "sklearn": "#CC79A7"}
_MARKERS = {"ddpm": "o", "annealed": "s", "em": "^", "sklearn": "v"}
_LABELS = {
    "ddpm": "descent, one noise level",
    "annealed": "descent, noise lowered",
    "em": "EM",
    "sklearn": "EM of scikit-learn (weights, variances too)",
}


def figure(arrays):
    """arrays: `rules`, K, n, separation, samples, floor_labelled, floor_fisher; START.RULE.{step (rows,), error (rows,
    repeats)}; sizes (sizes,), size.RULE.{error, error_standard_error}, size.floor_labelled, size.floor_fisher;
    separations, separation.RULE.{recovered, recovered_standard_error}."""
    drawing = new_figure(PAGE, 2.9)
    first, second, third = drawing.subplots(1, 3)
    rules = [str(rule) for rule in arrays["rules"]]
    _curves(first, arrays, rules)
    _sizes(second, arrays)
    _separations(third, arrays, rules)
    titles = ("along the steps", "warm starts, by $N$", "cold starts")
    for axes, letter, title in zip((first, second, third), "abc", titles, strict=True):
        axes.set_title(f"({letter})  {title}", loc="left", pad=4)
    known = {}
    for axes in (second, third, first):
        known |= {label: handle for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    drawing.legend(known.values(), known.keys(), loc="outside lower center", ncols=3, columnspacing=1.2)
    return drawing


def _curves(axes, arrays, rules):
    """Each cold start is a thin line; the mean of the warm starts has a band of twice its standard error."""
    for rule in rules:
        colour = _COLOURS[rule]
        axes.plot(1 + arrays[f"cold.{rule}.step"], arrays[f"cold.{rule}.error"], color=colour, linewidth=0.4, alpha=0.5)
    for rule in rules:
        steps, errors = 1 + arrays[f"warm.{rule}.step"], arrays[f"warm.{rule}.error"]
        mean, error = mean_and_error(errors, 1)
        axes.plot(steps, mean, color=_COLOURS[rule], linewidth=1.8, zorder=3)
        axes.fill_between(steps, mean - 2 * error, mean + 2 * error, color=_COLOURS[rule], alpha=0.3, linewidth=0)
    axes.axhline(float(arrays["floor_fisher"]), color=EXACT, linewidth=0.8, linestyle=":")
    axes.plot([], [], color=FAINT, linewidth=1.8, label="warm starts, mean")
    axes.plot([], [], color=FAINT, linewidth=0.6, label="cold starts, each")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("1 + step")
    axes.set_ylabel("rms error of a mean")


def _sizes(axes, arrays):
    """The errors over the Cramer-Rao bound, which falls like 1/sqrt(N); the rules are drawn side by side."""
    sizes, bound = arrays["sizes"], arrays["size.floor_fisher"]
    for rule, aside in (("ddpm", 0.9), ("em", 1.0), ("sklearn", 1.1)):
        value, error = arrays[f"size.{rule}.error"] / bound, 2 * arrays[f"size.{rule}.error_standard_error"] / bound
        style = {"fmt": _MARKERS[rule], "markersize": 4, "markerfacecolor": "none", "linewidth": 0.9}
        axes.errorbar(aside * sizes, value, yerr=error, color=_COLOURS[rule], label=_LABELS[rule], **style)
    axes.axhline(1.0, linestyle=":", color=EXACT, linewidth=0.9, label="Cramér-Rao bound")
    axes.set_xscale("log")
    axes.set_xlabel("samples $N$")
    axes.set_ylabel("rms error over the bound")


def _separations(axes, arrays, rules):
    for rule in rules:
        share, error = (arrays[f"separation.{rule}.recovered{end}"] for end in ("", "_standard_error"))
        style = {"fmt": f"{_MARKERS[rule]}-", "markersize": 4, "markerfacecolor": "none", "linewidth": 0.9}
        axes.errorbar(arrays["separations"], share, yerr=2 * error, color=_COLOURS[rule], label=_LABELS[rule], **style)
    axes.set_ylim(-0.04, 1.06)
    axes.set_xlabel("distance between modes")
    axes.set_ylabel("share of starts that recover")
