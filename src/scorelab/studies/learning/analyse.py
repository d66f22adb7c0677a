"""Stage `analyse`: it writes the section `learning` of metrics.json, regimes.csv and the arrays of three figures."""

import numpy

from scorelab.errors import ScorelabError
from scorelab.files import read_json
from scorelab.laws.estimate import Estimate, columns
from scorelab.metrics.tables import rows_of
from scorelab.randomness import stream
from scorelab.studies.learning.regimes import regime_map, summary
from scorelab.studies.learning.theory import fisher_floor, labelled_floor, log_slopes, simplex
from scorelab.studies.learning.train import GIVEN

#: draws for the Fisher information; with this many its root has a relative error below 0.002
_DRAWS = 100_000
_NO_BOUND = Estimate.missing("the conditions of the bound hold at no recorded step")
#: columns of `two_modes.csv` that compare a step of descent with the steps of power iteration and EM
_BESIDE = ("power_error", "em_error", "power_direction_error", "em_direction_error")


def run(study, context):
    """Measure the descents that the stage `train` wrote.

    Raises ScorelabError if a key of the study that the descents depend on has changed since.
    """
    if read_json(context.run / "learning.json") != study.model_dump(mode="json", exclude=GIVEN):
        raise ScorelabError("study: stage=analyse cannot change what was descended; start a new run")
    two, several = _two_modes(study, context), _k_modes(study.modes, context)
    maps = {norm: regime_map(study.regimes, norm) for norm in study.regimes.norms}
    regimes = [{"norm": norm} | summary(study.regimes, found) for norm, found in maps.items()]
    context.write_table("regimes.csv", [row for norm, found in maps.items() for row in _cells(norm, found)])
    shown = {"tolerance": study.regimes.tolerance, "angle": study.regimes.angle}
    context.update_metrics("learning", two | {"regimes": {**shown, "maps": regimes}, "modes": several})
    arrays = {f"{number}.{key}": values for number, found in enumerate(maps.values()) for key, values in found.items()}
    context.save_arrays("learning_regimes", arrays | shown | {"norms": study.regimes.norms})


def _cells(norm, found):
    """Rows of regimes.csv."""
    errors = [key for key in found if key not in ("t", "ratio")]
    for i, t in enumerate(found["t"]):
        for j, ratio in enumerate(found["ratio"]):
            yield {"norm": norm, "t": t, "ratio": ratio} | {f"{key}_error": found[key][i, j] for key in errors}


# Two modes. ----------------------------------------------------------------------------------------------------------


def _two_modes(study, context):
    """The metrics of two modes; the arrays of the figure are saved."""
    table = context.read_table("two_modes.csv", texts=("level", "loss_over", "rule"))
    metrics = {name: getattr(study, name) for name in ("n", "norm", "samples", "starts", "objectives")}
    metrics |= {"floor": labelled_floor(1, study.n, study.samples), "levels": {}}
    rules = [*study.objectives, "power", "em"]
    arrays = {"levels": list(study.levels), "rules": rules, "t": [level.t for level in study.levels.values()]}
    arrays["floor"] = labelled_floor(1, study.n - 1, study.samples) / study.norm
    for name, level in study.levels.items():
        found = {key: getattr(level, key) for key in ("t", "rate", "steps")}
        for kind in ("population", "samples"):
            found[kind] = {}
            for rule in rules:
                rows = rows_of(table, level=name, loss_over=kind, rule=rule)
                found[kind][rule] = _ends(study, level, rows)
                if rule in study.objectives:
                    found[kind][rule] |= _contraction(rows)
                arrays |= _path(f"{name}.{kind}.{rule}", rows, study.starts)
        metrics["levels"][name] = found
    context.save_arrays("learning", arrays)
    return metrics


def _ends(study, level, rows):
    """Means over starts at the last step, and the step by which all starts are aligned."""
    last = rows["step"] == level.steps
    norm, cosine = rows["norm"][last], rows["cosine"][last]
    error = study.norm * numpy.sqrt(numpy.maximum(norm**2 - 2 * norm * cosine + 1, 0))
    columns = {"cosine": cosine, "norm_ratio": norm, "error": error}
    values = {key: Estimate.mean(column, none="the path has diverged") for key, column in columns.items()}
    aligned = [_first(rows, start) for start in range(study.starts)]
    values["aligned_at"] = None if None in aligned else max(aligned)
    return values


def _first(rows, start):
    """The first recorded step with a cosine of 0.99."""
    steps = rows["step"][(rows["start"] == start) & (rows["cosine"] >= 0.99)]
    return int(steps[0]) if len(steps) else None


def _contraction(rows):
    """For each bound of Lemma C.5, the largest ratio of tan(theta') to the bound along the path, and the number of
    recorded steps that meet its conditions; the median errors of power iteration and EM, over the path and at its
    start."""
    values = {}
    for name in ("bound_printed", "bound"):
        ratio = rows["tangent_after"] / (rows[name] * rows["tangent"])
        steps = values[f"{name}_steps"] = int(numpy.isfinite(ratio).sum())
        values[f"{name}_ratio"] = float(numpy.nanmax(ratio)) if steps else _NO_BOUND
    for name in _BESIDE:
        values[f"{name}_start"] = float(numpy.median(rows[name][rows["step"] == 0]))
        values[name] = float(numpy.nanmedian(rows[name]))
    return values


def _path(prefix, rows, starts):
    """Arrays PREFIX.{step (rows,), tangent, norm, ... (rows, starts)}."""
    steps = numpy.unique(rows["step"])
    keys = [key for key in ("tangent", "norm", "bound", "bound_printed", *_BESIDE) if numpy.isfinite(rows[key]).any()]
    return {f"{prefix}.step": steps} | {f"{prefix}.{key}": rows[key].reshape(len(steps), starts) for key in keys}


# K modes. ------------------------------------------------------------------------------------------------------------


def _k_modes(modes, context):
    """The metrics of K modes; the arrays of the figure are saved."""
    table = context.read_table("k_modes.csv", texts=("part", "start", "rule"))
    table["recovered"] = table["worst"] <= modes.tolerance * table["separation"]
    metrics = {name: getattr(modes, name) for name in ("K", "n", "separation", "samples", "repeats", "t", "annealed")}
    means = simplex(modes.K, modes.n, modes.separation)

    def floors(count):
        generator = stream(context.seed, "k floor")
        return {
            "floor_labelled": labelled_floor(modes.K, modes.n, count),
            "floor_fisher": fisher_floor(means, count, _DRAWS, generator),
        }

    metrics |= floors(modes.samples)
    arrays = {key: metrics[key] for key in ("K", "n", "separation", "samples", "floor_labelled", "floor_fisher")}
    arrays["rules"] = rules = [*modes.times, "em"]
    for start in ("warm", "cold"):
        metrics[start] = {}
        for rule in rules:
            rows = rows_of(table, part="curve", start=start, rule=rule)
            last = rows_of(rows, step=modes.steps)
            metrics[start][rule] = {
                "error": Estimate.mean(last["error"]),
                "recovered": Estimate.share(last["recovered"]),
            }
            steps = numpy.unique(rows["step"])
            arrays |= {f"{start}.{rule}.step": steps}
            arrays |= {f"{start}.{rule}.error": rows["error"].reshape(len(steps), modes.repeats)}
    metrics["sizes"], of_sizes = _sizes(modes, table, floors)
    metrics["separations"] = {"separation": modes.separations}
    arrays |= of_sizes | {"separations": modes.separations}
    for rule in rules:
        found = [
            rows_of(table, part="separation", rule=rule, separation=value)["recovered"] for value in modes.separations
        ]
        recovered = Estimate.together([Estimate.share(each) for each in found])
        metrics["separations"][rule] = {"recovered": recovered}
        arrays |= recovered.keys(f"separation.{rule}.recovered")
    context.save_arrays("learning_modes", arrays)
    return metrics


def _sizes(modes, table, floors):
    """Numbers by N, from warm starts: the error of each rule, the error of descent over the error of EM on the same
    data, and the two floors."""
    metrics = {"samples": modes.sizes} | columns([floors(count) for count in modes.sizes])
    found = {}
    for rule in ("ddpm", "em", "sklearn"):
        found[rule] = [rows_of(table, part="size", rule=rule, samples=count)["error"] for count in modes.sizes]
        errors = Estimate.together([Estimate.mean(each) for each in found[rule]])
        metrics[rule] = {"error": errors, "slope": _slope(modes.sizes, found[rule])}
    pairs = zip(found["ddpm"], found["em"], strict=True)
    metrics["ddpm"]["over_em"] = Estimate.together([Estimate.mean(ddpm / em) for ddpm, em in pairs])
    arrays = {"sizes": modes.sizes} | {f"size.{key}": metrics[key] for key in ("floor_labelled", "floor_fisher")}
    for rule in found:
        arrays |= metrics[rule]["error"].keys(f"size.{rule}.error")
    return metrics, arrays


def _slope(sizes, errors):
    """The mean over repeats of the slope of log error over log N, by least squares in each repeat."""
    if len(sizes) < 2:
        return Estimate.missing("a slope needs two sizes")
    return Estimate.mean(log_slopes(sizes, numpy.stack(errors)))
