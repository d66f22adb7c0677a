"""The terms of the bound along the chain, and the gap against the length of the chain."""

import numpy

from scorelab.figures.style import EXACT, FAINT, LEARNED, PAGE, THIRD, new_figure

#: divergences are differences of terms; below this share of the largest term they are rounding
_ROUNDING = 1e-10
_LABELS = {
    "beta": (LEARNED, "o", r"$\sigma_t^2=\beta_t$"),
    "posterior": (THIRD, "s", r"$\sigma_t^2=\tilde\beta_t$"),
    "optimal": ("#009E73", "D", r"best $\sigma_t^2$"),
}


def figure(arrays):
    """arrays: `levels`, `terms` and, where they are known, `terms_exact`, `divergence`, `learned`, each (T,), of the
    longest chain with the variance `variance`; `steps` (lengths,), `variances` and VARIANCE.{value, standard_error,
    exact} (lengths,) of the `quantity`, gap or bound; `flow`, `flow_standard_error`, `flow_exact`, numbers, where the
    gap of the flow is known."""
    drawing = new_figure(PAGE, 2.9)
    terms, gaps = drawing.subplots(1, 2)
    _terms(terms, arrays)
    _gaps(gaps, arrays)
    for axes, letter in ((terms, "a"), (gaps, "b")):
        axes.set_title(f"({letter})", loc="left", pad=4)
    return drawing


def _terms(axes, arrays):
    """The steps from t = T to 1; the decoder's term is a density and may be negative."""
    levels = arrays["levels"][:-1]
    name = _LABELS[str(arrays["variance"])][2]
    axes.plot(levels, arrays["terms"][:-1], color=LEARNED, label="$L_{t-1}$, the denoiser")
    if "terms_exact" in arrays:
        axes.plot(levels, arrays["terms_exact"][:-1], "--", color=EXACT, linewidth=1.0, label="$L_{t-1}$, exact mean")
        if numpy.any(arrays["learned"][:-1] > 0):
            axes.plot(levels, arrays["learned"][:-1], color="#E69F00", label="error of the denoiser")
        divergence, least = arrays["divergence"][:-1], _ROUNDING * arrays["terms"][:-1].max()
        axes.plot(
            levels, numpy.where(divergence > least, divergence, numpy.nan), color=THIRD, label="steps not Gaussian"
        )
        axes.set_ylim(bottom=least)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel(f"step $t$ of $T={len(levels) + 1}$, {name}")
    axes.set_ylabel("nats")
    axes.legend(loc="lower left")


def _gaps(axes, arrays):
    steps = arrays["steps"]
    for variance in map(str, arrays["variances"]):
        colour, marker, label = _LABELS[variance]
        values, errors, exact = (arrays[f"{variance}.{part}"] for part in ("value", "standard_error", "exact"))
        bars = 2 * numpy.nan_to_num(errors)
        style = {"markersize": 6, "markerfacecolor": "none"} if variance == "optimal" else {"markersize": 3.5}
        axes.errorbar(steps, values, bars, fmt=marker, color=colour, linewidth=0.9, label=label, **style)
        axes.plot(steps, exact, "--", color=colour, linewidth=1.0)
    axes.plot([], [], "--", color=FAINT, linewidth=1.0, label="exact mean")
    if "flow" in arrays and float(arrays["flow"]) > 0:
        value, error = float(arrays["flow"]), 2 * float(arrays["flow_standard_error"])
        axes.axhspan(max(value - error, 1e-3 * value), value + error, color=FAINT, alpha=0.3, linewidth=0)
        axes.axhline(value, color=EXACT, linewidth=0.9, label="probability flow")
    axes.set_xscale("log")
    axes.set_yscale("log" if str(arrays["quantity"]) == "gap" else "linear")
    axes.set_xlabel("length $T$ of the chain")
    axes.set_ylabel("bound $-$ NLL (nats)" if str(arrays["quantity"]) == "gap" else "bound (nats)")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))  # the curves may lie anywhere
