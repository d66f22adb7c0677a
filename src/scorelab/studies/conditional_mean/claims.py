"""The conditional mean of two modes: Visconti 2025, sections 7.3 and 7.5.

Everything happens along a, so one dimension is enough: y is <y_t, a>/|a|, and a its length.
"""

import math

import numpy
import torch
from scipy.optimize import brentq

from scorelab.claims import CORRECTED, HOLDS, Evidence, at_least, at_most, claim, equal
from scorelab.claims.panels import panel, panels
from scorelab.quadrature import converged, normal_pieces, normal_trapezoid
from scorelab.studies.conditional_mean.theory import TwoModeMean

P, A = 0.7, math.sqrt(128)  # the text's target
EXACT = TwoModeMean(P, A**2)
FIRST_TIMES = (math.tan(0.1) ** 2, 0.0519)  # of figure 3
_SOURCE = "Visconti 2025, section "


def printed_weight_14(y, t, p=P, a=A):
    """gamma_1 of equation (14)."""
    first = math.log(p) - (y - t * (1 - p) * a) ** 2 / (2 * t * (t + 1))
    second = math.log(1 - p) - (y + t * p * a) ** 2 / (2 * t * (t + 1))
    return torch.sigmoid(first - second)


def printed_weight_15(y, t, p=P, a=A):
    """gamma_1 of equation (15)."""
    squares = (y + t * p * a) ** 2 - (y - t * (1 - p) * a) ** 2
    return 0.5 * (1 + torch.tanh(squares / (4 * t * (t + 1)) + 0.5 * math.log(p / (1 - p))))


def printed_mean(y, t, weight, p=P, a=A):
    """The posterior mean of section 7.3."""
    return (y + (weight - p) * a) / (t + 1)


def printed_early_weight(noise, t, p=P, a=A):
    """gamma_1 for small t as section 7.5 prints it; noise: <G, a>/|a|."""
    return torch.sigmoid(math.log(p / (1 - p)) + noise * a / math.sqrt(t))


def corrected_early_weight(noise, t, p=P, a=A):
    """gamma_1 for small t with the exponent that follows from equation (14)."""
    return torch.sigmoid(math.log(p / (1 - p)) + noise * a * math.sqrt(t))


def corrected_late_weight(u, p=P, a=A):
    """gamma_1 for t -> infinity at u = <y_t, a>/(t |a|^2)."""
    return torch.sigmoid(math.log(p / (1 - p)) + a**2 * (u - 0.5 + p))


def _line(low, high, points=2001):
    return torch.linspace(low, high, points, dtype=torch.float64)


def _largest_slope(t, scaled):
    """The largest derivative of (14), by autograd, in <y_t, a> or in u = <y_t, a>/(t |a|^2)."""
    steps = 8 * (t + 1) / (t * A**2) * _line(-1, 1)  # around the transition
    u = (steps + float(EXACT.transition(t))).requires_grad_()
    (slope,) = torch.autograd.grad(printed_weight_14(u * t * A, t).sum(), u)
    return float(slope.max()) / (1.0 if scaled else t * A**2)


@claim(
    "S0-10",
    source=f"{_SOURCE}7.3, equations 14 and 15",
    statement="E[X|Y_t = y] = [y + (gamma_1 - p) a]/(t+1), with gamma_1 as in (14), which equals the tanh form (15).",
    recorded=HOLDS,
    finding="Against the ratio of integrals over x, each a sum over {points} points, the posterior mean differs by at "
    "most {mean:.1g}, and the two forms of gamma_1 by {forms:.1g} from each other, at seven times between 0.01 and "
    "100.",
)
def closed_form(budget):
    """E[X|Y_t] as a ratio of integrals over x, against the printed forms."""
    means, forms, x = [], [], _line(-22, 22, 8001)
    prior = P * torch.exp(-((x - (1 - P) * A) ** 2) / 2) + (1 - P) * torch.exp(-((x + P * A) ** 2) / 2)
    for t in numpy.geomspace(0.01, 100, 7).tolist():
        y = _line(-6, 6, 41) * math.sqrt(t * (t + 1)) + t * _line(-P * A, (1 - P) * A, 41)
        exponent = y[:, None] * x - 0.5 * t * x**2
        joint = prior * torch.exp(exponent - exponent.max(1, keepdim=True).values)
        exact = (joint @ x) / joint.sum(1)
        means.append(float((printed_mean(y, t, printed_weight_14(y, t)) - exact).abs().max()))
        forms.append(float((printed_weight_14(y, t) - printed_weight_15(y, t)).abs().max()))
    return Evidence(
        stated=[
            equal("posterior mean: largest difference to the integral", max(means), 0, tolerance=1e-10),
            equal("largest difference between (14) and (15)", max(forms), 0, tolerance=1e-12),
        ],
        numbers={"mean": max(means), "forms": max(forms), "points": len(x)},
    )


@claim(
    "S0-11",
    source=f"{_SOURCE}7.3",
    statement="For very small t (figure 3 begins at t = 0.01) the posterior mean is highly nonlinear and close to a "
    "sigmoid in <y_t,a>; as t increases, it becomes increasingly linear.",
    corrected="It is linear at both ends. The share of Var <m,a> that no linear function of y_t explains has a "
    "maximum in between. It vanishes as t for t -> 0, as t^2 if p = 1/2, and as 1/t^2 for t -> infinity.",
    recorded=CORRECTED,
    fault="error",
    finding="The share of Var <m,a> that no linear function of y_t explains, by quadrature, is {early:.1g} at t = "
    "1e-6, {figure:.1%} and {second:.1%} at the first two times of figure 3, t = 0.01 and 0.052, at most "
    "{largest:.1%}, at t = {where:.3g}, and {late:.1g} at t = 100. The figure shows a bend at its first times, and "
    "from t = 0.08 on the statement is right. Before, the mean becomes less linear as t increases. For p = 1/2 the "
    "share is {even:.1g} at t = 1e-6.",
)
def linearity(budget):
    """The share of the variance of <m, a> that the best line leaves, over t."""
    largest, where = EXACT.most_nonlinear()
    early, late = EXACT.nonlinearity(1e-6), EXACT.nonlinearity(100.0)
    limits = {t: EXACT.nonlinearity_limits(t) for t in (1e-7, 1e4)}
    ratios = [EXACT.nonlinearity(t) / float(limits[t][end]) for end, t in enumerate(limits)]
    first, second = (EXACT.nonlinearity(t) for t in FIRST_TIMES)
    even = TwoModeMean(0.5, A**2)
    balanced = even.nonlinearity(1e-5) / float(even.nonlinearity_limits(1e-5)[0])
    times = numpy.geomspace(1e-6, 1e3, 121)
    curve = panel(
        "distance from a line",
        times,
        {"share": [EXACT.nonlinearity(float(t)) for t in times]},
        dashed={
            label: numpy.where(limit < 0.3, limit, numpy.nan)
            for label, limit in zip(("small $t$", "large $t$"), EXACT.nonlinearity_limits(times), strict=True)
        },
        xlabel="$t$",
        ylabel=r"share of Var $\langle m,a\rangle$",
        xscale="log",
        yscale="log",
    )
    return Evidence(
        stated=[
            at_most("share at t = 100", late, 0.1 * largest),
            at_least("share at t = 0.01, against the share at t = 0.052", first, second),
        ],
        corrected=[
            equal("share over its limit k^2 (1-2p)^2 |a|^2 t/2 at t = 1e-7", ratios[0], 1, tolerance=1e-3),
            equal("for p = 1/2: share over its limit k^2 (|a|^2 t)^2/24 at t = 1e-5", balanced, 1, tolerance=1e-2),
            equal("share over its limit of order 1/t^2 at t = 1e4", ratios[1], 1, tolerance=1e-2),
        ],
        numbers={
            "early": early,
            "late": late,
            "largest": largest,
            "where": where,
            "figure": first,
            "second": second,
            "even": even.nonlinearity(1e-6),
        },
        figures={"claim": panels(curve)},
    )


@claim(
    "S0-12",
    source=f"{_SOURCE}7.5, limit as t -> 0",
    statement="For small t, gamma_1 is p exp((1-p)<G,a>/sqrt(t)) over the sum of it and (1-p) exp(-p <G,a>/sqrt(t)).",
    corrected="The factor of <G,a> is sqrt(t), not 1/sqrt(t): gamma_1 = p + O(sqrt(t)).",
    recorded=CORRECTED,
    fault="error",
    finding="Mean distance to the exact gamma_1 by quadrature over X and G: {printed:.4f} at t = 1e-6 with 1/sqrt(t), "
    "{corrected:.1g} with sqrt(t), which falls with the power {order:.3f} of t. Equation (14) divides the cross term "
    "t^(3/2) <G,a> by t(t+1). The printed form makes gamma_1 a coin toss with mean {coin:.5f} instead of p = 0.7: the "
    "conclusion, a sigmoid in <G,a>, does not survive. There is none left at t -> 0.",
)
def early_weight(budget):
    """Mean absolute differences over X and G; the rule for G resolves the width sqrt(t)/|a| of the printed sigmoid."""
    line, mass = normal_trapezoid()

    def mean(of, t):
        """E of(G) to 10 digits after the point, by two resolutions."""

        def rule(step):
            noise, weights = normal_pieces(round(8 / step), math.sqrt(t) / A)
            return float(weights @ of(noise))

        return converged(rule, 1.0, 1e-10)[0]

    def distance(form, t):
        def of(noise):
            gaps = 0.0
            for weight, centre in ((P, (1 - P) * A), (1 - P, -P * A)):
                y = t * (centre + line) + math.sqrt(t) * noise.unsqueeze(1)
                gaps = gaps + weight * (form(noise, t).unsqueeze(1) - printed_weight_14(y, t)).abs() @ mass
            return gaps

        return mean(of, t)

    printed, corrected = distance(printed_early_weight, 1e-6), distance(corrected_early_weight, 1e-6)
    order = math.log(distance(corrected_early_weight, 1e-5) / corrected) / math.log(10)
    return Evidence(
        stated=[at_most("mean distance to gamma_1 at t = 1e-6", printed, 1e-2)],
        corrected=[
            at_most("mean distance to gamma_1 at t = 1e-6, sqrt(t)", corrected, 1e-3),
            equal("power of t with which it falls", order, 1, tolerance=0.02),
        ],
        numbers={
            "printed": printed,
            "corrected": corrected,
            "order": order,
            "coin": mean(lambda noise: printed_early_weight(noise, 1e-6), 1e-6),
        },
    )


@claim(
    "S0-13",
    source=f"{_SOURCE}7.5, limit as t -> infinity",
    statement="As t grows, E[X|Y_t] -> y_t/t, and gamma_1 becomes a step: 1 where mu_1 is the nearer mean to y_t/t.",
    corrected="E[X|Y_t] -> y_t/t, and gamma_1 becomes the posterior weight of clean data, a logistic function of "
    "slope |a|^2/4 in <y_t,a>/(t |a|^2), which is no step.",
    recorded=CORRECTED,
    fault="error",
    finding="At t = 1e6, <m,a>/|a|^2 differs from <y_t,a>/(t |a|^2) by at most {mean:.1g} where that is between -1.5 "
    "and 1.5. From one hundredth of the modes' distance beyond the middle on, gamma_1 still differs from the step by "
    "up to {step:.2f}, and from the logistic function by {logistic:.1g}. The exponent |y_t - t mu|^2/(2t(t+1)) does "
    "not grow: it goes to |x - mu|^2/2. The transition from 10 to 90 per cent takes {width:.3f} of the distance of "
    "the modes at |a|^2 = 128, and {wide:.2f} at |a|^2 = 4.",
)
def late_weight(budget):
    """Largest differences over u in [-1.5, 1.5]."""
    t, u = 1e6, _line(-1.5, 1.5, 6001)
    weight = printed_weight_14(u * t * A, t)
    mean = float((printed_mean(u * t * A, t, weight) / A - u).abs().max())
    beyond = (u - (0.5 - P)).abs() >= 0.01
    step = float((weight - (u > 0.5 - P).double())[beyond].abs().max())
    logistic = float((weight - corrected_late_weight(u)).abs().max())
    limit = at_most("largest |<m,a>/|a|^2 - u| at t = 1e6, times t/(1.5 + 1)", mean * t / 2.5, 1.0)
    return Evidence(
        stated=[limit, equal("largest difference of gamma_1 to the step, 0.01 beyond it", step, 0, tolerance=1e-3)],
        corrected=[limit, equal("largest difference to the logistic function", logistic, 0, tolerance=1e-3)],
        numbers={
            "mean": mean,
            "step": step,
            "logistic": logistic,
            "width": 2 * math.log(9) / A**2,
            "wide": 2 * math.log(9) / 4,
        },
    )


@claim(
    "S0-14",
    source=f"{_SOURCE}7.5, intermediate regime",
    statement="gamma_1 is sigma(alpha(t) <y_t,a>) with a slope alpha(t) that increases with t, to infinity.",
    corrected="alpha(t) = 1/(t+1) falls with t. In u = <y_t,a>/(t |a|^2), the coordinate of the figures, the slope of "
    "the log-odds is |a|^2 t/(t+1), which increases, to |a|^2.",
    recorded=CORRECTED,
    fault="error",
    finding="The largest derivative of (14) in <y_t,a>, by autograd, falls from {first:.4f} at t = 0.001 to "
    "{last:.2g} at t = 1000, and is 1/(4(t+1)) to {state:.1g}. In u it grows from {small:.3g} to {large:.4g}, towards "
    "|a|^2/4 = 32.",
)
def slope(budget):
    """The largest derivative of equation (14) in both coordinates, by autograd."""
    times = numpy.geomspace(1e-3, 1e3, 41).tolist()
    state, scaled = ([_largest_slope(t, of) for t in times] for of in (False, True))
    growth = float(numpy.diff(state).min())
    errors = [abs(found / float(EXACT.slope(t, "state")) - 1) for found, t in zip(state, times, strict=True)]
    in_u = [abs(found * 4 * (t + 1) / (A**2 * t) - 1) for found, t in zip(scaled, times, strict=True)]
    both = (
        panel(
            "slope of $\\gamma_1$ in $\\langle y_t,a\\rangle$",
            times,
            {"largest": state},
            xlabel="$t$",
            ylabel="slope",
            xscale="log",
        ),
        panel(
            "slope in $\\langle y_t,a\\rangle/(t|a|^2)$",
            times,
            {"largest": scaled},
            dashed={"$|a|^2/4$": [A**2 / 4] * len(times)},
            xlabel="$t$",
            ylabel="slope",
            xscale="log",
        ),
    )
    return Evidence(
        stated=[at_least("least growth of the slope in <y_t,a> from one time to the next", growth, 0)],
        corrected=[
            equal("slope in <y_t,a>: largest relative difference to 1/(4(t+1))", max(errors), 0, tolerance=1e-4),
            equal("slope in u: largest relative difference to |a|^2 t/(4(t+1))", max(in_u), 0, tolerance=1e-4),
            at_least("least growth of the slope in u", float(numpy.diff(scaled).min()), 0),
        ],
        numbers={
            "first": state[0],
            "last": state[-1],
            "state": max(errors),
            "small": scaled[0],
            "large": scaled[-1],
        },
        figures={"claim": panels(*both)},
    )


@claim(
    "S0-15",
    source=f"{_SOURCE}7.5, equation 17",
    statement="For a fixed threshold 1/epsilon, t_sharp = inf{t > 0: max |d gamma_1/d<y_t,a>| > 1/epsilon} is the time "
    "at which the sigmoid becomes sharp; the text chooses t_sharp = 1.",
    corrected="As printed it is 0 for thresholds below 1/4 and does not exist from 1/4 on. In u = <y_t,a>/(t |a|^2) "
    "it is 4h/(|a|^2 - 4h) for thresholds h = 1/epsilon below |a|^2/4, and does not exist above.",
    recorded=CORRECTED,
    fault="error",
    finding="The slope falls with t. At t = 1 it is 1/8; for a threshold just below, 1/epsilon = 0.12, the set has "
    "every time down to the least that was tried, {least:.1g}, so that its infimum is 0; for 1/epsilon = 1 no time of "
    "{tried} between 1e-9 and 1e6 is in it. In u a root of the autograd "
    "slope agrees with 4h/(|a|^2 - 4h) to {error:.1g} at h = 1, 10, 16 and 30; h = 16, half of the supremum, gives t "
    "= {text:.4f}, the switch of the text.",
)
def sharp_time(budget):
    """The set of (17) on a grid of times; a root of the slope in u."""
    times = numpy.geomspace(1e-9, 1e6, 61).tolist()
    slopes = [_largest_slope(t, scaled=False) for t in times]
    low, high = ([t for t, found in zip(times, slopes, strict=True) if found > h] for h in (0.12, 1.0))
    thresholds = (1.0, 10.0, 16.0, 30.0)
    roots = [brentq(lambda t, h=h: _largest_slope(t, scaled=True) - h, 1e-6, 1e3, xtol=1e-14) for h in thresholds]
    error = max(abs(root / float(EXACT.sharp_time(h, "scaled")) - 1) for root, h in zip(roots, thresholds, strict=True))
    above = sum(_largest_slope(t, scaled=True) > A**2 / 4 for t in times)
    return Evidence(
        stated=[
            at_least("least time of the set at 1/epsilon = 0.12", min(low), 0.5),
        ],
        corrected=[
            equal("least time of the set at 1/epsilon = 0.12, over the least tried", min(low) / times[0], 1),
            equal("times in the set at 1/epsilon = 1", len(high), 0),
            equal("in u: largest relative difference of a root to 4h/(|a|^2 - 4h)", error, 0, tolerance=1e-3),
            equal("in u: times with a slope above |a|^2/4", above, 0),
        ],
        numbers={"least": min(low), "tried": len(times), "error": error, "text": roots[2]},
    )
