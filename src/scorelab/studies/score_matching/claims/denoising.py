"""Denoising score matching: the kernel, the noise and the objective, and how they are related."""

import math

import torch

from scorelab.channel import sin_cos
from scorelab.claims import CORRECTED, Evidence, claim, equal
from scorelab.quadrature import trapezoid
from scorelab.targets import GaussianMixture
from scorelab.theory.line import derivatives, normal_density, two_modes
from scorelab.theory.line import score as score_on_the_line

# Visconti 2025, section 4.1: denoising score matching. ----------------------------------------------------------------


def printed_score_of_the_kernel(noisy, clean, sigma):
    """The score of the kernel N(clean, sigma^2 I): Visconti 2025, section 4.1."""
    return (noisy - clean) / sigma**2


@claim(
    "S0-02",
    source="Visconti 2025, section 4.1",
    statement="The score of the kernel q(x~|x) = N(x, sigma^2 I) is (x~ - x)/sigma^2.",
    corrected="It is -(x~ - x)/sigma^2.",
    recorded=CORRECTED,
    fault="misprint",
    finding="Autograd of the log density differs from the printed score by up to {printed:.3g}, from its negative by "
    "{opposite:.1g}: the sign is missing.",
)
def score_of_the_kernel(budget):
    """Compare with autograd of the log density in float64."""
    sigma, generator = 0.7, budget.stream()
    clean, noise = torch.randn(2, 8, 5, generator=generator, dtype=torch.float64)
    noisy = (clean + sigma * noise).requires_grad_()
    log_density = torch.distributions.Normal(clean, sigma).log_prob(noisy).sum()
    (score,) = torch.autograd.grad(log_density, noisy)
    form = printed_score_of_the_kernel(noisy.detach(), clean, sigma)
    printed, opposite = float((score - form).abs().max()), float((score + form).abs().max())
    return Evidence(
        stated=[equal("largest difference to (x~ - x)/sigma^2", printed, 0, tolerance=1e-12)],
        corrected=[equal("largest difference to -(x~ - x)/sigma^2", opposite, 0, tolerance=1e-12)],
        numbers={"printed": printed, "opposite": opposite},
    )


def printed_noise_std(sigma):
    """Standard deviation of the Z of Visconti 2025, section 4.1, equation (3): Z ~ N(0, sigma^2 I)."""
    return sigma


def noise_std(sigma):
    """Standard deviation of Z in the line above equation (3): Z ~ N(0, I)."""
    return 1.0


def minimiser_of_equation_3(law, x, sigma, std):
    """-E[Z | X + sigma Z = x]/sigma for Z ~ N(0, std^2), at x (points,): it minimises E|s(X + sigma Z) + Z/sigma|^2."""
    clean, _ = trapezoid(-12.0, 12.0, 1201)
    noise = (x.unsqueeze(1) - clean) / sigma
    weights = law.pdf(clean) * normal_density(noise, std**2)
    return -(weights * noise).sum(1) / weights.sum(1) / sigma


@claim(
    "S0-03",
    source="Visconti 2025, section 4.1, equations (2) and (3)",
    statement="Denoising score matching (2) has the same minimiser as explicit score matching on mu_sigma, and is min "
    "E|s(X + sigma Z) + Z/sigma|^2 with Z ~ N(0, sigma^2 I) (3).",
    corrected="In (3) it is Z ~ N(0, I).",
    recorded=CORRECTED,
    fault="misprint",
    finding="For four functions s the loss (2) exceeds explicit score matching on mu_sigma by the same 1/sigma^2 - "
    "E|grad log mu_sigma|^2 = {constant:.6g}, within {spread:.1g}. At sigma = {sigma:g} the minimiser of (3) as "
    "printed is {printed:.3g} away from the score of mu_sigma (root mean square; the score itself has {size:.3g}): it "
    "is sigma^2 times the score at noise sigma^2, within {instead:.1g}. With Z ~ N(0, I), as in the line above it, "
    "the distance is {right:.1g}. Appendix A repeats the misprint in (32).",
)
def denoising_score_matching(budget):
    """Integrate by quadrature over clean points and noise on the line."""
    law, sigma = two_modes(), 0.6
    clean, step = trapezoid(-12.0, 12.0, budget.of(601, 301))
    noise, noise_step = trapezoid(-10.0, 10.0, budget.of(401, 201))
    weights = step * law.pdf(clean).unsqueeze(1) * noise_step * normal_density(noise, 1.0)
    perturbed = clean.unsqueeze(1) + sigma * noise
    smooth, x = law.noisy(1.0, sigma**2), clean
    score, density = score_on_the_line(smooth, x), step * smooth.pdf(x)
    fisher = float(density @ score.square())
    candidates = {
        "0": lambda x: 0.0 * x,
        "-x/2": lambda x: -0.5 * x,
        "tanh(2x) - x": lambda x: torch.tanh(2 * x) - x,
        "sin": torch.sin,
    }
    constant, same, differences = 1 / sigma**2 - fisher, [], []
    for name, field in candidates.items():
        denoising = float((weights * (field(perturbed) + noise / sigma).square()).sum())
        explicit = float(density @ (field(x) - score).square())
        differences.append(denoising - explicit)
        same.append(equal(f"(2) - explicit, s = {name}", differences[-1], constant, tolerance=1e-9))

    def distance(std, to):
        return float((density @ (minimiser_of_equation_3(law, x, sigma, std) - to).square()).sqrt())

    printed, right = distance(printed_noise_std(sigma), score), distance(noise_std(sigma), score)
    instead = distance(sigma, sigma**2 * score_on_the_line(law.noisy(1.0, sigma**4), x))
    what = "distance of the minimiser of (3) to the score of mu_sigma"
    return Evidence(
        stated=[*same, equal(f"{what}, Z ~ N(0, sigma^2)", printed, 0, tolerance=1e-9)],
        corrected=[*same, equal(f"{what}, Z ~ N(0, 1)", right, 0, tolerance=1e-9)],
        numbers={
            "constant": constant,
            "spread": max(differences) - min(differences),
            "sigma": sigma,
            "printed": printed,
            "size": math.sqrt(fisher),
            "instead": instead,
            "right": right,
        },
    )


# Ge's thesis, section 5.3.3: noise and score. -------------------------------------------------------------------------


def printed_noise(noisy, clean, bar):
    """The noise by Ge's thesis, section 5.3.3, equation (54); bar: the product of the alphas."""
    return (noisy - bar**0.5 * clean) / (1 - bar)


def noise_of(noisy, clean, bar):
    """The noise by equation (28) of the same text."""
    return (noisy - bar**0.5 * clean) / (1 - bar) ** 0.5


def printed_conditional_score(noisy, clean, bar):
    """The score by equation (57) of the same section."""
    return -(noisy - bar**0.5 * clean) / (1 - bar)


def printed_score_of_noise(noise, bar):
    """The score by equation (58) of the same section."""
    return -noise / (1 - bar) ** 0.5


@claim(
    "S3-06",
    source="Ge's thesis, section 5.3.3, equations (54), (57), (58)",
    statement="The noise is (x_t - sqrt(abar) x_0)/(1 - abar) (54); the score of p(x_t), which is Gaussian, is -(x_t "
    "- sqrt(abar) x_0)/(1 - abar) (57); score = -noise/sqrt(1 - abar) (58).",
    corrected="The noise is (x_t - sqrt(abar) x_0)/sqrt(1 - abar); (57) is the score of p(x_t|x_0), and its mean over "
    "p(x_0|x_t) that of p(x_t); (58) relates noise and conditional score, and their posterior means.",
    recorded=CORRECTED,
    fault="misprint",
    finding="For x_t = sqrt(abar) x_0 + sqrt(1 - abar) noise the printed (54) is off by up to {noise:.3g}: it lacks a "
    "root, which (28) and (58) have. (57) agrees with autograd of log p(x_t|x_0) within {conditional:.1g}; p(x_t) "
    "itself is not Gaussian, and its score differs from (57) by up to {marginal:.3g} and from the posterior mean of "
    "(57) by {mean:.1g}. (58) holds for a pair (x_0, noise), {pair:.1g}, and for posterior means, {means:.1g}.",
)
def noise_and_score(budget):
    """Measure on a two-mode mixture on the line at three noise levels, with posterior means by quadrature over x_0."""
    law, generator = two_modes(), budget.stream()
    clean_grid, _ = trapezoid(-12.0, 12.0, budget.of(2401, 601))
    off = {name: [] for name in ("noise", "root", "conditional", "marginal", "mean", "pair", "means")}

    def record(name, difference):
        off[name].append(float(difference.abs().max()))

    for bar in (0.95, 0.6, 0.2):
        noise = torch.randn(200, generator=generator, dtype=torch.float64)
        clean = law.sample(200, generator)
        x = bar**0.5 * clean + (1 - bar) ** 0.5 * noise
        zero = torch.zeros((), dtype=torch.float64)
        log_kernel = torch.distributions.Normal(zero, (1 - bar) ** 0.5).log_prob
        conditional = derivatives(lambda x, mean=bar**0.5 * clean, log=log_kernel: log(x - mean), x, 1)[1]
        marginal = score_on_the_line(law.noisy(bar**0.5, 1 - bar), x)
        posterior = law.pdf(clean_grid) * log_kernel(x.unsqueeze(1) - bar**0.5 * clean_grid).exp()
        posterior = posterior / posterior.sum(1, keepdim=True)
        mean_score = (posterior * printed_conditional_score(x.unsqueeze(1), clean_grid, bar)).sum(1)
        mean_noise = (posterior * noise_of(x.unsqueeze(1), clean_grid, bar)).sum(1)
        record("noise", printed_noise(x, clean, bar) - noise)
        record("root", noise_of(x, clean, bar) - noise)
        record("conditional", printed_conditional_score(x, clean, bar) - conditional)
        record("marginal", printed_conditional_score(x, clean, bar) - marginal)
        record("mean", mean_score - marginal)
        record("pair", printed_score_of_noise(noise, bar) - conditional)
        record("means", printed_score_of_noise(mean_noise, bar) - marginal)
    numbers = {name: max(values) for name, values in off.items()}

    def none(name, what):
        return equal(f"largest difference: {what}", numbers[name], 0, tolerance=1e-9)

    related = none("pair", "(58) for a pair and the score of p(x_t|x_0)")
    return Evidence(
        stated=[none("noise", "(54) and the noise"), none("marginal", "(57) and the score of p(x_t)"), related],
        corrected=[
            none("root", "(54) with sqrt(1 - abar) and the noise"),
            none("conditional", "(57) and the score of p(x_t|x_0)"),
            none("mean", "posterior mean of (57) and the score of p(x_t)"),
            related,
            none("means", "(58) for posterior means"),
        ],
        numbers=numbers,
    )


# Notes on score matching, section 3: noise prediction. ----------------------------------------------------------------


def printed_dsm_integrand(squared_noise_error, noise_variance, weight):
    """lambda/sigma_t^2 [1/sigma_t^2 |eps_theta - eps|^2], notes on score matching, section 3."""
    return weight / noise_variance**2 * squared_noise_error


def dsm_integrand(squared_noise_error, noise_variance, weight):
    """lambda |S_theta - grad log p(x_t|x_0)|^2 with both scores as -noise/sigma_t."""
    return weight / noise_variance * squared_noise_error


@claim(
    "S4-02",
    source="notes on score matching, section 3",
    statement="With S = -eps_theta/sigma_t the DSM loss is int lambda(t)/sigma_t^2 E[1/sigma_t^2 |eps_theta - eps|^2] "
    "dt, and lambda = sigma_t^2 makes it noise prediction, E|eps_theta - eps|^2.",
    corrected="It is int lambda(t)/sigma_t^2 E|eps_theta - eps|^2 dt, and lambda = sigma_t^2 makes it noise "
    "prediction.",
    recorded=CORRECTED,
    fault="misprint",
    finding="lambda |S - grad log p(x_t|x_0)|^2 is lambda/sigma_t^2 |eps_theta - eps|^2 within {right:.1g}; what is "
    "printed is 1/sigma_t^2 times as much, from {least:.3g} to {most:.3g} over the times measured. The first factor "
    "lambda/sigma_t^2 should be lambda: the definition of the loss and the proof that follows have it so. It matters: "
    "with lambda = sigma_t^2 the printed loss keeps 1/sigma_t^2, and the least value of its integral over [delta, 1], "
    "for one mode pair in one dimension, grows like log(1/delta)/2: {coarse:.3g} for delta = 1e-2, {fine:.3g} for "
    "1e-6, where noise prediction has {plain_coarse:.4g} and {plain_fine:.4g}.",
)
def noise_prediction(budget):
    """Check the identity sample by sample, and integrate the Bayes risk of the noise; beta = 1, sigma^2 = 2."""
    generator = budget.stream()
    times = torch.tensor([0.01, 0.1, 0.5, 2.0], dtype=torch.float64).unsqueeze(1)
    signal, variance = torch.exp(-times), -torch.expm1(-2 * times)
    clean, noise = torch.randn(2, 4, 50, generator=generator, dtype=torch.float64)
    x = signal * clean + variance.sqrt() * noise
    predicted = torch.tanh(1.7 * x) + 0.3 * times
    squared = (predicted - noise).square()
    kernel = torch.distributions.Normal(signal * clean, variance.sqrt())
    conditional = derivatives(kernel.log_prob, x, 1)[1]
    matching = (-predicted / variance.sqrt() - conditional).square()

    def off(integrand, weight, against):
        return float((integrand(squared, variance, weight) / against - 1).abs().max())

    plain = (variance, squared)
    stated = [off(printed_dsm_integrand, 0.7, 0.7 * matching), off(printed_dsm_integrand, *plain)]
    right = [off(dsm_integrand, 0.7, 0.7 * matching), off(dsm_integrand, *plain)]
    least = {delta: _least_losses(delta) for delta in (1e-2, 1e-6)}
    whats = ("lambda |S - conditional score|^2", "noise prediction, lambda = sigma_t^2")
    return Evidence(
        stated=[
            equal(f"largest relative difference, printed: {what}", value, 0, tolerance=1e-9)
            for what, value in zip(whats, stated, strict=True)
        ],
        corrected=[
            equal(f"largest relative difference, corrected: {what}", value, 0, tolerance=1e-9)
            for what, value in zip(whats, right, strict=True)
        ],
        numbers={
            "right": max(right),
            "least": float(1 / variance.max()),
            "most": float(1 / variance.min()),
            "coarse": least[1e-2][0],
            "fine": least[1e-6][0],
            "plain_coarse": least[1e-2][1],
            "plain_fine": least[1e-6][1],
        },
    )


def _least_losses(delta):
    """The integrals over [delta, 1] of E|eps - E[eps|x_t]|^2 / sigma_t^2, and without the factor 1/sigma_t^2, by the
    trapezoidal rule in log t."""
    logs = torch.linspace(math.log(delta), 0.0, 241, dtype=torch.float64)
    times = logs.exp()
    variance = -torch.expm1(-2 * times)
    angle = torch.atan2(torch.exp(-times), variance.sqrt())
    sin, cos = (value.squeeze(1) for value in sin_cos(angle, angle.unsqueeze(1)))
    risk = (sin / cos) ** 2 * GaussianMixture.two_modes(0.7, [3.0]).bayes_risk(angle)
    return [float(torch.trapezoid(value * times, logs)) for value in (risk / variance, risk)]
