"""Stochastic localization: its outputs, its measures, its change of variables."""

import math
from collections import defaultdict

import torch

from scorelab.claims import CORRECTED, HOLDS, Evidence, at_least, at_most, claim, equal
from scorelab.claims.panels import panel, panels
from scorelab.quadrature import trapezoid
from scorelab.schedules import OU
from scorelab.studies.localization import theory
from scorelab.targets import GaussianMixture
from scorelab.theory.line import monotone_map, score, two_modes


@claim(
    "S0-07",
    source="Visconti 2025, section 6, below equation (11)",
    statement="For large T both Y_T/T and m(Y_T; T) are approximate samples from mu.",
    recorded=HOLDS,
    finding="The exact laws, for two modes of unit variance on the line: Y_T/T = X + G/sqrt(T), with 1/T too much "
    "variance; m(Y_T; T) is too narrow by the Bayes risk R(T) < 1/T. Their Wasserstein-2 distances to mu are at most "
    "1/sqrt(T) and sqrt(R(T)), whatever mu, but for a smooth mu both are sqrt(I)/(2T) to first order, I = E|grad log "
    "mu|^2: T W2 tends to {first:.6f} and {second:.6f}, sqrt(I)/2 = {half:.6f}. One errs outwards and the other "
    "inwards, by the same amount: at T = {T:g} the distances are {first_T:.3g} and {second_T:.3g}, and that of the "
    "mean of both {middle_T:.2g}, which falls like 1/T^2. For two atoms at -1 and 1 nothing is smooth and m is far "
    "better: {atoms_first:.3g} against {atoms_second:.2g} at T = 16.",
)
def outputs_of_localization(budget):
    """Measure Wasserstein-2 distances by monotone transport on the line, as both outputs are increasing functions of
    Y_T."""
    law, times = two_modes(), [2.0**k for k in range(0, 13, budget.of(1, 2))]
    x, step = trapezoid(-9.0, 8.0, budget.of(1701, 601))
    weights, risk_of = step * law.pdf(x), GaussianMixture([0.7, 0.3], [[0.9], [-2.1]]).bayes_risk
    fisher = float(weights @ score(law, x).square())
    second_moment = law.variance + law.mean**2
    distances, stated = defaultdict(list), []
    for time in times:
        y = monotone_map(law, law.noisy(time, time), x)
        outputs = {"first": theory.first_output(y, time), "second": theory.second_output(law, y, time)}
        outputs["middle"] = 0.5 * (outputs["first"] + outputs["second"])
        risk = float(risk_of(math.atan(math.sqrt(time))))
        for name, values in outputs.items():
            distances[name].append(float(weights @ (values - x).square()) ** 0.5)
        if time in (1.0, 16.0, 256.0):
            moments = [float(weights @ outputs[name].square()) for name in ("first", "second")]
            stated += [
                equal(
                    f"T = {time:g}: E|Y_T/T|^2 is E|X|^2 + 1/T", moments[0], second_moment + 1 / time, tolerance=1e-8
                ),
                equal(f"T = {time:g}: E|m|^2 is E|X|^2 - R(T)", moments[1], second_moment - risk, tolerance=1e-8),
                at_most(f"T = {time:g}: W2 of Y_T/T, against 1/sqrt(T)", distances["first"][-1], time**-0.5),
                at_most(f"T = {time:g}: W2 of m, against sqrt(R(T))", distances["second"][-1], risk**0.5),
            ]
    limits = {}
    for name in ("first", "second"):
        # T W2 = c + d/T + ...: the last two times give c
        (early, late), (then, last) = times[-2:], (t * w for t, w in zip(times[-2:], distances[name][-2:], strict=True))
        limits[name] = (late * last - early * then) / (late - early)
        stated.append(equal(f"limit of T W2, {name} output", limits[name], 0.5 * fisher**0.5, tolerance=1e-4))
    order = math.log(distances["middle"][-3] / distances["middle"][-2]) / math.log(times[-2] / times[-3])
    stated.append(equal("order in 1/T of W2 of the mean of both", order, 2, tolerance=0.05))
    atoms = [theory.distances_of_atoms(time) for time in times]
    at, half = times.index(16.0), 0.5 * fisher**0.5
    numbers = {f"{name}_T": values[at] for name, values in distances.items()}
    numbers |= {"half": half, "T": times[at], "atoms_first": atoms[at][0], "atoms_second": atoms[at][1]}
    return Evidence(stated, numbers=limits | numbers, figures={"claim": _outputs(times, distances, atoms, half)})


def _outputs(times, distances, atoms, half):
    """The figure: distances for a smooth law and for two atoms."""
    axes = {"xlabel": "T", "ylabel": "Wasserstein-2", "xscale": "log", "yscale": "log"}
    names = {"first": "$Y_T/T$", "second": "$m(Y_T; T)$", "middle": "mean of both"}
    early = slice(0, times.index(64.0) + 1)
    smooth = {names[name]: values for name, values in distances.items()}
    of_atoms = {names[name]: [each[i] for each in atoms[early]] for i, name in enumerate(("first", "second"))}
    dashed = {r"$\sqrt{I}/(2T)$": [half / time for time in times]}
    return panels(
        panel("Two modes of unit variance", times, smooth, dashed=dashed, **axes),
        panel("Two atoms", times[early], of_atoms, **axes),
    )


@claim(
    "S0-08",
    source="Visconti 2025, section 6, equations (8) and (9)",
    statement="With mu_t ~ mu(dx) exp{-|Y_t - t x|^2/(2t)} (8) ~ mu(dx) exp{<Y_t, x> - |x|^2/(2t)} (9), mu_t is a "
    "martingale and localizes as t grows.",
    corrected="In (9) it is -t|x|^2/2. With (8), which is right, mu_t is a martingale of measures and localizes: the "
    "expected variance of mu_t is at most n/t.",
    recorded=CORRECTED,
    fault="misprint",
    finding="With (8), E[mu_t(f) | Y_s] is mu_s(f) within {martingale:.1g} for f = x, x^2, tanh(3x), cos(2x), two "
    "pairs of times and five values of Y_s; and the expected variance of mu_t falls like 1/t: t times it is "
    "{scaled:.4f} at t = {last:g}. Multiplied out, (8) has -t|x|^2/2. As printed, (9) is another law for all t but 1: "
    "its expectations drift by up to {printed_martingale:.3g}, and it does not localize: at t = {last:g} its expected "
    "variance is {printed_variance:.3g}.",
    cost=2,
)
def martingale_of_measures(budget):
    """Integrate over mu, and over Y_t given Y_s, by quadrature on the line."""
    measure = theory.LocalizingMeasure(two_modes(), budget.of(601, 401))
    truth = GaussianMixture([0.7, 0.3], [[0.9], [-2.1]])
    functions = [lambda x: x, lambda x: x**2, lambda x: torch.tanh(3 * x), lambda x: torch.cos(2 * x)]
    y = torch.tensor([-4.0, -1.5, 0.0, 0.7, 3.0], dtype=torch.float64)
    tilts = {"(8)": theory.log_tilt_8, "(9)": theory.log_tilt_9, "(9) as printed": theory.printed_log_tilt_9}
    pairs = ((0.5, 2.0), (2.0, 8.0))
    drift = {
        name: max(float(measure.drift_of_means(tilt, functions, *pair, y).abs().max()) for pair in pairs)
        for name, tilt in tilts.items()
    }
    times = budget.of((0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0), (1.0, 8.0))
    variance = {name: [measure.expected_variance(tilt, time) for time in times] for name, tilt in tilts.items()}
    exact = [float(truth.bayes_risk(math.atan(math.sqrt(time)))) for time in times]
    last = times[-1]

    def comparisons(name):
        worst = max(value * time for value, time in zip(variance[name], times, strict=True))
        return [
            equal(f"{name}: largest drift of E[mu_t(f) | Y_s]", drift[name], 0, tolerance=1e-8),
            at_most(f"{name}: largest t E Var(mu_t)", worst, 1),
        ]

    off = max(abs(value - risk) for value, risk in zip(variance["(8)"], exact, strict=True))
    limit = at_least(f"(8): t E Var(mu_t) at t = {last:g}", variance["(8)"][-1] * last, 1 - 1 / last)
    of_8 = [*comparisons("(8)"), equal("(8): E Var(mu_t) less the Bayes risk", off, 0, tolerance=1e-8), limit]
    return Evidence(
        stated=[*of_8, *comparisons("(9) as printed")],
        corrected=[*of_8, *comparisons("(9)")],
        numbers={
            "martingale": max(drift["(8)"], drift["(9)"]),
            "printed_martingale": drift["(9) as printed"],
            "scaled": variance["(8)"][-1] * last,
            "printed_variance": variance["(9) as printed"][-1],
            "last": last,
        },
        figures={"claim": _localizing(measure, times, variance, budget)},
    )


def _localizing(measure, times, variance, budget):
    """The figure: mu_t along a path, and its expected variance."""
    x = torch.linspace(-4.5, 4.5, 181, dtype=torch.float64)
    curves = {name: variance[name] for name in ("(8)", "(9) as printed")}
    axes = {"xlabel": "t", "ylabel": "expected variance", "xscale": "log", "yscale": "log"}
    return panels(
        panel("$\\mu_t$ along one path", x, _path(measure, x, budget), xlabel="x", ylabel="density"),
        panel("Localization", times, curves, dashed={"1/t": [1 / time for time in times]}, **axes),
    )


def _path(measure, x, budget):
    """Label -> density of mu_t at x, for one draw of X and of the Brownian motion."""
    times = torch.tensor([0.0, 0.5, 2.0, 8.0, 32.0], dtype=torch.float64)
    steps = torch.randn(4, generator=budget.stream("path"), dtype=torch.float64) * times.diff().sqrt()
    y, curves = times[1:] * 0.9 + steps.cumsum(0), {"t = 0": measure.law.pdf(x)}
    nodes, step = trapezoid(-9.0, 8.0, 3401)
    for time, state in zip(times[1:].tolist(), y, strict=True):
        constant = step * (measure.law.pdf(nodes) * theory.log_tilt_8(state, time, nodes).exp()).sum()
        curves[f"t = {time:g}"] = measure.law.pdf(x) * theory.log_tilt_8(state, time, x).exp() / constant
    return curves


@claim(
    "S0-09",
    source="Visconti 2025, section 6, last paragraph; equation (10)",
    statement="Sampling by stochastic localization equals sampling by the reversed OU process, up to a change of "
    "variables, when the score is given by Tweedie's formula.",
    recorded=HOLDS,
    finding="With dX = -X ds + sqrt(2) dW, s = log(1 + 1/t)/2 and Y_t = sqrt(t(t+1)) X_s the two are one Gaussian "
    "process given X: means t X and covariances min(t, t') agree within {covariance:.1g}. The reversed SDE, drift X + "
    "2 score and noise sqrt(2) in the time T - s, becomes dY = m(Y; t) dt + dW: for a mixture in five dimensions the "
    "drifts agree within {drift:.1g} from t = 0.001 to 1000, the noise within {noise:.1g}. What is not the same is "
    "the start: an OU process that is begun at s = T from N(0, I) is localization begun at t = 1/(e^2T - 1), without "
    "the signal it has there; localization begins at t = 0 exactly.",
)
def localization_is_reversed_ou(budget):
    """Compare covariances in closed form, and drifts at random states with the score by autograd."""
    times = torch.logspace(-3, 3, 25, dtype=torch.float64)
    ou_times, scale = theory.change_of_variables(times)
    early, late = torch.minimum(times.unsqueeze(1), times), torch.maximum(ou_times.unsqueeze(1), ou_times)
    sooner = torch.minimum(ou_times.unsqueeze(1), ou_times)
    # E[X_s X_s' | X_0] less the product of the means: e^-|s-s'| - e^-(s+s')
    ou = torch.exp(sooner - late) * -torch.expm1(-2 * sooner) * scale * scale.unsqueeze(1)
    covariance = float((ou / early - 1).abs().max())
    mean = float((scale * torch.exp(-ou_times) / times - 1).abs().max())

    generator = budget.stream()
    means = 2 * torch.randn(3, 5, generator=generator, dtype=torch.float64)
    target = GaussianMixture([0.5, 0.3, 0.2], means, [0.6, 1.0, 1.4])
    clock = OU(grid="native", beta=1.0, sigma=math.sqrt(2), T=5.0, t_min=0.01)
    off, noise = [], []
    for time in times:
        moment = time.clone().requires_grad_()
        s, factor = theory.change_of_variables(moment)
        (speed,) = torch.autograd.grad(s, moment, retain_graph=True)
        (growth,) = torch.autograd.grad(factor.log(), moment)
        s, factor = s.detach(), factor.detach()
        y = time * target.sample(20, generator, torch.float64)
        y = y + time.sqrt() * torch.randn(y.shape, generator=generator, dtype=torch.float64)
        x = (y / factor).requires_grad_()
        angle = clock.angle(s)
        (slope,) = torch.autograd.grad(target.noisy_log_prob(x, angle).sum(), x)
        x = x.detach()
        drift = growth * y - factor * speed * (x + 2 * slope)
        exact = target.posterior_mean(x, math.atan(math.sqrt(time)))
        off.append(float((drift - exact).abs().max()))
        noise.append(abs(float(-2 * speed * factor**2) - 1))
    drift, noise = max(off), max(noise)
    return Evidence(
        [
            equal("largest relative difference of covariances", covariance, 0, tolerance=1e-10),
            equal("largest relative difference of means", mean, 0, tolerance=1e-10),
            equal("largest difference of drifts", drift, 0, tolerance=1e-8),
            equal("largest difference of the squared noise to 1", noise, 0, tolerance=1e-10),
        ],
        numbers={"covariance": covariance, "drift": drift, "noise": noise},
    )
