"""Discretization: the verdict on the theorem about the three errors of the reversed OU process."""

import math

import numpy

from scorelab.claims import HOLDS, Evidence, at_least, at_most, claim, equal
from scorelab.claims.panels import panel, panels
from scorelab.metrics.rates import rate
from scorelab.studies.discretization import measurements
from scorelab.studies.discretization.theory import Modes, path_kl, reverse_process

#: laws on which the first and the second term are of the right size: one mode
_SHIFTED, _NOISE = Modes(1, 0.5, 0.0, 1.0), Modes(128, 0.5, 0.0)
_OFF_CENTRE, _CENTRED, _PAPER = Modes(1, 0.7, 4.0, 1.0), Modes(1, 0.7, 4.0), Modes(128, 0.7, math.sqrt(128))
_HORIZON = 6.0


def _high(budget):
    """The paper's mixture, in 128 dimensions; the quick one's modes are nearer, which allows longer steps."""
    return budget.of(_PAPER, Modes(128, 0.7, 4.0))


def _steps_of(modes, share):
    """The least number of steps of at most share/L."""
    return math.ceil(_HORIZON * modes.lipschitz / share)


@claim(
    "S1-03",
    source="CS 224 lecture 24, section 2.2, theorem 1",
    statement="TV(p_T, q) <~ sqrt(KL(q|N(0,I))) e^-T + (L sqrt(d h) + L m_2 h) sqrt(T) + eps sqrt(T) for the reversed "
    "OU process with score frozen over steps h <= 1/L, of L2 error eps, started from N(0, I).",
    recorded=HOLDS,
    finding="It holds with the constant 1, term by term and in total, on modes in 1 and 128 dimensions; the largest "
    "shares of the three terms that are used are {start_share:.2f}, {step_share:.3f} and {score_share:.2f}. Where each "
    "rate is attained: in T by TV(q_T, N(0, I)) of a mean that is not 0 (slope {start_rate:.3f}); for a centred "
    "mixture it is {start_rate_centred:.2f}. What is left of the start at the sampler's end falls twice as fast, "
    "{end_rate:.2f} and {end_rate_centred:.2f}: the difference goes through the OU process a second time. In h the law "
    "of the paths attains sqrt(d h T), with path KL = {path_share:.3f} of d h T for N(0, I_128), but the law of the "
    "end, which the theorem is about, is first order: slope {step_rate:.3f} ± {step_rate_se:.1g}. In eps the slope is "
    "{score_rate:.3f}, as printed. sqrt(T) is attained by paths alone: from T = 6 to 12 the discretization and score "
    "terms of the end grow by {step_growth:.3f} and {score_growth:.3f}, not by 1.41. On two modes in 128 dimensions at "
    "h = 1/L and eps = 0.1 the three errors together are {total:.3f} and the bound is {total_bound:.0f}: the score has "
    "the slope L in one direction and for a short time, and the bound pays L^2 in all of them and at all times.",
    cost=7.0,
)
def discretization_theorem(budget):
    """Each term on a grid, by itself; then all three together."""
    start, start_numbers, start_panel = _start(budget)
    steps, steps_numbers, steps_panel = _frozen_steps(budget)
    score, score_numbers, score_panel = _score(budget)
    total, total_numbers = _total(budget)
    return Evidence(
        stated=[*start, *steps, *score, *total],
        numbers=start_numbers | steps_numbers | score_numbers | total_numbers,
        figures={"claim": panels(start_panel, steps_panel, score_panel)},
    )


def _start(budget):
    """The first term against T."""
    times, targets = numpy.arange(1.0, 8.5, budget.of(0.5, 1.0)), (_SHIFTED, _OFF_CENTRE, _CENTRED, _PAPER)
    rows = {modes: [measurements.start(modes, T) for T in times] for modes in targets}
    measured, terms, ends = (
        {modes: numpy.array([row[key] for row in found]) for modes, found in rows.items()}
        for key in ("variation", "bound", "variation_at_the_end")
    )
    shares = {modes: measured[modes] / terms[modes] for modes in targets}
    largest = max(share.max() for share in shares.values())
    late = times >= 5
    found, printed = (rate(times[late], values[_SHIFTED][late])[0] for values in (measured, terms))
    comparisons = [
        at_most("start: TV(q_T, N(0, I)) as a share of its term, largest", largest, 1),
        at_least("start: the share of N(1, 1), smallest for T >= 5", shares[_SHIFTED][late].min(), 0.5),
        equal("start: slope in T of TV(q_T, N(0, I)) for N(1, 1)", found, printed, tolerance=1e-3),
    ]
    numbers = {"start_share": largest, "start_rate": found}
    numbers["start_rate_centred"] = rate(times[late], measured[_CENTRED][late])[0]
    numbers |= {"end_rate": rate(times[late], ends[_OFF_CENTRE][late])[0]}
    numbers |= {"end_rate_centred": rate(times[late], ends[_CENTRED][late])[0]}
    lines = {"mean 1": measured[_OFF_CENTRE], "mean 0": measured[_CENTRED]}
    dashed = {"term, mean 1": terms[_OFF_CENTRE], "term, mean 0": terms[_CENTRED]}
    words = {"xlabel": "$T$", "ylabel": "total variation", "yscale": "log", "dashed": dashed}
    return comparisons, numbers, panel("start, $n=1$", times, lines, **words)


def _frozen_steps(budget):
    """The second term against h, with the exact score, from q_T; at the end and over paths."""
    shares = numpy.array(budget.of([1, 0.5, 0.25, 0.125, 0.0625, 0.03125], [1, 0.5, 0.25]))
    largest, paths_largest, curves = 0.0, 0.0, None
    for modes in (_OFF_CENTRE, _high(budget)):
        rows = [measurements.frozen_steps(modes, _HORIZON, _steps_of(modes, share)) for share in shares]
        h, ends, kl, terms = (numpy.array([row[key] for row in rows]) for key in ("h", "variation", "path_kl", "bound"))
        paths = numpy.sqrt(kl)
        largest, paths_largest = max(largest, (ends / terms).max()), max(paths_largest, (paths / terms).max())
        curves = h, ends, paths, terms
    h, ends, paths, terms = curves
    slope, error = rate(numpy.log(h), ends)
    fine = numpy.array([10000, 20000])
    kl = [path_kl(_NOISE, _HORIZON, count) for count in fine]
    attained = [kl[k] / measurements.step_bound(_NOISE, _HORIZON, _HORIZON / fine[k]) ** 2 for k in range(2)]
    log_h = numpy.log(_HORIZON / fine)
    printed = rate(log_h, [measurements.step_bound(_NOISE, _HORIZON, _HORIZON / count) for count in fine])[0]
    comparisons = [
        at_most("steps: TV at the end as a share of its term, largest", largest, 1),
        at_most("steps: sqrt(KL of paths) as a share of its term, largest", paths_largest, 1),
        at_most("steps: KL of paths for N(0, I_128) over the term squared, largest", max(attained), 1),
        at_least("steps: KL of paths for N(0, I_128) over the term squared, h = 6e-4", attained[0], 0.5),
        equal(
            "steps: slope in h of sqrt(KL of paths) for N(0, I_128)",
            rate(log_h, numpy.sqrt(kl))[0],
            printed,
            tolerance=0.02,
        ),
    ]
    numbers = {"step_share": largest, "step_rate": slope, "step_rate_se": error}
    numbers["path_share"] = kl[1] / (_NOISE.n * _HORIZON**2 / fine[1])
    steps = _steps_of(_OFF_CENTRE, 0.5)
    growth = measurements.growth(_OFF_CENTRE, 0.01, (_HORIZON, steps), (2 * _HORIZON, 2 * steps))
    numbers["step_growth"] = growth["discretization"]
    lines = {"end": ends / terms, r"paths, $\sqrt{KL/2}$": paths / math.sqrt(2) / terms}
    words = {"xlabel": "step $h$", "ylabel": "share of the term", "xscale": "log", "yscale": "log"}
    return comparisons, numbers, panel("steps, $n=128$", h, lines, **words)


def _score(budget):
    """The third term against eps, by shape of the error, on the paper's target; and over paths, in closed form."""
    eps = numpy.array(budget.of([0.003, 0.01, 0.03, 0.1, 0.3], [0.01, 0.1]))
    modes = _high(budget)
    steps = _steps_of(modes, 0.5)
    without = reverse_process(modes, _HORIZON, steps)
    found = [measurements.score_errors(modes, without, _HORIZON, steps, e) for e in eps]
    labels = {"along": "along $a$", "weight": "on the weights", "orthogonal": "orthogonal"}
    lines = {label: numpy.array([values[shape] for values in found]) for shape, label in labels.items()}
    terms = numpy.array([measurements.printed_score(e, _HORIZON) for e in eps])
    # over paths the log-likelihood ratio of a constant error of the score is N(-+eps^2 T, 2 eps^2 T)
    paths = numpy.array([math.erf(e * math.sqrt(_HORIZON) / 2) for e in eps])
    long = [math.erf(1e-3 * math.sqrt(T) / 2) / measurements.printed_score(1e-3, T) for T in (1.0, 100.0)]
    largest = max((values / terms).max() for values in lines.values())
    small = eps <= 0.1
    slope = rate(numpy.log(eps[small]), lines["along $a$"][small])[0]
    printed = rate(numpy.log(eps), terms)[0]
    comparisons = [
        at_most("score: TV at the end as a share of its term, largest", largest, 1),
        at_most("score: TV of paths as a share of its term, largest", (paths / terms).max(), 1),
        at_least("score: the share of paths, smallest over T = 1 and 100", min(long), 0.5),
        equal("score: the share of paths at T = 100, over that at T = 1", long[1] / long[0], 1, tolerance=1e-3),
        equal("score: slope in eps of TV at the end", slope, printed, tolerance=0.02),
    ]
    growth = measurements.growth(modes, eps[0], (_HORIZON, steps), (2 * _HORIZON, 2 * steps))["score"]
    words = {"xlabel": r"error $\epsilon$", "ylabel": "total variation", "dashed": {"term": terms}}
    numbers = {"score_share": largest, "score_rate": slope, "score_growth": growth}
    lines |= {"paths": paths}
    return comparisons, numbers, panel("score, $n=128$", eps, lines, xscale="log", yscale="log", **words)


def _total(budget):
    """All three errors at once, with the largest step that the theorem allows."""
    largest, numbers, eps = 0.0, {}, 0.1
    for modes in (_OFF_CENTRE, _high(budget)):
        for T in budget.of((2.0, 4.0, _HORIZON), (4.0,)):
            row = measurements.together(modes, T, math.ceil(T * modes.lipschitz), eps)
            largest = max(largest, row["variation"] / row["bound"])
            numbers = {"total": row["variation"], "total_bound": row["bound"]}
    return [at_most("TV with all three errors, as a share of the whole bound, largest", largest, 1)], numbers
