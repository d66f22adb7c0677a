"""Densities and reversals: Fokker-Planck, Tweedie's formula, the step with frozen score, the discrete reverse step."""

import itertools
import math
from collections import defaultdict

import torch

from scorelab.claims import HOLDS, Evidence, at_most, claim, equal
from scorelab.claims.panels import panel, panels
from scorelab.quadrature import gauss_legendre, trapezoid
from scorelab.schedules import OU
from scorelab.theory.line import (
    derivatives,
    flux_slope,
    in_time,
    largest_gap,
    normal_density,
    ou_process,
    push,
    score,
    solve_fokker_planck,
    two_modes,
)

# CS 224 lecture 24, sections 1.2 and 1.3: Fokker-Planck, Tweedie. -----------------------------------------------------


def fokker_planck(flux_slope, curvature):
    """-div(q v) + Laplacian of q, CS 224 lecture 24, section 1.2, equation (3)."""
    return -flux_slope + curvature


def ou_drift(x, _):
    """-x, CS 224 lecture 24, equation (1)."""
    return -x


def reverse_drift(x, slope):
    """x + 2 grad log q, the same section, equation (2)."""
    return x + 2 * slope


@claim(
    "S1-01",
    source="CS 224 lecture 24, section 1.2, proposition 1 and equations (1)-(3)",
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
    """Check the equation on the line by autograd, by finite differences and by the chain's transition kernels."""
    process = ou_process()
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
    """x~ + sigma^2 grad log p~, CS 224 lecture 24, section 1.3, lemma 1."""
    return noisy + sigma**2 * slope


@claim(
    "S1-02",
    source="CS 224 lecture 24, section 1.3, lemma 1",
    statement="Tweedie's formula: for x~ = x + e, e ~ N(0, sigma^2 I), E[x | x~] = x~ + sigma^2 grad log p~(x~).",
    recorded=HOLDS,
    finding="With the score by autograd of log p~ in closed form and the posterior mean by a sum over x: a mixture of "
    "two Gaussians on the line, {mixture:.1g}; a uniform prior on [-1, 1], {uniform:.1g}; seven atoms with random "
    "weights in three dimensions, {atoms:.1g}, at three noise levels each. The prior needs no density. (In the proof "
    "p~ lacks 1/(sigma sqrt(2 pi)), its gradient has it; nothing follows.)",
)
def tweedies_formula(budget):
    """Compare autograd of log p~ with posterior means."""
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
        "mixture": (line, law.pdf(line), lambda x, sigma: law.noisy(1.0, sigma**2).pdf(x[:, 0]).log()),
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


# CS 224 lecture 24, section 2: the frozen score. ----------------------------------------------------------------------


def step_mean(x, frozen, h):
    """e^h x + 2 (e^h - 1) s: the mean of X_{t+h} given X_t = x under equation (8), s frozen."""
    return torch.exp(h) * x + 2 * torch.expm1(h) * frozen


def step_variance(h):
    """e^2h - 1: the variance of X_{t+h} given X_t = x under equation (8), s frozen."""
    return torch.expm1(2 * h)


@claim(
    "S1-04",
    source="CS 224 lecture 24, section 2, equation (8)",
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
    """Check the Fokker-Planck equation of the linear SDE, and the limit of Euler-Maruyama."""
    start, frozen, points = 0.8, -1.3, torch.linspace(-4, 4, 81, dtype=torch.float64)
    residual = []
    lengths = torch.tensor([0.1, 0.5, 1.0], dtype=torch.float64)

    def density(x, h):
        return normal_density(x - step_mean(start, frozen, h), step_variance(h))

    for h in lengths:
        flux = derivatives(lambda x, h=h: density(x, h) * (x + 2 * frozen), points, 1)[1]
        curvature = derivatives(lambda x, h=h: density(x, h), points, 2)[2]
        residual.append(largest_gap(in_time(density, points, float(h)), fokker_planck(flux, curvature)))
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
    """The largest error of mean and variance of Euler-Maruyama within a step, extrapolated to inner length 0."""
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
    earlier = ou_process().at(torch.tensor(time - h, dtype=torch.float64))
    clean, _ = trapezoid(-9.0, 9.0, 1801)
    weights = earlier.pdf(clean) * normal_density(x - math.exp(-h) * clean, -math.expm1(-2 * h))
    weights = weights / weights.sum()
    centred = clean - weights @ clean
    return float((weights @ centred**4) / (weights @ centred**2) ** 2 - 3)


# Notes on score matching, section 4: the reverse step. ----------------------------------------------------------------


def reverse_sde_drift(x, slope, beta, sigma):
    """-beta x - sigma^2 s with time running backwards, dt < 0; notes on score matching, section 4."""
    return -beta * x - sigma**2 * slope


def reverse_step_mean(x, noise, noise_std, length, beta, sigma):
    """x - dt (sigma^2/sigma_t eps - beta x), the mean of the discrete step of the same section."""
    return x - length * (sigma**2 / noise_std * noise - beta * x)


@claim(
    "S4-03",
    source="notes on score matching, section 4",
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
    """Check Fokker-Planck by autograd, and carry the discrete chain's law by its transition kernels on the line."""
    beta, sigma, end = 1.0, math.sqrt(2), 6.0
    process, points, residual = ou_process(), torch.linspace(-5, 5, 101, dtype=torch.float64), []
    for time in (0.05, 0.3, 1.0):
        law = process.at(torch.tensor(time, dtype=torch.float64))
        backwards = flux_slope(law, lambda x, slope: -reverse_sde_drift(x, slope, beta, sigma), points)
        right = fokker_planck(backwards, 0.5 * sigma**2 * derivatives(law.pdf, points, 2)[2])
        residual.append(largest_gap(-in_time(process.pdf, points, time), right))

    x, width = trapezoid(-8.0, 8.0, budget.of(321, 201))
    data = process.law.pdf(x)
    counts = budget.of((100, 200, 400), (50, 100, 200))
    laws = [_carried(process, x, count, end, beta, sigma, 1) for count in counts]
    wrong = _carried(process, x, counts[0], end, beta, sigma, -1)
    # mass that leaves the grid, as with the wrong sign, is missing in the overlap with the data
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
    """The density on the grid x after `count` reverse steps from N(0, sigma_T^2); with sign -1 they add the drift."""
    length = end / count
    density = normal_density(x, float(process.variance(torch.tensor(end).double())))
    for k in range(count, 0, -1):
        time = torch.tensor(k * length, dtype=torch.float64)
        noise_std = float(process.variance(time)) ** 0.5
        noise = -noise_std * score(process.at(time), x)
        mean = reverse_step_mean(x, noise, noise_std, sign * length, beta, sigma)
        density = push(density, mean, sigma**2 * length, x)
    return density
