"""Stage `analyse`: the section `collapse` of metrics.json and the arrays of the figure."""

import math

import numpy

from scorelab.laws.estimate import Estimate
from scorelab.metrics.projection import weight_floor
from scorelab.randomness import stream
from scorelab.studies.collapse.theory import influence

#: columns of text
_TEXTS = ("part", "method", "name")
#: statistics of concentration.csv
_STATISTICS = ("trace", "participation", "neighbour", "training")
_BANDS = ("high_noise", "low_noise", "all")
_SEVERAL_WIDTHS = "the modes differ in their standard deviation"


def run(study, context):
    """Write the numbers of the tables to metrics.json, and the arrays of the figure."""
    bands, concentration, trade = (
        context.read_table(f"{name}.csv", _TEXTS) for name in ("bands", "concentration", "trade")
    )
    std = float(context.target.std[0])
    metrics = {"count": study.count, "size": study.injected.size, "crossing_angle": math.atan(1 / std)}
    metrics |= {"mode_weight": _exact_weight(context, study.count), "floor": _floors(concentration, "exact")}
    metrics["bands"] = {name: _band(bands, bands["method"] == name) for name in study.methods}
    for part in ("exact", "learned"):
        rows = concentration["part"] == part
        methods = [name for name in study.methods if (rows & (concentration["method"] == name)).any()]
        metrics[part] = {name: _statistics(concentration, rows & (concentration["method"] == name)) for name in methods}
    if (context.run / "shrinkage.csv").is_file():
        metrics["shrinkage"] = _shrinkage(study, context.read_table("shrinkage.csv", _TEXTS))
    elif context.denoiser.exact:
        metrics["shrinkage"] = Estimate.missing("the run's denoiser is the exact one")
    else:
        metrics["shrinkage"] = Estimate.missing(_SEVERAL_WIDTHS)
    metrics["kinds"] = {kind: _kind(concentration, kind, study.kinds.methods) for kind in study.kinds.sizes}
    metrics["memory"] = _memory(concentration, study.memory.methods)
    metrics["trade"] = {str(width): traded(trade, width) for width in study.trade.widths}
    context.update_metrics("collapse", metrics)
    context.save_arrays("collapse", _arrays(study, metrics, bands, trade, std))


def _exact_weight(context, count) -> Estimate:
    """The weight of the first mode, and the standard error of its mean over as many exact samples."""
    law = context.target.output_law(context.schedule.end_angle, "scaled")
    floor = weight_floor(law, count, stream(context.seed, "collapse weights"))
    return Estimate(exact=float(law.weights[0]), floor=floor)


def _column(table, name, rows) -> Estimate:
    """A column with its standard errors, as lists."""
    return Estimate(table[name][rows].tolist(), table[f"{name}_standard_error"][rows].tolist())


def _band(table, rows) -> dict:
    """Lists over bands: their ends, the share of the variance that is lost there, and its closed form."""
    predicted = table["predicted"][rows].tolist()
    found = {"low": table["low"][rows].tolist(), "high": table["high"][rows].tolist()}
    known = not any(map(math.isnan, predicted))
    return found | {
        "lost": _column(table, "lost", rows),
        "predicted": predicted if known else Estimate.missing(_SEVERAL_WIDTHS),
    }


def _floors(table, part):
    first = table["part"] == part
    return {name: float(table[f"{name}_floor"][first][0]) for name in _STATISTICS}


def _statistics(table, rows) -> dict[str, Estimate]:
    """The numbers of one row; those that were not measured are left out."""
    found = {}
    for name in (*_STATISTICS, "mode_weight"):
        value, error = (float(table[key][rows][0]) for key in (name, f"{name}_standard_error"))
        if math.isfinite(value):
            found[name] = Estimate(value, error)
    return found


def _shrinkage(study, table):
    """Lists over angles, and for each method the share of the variance that the shrinkage costs, to first order."""
    found = {name: table[name].tolist() for name in ("angle", "psi", "error")}
    found["size"] = _column(table, "size", slice(None))
    lost = {}
    for name, method in study.methods.items():
        felt = table["weight"] * [influence(psi, method.stochasticity) for psi in table["psi"]]
        lost[name] = float((felt * table["size"]).sum())
    return found | {"first_order_loss": lost}


def _kind(table, kind, methods):
    """method -> band -> statistics."""
    found = {}
    for name in methods:
        rows = numpy.flatnonzero((table["part"] == kind) & (table["method"] == name))
        found[name] = {band: _statistics(table, [row]) for band, row in zip(_BANDS, rows, strict=True)}
    return found


def _memory(table, methods):
    """Lists over the angle up to which the training samples are memorised."""
    found = {"floor": _floors(table, "memory")}
    for name in methods:
        rows = (table["part"] == "memory") & (table["method"] == name)
        statistics = {key: _column(table, key, rows) for key in ("training", "neighbour", "trace")}
        found[name] = {"angle": table["high"][rows].tolist()} | statistics
    return found


def traded(table, width) -> dict[str, Estimate]:
    """Errors of the networks of one width, means over repeats with standard errors: of networks of one phase (`alone`);
    of networks of both phases with as many steps (`shared`) and with twice as many (`both`); and the paired ratios of
    `shared` and `both` to `alone`."""

    def errors(name, share, phase):
        rows = (table["width"] == width) & (table["name"] == name) & (table["share"] == share)
        return table[phase][rows]

    found = {}
    for phase, share in (("high", 0.0), ("low", 1.0)):
        alone, both = errors("alone", share, phase), errors("both", 0.5, phase)
        columns = {"alone": alone, "both": both, "interference": both / alone}
        shared = errors("shared", 0.5, phase)
        if len(shared):
            columns |= {"shared": shared, "cost": shared / alone}
        found |= {f"{phase}_{name}": Estimate.mean(values) for name, values in columns.items()}
    return found


def _arrays(study, metrics, bands, trade, std):
    """The arrays of the figure."""
    names = list(study.methods)
    arrays = {"names": names, "labels": [study.methods[name].label for name in names], "size": study.injected.size}
    arrays |= {"stochasticity": [study.methods[name].stochasticity for name in names], "std": std}
    for name in names:
        rows = bands["method"] == name
        for key in ("low", "high", "lost", "lost_standard_error", "predicted"):
            arrays[f"band.{name}.{key}"] = bands[key][rows]
    arrays |= {"memory": study.memory.methods, "memory_floor": metrics["memory"]["floor"]["training"]}
    for name in study.memory.methods:
        found = metrics["memory"][name]
        arrays |= {f"memory.{name}.{key}": value for key, value in found["training"].keys("training").items()}
        arrays[f"memory.{name}.angle"] = found["angle"]
    arrays["widths"] = study.trade.widths
    for width in study.trade.widths:
        for phase in ("high", "low"):
            arrays |= {f"trade.{width}.{phase}.{key}": value for key, value in _curve(trade, width, phase).items()}
    return arrays


def _curve(table, width, phase):
    """The error in a phase against the share of low noise: shares, means and standard errors, without the networks that
    have not seen the phase; and the error of the network of both phases with twice the steps."""
    unseen = 1.0 if phase == "high" else 0.0
    here = (table["width"] == width) & (table["name"] != "both") & (table["share"] != unseen)
    shares = numpy.unique(table["share"][here])
    errors = Estimate.together([Estimate.mean(table[phase][here & (table["share"] == share)]) for share in shares])
    both = Estimate.mean(table[phase][(table["width"] == width) & (table["name"] == "both")])
    return {"share": shares} | errors.keys("error") | both.keys("both")
