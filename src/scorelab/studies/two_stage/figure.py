"""Two-stage recovery of a mean: its direction at high noise, its norm at low noise. Figure 9 of the semester paper."""

import numpy

from scorelab.figures.style import EXACT, FAINT, LEARNED, PAGE, THIRD, new_figure

_LOOKS = {
    "samples": {"color": LEARNED, "linewidth": 0.7, "alpha": 0.75},
    "population": {"color": THIRD, "linewidth": 1.0, "linestyle": (0, (2, 3))},
}
_LABELS = {"samples": "descent over samples", "population": "over the population"}


def figure(arrays):
    """arrays: `kinds`, out of samples and population; for each kind KIND.stageK.{step (rows,), cosine, distance (rows,
    starts)}, K = 1, 2, nan once a start has diverged; `floor`, `norm_exact`, `t` (2,). The right panel has the second
    stage after the first, so that a reader sees what each stage does."""
    drawing = new_figure(PAGE, 2.7)
    left, right = drawing.subplots(1, 2)
    kinds = [str(kind) for kind in arrays["kinds"]]
    first = int(arrays[f"{kinds[0]}.stage1.step"][-1])
    for kind in kinds:
        _lines(left, arrays[f"{kind}.stage1.step"], arrays[f"{kind}.stage1.cosine"], kind)
        steps = [arrays[f"{kind}.stage1.step"], first + arrays[f"{kind}.stage2.step"]]
        distance = [arrays[f"{kind}.stage{stage}.distance"] for stage in (1, 2)]
        _lines(right, numpy.concatenate(steps), numpy.concatenate(distance), kind)
    times = [float(t) for t in arrays["t"]]
    left.set_title(f"(a)  stage 1, $t={times[0]:g}$", loc="left", pad=4)
    right.set_title(f"(b)  stage 1, then stage 2, $t={times[1]:g}$", loc="left", pad=4)
    right.axvline(first, color=FAINT, linewidth=0.8)
    left.axhline(1.0, color=EXACT, linewidth=0.6, linestyle=":")
    left.set_ylim(-0.02, 1.05)
    left.set_ylabel(r"$|\cos(\mu,\mu^*)|$")
    _distances(right, float(arrays["floor"]), float(arrays["norm_exact"]))
    for axes, stage in ((left, 1), (right, 2)):
        axes.set_xlabel("step")
        axes.margins(x=0.02)
        _lost(axes, arrays[f"{kinds[0]}.stage{stage}.loss"][-1])
    handles, labels = right.get_legend_handles_labels()
    drawing.legend(handles, labels, loc="outside lower center", ncols=3)
    return drawing


def _lines(axes, steps, values, kind):
    """A thin line for each start."""
    for start in range(values.shape[1]):
        axes.plot(steps, values[:, start], label=_LABELS[kind] if start == 0 else None, **_LOOKS[kind])


def _distances(axes, floor, length):
    """The scale of the distance: down to a thousandth of the floor, or to rounding where the floor is 0."""
    axes.set_yscale("log")
    axes.set_ylabel(r"$\min\,|\mu\mp\mu^*|$")
    low, high = axes.get_ylim()
    if floor > 0:
        axes.axhline(floor, color=EXACT, linewidth=0.9, linestyle="--", label="floor of $N$ samples")
    axes.set_ylim(max(low, 1e-3 * floor, 1e-14 * length), max(high, 2 * length))


def _lost(axes, ends):
    """Say how many starts have diverged by the end of a stage."""
    lost = int(numpy.isnan(ends).sum())
    if lost:
        text = f"{lost} of {len(ends)} starts diverged"
        axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", fontsize=7, color=LEARNED)
