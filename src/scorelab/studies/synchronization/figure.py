"""Two panels: overlaps of estimators and samples with theta against their limits, and what a wrong sampler shows."""

from scorelab.figures.style import EXACT, FAINT, LEARNED, PAGE, THIRD, new_figure


def figure(arrays):
    """arrays: limits.{strength, bayes, spectral} (points,); exact.KEY and large.KEY (strengths,), with the keys of
    `numbers.SECTIONS`."""
    drawing = new_figure(PAGE, 2.9)
    left, right = drawing.subplots(1, 2)
    _large(left, arrays)
    _small(right, arrays)
    for axes, place in ((left, "lower right"), (right, "upper left")):
        axes.axvline(1, color=FAINT, linewidth=0.6, linestyle=":")
        axes.set_xlabel(r"strength $\lambda$")
        axes.set_ylabel("squared overlap")
        axes.legend(loc=place, fontsize=6.5)
    left.set_title("(a)  as $n$ grows", loc="left", pad=4)
    right.set_title("(b)  small $n$, all states summed", loc="left", pad=4)
    return drawing


def _points(axes, arrays, part, key, **style):
    x, y, error = (arrays[f"{part}.{name}"] for name in ("strength", key, f"{key}_standard_error"))
    axes.errorbar(x, y, 2 * error, linestyle="none", **style)


def _large(axes, arrays):
    x = arrays["limits.strength"]
    axes.plot(x, arrays["limits.bayes"], color=EXACT, linewidth=0.9, label="best estimator, $q$")
    axes.plot(x, arrays["limits.bayes"] ** 2, ":", color=EXACT, linewidth=1.2, label="posterior, $q^2$")
    axes.plot(x, arrays["limits.spectral"], "--", color=FAINT, linewidth=0.9, label=r"$1-1/\lambda^2$")
    hollow = {"markerfacecolor": "none"}
    _points(axes, arrays, "large", "spectral", fmt="^", color=FAINT, markersize=4, label="leading eigenvector")
    _points(
        axes,
        arrays,
        "large",
        "estimate",
        fmt="s",
        color=THIRD,
        markersize=5.5,
        label="AMP from the eigenvector",
        **hollow,
    )
    _samples(axes, arrays, "large")


def _samples(axes, arrays, part):
    _points(axes, arrays, part, "with_theta", fmt="o", color=LEARNED, markersize=3.5, label=r"samples, with $\theta$")
    _points(axes, arrays, part, "among", fmt="x", color="#009E73", markersize=5, label="samples, with each other")


def _small(axes, arrays):
    x = arrays["exact.strength"]
    axes.plot(x, arrays["exact.with_theta_summed"], color=EXACT, linewidth=0.9, label=r"posterior, with $\theta$")
    axes.plot(x, arrays["exact.among_summed"], ":", color=EXACT, linewidth=1.2, label="posterior, with each other")
    _samples(axes, arrays, "exact")
