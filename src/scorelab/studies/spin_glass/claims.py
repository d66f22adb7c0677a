"""The model of Sherrington and Kirkpatrick: the verdicts on CS 224 lecture 24, section 3."""

import math

import numpy
import torch

from scorelab.claims import HOLDS, Evidence, at_least, at_most, claim, equal
from scorelab.claims.claim import UNDECIDED
from scorelab.claims.panels import panel, panels
from scorelab.denoisers.amp import AMPDenoiser
from scorelab.denoisers.exact import ExactDenoiser
from scorelab.denoisers.state_evolution import fixed_point
from scorelab.laws.estimate import mean_and_error
from scorelab.metrics import spins
from scorelab.randomness import stream_seed
from scorelab.samplers.spins import Paths, localize, signs, times
from scorelab.studies.spin_glass import chains, theory
from scorelab.targets.ising import Ising, sherrington_kirkpatrick
from scorelab.targets.spiked import SpikedModel

_SOURCE = "CS 224 lecture 24, section 3, sampling from the Sherrington-Kirkpatrick model"
_END = 30.0


def _model(budget, n, beta, matrix):
    return Ising(sherrington_kirkpatrick(n, budget.stream("matrix", n, matrix)), beta)


# Glauber dynamics. --------------------------------------------------------------------------------------------------


@claim(
    "S1-08",
    source=_SOURCE,
    statement="Classical sampling techniques such as the Glauber dynamics guarantee sampling when the inverse "
    "temperature beta < 1/4.",
    recorded=HOLDS,
    finding="The transition matrix of Glauber dynamics on all states, n = {n_first} to {n_last}, {matrices} "
    "matrices each. The guarantee is a lower bound of the rate of relaxation a sweep, 1 - beta (lambda_max - "
    "lambda_min), which tends to 1 - 4 beta. At beta = 0.2 it is {bound:.3f} or more, and the rate is "
    "{rate_slow:.3f} or more, never below its bound: sampling is guaranteed, and faster than guaranteed. At beta "
    "= 0.9 the bound is {bound_high:.2f} or less and says nothing; the rate is {rate_high_first:.3f} for n = "
    "{n_first} and {rate_high_last:.3f} for n = {n_last} in the mean, so that the dynamics still relaxes in some "
    "ten sweeps. 1/4 is a limit of the proof.",
    cost=2.0,
)
def glauber(budget):
    """The exact gap against the bound that the guarantee is made of."""
    sizes, matrices = budget.of((6, 8, 10, 12), (6, 8, 10)), budget.of(6, 4)
    rates, bounds = {}, {}
    for beta in (0.2, 0.9):
        models = [[_model(budget, n, beta, k) for k in range(matrices)] for n in sizes]
        rates[beta] = numpy.array([[theory.glauber_rate(each) for each in row] for row in models])
        bounds[beta] = numpy.array([[theory.guaranteed_rate(each) for each in row] for row in models])
    return Evidence(
        stated=[
            at_least("beta = 0.2: rate less its lower bound, least", (rates[0.2] - bounds[0.2]).min(), 0),
            at_least("beta = 0.2: lower bound, least", bounds[0.2].min(), 1 - 4 * 0.2),
            at_most("beta = 0.9: lower bound, largest", bounds[0.9].max(), 0),
        ],
        numbers={
            "n_first": sizes[0],
            "n_last": sizes[-1],
            "matrices": matrices,
            "bound": bounds[0.2].min(),
            "rate_slow": rates[0.2].min(),
            "bound_high": bounds[0.9].max(),
            "rate_high_first": rates[0.9][0].mean(),
            "rate_high_last": rates[0.9][-1].mean(),
        },
    )


# The posterior mean. ------------------------------------------------------------------------------------------------


@claim(
    "S1-09",
    source=_SOURCE,
    statement="For beta < 1 the denoising function m(y, sigma) = E[x | W; x + sigma g = y] can be approximated by "
    "AMP for all sigma.",
    recorded=HOLDS,
    finding="beta = 0.5 and 0.9. Against sums over all states at sigma = 1 the squared error a spin, a geometric "
    "mean over {matrices} matrices, falls from {first:.2g} to {last:.2g} between n = {n_first} and {n_last} at "
    "beta = 0.5 and from {first_high:.2g} to {last_high:.2g} at 0.9. For n = {n}, with a matrix whose exact "
    "sample is known (theta of A = beta/n theta theta^T + W), the squared error of AMP is that of the best "
    "denoiser as n grows, from state evolution, within {worst:.1f} standard errors at {sigmas} sigma from 0.41 to 3.2. "
    "Three iterations without descent leave {few:.2g} at beta = 0.9, n = {n_last}; 15 of both leave "
    "{last_high:.2g}. Without the memory term (naive mean field) the error is {naive:.2g}.",
    cost=5.0,
)
def posterior_mean(budget):
    """Against sums for small n, and against the least error for large n."""
    sizes, matrices, others = (6, 18), 80, budget.of(20, 10)
    logs = {(beta, n): _errors(budget, n, beta, matrices) for beta in (0.5, 0.9) for n in sizes}
    few = _errors(budget, sizes[-1], 0.9, others, iterations=3, descent_steps=0)
    naive = _errors(budget, sizes[-1], 0.9, others, onsager="none")
    n, precisions, large = 300, budget.of((0.1, 0.3, 0.7, 1.5, 3.0, 6.0), (0.1, 0.7, 3.0)), []
    for beta in (0.5, 0.9):
        for t in precisions:
            error, spread = _large_error(budget, n, beta, t, budget.of(30, 12))
            large.append((beta, t, error, spread, 1 - float(fixed_point(beta, t))))
    comparisons = []
    for beta in (0.5, 0.9):
        change, error = mean_and_error(logs[beta, sizes[-1]] - logs[beta, sizes[0]])
        what = f"beta = {beta}: log of the squared error at n = {sizes[-1]} less that at n = {sizes[0]}"
        comparisons.append(at_most(what, change, 0, error=error))
    for name, values in (("three iterations", few), ("no memory term", naive)):
        change, error = mean_and_error(logs[0.9, sizes[-1]][: len(values)] - values)
        comparisons.append(
            at_most(f"beta = 0.9: log of the squared error less that with {name}", change, 0, error=error)
        )
    for beta, t, error, spread, least in large:
        what = f"beta = {beta}, sigma = {t**-0.5:.3g}: squared error of AMP a spin, n = {n}"
        comparisons.append(equal(what, error, least, error=spread, resolution=0.3 * least))
    typical = {key: math.exp(values.mean()) for key, values in logs.items()}
    return Evidence(
        stated=comparisons,
        numbers={
            "matrices": matrices,
            "n_first": sizes[0],
            "n_last": sizes[-1],
            "first": typical[0.5, sizes[0]],
            "last": typical[0.5, sizes[-1]],
            "first_high": typical[0.9, sizes[0]],
            "last_high": typical[0.9, sizes[-1]],
            "few": math.exp(few.mean()),
            "naive": math.exp(naive.mean()),
            "n": n,
            "sigmas": len(precisions),
            "worst": max(abs(error - least) / spread for _, _, error, spread, least in large),
        },
    )


def _errors(budget, n, beta, matrices, **options):
    """The logarithm of (1/n) E|m_AMP - m|^2 at sigma = 1, for each matrix, (matrices,)."""
    found, angle = [], math.pi / 4
    for k in range(matrices):
        target, draws = _model(budget, n, beta, k), budget.stream("draws", n, k)
        x = target.sample(20, draws, torch.float64)
        x = math.sqrt(0.5) * (x + torch.randn(x.shape, generator=draws, dtype=torch.float64))
        denoiser = AMPDenoiser(target.couplings, **options)
        found.append(math.log(float((denoiser(x, angle) - target.posterior_mean(x, angle)).square().mean())))
    return numpy.array(found)


def _large_error(budget, n, beta, t, matrices):
    """E|m_AMP - theta|^2/n with its standard error over draws of theta and the matrix, at the precision t."""
    found = []
    for k in range(matrices):
        draws = budget.stream("planted", n, k)
        target = SpikedModel.draw(n, beta, "rademacher", draws)
        y = t * target.theta + math.sqrt(t) * torch.randn(8, n, generator=draws, dtype=torch.float64)
        found.append(float((AMPDenoiser(target.couplings).solve(y, t).mean - target.theta).square().mean()))
    return mean_and_error(numpy.array(found))


# Sampling. ----------------------------------------------------------------------------------------------------------


@claim(
    "S1-10",
    source=_SOURCE,
    statement="Sampling all the way to beta < 1 is possible via DDPM, with a denoising function that is "
    "approximated by AMP, and sampling when beta > 1 is hard for algorithmically stable samplers.",
    recorded=HOLDS,
    finding="n = {n}, {count} samples of one matrix, {steps} steps; the reference is parallel tempering on the "
    "same matrix. The energy <x, Ax>/n is {energy_low:.3f} ± {energy_low_error:.1g} at beta = 0.5 (reference "
    "{energy_low_reference:.3f}) and {energy_high:.3f} ± {energy_high_error:.1g} at 0.9 "
    "({energy_high_reference:.3f}); n E R^2 of two samples is {overlap_low:.2f} ± {overlap_low_error:.1g} "
    "({overlap_low_reference:.2f}; 1.33 as n grows) and {overlap_high:.2f} ± {overlap_high_error:.1g} "
    "({overlap_high_reference:.2f}; 5.26 as n grows, which n = {n} is far from). At beta = 2 it is not: n E R^2 "
    "is {overlap_cold:.1f} ± {overlap_cold_error:.1g}, and {overlap_cold_reference:.1f} ± "
    "{overlap_cold_reference_error:.1g} by tempering.",
    cost=6.0,
)
def sampling(budget):
    """Energy and overlap of AMP samples against parallel tempering, below and above beta = 1."""
    n, count, steps = 100, budget.of(200, 120), budget.of(40, 30)
    numbers, comparisons = {"n": n, "count": count, "steps": steps}, []
    for beta, name in ((0.5, "low"), (0.9, "high"), (2.0, "cold")):
        target, own = _model(budget, n, beta, 0), stream_seed(0, "claim", name)
        means = localize(AMPDenoiser(target.couplings), Paths(times(_END, steps), (count, n), own))
        generator = numpy.random.default_rng(own)
        reference = torch.from_numpy(chains.tempering(target.A, beta, count, budget.of(120, 80), generator, 8))
        for what, measured in (("energy", spins.energy), ("overlap", _overlap)):
            found, held = measured(target, signs(means, budget.stream(name))), measured(target, reference)
            error = math.hypot(found.standard_error, held.standard_error)
            numbers |= {f"{what}_{name}": found.value, f"{what}_{name}_error": found.standard_error}
            numbers |= {f"{what}_{name}_reference": held.value, f"{what}_{name}_reference_error": held.standard_error}
            text = f"beta = {beta}: {'energy' if what == 'energy' else 'n E R^2'}"
            if beta < 1:
                comparisons.append(equal(text, found.value, held.value, error=error, resolution=0.6 * held.value))
            elif what == "overlap":
                off = abs(found.value - held.value)
                comparisons.append(at_least(f"{text}, distance to the reference", off, 0, error=error))
    return Evidence(stated=comparisons, numbers=numbers)


def _overlap(target, x):
    return spins.squared_overlap(x)


@claim(
    "S1-11",
    source=_SOURCE,
    statement="For beta < 1 the samples are right in normalized W2: W2(samples, P)^2/n vanishes as n grows.",
    recorded=UNDECIDED,
    finding="beta = 0.5, {matrices} matrices, {count} samples each, coupled with the sampler that has the exact "
    "posterior mean: E|x - x'|^2/n, a bound of W2^2/n between the two, is {first:.4f} ± {first_error:.1g} at n = "
    "{n_first} and {last:.4f} ± {last_error:.1g} at n = {n_last}. That is small, and sums over all states end "
    "before its fall with n is seen. At beta = 1.5 it is {cold_first:.2f} ± {cold_first_error:.1g} and "
    "{cold_last:.2f} ± {cold_last_error:.1g}: there it grows.",
    cost=8.0,
)
def distance(budget):
    """The distance of coupled runs at two sizes."""
    sizes, matrices, count, steps = (8, budget.of(16, 12)), budget.of(16, 4), 40, 20
    found = {}
    for beta in (0.5, 1.5):
        for n in sizes:
            values = []
            for k in range(matrices):
                target = _model(budget, n, beta, k)
                paths = Paths(times(_END, steps), (count, n), stream_seed(0, "claim", n, k), torch.float64)
                runs = (localize(each(target), paths) for each in (_amp, ExactDenoiser))
                values.append(spins.distance(*runs).value)
            found[beta, n] = mean_and_error(numpy.array(values))
    (first, first_error), (last, last_error) = (found[0.5, n] for n in sizes)
    (cold_first, cold_first_error), (cold_last, cold_last_error) = (found[1.5, n] for n in sizes)
    what = f"E|x - x'|^2/n at n = {sizes[1]} less that at n = {sizes[0]}, beta = 0.5"
    betas = sorted({beta for beta, _ in found})
    lines = {rf"$\beta = {beta:g}$": [found[beta, n][0] for n in sizes] for beta in betas}
    errors = {rf"$\beta = {beta:g}$": [found[beta, n][1] for n in sizes] for beta in betas}
    picture = panel("coupled runs", sizes, lines, errors=errors, xlabel="$n$", ylabel="$W_2^2/n$ at most", yscale="log")
    return Evidence(
        stated=[at_most(what, last - first, 0, error=math.hypot(first_error, last_error))],
        numbers={
            "matrices": matrices,
            "count": count,
            "n_first": sizes[0],
            "n_last": sizes[1],
            "first": first,
            "first_error": first_error,
            "last": last,
            "last_error": last_error,
            "cold_first": cold_first,
            "cold_first_error": cold_first_error,
            "cold_last": cold_last,
            "cold_last_error": cold_last_error,
        },
        figures={"claim": panels(picture)},
    )


def _amp(target):
    return AMPDenoiser(target.couplings)
