"""Measurements that are repeated: a function of a seed for each kind of standard error and noise floor.

A function returns, by name, pairs of a number and of the error or floor that is printed for it.
"""

import math
from functools import partial
from itertools import count as naturals
from types import SimpleNamespace

import numpy
import pandas
import torch
from helpers import composed, seeded
from own_targets import Measured
from repetitions_of_conformance import conformance
from repetitions_of_the_thesis import descents_by_gradients, schemes, sets_of_images
from test_training import BASE, network, trainer

from scorelab.denoisers import Denoiser
from scorelab.denoisers.exact import ExactDenoiser
from scorelab.figures.files import load_arrays
from scorelab.lab.config import check
from scorelab.laws import mode_draws
from scorelab.laws.estimate import Estimate
from scorelab.laws.mode_pairs import Centres, Span
from scorelab.metrics import projection as projections
from scorelab.metrics import spins
from scorelab.metrics.path_kl import path_kl
from scorelab.metrics.posterior_mean import compare_posterior_means
from scorelab.metrics.projection import (
    LawComparison,
    mode_weights,
    orthogonal_floor,
    orthogonal_metrics,
    project,
    weight_floor,
)
from scorelab.metrics.rates import rate
from scorelab.quadrature import Scrambles
from scorelab.samplers.ends import on_target
from scorelab.schedules import DDPM
from scorelab.studies.collapse.analyse import traded
from scorelab.studies.collapse.flawed import Flawed
from scorelab.studies.collapse.measurements import Concentration, shrinkage
from scorelab.studies.collapse.sample import Settings
from scorelab.studies.generate import trajectories
from scorelab.studies.langevin import analyse as langevin
from scorelab.studies.learning import analyse as learning
from scorelab.studies.learning import k_modes, two_modes
from scorelab.studies.likelihood import measurements as likelihood
from scorelab.studies.peers.measurements import path_order
from scorelab.studies.sampler_accuracy import sample
from scorelab.studies.two_stage import analyse as two_stage
from scorelab.studies.two_stage import train as descents
from scorelab.targets import GaussianMixture, Ising, base
from scorelab.targets.ising import sherrington_kirkpatrick
from scorelab.training import Trainer, Training

ONE_WIDTH = GaussianMixture.two_modes(0.7, torch.ones(6))
WIDE_AND_NARROW = GaussianMixture([0.5, 0.5], [[1.0] * 6, [-1.0] * 6], [0.2, 1.5])
OFF_A_LINE = GaussianMixture([0.5, 0.3, 0.2], [[3.0, 0, 0, 0], [-3.0, 0, 0, 0], [0, 9.0, 0, 0]])
APART = GaussianMixture([0.6, 0.4], torch.tensor([[4.0] * 4, [-4.0] * 4]), 0.5)
MANY = GaussianMixture(torch.ones(4), 3 * torch.randn(4, 4, generator=seeded(2), dtype=torch.float64))
TARGETS = {"one width": ONE_WIDTH, "two widths": WIDE_AND_NARROW, "three modes off a line": OFF_A_LINE}
CLUSTERS = {
    "two widths far apart": GaussianMixture([0.5, 0.5], [[4.0] * 6, [-4.0] * 6], [0.2, 1.5]),
    "many dimensions": GaussianMixture.two_modes(0.7, torch.ones(32)),
}


def printed(estimates) -> dict:
    """name -> value and standard error, of Estimates by name; a list has a name for each of its numbers."""
    found = {}
    for name, each in estimates.items():
        if isinstance(each.standard_error, list):
            pairs = zip(each.value, each.standard_error, strict=True)
            found |= {f"{name} {number}": pair for number, pair in enumerate(pairs)}
        elif each.standard_error:
            found[name] = each.value, each.standard_error
    return found


def projection(target, comparison, seed):
    """Samples that are shifted, as the bootstrap of a distance is a fifth too large for exact ones."""
    samples = target.sample(comparison.count, seeded(seed), torch.float64) + 0.4
    values, draws = project(samples, target.direction), seeded(1000 + seed)
    error = comparison.standard_errors(values, 8, draws)
    found = {name: (value, error[name]) for name, value in comparison.distances(values).items()}
    measured = projections._moments(values, comparison.law, None, target) | mode_weights(samples, target, target, draws)
    return found | printed(measured | {"orthogonal": orthogonal_metrics(samples, target, target)["variance"]})


def floors(target, comparison, seed):
    """The numbers of exact samples, and the floors that are printed for as many."""
    count = comparison.count
    samples = target.sample(count, seeded(seed), torch.float64)
    draws, values = seeded(1000 + seed), project(samples, target.direction)
    floor = comparison.floor(5, draws)
    found = {name: (value, floor[name][1]) for name, value in comparison.distances(values).items()}
    found["mean"] = float(values.mean()), math.sqrt(comparison.law.variance / count)
    weight = float(target.posterior_weights(samples, math.pi / 2)[:, 0].mean())
    found["mode_weight"] = weight, weight_floor(target, count, draws)
    counts = mode_weights(samples, target, target, draws)
    for name in ("mode_chi_squared", "mode_deviation"):
        found[name] = counts[name].value, counts[name].floor_deviation
    variance = orthogonal_metrics(samples, target, target)["variance"].value
    return found | {"orthogonal": (variance, orthogonal_floor(target, target.direction, count, draws))}


class Wrong(Denoiser):
    """The exact posterior mean with an error."""

    def __init__(self, target):
        super().__init__()
        self.target = target

    def forward(self, x, angle):
        return self.target.posterior_mean(x, angle) + 0.3 * torch.sin(3 * x)


def path(target, seed):
    found = path_kl(Wrong(target), target, 1.2, 4, 40, seeded(seed))
    pairs = zip(found.squared_error.tolist(), found.squared_error_standard_error.tolist(), strict=True)
    density = zip(found.density.tolist(), found.density_standard_error.tolist(), strict=True)
    named = {f"squared_error {k}": pair for k, pair in enumerate(pairs)}
    return (
        named
        | {f"density {k}": pair for k, pair in enumerate(density)}
        | {"total": (found.total, found.standard_error)}
    )


def posterior_mean(target, seed):
    clean, draws = target.sample(100, seeded(seed), torch.float64), seeded(1000 + seed)
    rows, _ = compare_posterior_means(Wrong(target), target, clean, [0.8], draws, None)
    return {
        f"{name} {row['angle']}": (row[name].value, row[name].standard_error)
        for row in rows
        for name in ("relative_error", "squared_error")
    }


def excess_risk(seed):
    return {"excess_risk": trainer(seed).excess_risk()}


def measured_bayes_risk(monkeypatch, seed):
    """Of a target that does not know it: a mean over samples, of one angle and of the angles of a training."""
    monkeypatch.setattr(base, "stream", lambda _, *name: seeded(seed))
    monkeypatch.setattr(Measured, "risk_draws", 100)
    risk, error = Measured().bayes_risk_and_error(0.8)
    return {"bayes_risk": (float(risk), float(error))}


def training_risk(monkeypatch, measured, seed):
    """Of a training's angles, which all have the same samples, so that the sum of their errors is not quite theirs."""
    monkeypatch.setattr(base, "stream", lambda _, *name: seeded(seed))
    monkeypatch.setattr(Measured, "risk_draws", 50)
    vars(measured).pop("_least", None)
    return {"bayes_risk": (measured.bayes_risk, measured.bayes_risk_error)}


def bayes_risk_of_many_modes(monkeypatch, seed):
    """By quasi-random points, whose scrambles are others in each repetition; without the bias of stopping early."""
    number = naturals(100 * seed)

    def scrambles(dimensions, count):
        found = Scrambles(dimensions, count)
        engine = torch.quasirandom.SobolEngine
        found.engines = [engine(dimensions, scramble=True, seed=next(number)) for _ in range(count)]
        return found

    monkeypatch.setattr(mode_draws, "Scrambles", scrambles)
    monkeypatch.setattr(mode_draws, "_LEAST", 0)
    monkeypatch.setattr(mode_draws, "_ENTRIES", 1)
    (found,) = mode_draws.sampled([Centres(Span(MANY), math.sin(0.5), math.cos(0.5))]).T.tolist()
    return {"bayes_risk": found}


# Collapse. ----------------------------------------------------------------------------------------------------------


def concentration(target, seed):
    draws = seeded(seed)
    measured = Concentration(target, 60, 4, draws, target.sample(30, draws)).measure(target.sample(60, draws))
    names = ("trace", "participation", "neighbour", "training", "mode_weight")
    return {name: (measured[name], measured[f"{name}_standard_error"]) for name in names}


def concentration_floors(target, seed):
    """The statistics of exact samples over their means, and their floors."""
    draws = seeded(seed)
    train = target.sample(30, seeded(0))
    found = Concentration(target, 60, 4, draws, train)
    measured = found.measure(target.sample(60, draws))
    return {
        name: (measured[name] * found.exact[name], floor * found.exact[name]) for name, floor in found.floor.items()
    }


def shrinking(kind, seed):
    found = shrinkage(Flawed(APART, kind, 0.2), APART, [0.3, 1.1], 200, seeded(seed))
    return {str(row["angle"]): (row["size"], row["size_standard_error"]) for row in found}


def lost(study, config, seed):
    """Of one mode: among several a coarse rule leaves a few samples in between, which decide the spread."""
    target = GaussianMixture([1.0], torch.zeros(1, 4), 0.5)
    settings = Settings(study, SimpleNamespace(seed=seed, target=target, config=config))
    rows = settings.bands("euler_maruyama")
    return {str(row["low"]): (row["lost"], row["lost_standard_error"]) for row in rows}


def trade(seed):
    """Errors of networks: those of one repeat have a part in common."""
    draws = numpy.random.default_rng(seed)
    common = numpy.exp(0.3 * draws.normal(size=12))
    rows = [("alone", 0.0), ("alone", 1.0), ("shared", 0.5), ("both", 0.5)]
    table = {"width": [], "name": [], "share": [], "high": [], "low": []}
    for name, share in rows:
        columns = {"width": [8] * 12, "name": [name] * 12, "share": [share] * 12}
        columns |= {phase: common * numpy.exp(0.2 * draws.normal(size=12)) for phase in ("high", "low")}
        table = {key: [*table[key], *columns[key]] for key in table}
    return printed(traded({key: numpy.array(values) for key, values in table.items()}, 8))


# Other studies. -----------------------------------------------------------------------------------------------------


def commitment(seed):
    """Times of paths, of which a part never commits, and flags of paths."""
    draws = numpy.random.default_rng(seed)
    times = numpy.where(draws.random(200) < 0.9, draws.lognormal(0, 1, 200), math.inf)
    found = trajectories._quantiles("t", times, times, 40, seeded(seed))
    found |= trajectories._share("share", draws.random(30) < 0.9, draws.random(30) < 0.4)
    pairs = {key: (found[key], found[f"{key}_standard_error"]) for key in ("t", "share", "share_exact")}
    quartiles = zip(found["t_quartiles"], found["t_quartiles_standard_error"], strict=True)
    return pairs | {f"quartile {k}": pair for k, pair in enumerate(quartiles)}


def chains(seed):
    """Samples that find the first mode one after the other: the weight of a budget, and the budget that finds it."""
    draws, count, tolerance = numpy.random.default_rng(seed), 500, 0.12
    evaluations = numpy.unique(numpy.round(1.08 ** numpy.arange(75)).astype(int))
    first = (draws.exponential(40, count) < evaluations[:, None]) & (draws.random(count) < 0.7)
    weights = numpy.stack([first, ~first], 2).astype(float)
    exact, study = (
        numpy.array([0.7, 0.3]),
        SimpleNamespace(floor_repeats=40, separations=SimpleNamespace(tolerance=tolerance)),
    )
    needed = langevin._needed(evaluations, weights.mean(1), exact, tolerance)
    weight = langevin._weight(weights)
    return {
        "evaluations": (needed, langevin._spread(evaluations, weights, exact, study, draws)),
        "weight": (weight["weight"][30], weight["weight_standard_error"][30]),
    }


def spin_statistics(target, seed):
    """Of exact samples, whose overlaps have hardly a linear part, and of samples with some spins turned."""
    draws = seeded(seed)
    x = target.sample(100, draws, torch.float64)
    turned = torch.where(torch.rand(x.shape, generator=draws) < 0.1, -x, x)
    found = {"energy": spins.energy(target, x), "overlap": spins.squared_overlap(x)}
    found |= {"correlations": spins.correlation_error(x, target.correlations())}
    found |= {"of turned": spins.correlation_error(turned, target.correlations())}
    return printed(found | {"distance": spins.distance(0.5 * x, 0.5 * turned)})


def means(seed):
    """A mean over a few independent sets, as of many studies, and the error of what is left of a process."""
    return printed({"mean": Estimate.mean(numpy.random.default_rng(seed).normal(size=8))})


def bound(information, seed):
    """The bound of a chain and its gap: with the Bayes risk, and without it, where a gap is a mean of differences."""
    clean = ONE_WIDTH.sample(60, seeded(seed), torch.float64)
    clock = DDPM(grid="log_snr", timesteps=100, beta="linear", beta_min=1e-3, beta_max=0.2)
    chain, found = likelihood.Chain(clock.angles(2), clock.start_std, 6), {}
    square = information.variance + float(ONE_WIDTH.mean.square().sum())
    for name, known, squares in (("known", information, square), ("unknown", None, clean.square().sum(1))):
        errors = likelihood.measure_errors(Wrong(ONE_WIDTH), ONE_WIDTH, clean, chain.angles, known, seed)
        one = likelihood.bound(chain, "optimal", errors, squares, known, None)
        found |= {name: one.estimate(), f"{name}, term": Estimate(float(one.steps[1]), float(one.standard_errors[1]))}
    found["gap"] = one.estimate(-float(ONE_WIDTH.log_prob(clean).mean()), -ONE_WIDTH.log_prob(clean))
    return printed(found)


def slopes(seed):
    """A fitted slope, where the logarithms of the values have errors."""
    x, noise = numpy.linspace(0, 1, 12), numpy.random.default_rng(seed).normal(size=12)
    return {"rate": rate(x, numpy.exp(2 * x + 0.1 * noise))}


def paths(seed):
    """An order of paths: one noise leads to the ends of every number of steps, and some differ more than others."""
    draws = numpy.random.default_rng(seed)
    size = draws.lognormal(0, 0.7, 160)
    gaps = numpy.stack([(size * draws.lognormal(0, 0.3, 160) / steps) ** 2 for steps in (16, 32, 64)])
    return printed({"order": path_order([16, 32, 64], gaps.reshape(3, 16, 10).mean(2))})


def accuracy(study, job, schedule, comparison, seed):
    """A row of accuracy.csv, and its floors beside single sets."""
    context = SimpleNamespace(seed=seed, target=ONE_WIDTH, denoiser=ExactDenoiser(ONE_WIDTH))
    row = sample._measure(study, context, job, schedule, None, comparison)
    names = ("w1", "mode_weight", "orthogonal_variance")
    return {name: (row[name], row[f"{name}_standard_error"]) for name in names}


def starts_of_two_modes(monkeypatch, study, seed):
    """Where EM ends, which takes less time than the descents that are measured in the same way. The starts are on mu*:
    of random ones one in hundreds ends at -mu*, which decides the spread."""

    def near(study, generator, star):
        return 0.3 * star, drawn(study, generator, star)[1]

    drawn = two_modes._draw
    with monkeypatch.context() as patched:
        patched.setattr(two_modes, "_draw", near)
        paths = [job for job in two_modes.jobs(study, seed) if job.args[0] == "em"]
    (job,) = (job for job in paths if (job.func.__self__.name, job.func.__self__.kind) == ("low", "samples"))
    ends = learning._ends(study, study.levels["low"], columns(job()))
    return printed({name: ends[name] for name in ("cosine", "norm_ratio", "error")})


def repeats_of_several_modes(monkeypatch, modes, seed):
    """Numbers of K modes as the stage `analyse` writes them, without what costs time and has no error here."""
    monkeypatch.setattr(k_modes, "fitted_by_sklearn", lambda clean, initial, steps: initial)
    monkeypatch.setattr(learning, "fisher_floor", lambda *given: 0.0)
    table = columns(row for job in k_modes.jobs(modes, seed) for row in job())
    context = SimpleNamespace(
        seed=seed, read_table=lambda name, **options: table, save_arrays=lambda name, arrays: None
    )
    found = learning._k_modes(modes, context)
    wanted = {"error": found["warm"]["em"]["error"], "slope": found["sizes"]["em"]["slope"]}
    wanted["recovered"] = found["cold"]["em"]["recovered"]
    several = {"over_em": found["sizes"]["ddpm"]["over_em"], "by size": found["sizes"]["em"]["error"]}
    several["by separation"] = found["separations"]["em"]["recovered"]
    wanted |= {name: Estimate(each.value[0], each.standard_error[0]) for name, each in several.items()}
    return printed(wanted)


def no_table(name, rows):
    """In the place of a context that writes tables."""


def starts_of_two_stages(study, folder, seed):
    context = SimpleNamespace(seed=seed, run=folder, write_table=no_table, grow_table=no_table)
    descents.run(study, context)
    ends = two_stage._ends("samples", load_arrays(folder / "two_stage.npz"))
    names = (f"stage{stage}_{name}" for stage in (1, 2) for name in ("cosine", "norm", "distance"))
    return {name: (ends[f"{name}_mean"].value, ends[name].standard_error) for name in names}


def columns(rows):
    """Rows as a table: column name -> values."""
    return {key: frame.to_numpy() for key, frame in pandas.DataFrame(list(rows)).items()}


# Which repetition has which name. -------------------------------------------------------------------------------------

QUICK_COLLAPSE = ("injected.steps=4", "injected.bands=2", "injected.count=60")
QUICK_LEARNING = ("n=3", "norm=3", "samples=20", "starts=6", "levels.low.rate=1")
QUICK_LEARNING += ("levels.low.steps=2", "modes.K=3", "modes.n=3", "modes.separation=5", "modes.samples=30")
QUICK_LEARNING += ("modes.repeats=6", "modes.cold=6", "modes.steps=4", "modes.sizes=[30,60]", "modes.separations=[5]")
QUICK_TWO_STAGE = (
    "n=4",
    "constant=1",
    "samples=10",
    "noise=drawn",
    "initial_std=1",
    "stage1.steps=2",
    "stage2.steps=2",
)
QUICK_SGD = ("optimum=[0.5,-1]", "steps=8", "step=0.1", "sigma=1", "measured_at=[4]", "replicas=100", "runs=2")
QUICK_SDE = ("ou.replicas=40", "ou.t_max=0.2")
LADDER = {"objective": "posterior_mean", "angles": "ladder", "angle_min": 0.2, "angle_max": 1.4, "levels": 5}


def checked(study, values, *more):
    return check(composed(f"study={study}", *(f"study.{value}" for value in values), *more))


def repetitions(name, monkeypatch, folder):
    """The function of a seed that repeats a measurement."""
    group, _, target = name.partition(", ")
    law = (TARGETS | CLUSTERS).get(target)
    if group in ("projection", "floors"):
        comparison = LawComparison(law.projection(law.direction), 100)
        return partial({"projection": projection, "floors": floors}[group], law, comparison)
    if group in ("path", "posterior mean", "concentration", "floors of concentration"):
        of = {"path": path, "posterior mean": posterior_mean, "concentration": concentration}
        return partial(of.get(group, concentration_floors), law)
    if group == "shrinkage":
        return partial(shrinking, target)
    if group == "lost":
        config = checked("collapse", QUICK_COLLAPSE)
        return partial(lost, config.study, config)
    if group == "two modes":
        return partial(starts_of_two_modes, monkeypatch, checked("learning", QUICK_LEARNING).study)
    if group == "several modes":
        return partial(repeats_of_several_modes, monkeypatch, checked("learning", QUICK_LEARNING).study.modes)
    if group == "two stages":
        return partial(starts_of_two_stages, checked("two_stage", QUICK_TWO_STAGE).study, folder)
    if group == "accuracy":
        config = checked("sampler_accuracy", (), "sampler.count=40")
        job = config.study.job("euler_maruyama", 2, config.sampling)
        schedule = on_target(config.study.schedule("angle", config), ONE_WIDTH)
        comparison = LawComparison(ONE_WIDTH.projection(ONE_WIDTH.direction), 40)
        return partial(accuracy, config.study, job, schedule, comparison)
    if group == "training risk":
        return partial(
            training_risk,
            monkeypatch,
            Trainer(network(n=16), Measured(), Training(**BASE | LADDER), 0),
        )
    of = {"measured risk": measured_bayes_risk, "risk of many modes": bayes_risk_of_many_modes}
    if group in of:
        return partial(of[group], monkeypatch)
    if group == "spins":
        couplings = sherrington_kirkpatrick(8, seeded(1))
        return partial(spin_statistics, Ising(couplings, 0.3))
    if group == "descents":
        study = checked("sgd", QUICK_SGD).study
        return lambda seed: printed(descents_by_gradients(study, seed))
    if group == "schemes":
        study = checked("sde", QUICK_SDE).study
        return lambda seed: printed(schemes(study, seed))
    if group == "images":
        return lambda seed: printed(sets_of_images(monkeypatch, seed))
    if group == "bound":
        return partial(bound, likelihood.Information(ONE_WIDTH, 1.54))
    plain = {
        "paths": paths,
        "means": means,
        "excess risk": excess_risk,
        "trade": trade,
        "commitment": commitment,
        "chains": chains,
        "slopes": slopes,
        "conformance": conformance,
    }
    return plain[group]
