"""Stage `analyse`: the section `langevin` of metrics.json, langevin.csv, and the arrays of the figure."""

import math

import numpy

from scorelab.figures.files import load_arrays
from scorelab.laws.estimate import Estimate, mean_and_error
from scorelab.metrics.projection import LawComparison, weight_floor
from scorelab.metrics.tables import first_within
from scorelab.randomness import stream, stream_seed
from scorelab.samplers.langevin import ULA
from scorelab.studies.langevin.sample import two_modes_apart
from scorelab.studies.langevin.theory import relaxation_of

_NO_RELAXATION = Estimate.missing(
    "the relaxation is known only for modes of one standard deviation whose means lie on a line"
)


def run(study, context):
    """Measure every curve, with floors and standard errors, and write the prediction beside it."""
    states = load_arrays(context.run / "langevin.npz")
    target, count = context.target, study.count
    exact = target.weights.numpy()
    comparison = LawComparison(target.projection(target.direction), count)
    floor = comparison.floor(study.floor_repeats, stream(context.seed, "langevin floors"))["w1"]
    least = weight_floor(target, count, stream(context.seed, "langevin weights"))
    metrics = {"count": count, "tolerance": study.tolerance, "methods": {}}
    metrics |= {"weight": Estimate(exact=float(exact[0]), floor=least)}
    metrics |= {
        "mode_weights": Estimate(exact=exact.tolist()),
        "w1": Estimate(floor=floor[0], floor_deviation=floor[1]),
    }
    arrays = {"exact": exact[0], "floor": least, "names": [], "labels": []}
    rows = []
    for plan in study.plans(context.config):
        weights, evaluations = states[f"{plan.name}.weights"], states[f"{plan.name}.evaluations"]
        curve = {"evaluations": evaluations} | _weight(weights)
        curve |= _w1(states[f"{plan.name}.values"], comparison, study, context.seed, plan.name)
        chain = _Prediction(plan, target)
        if chain.relaxation is not None:
            curve["weight_predicted"] = chain.weight(evaluations)
            arrays["relaxation_evaluations"] = chain.times()["relaxation_evaluations"]
        rows += [
            {"method": plan.name, "start": plan.method.start} | dict(zip(curve, row, strict=True))
            for row in zip(*(column.tolist() for column in curve.values()), strict=True)
        ]
        last = {name: _number(column[-1]) for name, column in curve.items()}
        metrics["methods"][plan.name] = {
            "evaluations": last["evaluations"],
            "weight": Estimate(last["weight"], last["weight_standard_error"]),
            "w1": Estimate(last["w1"], last["w1_standard_error"]),
            "mode_weights": weights[-1].mean(0, dtype=float).tolist(),
            "evaluations_needed": _number(_needed(evaluations, weights.mean(1), exact, study.tolerance)),
        } | chain.predicted(last.get("weight_predicted"))
        arrays["names"].append(plan.name)
        arrays["labels"].append(plan.method.label)
        arrays |= {f"{plan.name}.{name}": column for name, column in curve.items()}
    metrics["separations"], of_separations = _separations(study, context, states)
    context.write_table("langevin.csv", rows)
    context.update_metrics("langevin", metrics)
    context.save_arrays("langevin", arrays | of_separations)
    if (context.run / "training.csv").is_file():
        context.save_arrays("training", context.read_table("training.csv", texts=("part",)))


def _weight(weights):
    """Mean weight of the first mode and its standard error, (budgets,) each, from weights (budgets, count, K)."""
    first = weights[:, :, 0].astype(float)
    return dict(zip(("weight", "weight_standard_error"), mean_and_error(first, 1), strict=True))


def _w1(values, comparison, study, seed, name):
    """Wasserstein-1 distance to the target's law and its standard error, (budgets,) each."""
    errors = [
        comparison.standard_errors(row, study.floor_repeats, stream(seed, "langevin bootstrap", name, number))["w1"]
        for number, row in enumerate(values)
    ]
    return {
        "w1": numpy.array([comparison.wasserstein_1(row) for row in values]),
        "w1_standard_error": numpy.array(errors),
    }


class _Prediction:
    """The exact relaxation of the weight under ULA, up to the error of the finite step. `relaxation` is None for other
    rules and for targets without a known relaxation (see `relaxation_of`)."""

    def __init__(self, plan, target):
        self.relaxation, self.rule = None, plan.rule
        if not isinstance(plan.rule, ULA):
            return
        self.relaxation, self.step = relaxation_of(target, plan.rule.noise_level), plan.rule.step_size
        if self.relaxation is None:
            return
        if plan.method.start == "prior":
            schedule = plan.schedule_on(target)
            self.start = 0.0, (schedule.start_std / math.sin(plan.rule.end_angle(schedule))) ** 2
        else:
            mode = 0 if plan.method.start == "first_mode" else int(target.weights.argmin())
            self.start = self.relaxation.means[mode], self.relaxation.variance

    def weight(self, evaluations):
        return self.relaxation.weight(*self.start, self.step * evaluations)

    def times(self) -> dict:
        if self.relaxation is None:
            return {}
        time = self.relaxation.time
        return {"relaxation_time": time, "relaxation_evaluations": time / self.step}

    def predicted(self, weight) -> dict:
        """The prediction for metrics.json, or why the target has none; nothing for other rules than ULA."""
        if not isinstance(self.rule, ULA):
            return {}
        if self.relaxation is None:
            return dict.fromkeys(("weight_predicted", "relaxation_time", "relaxation_evaluations"), _NO_RELAXATION)
        return {"weight_predicted": weight} | self.times()

    def passage(self, tolerance) -> float:
        if self.relaxation is None:
            return math.nan
        return self.relaxation.passage(*self.start, tolerance) / self.step


def _number(value):
    """A number for JSON; None for None and for a number that is not finite."""
    if value is None or not math.isfinite(value):
        return None
    return int(value) if isinstance(value, (int, numpy.integer)) else float(value)


def _needed(evaluations, found, exact, tolerance):
    """The least of `evaluations` from which on the weights `found` (budgets, K) are within the tolerance; None if the
    last weights are not."""
    return first_within(evaluations, numpy.abs(found - exact).max(1) <= tolerance)


def _separations(study, context, states):
    """Evaluations until the weight is found, for each distance: metrics, and arrays for the figure."""
    apart, plans = study.separations, study.plans_of_separations()
    exact = numpy.array([apart.p, 1 - apart.p])
    distances = numpy.array(apart.distances)
    metrics = {"distance": distances.tolist(), "tolerance": apart.tolerance, "methods": {}}
    arrays = {"distances": distances, "apart_names": [plan.name for plan in plans], "apart_exact": apart.p}
    arrays |= {"apart_labels": [plan.method.label for plan in plans]}
    for plan in plans:
        rows = []
        for position, distance in enumerate(apart.distances):
            name = f"{plan.name}.{position}"
            evaluations, weights = states[f"{name}.evaluations"], states[f"{name}.weights"]
            needed = _needed(evaluations, weights.mean(1, dtype=float), exact, apart.tolerance)
            generator = numpy.random.default_rng(stream_seed(context.seed, "passages", plan.name, position))
            error = None if needed is None else _spread(evaluations, weights, exact, study, generator)
            chain = _Prediction(plan, two_modes_apart(apart, distance))
            rows.append((needed, error, chain.passage(apart.tolerance)))
            if chain.relaxation is not None:
                curve = {"evaluations": evaluations, "weight_predicted": chain.weight(evaluations)} | _weight(weights)
                arrays |= {f"apart.{name}.{key}": column for key, column in curve.items()}
        names = ("evaluations", "evaluations_standard_error", "evaluations_predicted")
        columns = dict(zip(names, (numpy.array(column, float) for column in zip(*rows, strict=True)), strict=True))
        if not numpy.isfinite(columns["evaluations_predicted"]).any():
            del columns["evaluations_predicted"]
        lists = {key: [_number(value) for value in column] for key, column in columns.items()}
        passages = Estimate(lists.pop("evaluations"), lists.pop("evaluations_standard_error"))
        largest = apart.budget if plan.method.largest is None else min(apart.budget, plan.method.largest)
        budget = plan.jobs([largest], apart.count)[-1].nfe
        metrics["methods"][plan.name] = {"evaluations": passages} | lists | {"budget": budget}
        arrays |= {f"apart.{plan.name}.{key}": column for key, column in columns.items()}
        arrays[f"apart.{plan.name}.budget"] = budget
    return metrics, arrays


def _spread(evaluations, weights, exact, study, generator):
    """Bootstrap standard error over samples; a set that does not find the weight counts with the largest budget."""
    count, found = weights.shape[1], []
    for _ in range(study.floor_repeats):
        share = numpy.bincount(generator.integers(0, count, count), minlength=count).astype(weights.dtype) / count
        needed = _needed(evaluations, numpy.einsum("bck,c->bk", weights, share), exact, study.separations.tolerance)
        found.append(float(evaluations[-1] if needed is None else needed))
    return float(numpy.std(found, ddof=1))
