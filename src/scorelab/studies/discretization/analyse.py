"""Stage `analyse`: a table for each term, the section `discretization` of metrics.json, and the figure's arrays."""

import math

import numpy

from scorelab.laws.estimate import Estimate
from scorelab.metrics.rates import rate
from scorelab.metrics.tables import rows_of
from scorelab.progress import Progress
from scorelab.studies.discretization.measurements import (
    frozen_steps,
    growth,
    printed_score,
    score_errors,
    start,
    together,
)
from scorelab.studies.discretization.theory import localization, reverse_process, truncation_variation

_NO_ERROR = Estimate.missing("there is no error whose rate could be fitted")


def run(study, context):
    """Measure every term for every target, and write the tables, metrics.json and the arrays."""
    tables = {"initialisation": [], "discretization": [], "score": [], "total": [], "localization": []}
    with Progress("measuring", len(study.targets), "targets") as progress:
        for number, (name, target) in enumerate(study.targets.items()):
            progress.update(number, name)
            modes = target.modes()
            score, total = _score(study, modes)
            starts = [start(modes, T) for T in study.times]
            frozen = [frozen_steps(modes, study.horizon, _steps(study.horizon, modes, h_L)) for h_L in study.shares]
            parts = (starts, frozen, score, total)
            for table, rows in zip(tables, (*parts, _localization(study, modes)), strict=True):
                tables[table] += [{"target": name} | row for row in rows]
                context.grow_table(f"{table}.csv", tables[table])
        progress.update(len(study.targets))
    for table, rows in tables.items():
        context.write_table(f"{table}.csv", rows)
    columns = {table: _columns(rows) for table, rows in tables.items()}
    targets = {name: _metrics(study, name, target.modes(), columns) for name, target in study.targets.items()}
    context.update_metrics("discretization", {"horizon": study.horizon, "targets": targets})
    context.save_arrays("discretization", _arrays(study, columns, targets))


def _score(study, modes):
    """Rows of score.csv for each shape and size of the score's error, and rows of total.csv with all three errors."""
    T, steps = study.horizon, _steps(study.horizon, modes, study.error_share)
    without = reverse_process(modes, T, steps)
    parts = {"initialisation": start(modes, T)["variation"]}
    parts["discretization"] = without.variation(modes, modes.density(without.y, 0.0))
    rows, total = [], []
    for eps in study.errors:
        values, bound = score_errors(modes, without, T, steps, eps), printed_score(eps, T)
        rows += [
            {"shape": shape, "eps": eps, "variation": value, "pinsker": bound / math.sqrt(2), "bound": bound}
            for shape, value in values.items()
        ]
        row = together(modes, T, steps, eps)
        bounds = row.pop("bound")
        total.append(row | parts | {"score": values["weight"], "bound": bounds})
    return rows, total


def _localization(study, modes):
    """The setting of the semester paper, and the theorem's scheme with as many steps, which starts from N(0, I)."""
    rows, T = [], math.tan(study.localization.alpha_max) ** 2
    truncation = truncation_variation(modes, T)
    for steps in study.localization.steps:
        law, u = localization(modes, study.localization.alpha_max, steps)
        row = {"steps": steps, "T": T, "variation": law.variation(modes, modes.density(law.y, u))}
        rows.append(row | {"truncation": truncation, "variance": law.variance})
        rows[-1]["theorem_variation"] = math.nan
        if study.horizon / steps < math.log(3):
            theorem = reverse_process(modes, study.horizon, steps, from_noise=True)
            rows[-1]["theorem_variation"] = theorem.variation(modes, modes.density(theorem.y, 0.0))
    return rows


def _steps(T, modes, share):
    """The least number of steps with h L <= share, up to rounding."""
    return math.ceil(T * modes.lipschitz / share - 1e-9)


def _columns(rows):
    return {key: numpy.array([row[key] for row in rows]) for key in rows[0]}


def _fitted(x, values, name="rate"):
    """The rate over the half of the points where the error is smallest, and the standard error of the fit."""
    order = numpy.argsort(values)[: len(values) // 2 + 1]
    return {name: Estimate(*rate(x[order], values[order])) if (values[order] > 0).all() else _NO_ERROR}


def _ratio(values, bounds, name="ratio"):
    """The least and the largest of values over bounds."""
    if not (bounds > 0).all():
        return {f"{name}_{end}": Estimate.missing("the bound is 0") for end in ("min", "max")}
    shares = values / bounds
    return {f"{name}_min": float(shares.min()), f"{name}_max": float(shares.max())}


def _metrics(study, name, modes, columns):
    start, steps, score, total, paper = (rows_of(table, target=name) for table in columns.values())
    found = {"n": modes.n, "kl": modes.kl(), "lipschitz": modes.lipschitz, "second_moment": modes.second_moment}
    found["initialisation"] = (
        _fitted(start["T"], start["variation"])
        | _ratio(start["variation"], start["bound"])
        | _fitted(start["T"], start["variation_at_the_end"], "rate_at_the_end")
    )
    log_h, paths = numpy.log(steps["h"]), numpy.sqrt(steps["path_kl"] / 2)
    found["discretization"] = (
        _fitted(log_h, steps["variation"])
        | _ratio(steps["variation"], steps["bound"])
        | _fitted(log_h, paths, "path_rate")
        | _ratio(paths, steps["bound"], "path_ratio")
    )
    found["score"] = {}
    for shape in dict.fromkeys(score["shape"].tolist()):
        rows = rows_of(score, shape=shape)
        fitted = _fitted(numpy.log(rows["eps"]), rows["variation"])
        found["score"][shape] = fitted | _ratio(rows["variation"], rows["bound"])
    found["growth"] = _growth(study, modes)
    parts = total["initialisation"] + total["discretization"] + total["score"]
    found["total"] = _ratio(total["variation"], total["bound"]) | _ratio(total["variation"], parts, "parts_ratio")
    kept = ("steps", "variation", "truncation", "variance", "theorem_variation")
    found["localization"] = {key: paper[key].tolist() for key in kept}
    return found


def _growth(study, modes):
    """The growth of the error of the steps and of the score with twice the horizon; both are sqrt(2) in the theorem."""
    runs = [(T, _steps(T, modes, study.error_share)) for T in (study.horizon, 2 * study.horizon)]
    return growth(modes, study.errors[0], *runs)


def _arrays(study, columns, targets):
    """TABLE.TARGET.COLUMN and, for the score, score.SHAPE.COLUMN of the last target, with the fitted slopes."""
    names = list(study.targets)
    arrays = {"targets": names, "labels": [study.targets[name].label for name in names]}
    fitted = {"initialisation": ("rate", "rate_at_the_end"), "discretization": ("rate", "path_rate")}
    for table, rates in fitted.items():
        for name in names:
            rows = rows_of(columns[table], target=name)
            arrays |= {f"{table}.{name}.{key}": values for key, values in rows.items() if key != "target"}
            arrays |= {f"{table}.{name}.{key}": _slope(targets[name][table][key]) for key in rates}
    last = rows_of(columns["score"], target=names[-1])
    arrays["shapes"] = list(dict.fromkeys(last["shape"].tolist()))
    for shape in arrays["shapes"]:
        rows = rows_of(last, shape=shape)
        arrays |= {f"score.{shape}.{key}": rows[key] for key in ("eps", "variation", "pinsker", "bound")}
        arrays[f"score.{shape}.rate"] = _slope(targets[names[-1]]["score"][shape]["rate"])
    return {key: numpy.asarray(values) for key, values in arrays.items()}


def _slope(fitted: Estimate):
    return math.nan if fitted.value is None else fitted.value
