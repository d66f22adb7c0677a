"""Collapse: where deterministic samplers lose variance that stochastic ones keep; what low noise costs high noise."""

import math

import numpy
import torch

from scorelab.claims import CORRECTED, Evidence, at_least, at_most, claim, equal
from scorelab.claims.panels import panel, panels
from scorelab.laws.estimate import mean_and_error
from scorelab.samplers import DDIM, DPMSolver2M, DPMSolverSDE2M, EulerMaruyama, FlowHeun, Sampling, draw_samples
from scorelab.schedules import Localization
from scorelab.studies.collapse.flawed import Flawed
from scorelab.studies.collapse.least_squares import LeastSquaresNetwork
from scorelab.studies.collapse.measurements import lost_by_rule, nearest
from scorelab.studies.collapse.theory import relative_variance
from scorelab.targets import GaussianMixture

#: the last angle of every grid, and the shrinkage, over the root of the Bayes risk
END, SIZE = math.pi / 2 - 0.1, 0.3
#: bands of angles, far from both ends of the grid, on either side of pi/4, where the signal is as large as the noise
HIGH_NOISE, LOW_NOISE = (0.125 * END, 0.375 * END), (0.625 * END, 0.875 * END)
#: a sampler collapses, and another sampler does not, if it loses this many times as much variance
_TIMES = 2.0
#: angle between high and low noise in learning
_SWITCH = math.pi / 4


#: name -> sampling rule and its stochasticity
RULES = {
    "Heun": (FlowHeun(coordinate="angle"), 0.0),
    "2M": (DPMSolver2M(), 0.0),
    "half": (DDIM(eta=math.sqrt(0.5)), 0.5),
    "Euler-Maruyama": (EulerMaruyama(), 1.0),
    "2M SDE": (DPMSolverSDE2M(), 1.0),
}


def expected_loss(band, stochasticity) -> float:
    """The share of the variance of N(0, 1) that a shrinkage in a band costs, by the closed form."""
    return 1 - relative_variance(SIZE, band, END, stochasticity)


def _bands(budget):
    """Losses of each sampler in the two bands, and in a row of bands for the figure."""
    steps = budget.of(512, 64)
    angles = numpy.linspace(0.0, END, steps + 1)
    found = {
        (noise, name): (lost_by_rule(rule, angles, SIZE, band), expected_loss(band, stochasticity))
        for name, (rule, stochasticity) in RULES.items()
        for noise, band in (("high", HIGH_NOISE), ("low", LOW_NOISE))
    }
    edges = angles[:: steps // 8]
    rows = list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))
    shown = {name: RULES[name] for name in ("Heun", "2M SDE")}
    lines = {
        name: numpy.array([100 * lost_by_rule(rule, angles, SIZE, band) for band in rows])
        for name, (rule, _) in shown.items()
    }
    curves = {
        f"closed form, $\\lambda={value:g}$": numpy.array([100 * expected_loss(band, value) for band in rows])
        for _, value in shown.values()
    }
    errors = {name: numpy.zeros(len(rows)) for name in lines}
    words = {"xlabel": "angle of the error (rad)", "ylabel": "variance lost (%)", "errors": errors, "dashed": curves}
    return found, panel("shrunken in one band", [sum(band) / 2 for band in rows], lines, **words)


def distance_to_training_data(budget):
    """Sampler -> mean distance to the nearest of 200 training samples, over the same mean of exact samples, with its
    standard error. The denoiser is the posterior mean of the training samples up to an angle, and exact from there."""
    target, generator = GaussianMixture.two_modes(0.7, torch.ones(16)), budget.stream("memory")
    data, count, steps = target.sample(200, generator), budget.of(2048, 512), 48
    schedule = Localization(grid="angle", alpha_max=END, T=None, t_min=3e-4)
    denoiser = Flawed(target, "empirical", band=(0.0, LOW_NOISE[0]), data=data)
    exact = nearest(target.output_law(END, "scaled").sample(20 * count, generator), data).double()
    found = {}
    for name in ("Heun", "2M SDE"):
        job = Sampling(count=count, steps=steps, batch_size=count, output="scaled", rule=RULES[name][0])
        distance = nearest(torch.cat(list(draw_samples(job, schedule, denoiser, 16, 0))), data).double()
        found[name] = tuple(value / float(exact.mean()) for value in mean_and_error(distance))
    return found


def _learned(budget):
    """Ratios of errors, each as (mean, standard error), by phase and by whether the network may differ between phases.

    cost: the error of a network that spends three quarters of its budget on the other phase, over the error of a
    network that spends all its budget on this phase. both: the error of one network that has the budgets of both
    phases, over the error of a network that has the budget of this phase alone."""
    target = GaussianMixture([0.7, 0.3], torch.tensor([[0.6], [-1.4]]).expand(2, 4).clone(), 0.4)
    found = {}
    for name, harmonics in (("rigid", 0), ("free", 2)):
        ratios = []
        for repeat in range(budget.of(64, 10)):
            learner = LeastSquaresNetwork(target, 24, harmonics, 3000, 1000 + repeat, _SWITCH, END)
            alone = (learner.errors(0.0)[0], learner.errors(1.0)[1])
            cost = (learner.errors(0.75)[0] / alone[0], learner.errors(0.25)[1] / alone[1])
            both = [error / own for error, own in zip(learner.errors(0.5, 2.0), alone, strict=True)]
            ratios.append([*cost, *both])
        means, errors = mean_and_error(numpy.array(ratios))
        keys = ("cost_high", "cost_low", "both_high", "both_low")
        found |= {(name, key): pair for key, *pair in zip(keys, means, errors, strict=True)}
    return found


@claim(
    "S2-09",
    source="Zhang 2024, outline",
    statement="The deterministic sampler induces a collapse: with the same denoiser its samples are more concentrated "
    "than those of a stochastic one. There is a trade-off between learning in the large and in the small noise regime.",
    corrected="It depends on where the denoiser errs. A posterior mean that is shrunk by a given share of its root "
    "mean squared error costs the deterministic sampler the same share of the variance for each radian of psi, "
    "tan^2(psi) the signal-to-noise ratio, and the stochastic one 2 sin^2(psi) times that: less where noise is larger "
    "than the signal, up to twice as much where it is smaller. Low noise is traded against high noise within one "
    "budget. One network with the budgets of both gains where the number of samples limits it, and loses where its "
    "form does.",
    recorded=CORRECTED,
    fault="error",
    finding="Shrunk by {size:g} of the root mean squared error between the angles {high_from:.2f} and {high_to:.2f}, "
    "where there is more noise than signal, Heun's samples lose {high_deterministic:.1%} of their variance, those of "
    "the stochastic DPM-Solver++ (2M) {high_stochastic:.1%}: collapse, as the outline says, since the stochastic "
    "sampler forgets as sin^2. Between {low_from:.2f} and {low_to:.2f} it is the other way round, "
    "{low_deterministic:.1%} and {low_stochastic:.1%}: an error enters the stochastic sampler's drift twice. All agree "
    "with the closed form, also half way between both samplers. Memorised data do the same: where the posterior mean "
    "is that of 200 training samples up to the angle {low_from:.2f} and exact from there on, the distance to the "
    "nearest of them is {memory_deterministic:.3f} ± {memory_deterministic_se:.1g} of that of exact samples for Heun, "
    "{memory_stochastic:.3f} ± {memory_stochastic_se:.1g} for the stochastic rule. The trade-off is one of the budget: "
    "three quarters of it spent on low noise multiply the error at high noise by {cost_high:.2f} ± {cost_high_se:.1g}, "
    "and the other way round {cost_low:.2f} ± {cost_low_se:.1g}. With the budgets of both phases together one network "
    "has {both_high:.2f} ± {both_high_se:.1g} and {both_low:.2f} ± {both_low_se:.1g} of the errors of two networks of "
    "one phase each: what one phase teaches serves the other. One that is the same at all noise levels has to "
    "compromise, {rigid_high:.2f} ± {rigid_high_se:.1g} and {rigid_low:.2f} ± {rigid_low_se:.1g}.",
    cost=5.0,
)
def collapse_of_deterministic_samplers(budget):
    """Exact variances of samplers of N(0, 1) with a shrunken posterior mean; memorised data; least-squares networks."""
    losses, picture = _bands(budget)
    memory, learned = distance_to_training_data(budget), _learned(budget)
    numbers = {"size": SIZE, "high_from": HIGH_NOISE[0], "high_to": HIGH_NOISE[1]}
    numbers |= {"low_from": LOW_NOISE[0], "low_to": LOW_NOISE[1]}
    for noise in ("high", "low"):
        numbers[f"{noise}_deterministic"] = losses[noise, "Heun"][0]
        numbers[f"{noise}_stochastic"] = losses[noise, "2M SDE"][0]
    for name, key in (("Heun", "memory_deterministic"), ("2M SDE", "memory_stochastic")):
        numbers[key], numbers[f"{key}_se"] = memory[name]
    for network, names in (("free", ("cost_high", "cost_low", "both_high", "both_low")), ("rigid", ("high", "low"))):
        for name in names:
            key, own = (name, name) if network == "free" else (f"both_{name}", f"rigid_{name}")
            numbers[own], numbers[f"{own}_se"] = learned[network, key]
    stated = [
        _collapses("high noise", losses, "high"),
        _collapses("low noise", losses, "low"),
        _nearer(numbers),
        *_traded(numbers),
    ]
    corrected = [_collapses("high noise", losses, "high"), _reversed(losses), *_closed_form(budget, losses)]
    corrected += [_nearer(numbers), *_traded(numbers), *_gained(numbers)]
    return Evidence(stated, corrected, numbers, figures={"claim": panels(picture)})


def _collapses(where, losses, noise):
    """The deterministic rule loses at least `_TIMES` as much as the stochastic rule."""
    deterministic, stochastic = losses[noise, "Heun"][0], losses[noise, "2M SDE"][0]
    what = f"collapse, error at {where}: variance lost by Heun, against {_TIMES:g} times that by 2M SDE"
    return at_least(what, deterministic, _TIMES * stochastic)


def _reversed(losses):
    what = "collapse, error at low noise: variance lost by 2M SDE, against that by Heun"
    return at_least(what, losses["low", "2M SDE"][0], losses["low", "Heun"][0])


def _closed_form(budget, losses):
    """Each rule loses what the closed form says, up to the error of its steps."""
    return [
        equal(f"collapse, error at {noise} noise: variance lost by {name}", found, expected, tolerance=share * expected)
        for share in (budget.of(0.02, 0.1),)
        for (noise, name), (found, expected) in losses.items()
    ]


def _nearer(numbers):
    what = "memory: distance to training data by Heun, against that by 2M SDE"
    error = math.hypot(numbers["memory_deterministic_se"], numbers["memory_stochastic_se"])
    return at_most(what, numbers["memory_deterministic"], numbers["memory_stochastic"], error=error)


def _traded(numbers):
    """A phase that gets a quarter of the budget is learned less well."""
    for phase in ("high", "low"):
        what = f"trade, {phase} noise: error with a quarter of the budget, over that with all of it"
        yield at_least(what, numbers[f"cost_{phase}"], 1, error=numbers[f"cost_{phase}_se"])


def _gained(numbers):
    """With the budgets of both phases a network that can differ between phases gains; a network that cannot loses."""
    for phase in ("high", "low"):
        what = f"trade, {phase} noise: error of one network with both budgets, over that of one a phase"
        yield at_most(what, numbers[f"both_{phase}"], 1, error=numbers[f"both_{phase}_se"])
        what = f"trade, {phase} noise: the same of networks that are the same at all noise levels"
        yield at_least(what, numbers[f"rigid_{phase}"], 1, error=numbers[f"rigid_{phase}_se"])
