"""Discretization: the three errors of the reversed OU process, and Euler-Maruyama's orders."""

import math

import numpy

from scorelab.claims import CORRECTED, HOLDS, Evidence, at_least, at_most, claim, equal
from scorelab.claims.panels import panel, panels
from scorelab.quadrature import gauss_hermite
from scorelab.studies.discretization.theory import (
    Modes,
    constant_error,
    initial_variation,
    initial_variation_at_the_end,
    orthogonal_shift,
    orthogonal_variance,
    path_kl,
    rate,
    reverse_process,
    shift_variation,
    total_variation,
    weight_error,
)

# Theorem 1. ---------------------------------------------------------------------------------------------------------


def printed_initialisation(kl, T):
    """001_4ca3c1340e19a977.txt, section 2.2, equation (9): the first term."""
    return math.sqrt(kl) * math.exp(-T)


def printed_discretization(lipschitz, d, h, second_moment_root, T):
    """001_4ca3c1340e19a977.txt, section 2.2, equation (9): the second term; second_moment_root: m_2."""
    return (lipschitz * math.sqrt(d * h) + lipschitz * second_moment_root * h) * math.sqrt(T)


def printed_score(eps, T):
    """001_4ca3c1340e19a977.txt, section 2.2, equation (9): the third term."""
    return eps * math.sqrt(T)


#: laws on which the first and the second term are of the right size: one mode
_SHIFTED, _NOISE = Modes(1, 0.5, 0.0, 1.0), Modes(128, 0.5, 0.0)
_OFF_CENTRE, _CENTRED, _PAPER = Modes(1, 0.7, 4.0, 1.0), Modes(1, 0.7, 4.0), Modes(128, 0.7, math.sqrt(128))
_HORIZON = 6.0


def _high(budget):
    """The paper's mixture, in 128 dimensions; the quick one's modes are nearer, which allows longer steps."""
    return budget.of(_PAPER, Modes(128, 0.7, 4.0))


def _steps_of(modes, share):
    return math.ceil(_HORIZON * modes.lipschitz / share)


def _step_term(modes, T, h):
    return printed_discretization(modes.lipschitz, modes.n, h, math.sqrt(modes.second_moment), T)


@claim(
    "S1-03",
    source="001_4ca3c1340e19a977.txt, section 2.2, theorem 1",
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
    measured = {modes: numpy.array([initial_variation(modes, T) for T in times]) for modes in targets}
    terms = {modes: numpy.array([printed_initialisation(modes.kl(), T) for T in times]) for modes in targets}
    shares = {modes: measured[modes] / terms[modes] for modes in targets}
    largest = max(share.max() for share in shares.values())
    late = times >= 5
    found, printed = (rate(times[late], values[_SHIFTED][late])[0] for values in (measured, terms))
    ends = {modes: [initial_variation_at_the_end(modes, T) for T in times[late]] for modes in (_OFF_CENTRE, _CENTRED)}
    comparisons = [
        at_most("start: TV(q_T, N(0, I)) as a share of its term, largest", largest, 1),
        at_least("start: the share of N(1, 1), smallest for T >= 5", shares[_SHIFTED][late].min(), 0.5),
        equal("start: slope in T of TV(q_T, N(0, I)) for N(1, 1)", found, printed, tolerance=1e-3),
    ]
    numbers = {"start_share": largest, "start_rate": found}
    numbers["start_rate_centred"] = rate(times[late], measured[_CENTRED][late])[0]
    numbers |= {"end_rate": rate(times[late], ends[_OFF_CENTRE])[0]}
    numbers |= {"end_rate_centred": rate(times[late], ends[_CENTRED])[0]}
    lines = {"mean 1": measured[_OFF_CENTRE], "mean 0": measured[_CENTRED]}
    dashed = {"term, mean 1": terms[_OFF_CENTRE], "term, mean 0": terms[_CENTRED]}
    words = {"xlabel": "$T$", "ylabel": "total variation", "yscale": "log", "dashed": dashed}
    return comparisons, numbers, panel("start, $n=1$", times, lines, **words)


def _frozen_steps(budget):
    """The second term against h, with the exact score, from q_T; at the end and over paths."""
    shares = numpy.array(budget.of([1, 0.5, 0.25, 0.125, 0.0625, 0.03125], [1, 0.5, 0.25]))
    largest, paths_largest, curves = 0.0, 0.0, None
    for modes in (_OFF_CENTRE, _high(budget)):
        steps = [_steps_of(modes, share) for share in shares]
        h = _HORIZON / numpy.array(steps)
        laws = [reverse_process(modes, _HORIZON, count) for count in steps]
        ends = numpy.array([law.variation(modes, modes.density(law.y, 0.0)) for law in laws])
        paths = numpy.sqrt([path_kl(modes, _HORIZON, count) for count in steps])
        terms = numpy.array([_step_term(modes, _HORIZON, each) for each in h])
        largest, paths_largest = max(largest, (ends / terms).max()), max(paths_largest, (paths / terms).max())
        curves = h, ends, paths, terms
    h, ends, paths, terms = curves
    slope, error = rate(numpy.log(h), ends)
    fine = numpy.array([10000, 20000])
    kl = [path_kl(_NOISE, _HORIZON, count) for count in fine]
    attained = [kl[k] / _step_term(_NOISE, _HORIZON, _HORIZON / fine[k]) ** 2 for k in range(2)]
    log_h = numpy.log(_HORIZON / fine)
    printed = rate(log_h, [_step_term(_NOISE, _HORIZON, _HORIZON / count) for count in fine])[0]
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
    numbers["step_growth"] = _growth(_OFF_CENTRE, 0.5)
    lines = {"end": ends / terms, r"paths, $\sqrt{KL/2}$": paths / math.sqrt(2) / terms}
    words = {"xlabel": "step $h$", "ylabel": "share of the term", "xscale": "log", "yscale": "log"}
    return comparisons, numbers, panel("steps, $n=128$", h, lines, **words)


def _growth(modes, share):
    """The end's error at twice the horizon over that at the horizon, with one step size."""
    steps = _steps_of(modes, share)
    laws = [reverse_process(modes, k * _HORIZON, k * steps) for k in (1, 2)]
    once, twice = (law.variation(modes, modes.density(law.y, 0.0)) for law in laws)
    return twice / once


def _score(budget):
    """The third term against eps, by shape of the error, on the paper's target; and over paths, in closed form."""
    eps = numpy.array(budget.of([0.003, 0.01, 0.03, 0.1, 0.3], [0.01, 0.1]))
    modes = _high(budget)
    steps = _steps_of(modes, 0.5)
    without = reverse_process(modes, _HORIZON, steps)
    shapes = {"along $a$": constant_error, "on the weights": weight_error}
    lines = {name: [_moved(without, modes, _HORIZON, steps, shape, e) for e in eps] for name, shape in shapes.items()}
    variance = orthogonal_variance(_HORIZON / steps, steps)
    shifts = [shift_variation(orthogonal_shift(_HORIZON / steps, steps, e), variance) for e in eps]
    lines = {name: numpy.array(values) for name, values in (lines | {"orthogonal": shifts}).items()}
    terms = numpy.array([printed_score(e, _HORIZON) for e in eps])
    # over paths the log-likelihood ratio of a constant error of the score is N(-+eps^2 T, 2 eps^2 T)
    paths = numpy.array([math.erf(e * math.sqrt(_HORIZON) / 2) for e in eps])
    long = [math.erf(1e-3 * math.sqrt(T) / 2) / printed_score(1e-3, T) for T in (1.0, 100.0)]
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
    twice = reverse_process(modes, 2 * _HORIZON, 2 * steps)
    growth = _moved(twice, modes, 2 * _HORIZON, 2 * steps, weight_error, eps[0]) / lines["on the weights"][0]
    words = {"xlabel": r"error $\epsilon$", "ylabel": "total variation", "dashed": {"term": terms}}
    numbers = {"score_share": largest, "score_rate": slope, "score_growth": growth}
    lines |= {"paths": paths}
    return comparisons, numbers, panel("score, $n=128$", eps, lines, xscale="log", yscale="log", **words)


def _moved(without, modes, T, steps, shape, eps):
    """TV between the ends with an error of the score and without."""
    law = reverse_process(modes, T, steps, error=lambda y, u: eps * shape(modes, y, u))
    return total_variation(law.y, law.density - without.density)


def _total(budget):
    """All three errors at once, with the largest step that the theorem allows."""
    largest, numbers, eps = 0.0, {}, 0.1
    for modes in (_OFF_CENTRE, _high(budget)):
        for T in budget.of((2.0, 4.0, _HORIZON), (4.0,)):
            steps = math.ceil(T * modes.lipschitz)
            error = lambda y, u, modes=modes: eps * weight_error(modes, y, u)  # noqa: E731
            law = reverse_process(modes, T, steps, error=error, from_noise=True)
            found = law.variation(modes, modes.density(law.y, 0.0))
            term = printed_initialisation(modes.kl(), T) + _step_term(modes, T, T / steps) + printed_score(eps, T)
            largest, numbers = max(largest, found / term), {"total": found, "total_bound": term}
    return [at_most("TV with all three errors, as a share of the whole bound, largest", largest, 1)], numbers


# Euler-Maruyama. ----------------------------------------------------------------------------------------------------


def printed_black_scholes_step(w, mu, sigma, dt, dW):
    """003_573c8421e0c71443.txt, section 8.2."""
    return w + mu * w * dt + sigma * w * dW


def printed_langevin_step(w, mu, sigma, dt, dW):
    """003_573c8421e0c71443.txt, section 8.2."""
    return w - mu * w * dt + sigma * dW


def printed_increment(i):
    """Which increment takes w_i to w_{i+1} in both examples; Delta W_{j} is that of [t_{j-1}, t_j]. Same section."""
    return i


def _black_scholes(mu, sigma, h):
    """The exact step X' = A X + B (nodes,) of geometric Brownian motion, its Delta W and weights."""
    z, weights = (each.numpy() for each in gauss_hermite(40))
    dW = math.sqrt(h) * z
    return numpy.exp((mu - sigma**2 / 2) * h + sigma * dW), 0 * dW, dW, weights / weights.sum()


def _langevin(mu, sigma, h):
    """The same of the OU process: the part of its noise that Delta W does not determine is +-1 times its deviation,
    which has the right first two moments."""
    z, weights = (each.numpy() for each in gauss_hermite(4))
    dW, sign = (values.ravel() for values in numpy.meshgrid(math.sqrt(h) * z, [-1.0, 1.0], indexing="ij"))
    covariance, variance = -math.expm1(-mu * h) / mu, -math.expm1(-2 * mu * h) / (2 * mu)
    rest = math.sqrt(max(variance - covariance**2 / h, 0))
    noise = sigma * (covariance / h * dW + rest * sign)
    return numpy.full_like(dW, math.exp(-mu * h)), noise, dW, numpy.repeat(weights, 2) / (2 * weights.sum())


_EQUATIONS = {
    "black_scholes": (_black_scholes, lambda *given: printed_black_scholes_step(*given)),
    "langevin": (_langevin, lambda *given: printed_langevin_step(*given)),
}


def errors_at_the_end(equation, steps, *, lag, mu=0.8, sigma=0.6, start=1.0, T=1.0):
    """sqrt(E|w_n - X(T)|^2), |E w_n - E X(T)| and |E w_n^2 - E X(T)^2| from X(0) = start, exactly.

    Both are linear, so that with D = w - X the moments (D^2, D X, X^2, D, X, 1) follow a linear recursion. lag: by how
    many increments the noise of w is behind that of X, 0 or 1; then D = w_{i+1} - X_i, which has the same noise.
    """
    exact, step = _EQUATIONS[equation]
    h = T / steps
    A_exact, B_exact, dW, weights = exact(mu, sigma, h)
    B = step(0.0, mu, sigma, h, dW)
    A = step(1.0, mu, sigma, h, dW) - B
    one, zero = numpy.ones_like(dW), numpy.zeros_like(dW)
    first = numpy.array([0, 0, start**2, 0, start, 1.0])
    ahead = _moments(A, A - one, B, one, zero, weights)  # w moves, X stays
    both = _moments(A, A - A_exact, B - B_exact, A_exact, B_exact, weights)
    behind = _moments(one, one - A_exact, -B_exact, A_exact, B_exact, weights)  # X moves, w stays
    if lag:
        last = behind @ numpy.linalg.matrix_power(both, steps - 1) @ ahead @ first
    else:
        last = numpy.linalg.matrix_power(both, steps) @ first
    return math.sqrt(last[0]), abs(last[3]), abs(2 * last[1] + last[0])


def _moments(A, a, b, A_exact, B_exact, weights):
    """The matrix (6, 6) that takes the moments over D' = A D + a X + b, X' = A_exact X + B_exact."""
    zero, one = numpy.zeros_like(A), numpy.ones_like(A)
    rows = [
        [A * A, 2 * A * a, a * a, 2 * A * b, 2 * a * b, b * b],
        [zero, A * A_exact, a * A_exact, A * B_exact, a * B_exact + b * A_exact, b * B_exact],
        [zero, zero, A_exact**2, zero, 2 * A_exact * B_exact, B_exact**2],
        [zero, zero, zero, A, a, b],
        [zero, zero, zero, zero, A_exact, B_exact],
        [zero, zero, zero, zero, zero, one],
    ]
    return numpy.array([[weights @ entry for entry in row] for row in rows])


def _orders(equation, lag, steps=1024):
    """The three orders: log2 of what half the step leaves of each error."""
    whole, half = (errors_at_the_end(equation, count, lag=lag) for count in (steps, 2 * steps))
    return [math.log2(before / after) for before, after in zip(whole, half, strict=True)]


def _order_comparisons(orders):
    """Strong 1/2 and 1, weak 1 for the first two moments."""
    found = []
    for equation, strong in (("black_scholes", 0.5), ("langevin", 1.0)):
        name = {"black_scholes": "geometric Brownian motion", "langevin": "OU"}[equation]
        for kind, order, held in zip(
            ("strong order", "weak order, mean", "weak order, second moment"),
            orders[equation],
            (strong, 1.0, 1.0),
            strict=True,
        ):
            found.append(equal(f"{name}: {kind}", order, held, tolerance=0.02))
    return found


@claim(
    "S3-04",
    source="003_573c8421e0c71443.txt, section 8.2",
    statement="Euler-Maruyama, w_{i+1} = w_i + mu w_i Dt_i + sigma w_i DW_i for geometric Brownian motion and w_{i+1} "
    "= w_i - mu w_i Dt_i + sigma DW_i for the OU process, DW_{i+1} the increment over [t_i, t_{i+1}], has strong order "
    "1/2, for additive noise 1, and weak order 1.",
    corrected="with Dt_{i+1} and DW_{i+1} in both examples, as in the general recursion above them.",
    recorded=CORRECTED,
    fault="misprint",
    finding="By exact moments, at h = 1/1024 and half of it. With the indices of the general recursion the strong "
    "order is {black_scholes:.3f} for geometric Brownian motion and {langevin:.3f} for OU, the weak orders (mean, "
    "second moment) {weak_low:.3f} to {weak_high:.3f}. The constant is known: E|w - X|^2/h -> sigma^4 T E X^2/2 "
    "for geometric Brownian motion, {constant:.4f} of it here. The examples' own index i is one increment late (and "
    "needs DW_0, which there is not): the law of w is the same, so weak orders stay, but the noise of one step is "
    "missed. The strong order of OU falls to {langevin_late:.3f}; of geometric Brownian motion it stays "
    "{black_scholes_late:.3f} with an error {times:.2f} times as large.",
)
def euler_maruyama(budget):
    """Moments of the scheme and of the exact solution, driven by the same noise."""
    late = {name: _orders(name, 1 - printed_increment(0)) for name in _EQUATIONS}
    right = {name: _orders(name, 0) for name in _EQUATIONS}
    mu, sigma, steps = 0.8, 0.6, 4096
    strong = errors_at_the_end("black_scholes", steps, lag=0, mu=mu, sigma=sigma)[0]
    constant = strong**2 * steps / (sigma**4 / 2 * math.exp(2 * mu + sigma**2))
    known = equal("geometric Brownian motion: E|w - X|^2/h over sigma^4 T E X^2/2", constant, 1, tolerance=0.01)
    weak = [order for orders in right.values() for order in orders[1:]]
    numbers = {name: orders[0] for name, orders in right.items()}
    numbers |= {f"{name}_late": orders[0] for name, orders in late.items()}
    numbers |= {"weak_low": min(weak), "weak_high": max(weak), "constant": constant}
    numbers["times"] = errors_at_the_end("black_scholes", steps, lag=1)[0] / strong
    return Evidence(
        stated=_order_comparisons(late),
        corrected=[*_order_comparisons(right), known],
        numbers=numbers,
        figures={"claim": _order_panels()},
    )


def _order_panels():
    """Strong and weak errors against the step."""
    counts = 2 ** numpy.arange(3, 12)
    of = {
        (name, lag): numpy.array([errors_at_the_end(name, int(count), lag=lag) for count in counts])
        for name in _EQUATIONS
        for lag in (0, 1)
    }
    h, names = 1 / counts, {"black_scholes": "geometric Brownian motion", "langevin": "OU"}
    strong = {names[name]: of[name, 0][:, 0] for name in names} | {"OU, index as printed": of["langevin", 1][:, 0]}
    weak = {names[name]: of[name, 0][:, 1] for name in names}
    scales = {"xlabel": "step $h$", "xscale": "log", "yscale": "log"}
    return panels(
        panel("strong", h, strong, ylabel=r"$(E|w-X|^2)^{1/2}$", **scales),
        panel("weak", h, weak, ylabel=r"$|Ew-EX|$", **scales),
    )
