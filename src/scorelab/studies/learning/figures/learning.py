"""Descent on two modes beside power iteration and EM: the angle, the norm, and the step of each from the same point."""

import numpy

from scorelab.figures.style import EXACT, FAINT, LEARNED, PAGE, THIRD, new_figure

POWER, EM = THIRD, "#009E73"
_LOOKS = {
    "ddpm": {"color": LEARNED, "linewidth": 1.8},
    "stochastic_localization": {"color": "#E69F00", "linewidth": 1.4},
    "power": {"color": POWER, "linewidth": 1.2, "linestyle": "--"},
    "em": {"color": EM, "linewidth": 1.2, "linestyle": "-."},
}
_LABELS = {
    "ddpm": "descent, DDPM",
    "stochastic_localization": "descent, localization",
    "power": "power iteration",
    "em": "gradient EM",
}


def figure(arrays):
    """arrays: `levels`, `rules`, `t` (levels,), `floor` of the tangent; for each LEVEL.KIND.RULE, where KIND is
    population or samples, step (rows,), tangent and norm (rows, starts); for descents also power_error, em_error, their
    _direction_error and, where Lemma C.5 gives one, bound. Each level has a row of panels, which show the first start
    over the population, and all starts over samples as thin lines."""
    levels, rules = ([str(name) for name in arrays[key]] for key in ("levels", "rules"))
    drawing = new_figure(PAGE, 0.7 + 1.9 * len(levels))
    for row, (name, t) in enumerate(zip(levels, arrays["t"], strict=True)):
        panels = [drawing.add_subplot(len(levels), 3, 3 * row + column) for column in (1, 2, 3)]
        _paths(panels[0], arrays, name, rules, "tangent")
        _paths(panels[1], arrays, name, rules, "norm")
        _bound(panels[0], arrays, name, rules[0])
        _errors(panels[2], arrays, f"{name}.population.{rules[0]}")
        panels[0].set_ylabel(r"$\tan\theta$")
        panels[1].set_ylabel(r"$|\mu|/|\mu^*|$")
        panels[1].axhline(1.0, color=EXACT, linewidth=0.6, linestyle=":")
        panels[2].set_ylabel("relative error of the step")
        for axes, what in zip(panels, ("angle", "norm", "step"), strict=True):
            letter = "abcdefghijklmnopqr"[3 * row + panels.index(axes)]
            axes.set_title(f"({letter})  {what}, $t={float(t):g}$", loc="left", pad=4)
            axes.margins(x=0.02)
            if row == len(levels) - 1:
                axes.set_xlabel("step")
    _legend(drawing)
    return drawing


def _paths(axes, arrays, level, rules, key):
    axes.set_yscale("log")
    lows, highs = [], []
    for rule in rules:
        steps, values = (arrays[f"{level}.population.{rule}.{name}"] for name in ("step", key))
        values = numpy.where(values > 0, values, numpy.nan)
        label = _LABELS[rule]
        axes.plot(steps, values[:, 0], label=label, zorder=3, **_LOOKS[rule])
        if rule not in ("power", "em"):
            lows.append(numpy.nanmin(values))
            highs.append(numpy.nanmax(values))
    steps, values = (arrays[f"{level}.samples.{rules[0]}.{name}"] for name in ("step", key))
    axes.plot(steps, values[:, 0], color=FAINT, linewidth=0.7, label=r"descent over $N$ samples")
    axes.plot(steps, values[:, 1:], color=FAINT, linewidth=0.7)
    if key == "tangent":
        axes.axhline(float(arrays["floor"]), color=EXACT, linewidth=0.8, linestyle=":", label="floor of $N$ samples")
    axes.set_ylim(max(min(lows) / 2, 1e-5 if key == "tangent" else 0), 2 * max(highs))


def _bound(axes, arrays, level, rule):
    """The bound of Lemma C.5 on tan(theta) after each step, computed from the state before the step."""
    name = f"{level}.population.{rule}"
    if f"{name}.bound" not in arrays:
        return
    after = arrays[f"{name}.step"] + 1
    values = arrays[f"{name}.bound"][:, 0] * arrays[f"{name}.tangent"][:, 0]
    style = {"color": EXACT, "markersize": 3.5, "markeredgewidth": 0.7, "zorder": 4}
    axes.plot(after[::2], values[::2], "+", label="bound of Lemma C.5", **style)


def _errors(axes, arrays, name):
    axes.set_yscale("log")
    steps = arrays[f"{name}.step"]
    for rule, colour in (("power", POWER), ("em", EM)):
        axes.plot(steps, arrays[f"{name}.{rule}_error"][:, 0], color=colour, label=f"{_LABELS[rule]}, same rate")
        best = arrays[f"{name}.{rule}_direction_error"][:, 0]
        axes.plot(steps, best, ":", color=colour, label=f"{_LABELS[rule]}, best rate")
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, 1e-4), min(max(high, 1.5), 30))


def _legend(drawing):
    known = {}
    for axes in drawing.axes:
        known |= {label: handle for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    drawing.legend(known.values(), known.keys(), loc="outside lower center", ncols=4, columnspacing=1.2)
