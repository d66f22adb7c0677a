"""Diffusion processes: Ornstein-Uhlenbeck, stochastic localization, DDPM's chain, variance exploding; reversals."""

import itertools
import math
from collections import defaultdict

import torch

from scorelab.claims import CORRECTED, HOLDS, Evidence, at_least, at_most, claim, equal
from scorelab.claims.curves import panel, panels
from scorelab.schedules import DDPM, OU, VE
from scorelab.targets import GaussianMixture
from scorelab.targets.projected_law import ProjectedLaw
from scorelab.targets.quadrature import gauss_legendre
from scorelab.theory.line import (
    derivatives,
    monotone_map,
    noisy,
    normal_density,
    push,
    solve_fokker_planck,
    trapezoid,
)


def two_modes(p=0.7, a=3.0):
    """p N((1-p) a, 1) + (1-p) N(-p a, 1)."""
    return ProjectedLaw([p, 1 - p], [(1 - p) * a, -p * a], [1.0, 1.0])


def score(law, x):
    """(log density)' by autograd."""
    return derivatives(lambda x: law.pdf(x).log(), x, 1)[1]


def in_time(function, x, time):
    """d/dt function(x, t) at a time, shape of x."""

    def of_times(times):
        return function(x, times)

    return derivatives(of_times, torch.full_like(x, time), 1)[1]


def flux_slope(law, drift, x):
    """(q v)' at x by autograd, for the density q of a law and v = drift(x, (log q)')."""

    def flux(x):
        density = law.pdf(x)
        (slope,) = torch.autograd.grad(density.sum(), x, create_graph=True)
        return density * drift(x, slope / density)

    return derivatives(flux, x, 1)[1]


class Mixture:
    """A mixture on the line whose parameters are functions of time: signal(t) X + N(0, variance(t)), differentiable."""

    def __init__(self, law, signal, variance):
        self.law, self.signal, self.variance = law, signal, variance

    def at(self, time):
        """The law at a time."""
        return noisy(self.law, self.signal(time), self.variance(time))

    def pdf(self, x, time):
        """The density at x and a tensor of times, shape (points,)."""
        signal, variance = self.signal(time).unsqueeze(-1), self.variance(time).unsqueeze(-1)
        of_modes = normal_density(x.unsqueeze(-1) - signal * self.law.means, (signal * self.law.stds) ** 2 + variance)
        return (self.law.weights * of_modes).sum(-1)


def ou_mixture():
    """The law of the OU process dX = -X dt + sqrt(2) dB started from two modes."""
    return Mixture(two_modes(), lambda t: torch.exp(-t), lambda t: -torch.expm1(-2 * t))


# 000, section 5.3: the stationary law. ------------------------------------------------------------------------------


def printed_stationary_variance(sigma):
    """000_6c70dbc10a1c9c83.txt, section 5.3: N(0, I)."""
    return 1.0


def stationary_variance(sigma):
    """The limit of the variance of the transition kernel of the same section."""
    return sigma**2 / 2


def kernel_variance(sigma, time):
    """sigma^2/2 (1 - e^-2t), the same section."""
    return -0.5 * sigma**2 * math.expm1(-2 * time)


@claim(
    "S0-06",
    source="000_6c70dbc10a1c9c83.txt, section 5.3",
    statement="The OU process dX = -X dt + sigma dW converges to its stationary law N(0, I).",
    corrected="Its stationary law is N(0, sigma^2/2 I): N(0, I) for sigma^2 = 2 alone.",
    recorded=CORRECTED,
    fault="misprint",
    finding="For sigma = 0.5, 1, sqrt(2), 2 the variance of the printed kernel at t = 20 and that of the Euler scheme "
    "with a vanishing step are sigma^2/2 within {right:.1g}, and N(0, sigma^2/2) solves 0 = (x p)' + sigma^2/2 p'' "
    "within {residual:.1g}. N(0, 1) does for sigma^2 = 2 alone; at sigma = {worst:g} the variance is {variance:g}, "
    "off by {printed:.3g}. The kernel printed two lines above has the right variance, and sampling is done with "
    "sigma^2 = 2.",
)
def stationary_law(budget):
    """The kernel's limit, the Euler scheme's limit and the stationary Fokker-Planck equation."""
    found = defaultdict(list)
    sigmas = (0.5, 1.0, math.sqrt(2), 2.0)
    for sigma in sigmas:
        limits = [
            kernel_variance(sigma, 20.0),
            _euler_limit(sigma),
            OU(grid="native", beta=1.0, sigma=sigma, T=5.0, t_min=0.01).terminal_std ** 2,
        ]
        for name, variance in (("printed", printed_stationary_variance(sigma)), ("right", stationary_variance(sigma))):
            found[name].append(max(abs(limit - variance) for limit in limits))
            found[f"{name} residual"].append(_stationary_residual(sigma, variance))
    worst = max(range(len(sigmas)), key=lambda i: found["printed"][i])

    def comparisons(name, law):
        return [
            equal(f"largest difference to the variance of {law}", max(found[name]), 0, tolerance=1e-9),
            equal(f"largest residual of {law}", max(found[f"{name} residual"]), 0, tolerance=1e-12),
        ]

    return Evidence(
        stated=comparisons("printed", "N(0, 1)"),
        corrected=comparisons("right", "N(0, sigma^2/2)"),
        numbers={
            "right": max(found["right"]),
            "residual": max(found["right residual"]),
            "printed": found["printed"][worst],
            "worst": sigmas[worst],
            "variance": kernel_variance(sigmas[worst], 20.0),
        },
    )


def _euler_limit(sigma):
    """The variance of X <- (1 - h) X + sigma sqrt(h) Z after many steps, for h -> 0 by Richardson's extrapolation."""
    rows = [[sigma**2 * h / (1 - (1 - h) ** 2) for h in (1e-2, 5e-3, 2.5e-3, 1.25e-3)]]
    for order in (1, 2, 3):
        rows.append(
            [(2**order * fine - coarse) / (2**order - 1) for coarse, fine in zip(rows[-1], rows[-1][1:], strict=False)]
        )
    return rows[-1][0]


def _stationary_residual(sigma, variance):
    x = torch.linspace(-4, 4, 81, dtype=torch.float64)
    flux = derivatives(lambda x: x * normal_density(x, variance), x, 1)[1]
    curvature = derivatives(lambda x: normal_density(x, variance), x, 2)[2]
    return float((flux + 0.5 * sigma**2 * curvature).abs().max())


# 000, section 6: stochastic localization. ---------------------------------------------------------------------------


def first_output(y, time):
    """Y_T/T, 000_6c70dbc10a1c9c83.txt, section 6."""
    return y / time


def second_output(law, y, time):
    """m(Y_T; T) = E[X | Y_T], by Tweedie's formula for Y_T/T = X + G/sqrt(T)."""
    x = y / time
    return x + score(noisy(law, 1.0, 1 / time), x) / time


@claim(
    "S0-07",
    source="000_6c70dbc10a1c9c83.txt, section 6, below equation (11)",
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
    """Wasserstein-2 distances on the line by monotone transport, which both outputs are functions of."""
    law, times = two_modes(), [2.0**k for k in range(0, 13, budget.of(1, 2))]
    x, step = trapezoid(-9.0, 8.0, budget.of(1701, 601))
    weights, risk_of = step * law.pdf(x), GaussianMixture([0.7, 0.3], [[0.9], [-2.1]]).bayes_risk
    fisher = float(weights @ score(law, x).square())
    second_moment = law.variance + law.mean**2
    distances, stated = defaultdict(list), []
    for time in times:
        y = monotone_map(law, noisy(law, time, time), x)
        outputs = {"first": first_output(y, time), "second": second_output(law, y, time)}
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
        # T W2 = c + d/T + ...: what the last two times leave of it
        (early, late), (then, last) = times[-2:], (t * w for t, w in zip(times[-2:], distances[name][-2:], strict=True))
        limits[name] = (late * last - early * then) / (late - early)
        stated.append(equal(f"limit of T W2, {name} output", limits[name], 0.5 * fisher**0.5, tolerance=1e-4))
    order = math.log(distances["middle"][-3] / distances["middle"][-2]) / math.log(times[-2] / times[-3])
    stated.append(equal("order in 1/T of W2 of the mean of both", order, 2, tolerance=0.05))
    atoms = [_distances_of_atoms(time) for time in times]
    at, half = times.index(16.0), 0.5 * fisher**0.5
    numbers = {f"{name}_T": values[at] for name, values in distances.items()}
    numbers |= {"half": half, "T": times[at], "atoms_first": atoms[at][0], "atoms_second": atoms[at][1]}
    return Evidence(stated, numbers=limits | numbers, figures={"claim": _outputs(times, distances, atoms, half)})


def _outputs(times, distances, atoms, half):
    """The figure: distances of a smooth law and of two atoms."""
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


def _distances_of_atoms(time):
    """W2 to (delta_1 + delta_-1)/2 of Y_T/T and of m = tanh(Y_T); by symmetry the positive half belongs to 1."""
    z, step = trapezoid(-10.0, 10.0, 20001)
    density = step * normal_density(z, 1.0)
    y = (time + math.sqrt(time) * z).abs()
    return [float(density @ (values - 1).square()) ** 0.5 for values in (y / time, torch.tanh(y))]


def log_tilt_8(y, time, x):
    """-|y - t x|^2/(2t), 000_6c70dbc10a1c9c83.txt, section 6, equation (8)."""
    return -((y - time * x) ** 2) / (2 * time)


def printed_log_tilt_9(y, time, x):
    """<y, x> - |x|^2/(2t), the same section, equation (9)."""
    return y * x - x**2 / (2 * time)


def log_tilt_9(y, time, x):
    """(8) multiplied out, without what does not depend on x."""
    return y * x - 0.5 * time * x**2


class Localization:
    """mu_t by quadrature, for a mixture on the line and a tilt (y, t, x) -> log of dmu_t/dmu up to a constant."""

    def __init__(self, law, points):
        self.law, self.points = law, points

    def posterior(self, tilt, y, time):
        """mu_t for observations y (count,): nodes and weights (count, points).

        The nodes of each lie around where mu_t is largest, which a wide grid tells first.
        """

        def log_density(x):
            return log_pdf(self.law, x) + tilt(y.unsqueeze(1), time, x)

        wide = torch.linspace(-1, 1, 801, dtype=torch.float64) * (1.1 * float(y.abs().max()) + 12)
        centre = wide[log_density(wide).argmax(1)]
        x = centre.unsqueeze(1) + torch.linspace(-12, 12, self.points, dtype=torch.float64)
        return x, torch.softmax(log_density(x), 1)

    def means(self, tilt, functions, y, time):
        """mu_t(f), shape (functions, count)."""
        x, weights = self.posterior(tilt, y, time)
        return torch.stack([(weights * function(x)).sum(1) for function in functions])

    def drift_of_means(self, tilt, functions, early, late, y):
        """E[mu_late(f) | Y_early = y] - mu_early(f), shape (functions, count): 0 for a martingale of measures.

        Given Y_s = y, X has the law of Bayes' rule, and Y_t = y + (t - s) X + sqrt(t - s) G.
        """
        gap, found = late - early, []
        x, truth = self.posterior(log_tilt_8, y, early)
        for start, clean, law in zip(y, x, truth, strict=True):
            middle = float(start + gap * (law @ clean))
            ends, width = trapezoid(middle - 8 * gap - 9.5 * gap**0.5, middle + 8 * gap + 9.5 * gap**0.5, self.points)
            density = normal_density(ends.unsqueeze(1) - start - gap * clean, gap) @ law
            found.append(width * self.means(tilt, functions, ends, late) @ density)
        return torch.stack(found, 1) - self.means(tilt, functions, y, early)

    def expected_variance(self, tilt, time):
        """E Var(mu_t) over the law of Y_t."""
        law = noisy(self.law, time, time)
        reach = 9.5 * law.variance**0.5
        y, width = trapezoid(law.mean - reach, law.mean + reach, self.points)
        mean, square = self.means(tilt, [lambda x: x, lambda x: x**2], y, time)
        return float(width * law.pdf(y) @ (square - mean**2))


def log_pdf(law, x):
    """log of the density, which does not vanish to rounding."""
    x = x.unsqueeze(-1)
    log_modes = torch.log(law.weights / law.stds) - 0.5 * ((x - law.means) / law.stds) ** 2
    return torch.logsumexp(log_modes, -1) - 0.5 * math.log(2 * math.pi)


@claim(
    "S0-08",
    source="000_6c70dbc10a1c9c83.txt, section 6, equations (8) and (9)",
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
    """Quadrature on the line: over mu, and over Y_t given Y_s."""
    localization, truth = Localization(two_modes(), budget.of(601, 401)), GaussianMixture([0.7, 0.3], [[0.9], [-2.1]])
    functions = [lambda x: x, lambda x: x**2, lambda x: torch.tanh(3 * x), lambda x: torch.cos(2 * x)]
    y = torch.tensor([-4.0, -1.5, 0.0, 0.7, 3.0], dtype=torch.float64)
    tilts = {"(8)": log_tilt_8, "(9)": log_tilt_9, "(9) as printed": printed_log_tilt_9}
    pairs = ((0.5, 2.0), (2.0, 8.0))
    drift = {
        name: max(float(localization.drift_of_means(tilt, functions, *pair, y).abs().max()) for pair in pairs)
        for name, tilt in tilts.items()
    }
    times = budget.of((0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0), (1.0, 8.0))
    variance = {name: [localization.expected_variance(tilt, time) for time in times] for name, tilt in tilts.items()}
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
        figures={"claim": _localizing(localization, times, variance, budget)},
    )


def _localizing(localization, times, variance, budget):
    """The figure: mu_t along a path, and its expected variance."""
    x = torch.linspace(-4.5, 4.5, 181, dtype=torch.float64)
    curves = {name: variance[name] for name in ("(8)", "(9) as printed")}
    axes = {"xlabel": "t", "ylabel": "expected variance", "xscale": "log", "yscale": "log"}
    return panels(
        panel("$\\mu_t$ along one path", x, _path(localization, x, budget), xlabel="x", ylabel="density"),
        panel("Localization", times, curves, dashed={"1/t": [1 / time for time in times]}, **axes),
    )


def _path(localization, x, budget):
    """Label -> density of mu_t at x, for one draw of X and of the Brownian motion."""
    times = torch.tensor([0.0, 0.5, 2.0, 8.0, 32.0], dtype=torch.float64)
    steps = torch.randn(4, generator=budget.stream("path"), dtype=torch.float64) * times.diff().sqrt()
    y, curves = times[1:] * 0.9 + steps.cumsum(0), {"t = 0": localization.law.pdf(x)}
    nodes, step = trapezoid(-9.0, 8.0, 3401)
    for time, state in zip(times[1:].tolist(), y, strict=True):
        constant = step * (localization.law.pdf(nodes) * log_tilt_8(state, time, nodes).exp()).sum()
        curves[f"t = {time:g}"] = localization.law.pdf(x) * log_tilt_8(state, time, x).exp() / constant
    return curves


def change_of_variables(time):
    """OU time and scale of stochastic localization at t: e^-2s = t/(t+1), Y_t = sqrt(t(t+1)) X_s."""
    return 0.5 * torch.log1p(1 / time), (time * (time + 1)).sqrt()


@claim(
    "S0-09",
    source="000_6c70dbc10a1c9c83.txt, section 6, last paragraph; equation (10)",
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
    """Covariances by closed forms, drifts at random states with the score by autograd."""
    times = torch.logspace(-3, 3, 25, dtype=torch.float64)
    ou_times, scale = change_of_variables(times)
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
        s, factor = change_of_variables(moment)
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


# 001, sections 1.2 and 1.3: Fokker-Planck, Tweedie. -----------------------------------------------------------------


def fokker_planck(flux_slope, curvature):
    """-div(q v) + Laplacian of q, 001_4ca3c1340e19a977.txt, section 1.2, equation (3)."""
    return -flux_slope + curvature


def ou_drift(x, _):
    """-x, 001_4ca3c1340e19a977.txt, equation (1)."""
    return -x


def reverse_drift(x, slope):
    """x + 2 grad log q, the same section, equation (2)."""
    return x + 2 * slope


@claim(
    "S1-01",
    source="001_4ca3c1340e19a977.txt, section 1.2, proposition 1 and equations (1)-(3)",
    statement="The law q_t of dx = v_t(x) dt + sqrt(2) dB satisfies dq/dt = -div(q v) + Laplacian q; for the OU "
    "process and its reversal (2) it is the law of the noised target.",
    recorded=HOLDS,
    finding="The closed-form density of the OU process from two modes satisfies the equation within {closed:.1g} "
    "(autograd), and so does its reversal with drift x + 2 grad log q, {reverse:.1g}. Crank and Nicolson's solution "
    "with {cells} cells is away from the closed form by {error:.1g} and converges with order {order:.3f}; run "
    "backwards with (2) from t = 1 to 0.1 it is away by {back:.1g}. For a drift without a closed form, sin(2x) - x + "
    "cos(5t)/2, it agrees with the law of the Euler-Maruyama chain, carried from step to step and extrapolated to h = "
    "0, within {chain:.1g}.",
)
def fokker_planck_equation(budget):
    """Autograd, finite differences, and the chain's transition kernels, on the line."""
    process = ou_mixture()
    points = torch.linspace(-5, 5, 101, dtype=torch.float64)
    closed, reverse = [], []
    for time in (0.05, 0.3, 1.0):
        law = process.at(torch.tensor(time, dtype=torch.float64))
        curvature = derivatives(law.pdf, points, 2)[2]
        rate = in_time(process.pdf, points, time)
        residuals = (
            rate - fokker_planck(flux_slope(law, ou_drift, points), curvature),
            -rate - fokker_planck(flux_slope(law, reverse_drift, points), curvature),
        )
        closed.append(float(residuals[0].abs().max()))
        reverse.append(float(residuals[1].abs().max()))

    cells = budget.of((500, 1000, 2000), (250, 500, 1000))
    errors = [_solved_error(process, count, count // 10) for count in cells]
    order = math.log2(errors[-2] / errors[-1])
    backwards = _solved_backwards(process, cells[-1])
    chain = _chain_error(budget)
    return Evidence(
        [
            equal("largest residual of the OU process, autograd", max(closed), 0, tolerance=1e-10),
            equal("largest residual of its reversal, autograd", max(reverse), 0, tolerance=1e-10),
            at_most("largest error of the finite differences at t = 1", errors[-1], budget.of(1e-5, 1e-4)),
            equal("order of their convergence", order, 2, tolerance=0.05),
            at_most("the same for the reversal", backwards, budget.of(1e-4, 1e-3)),
            equal("difference to the law of the Euler chain, h -> 0", chain, 0, tolerance=budget.of(1e-4, 1e-3)),
        ],
        numbers={
            "closed": max(closed),
            "reverse": max(reverse),
            "cells": cells[-1],
            "error": errors[-1],
            "order": order,
            "back": backwards,
            "chain": chain,
        },
    )


def _solved_error(process, cells, steps):
    x = torch.linspace(-10, 10, cells, dtype=torch.float64)
    solved = solve_fokker_planck(process.law.pdf(x), ou_drift, 1.0, steps, x)
    return float((solved - process.at(torch.tensor(1.0).double()).pdf(x)).abs().max())


def _solved_backwards(process, cells):
    x = torch.linspace(-9, 9, cells, dtype=torch.float64)

    def drift(x, elapsed):
        return reverse_drift(x, score(process.at(torch.tensor(1.0 - elapsed).double()), x))

    start, end = (process.at(torch.tensor(time).double()).pdf(x) for time in (1.0, 0.1))
    return float((solve_fokker_planck(start, drift, 0.9, cells // 5, x) - end).abs().max())


def _chain_error(budget):
    """Largest difference at t = 1 between finite differences and the Euler-Maruyama chain, extrapolated to h = 0."""

    def drift(x, time):
        return torch.sin(2 * x) - x + 0.5 * math.cos(5 * time)

    steps = budget.of((32, 64, 128), (8, 16, 32))
    x, _ = trapezoid(-6.0, 6.0, budget.of(181, 91))
    laws = []
    for count in steps:
        h, density = 1 / count, normal_density(x - 0.5, 0.3)
        for number in range(count):
            density = push(density, x + h * drift(x, number * h), 2 * h, x)
        laws.append(density)
    linear = [2 * laws[1] - laws[0], 2 * laws[2] - laws[1]]
    chain = (4 * linear[1] - linear[0]) / 3
    fine, _ = trapezoid(-6.0, 6.0, 10 * (len(x) - 1) + 1)
    solved = solve_fokker_planck(normal_density(fine - 0.5, 0.3), drift, 1.0, 200, fine)[::10]
    return float((chain - solved).abs().max())


def tweedie(noisy, slope, sigma):
    """x~ + sigma^2 grad log p~, 001_4ca3c1340e19a977.txt, section 1.3, lemma 1."""
    return noisy + sigma**2 * slope


@claim(
    "S1-02",
    source="001_4ca3c1340e19a977.txt, section 1.3, lemma 1",
    statement="Tweedie's formula: for x~ = x + e, e ~ N(0, sigma^2 I), E[x | x~] = x~ + sigma^2 grad log p~(x~).",
    recorded=HOLDS,
    finding="With the score by autograd of log p~ in closed form and the posterior mean by a sum over x: a mixture of "
    "two Gaussians on the line, {mixture:.1g}; a uniform prior on [-1, 1], {uniform:.1g}; seven atoms with random "
    "weights in three dimensions, {atoms:.1g}, at three noise levels each. The prior needs no density. (In the proof "
    "p~ lacks 1/(sigma sqrt(2 pi)), its gradient has it; nothing follows.)",
)
def tweedies_formula(budget):
    """Autograd of log p~ against posterior means."""
    generator, off = budget.stream(), defaultdict(list)
    law, normal_cdf = two_modes(), torch.special.ndtr
    atoms = 1.5 * torch.randn(7, 3, generator=generator, dtype=torch.float64)
    weights = torch.rand(7, generator=generator, dtype=torch.float64).softmax(0)
    line, _ = trapezoid(-12.0, 12.0, 2401)
    inside, inside_weights = gauss_legendre(-1.0, 1.0, 200)

    def of_atoms(x, sigma):
        return torch.logsumexp(weights.log() - (x.unsqueeze(1) - atoms).square().sum(2) / (2 * sigma**2), 1)

    # name -> x, its probabilities up to a factor, and log p~ up to a constant, in closed form
    priors = {
        "mixture": (line, law.pdf(line), lambda x, sigma: noisy(law, 1.0, sigma**2).pdf(x[:, 0]).log()),
        "uniform": (
            inside,
            inside_weights,
            lambda x, sigma: (normal_cdf((1 + x[:, 0]) / sigma) - normal_cdf((x[:, 0] - 1) / sigma)).log(),
        ),
        "atoms": (atoms, weights, of_atoms),
    }
    for name, (clean, probabilities, log_density) in priors.items():
        clean = clean.view(len(clean), -1)
        for sigma in (0.3, 1.0, 3.0):
            x = clean[torch.multinomial(probabilities, 50, replacement=True, generator=generator)]
            x = (x + sigma * torch.randn(x.shape, generator=generator, dtype=torch.float64)).requires_grad_()
            (slope,) = torch.autograd.grad(log_density(x, sigma).sum(), x)
            log_joint = probabilities.log() - (x.detach().unsqueeze(1) - clean).square().sum(2) / (2 * sigma**2)
            mean = torch.softmax(log_joint, 1) @ clean
            off[name].append(float((tweedie(x.detach(), slope, sigma) - mean).abs().max()))
    numbers = {name: max(values) for name, values in off.items()}
    return Evidence(
        [equal(f"largest difference, {name}", value, 0, tolerance=1e-10) for name, value in numbers.items()],
        numbers=numbers,
    )


# 001, section 2: the frozen score. ----------------------------------------------------------------------------------


def step_mean(x, frozen, h):
    """e^h x + 2 (e^h - 1) s: the mean of X_{t+h} given X_t = x under equation (8), s frozen."""
    return torch.exp(h) * x + 2 * torch.expm1(h) * frozen


def step_variance(h):
    """e^2h - 1: its variance."""
    return torch.expm1(2 * h)


@claim(
    "S1-04",
    source="001_4ca3c1340e19a977.txt, section 2, equation (8)",
    statement="With the score frozen at the step's start, dX = {X + 2 s_k} dt + sqrt(2) dB, the next iterate given "
    "the last has an explicit Gaussian distribution.",
    recorded=HOLDS,
    finding="It is N(e^h x + 2 (e^h - 1) s, (e^2h - 1) I). This density satisfies the Fokker-Planck equation of (8) "
    "within {residual:.1g} (autograd) and starts at x; Euler-Maruyama with ever smaller steps inside, whose law is "
    "Gaussian at every number of them, tends to the same mean and variance within {euler:.1g}. scorelab's OU clock "
    "has the same factor of the score. Without freezing, a step of the true reversal is not Gaussian: for two modes, "
    "h = 0.5 and x = 0.2 its excess kurtosis is {kurtosis:.3f}.",
)
def frozen_score(budget):
    """The Fokker-Planck equation of the linear SDE, and the limit of Euler-Maruyama."""
    start, frozen, points = 0.8, -1.3, torch.linspace(-4, 4, 81, dtype=torch.float64)
    residual = []
    lengths = torch.tensor([0.1, 0.5, 1.0], dtype=torch.float64)

    def density(x, h):
        return normal_density(x - step_mean(start, frozen, h), step_variance(h))

    for h in lengths:
        flux = derivatives(lambda x, h=h: density(x, h) * (x + 2 * frozen), points, 1)[1]
        curvature = derivatives(lambda x, h=h: density(x, h), points, 2)[2]
        residual.append(_far(in_time(density, points, float(h)), fokker_planck(flux, curvature)))
    euler = max(_euler_of_linear_sde(start, frozen, h) for h in lengths)
    clock = OU(grid="native", beta=1.0, sigma=math.sqrt(2), T=5.0, t_min=0.01)
    one, two = (torch.tensor(value, dtype=torch.float64) for value in (1.0, 0.6))
    factor = float(clock.score_weight(one, two))
    tiny = torch.tensor(1e-12, dtype=torch.float64)
    begin = float(abs(step_mean(start, frozen, tiny) - start) + abs(step_variance(tiny)))
    kurtosis = _kurtosis_of_reversal(-0.25, 1.0, 0.9)
    return Evidence(
        [
            equal("largest residual of the Fokker-Planck equation", max(residual), 0, tolerance=1e-10),
            equal("distance to x, and variance, at h = 1e-12", begin, 0, tolerance=1e-10),
            equal("largest difference to Euler-Maruyama, h -> 0", euler, 0, tolerance=1e-8),
            equal(
                "score's factor: mean of a step, s = 1, x = 0", step_mean(0.0, 1.0, one - two), factor, tolerance=1e-12
            ),
        ],
        numbers={"residual": max(residual), "euler": euler, "kurtosis": kurtosis},
    )


def _euler_of_linear_sde(start, frozen, length):
    """Mean and variance of Euler-Maruyama within a step, extrapolated to no inner step, against the closed form."""
    rows = []
    for count in (32, 64, 128, 256, 512):
        h, mean, variance = float(length) / count, start, 0.0
        for _ in range(count):
            mean, variance = mean + h * (mean + 2 * frozen), (1 + h) ** 2 * variance + 2 * h
        rows.append(torch.tensor([mean, variance], dtype=torch.float64))
    for order in range(1, 5):
        rows = [(2**order * fine - coarse) / (2**order - 1) for coarse, fine in itertools.pairwise(rows)]
    exact = torch.tensor([step_mean(start, frozen, length), step_variance(length)], dtype=torch.float64)
    return float((rows[0] - exact).abs().max())


def _kurtosis_of_reversal(x, time, h):
    """Excess kurtosis of X_{time - h} given X_time = x, for the OU process from two modes."""
    earlier = ou_mixture().at(torch.tensor(time - h, dtype=torch.float64))
    clean, _ = trapezoid(-9.0, 9.0, 1801)
    weights = earlier.pdf(clean) * normal_density(x - math.exp(-h) * clean, -math.expm1(-2 * h))
    weights = weights / weights.sum()
    centred = clean - weights @ clean
    return float((weights @ centred**4) / (weights @ centred**2) ** 2 - 3)


# 003, section 5.3.2: variance exploding. ----------------------------------------------------------------------------


def printed_diffusion(slope):
    """g = d s^2/dt, 003_573c8421e0c71443.txt, section 5.3.2, below equation (46); slope: d s^2/dt."""
    return slope


def diffusion(slope):
    """g = sqrt(d sigma^2/dt)."""
    return slope**0.5


@claim(
    "S3-05",
    source="003_573c8421e0c71443.txt, section 5.3.2, equations (44)-(46)",
    statement="The VE SDE of SMLD has f = 0 and g(t) = d/dt s(x_t)^2, with s the score network.",
    corrected="g(t) = sqrt(d/dt sigma(t)^2), with sigma(t) the noise level of x_t = x_0 + sigma(t) G.",
    recorded=CORRECTED,
    fault="error",
    finding="The variance that dX = g dW adds over [0, 1] is int g^2. With g = sqrt(d sigma^2/dt) it is sigma(1)^2 - "
    "sigma(0)^2 within {right:.1g} for sigma = 0.1 50^t, sigma = t and sigma = sqrt(t), and the law of x_0 + sigma(t) "
    "G satisfies the Fokker-Planck equation within {residual:.1g}. Without the root, and sigma read for s, it is "
    "{printed:.4g} instead of {wanted:.4g} for the first and {linear:.4g} instead of 1 for sigma = t; it is right for "
    "sigma = sqrt(t) alone, and it depends on the unit of time: on a clock half as fast it is half as large. The root "
    "is in (44) and (45) and is lost in (46). With the score for s nothing is left to take a root of: noise makes "
    "E|s|^2 fall, from {before:.3g} at t = 0 to {after:.3g} at t = 1, so that d/dt s^2 < 0.",
)
def variance_exploding(budget):
    """Gauss-Legendre quadrature over time, autograd for slopes."""
    clock = VE(grid="native", sigma_min=0.1, sigma_max=5.0)
    levels = {"0.1 50^t": clock.noise, "t": lambda t: t, "sqrt(t)": lambda t: t.sqrt()}
    nodes, weights = gauss_legendre(0.0, 1.0, 200)
    wanted, added, slower = {}, {}, {}
    for name, level in levels.items():
        slope = derivatives(lambda t, level=level: level(t) ** 2, nodes, 1)[1]
        ends = level(torch.tensor([0.0, 1.0], dtype=torch.float64)) ** 2
        wanted[name] = float(ends[1] - ends[0])
        added[name] = [float(weights @ form(slope) ** 2) for form in (printed_diffusion, diffusion)]
        # sigma(t/2) on [0, 2]: slopes are halved, weights doubled
        slower[name] = [float(2 * weights @ form(0.5 * slope) ** 2) for form in (printed_diffusion, diffusion)]
    process = Mixture(two_modes(), torch.ones_like, lambda t: clock.noise(t) ** 2)
    points, residual = torch.linspace(-6, 6, 121, dtype=torch.float64), []
    for time in (0.1, 0.5, 0.9):
        moment = torch.tensor(time, dtype=torch.float64)
        slope = derivatives(lambda t: clock.noise(t) ** 2, moment[None], 1)[1]
        curvature = derivatives(process.at(moment).pdf, points, 2)[2]
        rate = in_time(process.pdf, points, time)
        residual.append(float((rate - 0.5 * diffusion(slope) ** 2 * curvature).abs().max()))
    times = torch.linspace(0, 1, 21, dtype=torch.float64)
    squares = [_squared_score(process.at(time)) for time in times]
    rise = min(late - early for early, late in itertools.pairwise(squares))
    off = max(
        abs(value - clock_value)
        for value, clock_value in zip(
            diffusion(derivatives(lambda t: clock.noise(t) ** 2, times, 1)[1]).tolist(),
            clock.diffusion(times).tolist(),
            strict=True,
        )
    )

    def comparisons(i):
        several = []
        for name, value in wanted.items():
            several.append(equal(f"int g^2 over [0, 1], sigma = {name}", added[name][i], value, tolerance=1e-9))
            several.append(
                equal(f"the same on a clock half as fast, sigma = {name}", slower[name][i], value, tolerance=1e-9)
            )
        return several

    return Evidence(
        stated=[*comparisons(0), at_least("least change of E|score|^2 in a step of 0.05, as (44) needs it", rise, 0)],
        corrected=[
            *comparisons(1),
            equal("largest residual of the Fokker-Planck equation", max(residual), 0, tolerance=1e-10),
            equal("largest difference to the diffusion of schedule=ve", off, 0, tolerance=1e-10),
        ],
        numbers={
            "right": max(abs(added[name][1] - wanted[name]) for name in wanted),
            "residual": max(residual),
            "printed": added["0.1 50^t"][0],
            "wanted": wanted["0.1 50^t"],
            "linear": added["t"][0],
            "before": squares[0],
            "after": squares[-1],
        },
        figures={"claim": _exploding(clock, times, squares)},
    )


def _exploding(clock, times, squares):
    """The figure: the variance that both g add, and the squared score."""
    later = times[1:]
    forms = {"$g$ = d$\\sigma^2$/dt": printed_diffusion, "$g$ = root of it": diffusion}
    curves = {name: _added(clock, form, later) for name, form in forms.items()}
    exact = {r"$\sigma(t)^2-\sigma(0)^2$": clock.noise(later) ** 2 - clock.noise(times[:1]) ** 2}
    axes = {"xlabel": "t", "ylabel": "variance", "yscale": "log"}
    return panels(
        panel("Variance that is added", later, curves, dashed=exact, **axes),
        panel("Squared score", times, {"score": squares}, xlabel="t", ylabel="$E|s(x_t)|^2$"),
    )


def _squared_score(law):
    reach = 9.5 * law.variance**0.5
    x, step = trapezoid(-reach, reach, 1601)
    return float(step * law.pdf(x) @ score(law, x).square())


def _added(clock, form, times):
    """int_0^t g^2 at the times, with g = form(d sigma^2/dt)."""
    values = []
    for time in times.tolist():
        nodes, weights = gauss_legendre(0.0, time, 60)
        values.append(float(weights @ form(derivatives(lambda t: clock.noise(t) ** 2, nodes, 1)[1]) ** 2))
    return torch.tensor(values, dtype=torch.float64)


# 003, section 5.2: DDPM. --------------------------------------------------------------------------------------------


def posterior_of_step(noisy, clean, alpha, bar, bar_before):
    """Mean and variance of q(x_{t-1} | x_t, x_0), 003_573c8421e0c71443.txt, section 5.2.1, equation (33)."""
    beta = 1 - alpha
    mean = bar_before**0.5 * beta / (1 - bar) * clean + alpha**0.5 * (1 - bar_before) / (1 - bar) * noisy
    return mean, (1 - bar_before) / (1 - bar) * beta


def printed_clean_of_37(noisy, noise, bar):
    """The x_0 in the middle of the same section's equation (37)."""
    return (noisy - (1 - bar) ** 0.5 * noise) / bar


def clean_of_noise(noisy, noise, bar):
    """The same as (35) has it."""
    return (noisy - (1 - bar) ** 0.5 * noise) / bar**0.5


def mean_of_noise(noisy, noise, alpha, bar):
    """The right end of (37)."""
    return (noisy - (1 - alpha) / (1 - bar) ** 0.5 * noise) / alpha**0.5


def printed_sampling_mean(noisy, noise, alpha, bar):
    """The mean of the sampling step in the line below (37)."""
    return (noisy - (1 - alpha) / (1 - alpha) ** 0.5 * noise) / alpha**0.5


def printed_weight_of_36(variance):
    """What multiplies the squared difference of means in (35) and (36)."""
    return 1 / (2 * variance**0.5)


def weight_of_means(variance):
    """The same in (34)."""
    return 1 / (2 * variance)


def weight_of_noise(variance, alpha, bar):
    """What multiplies the squared error of the noise in (38)."""
    return (1 - alpha) ** 2 / (2 * variance * alpha * (1 - bar))


@claim(
    "S3-07",
    source="003_573c8421e0c71443.txt, sections 5.2.1 and 5.2.2, equations (33)-(38)",
    statement="q(x_{t-1}|x_t, x_0) has the mean and variance of (33); mu~ at x_0 = (x_t - sqrt(1 - abar) eps)/abar is "
    "(x_t - beta/sqrt(1 - abar) eps)/sqrt(alpha) (37), which is the mean of a sampling step with sqrt(1 - alpha_t) in "
    "it; the loss is 1/(2 sigma_t)|mu~ - mu_theta|^2 (35, 36), that is beta^2/(2 sigma^2 alpha (1 - abar)) |eps - "
    "eps_theta|^2 (38).",
    corrected="(33), the right end of (37) and (38) hold. In the middle of (37) x_0 = (x_t - sqrt(1 - abar) "
    "eps)/sqrt(abar), the sampling step has sqrt(1 - abar_t), and (35), (36) have 1/(2 sigma_t^2), as (34) does.",
    recorded=CORRECTED,
    fault="misprint",
    finding="All {count} steps of the linear chain. Conditioning the Gaussian chain (26) gives the mean and the "
    "variance of (33) within {posterior:.1g}. (37) equals mu~ with x_0 over sqrt(abar), {right_37:.1g}; over abar, as "
    "printed in its middle, it is away by up to {printed_37:.3g}. The step printed below it, with sqrt(1 - alpha_t) "
    "under the noise, is away by up to {sampling:.3g} where the coefficient of (37) is right. The Kullback-Leibler "
    "divergence of the two Gaussians is (34) and (38) within {weights:.1g} of itself; (35), (36) have sigma_t for "
    "sigma_t^2, and are off by a factor sigma_t, down to {factor:.3g}. (The proof of (38) leaves squares out, section "
    "5.2.2 names beta~ without its factor beta; (33) and (38) are right.)",
)
def ddpm_posterior(budget):
    """Every step of the chain against Gaussian conditioning, sample by sample."""
    chain = DDPM(grid="native", timesteps=1000, beta="linear", beta_min=1e-4, beta_max=0.02)
    steps = torch.arange(1, 1000)
    alpha = 1 - chain.betas[steps].unsqueeze(1)
    before = (2 * chain.log_signals[steps]).exp().unsqueeze(1)
    bar = alpha * before
    generator = budget.stream()
    clean, noise, predicted = torch.randn(3, len(steps), 8, generator=generator, dtype=torch.float64)
    x = bar**0.5 * clean + (1 - bar) ** 0.5 * noise
    mean, variance = posterior_of_step(x, clean, alpha, bar, before)
    exact_mean, exact_variance = _conditioned(chain, x, clean)
    posterior = max(_far(mean, exact_mean), _far(variance / exact_variance, torch.ones_like(variance)))
    right_37 = _far(
        posterior_of_step(x, clean_of_noise(x, noise, bar), alpha, bar, before)[0], mean_of_noise(x, noise, alpha, bar)
    )
    printed_37 = _far(
        posterior_of_step(x, printed_clean_of_37(x, noise, bar), alpha, bar, before)[0],
        mean_of_noise(x, noise, alpha, bar),
    )
    sampling = _far(printed_sampling_mean(x, noise, alpha, bar), exact_mean)
    of_37 = _far(mean_of_noise(x, noise, alpha, bar), exact_mean)
    deviation = exact_variance.sqrt()
    kl = torch.distributions.kl_divergence(
        torch.distributions.Normal(exact_mean, deviation),
        torch.distributions.Normal(mean_of_noise(x, predicted, alpha, bar), deviation),
    )
    gap = (mean - mean_of_noise(x, predicted, alpha, bar)).square()
    error = (noise - predicted).square()
    losses = {
        "(34)": weight_of_means(exact_variance) * gap,
        "(36)": printed_weight_of_36(exact_variance) * gap,
        "(38)": weight_of_noise(exact_variance, alpha, bar) * error,
    }
    # relative to the mean over samples of a step, as single differences may be nearly 0
    off = {name: _far(loss.mean(1) / kl.mean(1), torch.ones(len(steps)).double()) for name, loss in losses.items()}

    def none(what, value, tolerance=1e-9):
        return equal(f"largest difference: {what}", value, 0, tolerance=tolerance)

    both = [
        none("(33) and the conditioned chain", posterior),
        none("(38) over the divergence, less 1", off["(38)"], 1e-7),
    ]
    return Evidence(
        stated=[
            *both,
            none("middle and right end of (37)", printed_37),
            none("sampling step and the posterior mean", sampling),
            none("(36) over the divergence, less 1", off["(36)"], 1e-7),
        ],
        corrected=[
            *both,
            none("middle of (37) with sqrt(abar) and its right end", right_37),
            none("sampling step with sqrt(1 - abar) and the posterior mean", of_37),
            none("1/(2 sigma^2), (34), over the divergence, less 1", off["(34)"], 1e-7),
        ],
        numbers={
            "count": len(steps),
            "posterior": posterior,
            "right_37": max(right_37, of_37),
            "printed_37": printed_37,
            "sampling": sampling,
            "weights": max(off["(34)"], off["(38)"]),
            "factor": float(exact_variance.min() ** 0.5),
        },
    )


def _far(one, other):
    return float((one - other).abs().max())


def _conditioned(chain, x, clean):
    """Mean and variance of x_{t-1} given x_t and x_0 for t = 2 ..., from the chain's own recursion (26): factors and
    variances given x_0 are carried from step to step, and the pair is conditioned as two Gaussian variables."""
    means, variances, factor, spread = [], [], 1.0, 0.0
    for k, beta in enumerate(chain.betas.tolist()):
        alpha = 1 - beta
        if k:
            # (x_{t-1}, x_t) given x_0: covariance sqrt(alpha) spread, variance of x_t alpha spread + beta
            gain = alpha**0.5 * spread / (alpha * spread + beta)
            means.append(factor * clean[k - 1] + gain * (x[k - 1] - alpha**0.5 * factor * clean[k - 1]))
            variances.append(spread - gain * alpha**0.5 * spread)
        factor, spread = alpha**0.5 * factor, alpha * spread + beta
    return torch.stack(means), torch.tensor(variances, dtype=torch.float64).unsqueeze(1)


# 004, section 4: the reverse step. ----------------------------------------------------------------------------------


def reverse_sde_drift(x, slope, beta, sigma):
    """-beta x - sigma^2 s with time running backwards, dt < 0; 004_bfdb7e49cac735be.txt, section 4."""
    return -beta * x - sigma**2 * slope


def reverse_step_mean(x, noise, noise_std, length, beta, sigma):
    """x - dt (sigma^2/sigma_t eps - beta x), the mean of the discrete step of the same section."""
    return x - length * (sigma**2 / noise_std * noise - beta * x)


@claim(
    "S4-03",
    source="004_bfdb7e49cac735be.txt, section 4",
    statement="dX = [-beta X - sigma^2 S]dt + sigma dW, with S = -eps/sigma_t, is discretized as X_{k-1} = X_k - dt "
    "(sigma^2/sigma_t eps - beta X_k) + sigma sqrt(dt) Z from N(0, sigma_T^2 I) to the data.",
    recorded=HOLDS,
    finding="The signs are those of a time that runs backwards: dt < 0 in the SDE, dt > 0 in the step, which "
    "subtracts the drift. So read, the reversed density satisfies its Fokker-Planck equation within {residual:.1g}. "
    "With the exact noise of two modes (beta = 1, sigma^2 = 2, T = {T:g}) the law of the step, carried on a grid, is "
    "away from the data's by {coarse:.3g} and {fine:.3g} in total variation for K = {few} and {many} steps, order "
    "{order:.2f}, and by {limit:.1g} extrapolated; the start N(0, sigma_T^2) in place of the law at T is part of "
    "that. Read forwards, as X + dt (...) with dt > 0, the same drift ends {wrong:.3g} away.",
)
def reverse_step(budget):
    """Fokker-Planck by autograd; the discrete chain's law by its transition kernels on the line."""
    beta, sigma, end = 1.0, math.sqrt(2), 6.0
    process, points, residual = ou_mixture(), torch.linspace(-5, 5, 101, dtype=torch.float64), []
    for time in (0.05, 0.3, 1.0):
        law = process.at(torch.tensor(time, dtype=torch.float64))

        backwards = flux_slope(law, lambda x, slope: -reverse_sde_drift(x, slope, beta, sigma), points)
        right = fokker_planck(backwards, 0.5 * sigma**2 * derivatives(law.pdf, points, 2)[2])
        residual.append(_far(-in_time(process.pdf, points, time), right))

    x, width = trapezoid(-8.0, 8.0, budget.of(321, 201))
    data = process.law.pdf(x)
    counts = budget.of((100, 200, 400), (50, 100, 200))
    laws = [_carried(process, x, count, end, beta, sigma, 1) for count in counts]
    wrong = _carried(process, x, counts[0], end, beta, sigma, -1)
    # what leaves the grid, as under the wrong sign, is mass that the data does not have
    errors = [1 - width * float(torch.minimum(law, data).sum()) for law in (*laws, wrong)]
    linear = [2 * laws[1] - laws[0], 2 * laws[2] - laws[1]]
    limit = 0.5 * width * float(((4 * linear[1] - linear[0]) / 3 - data).abs().sum())
    order = math.log2(errors[1] / errors[2])
    curves = {f"K = {counts[0]}": laws[0], f"K = {counts[-1]}": laws[-1], "wrong sign": wrong}
    shown = x.abs() < 6
    picture = panel(
        "Law after the last step",
        x[shown],
        {name: law[shown] for name, law in curves.items()},
        dashed={"data": data[shown]},
        xlabel="x",
        ylabel="density",
    )
    return Evidence(
        [
            equal("largest residual of the reversed Fokker-Planck equation", max(residual), 0, tolerance=1e-10),
            equal("order of the total variation distance to the data", order, 1, tolerance=0.15),
            at_most("distance extrapolated to dt = 0", limit, 0.01),
        ],
        numbers={
            "residual": max(residual),
            "T": end,
            "coarse": errors[1],
            "fine": errors[2],
            "few": counts[1],
            "many": counts[2],
            "order": order,
            "limit": limit,
            "wrong": errors[3],
        },
        figures={"claim": panels(picture)},
    )


def _carried(process, x, count, end, beta, sigma, sign):
    """The density on the grid x after `count` reverse steps from N(0, sigma_T^2); sign -1 adds what they subtract."""
    length = end / count
    density = normal_density(x, float(process.variance(torch.tensor(end).double())))
    for k in range(count, 0, -1):
        time = torch.tensor(k * length, dtype=torch.float64)
        noise_std = float(process.variance(time)) ** 0.5
        noise = -noise_std * score(process.at(time), x)
        mean = reverse_step_mean(x, noise, noise_std, sign * length, beta, sigma)
        density = push(density, mean, sigma**2 * length, x)
    return density
