"""Stage `analyse`: the section `collapse` of metrics.json and the arrays of the figure."""

import math

import numpy

from scorelab.laws.estimate import mean_and_error
from scorelab.studies.collapse.theory import influence

#: statistics of concentration.csv
_STATISTICS = ("trace", "participation", "neighbour", "training")
_BANDS = ("high_noise", "low_noise", "all")


def run(study, context):
    """Gather the tables."""
    bands, concentration, trade = (context.read_table(f"{name}.csv") for name in ("bands", "concentration", "trade"))
    std = float(context.target.std[0])
    metrics = {"count": study.count, "size": study.injected.size, "crossing_angle": math.atan(1 / std)}
    metrics |= {"mode_weight_exact": float(context.target.weights[0])}
    metrics |= {"mode_weight_floor": _weight_floor(context, study.count), "floor": _floors(concentration, "exact")}
    metrics["bands"] = {name: _columns(bands, bands["method"] == name) for name in study.methods}
    for part in ("exact", "learned"):
        rows = concentration["part"] == part
        methods = [name for name in study.methods if (rows & (concentration["method"] == name)).any()]
        metrics[part] = {name: _statistics(concentration, rows & (concentration["method"] == name)) for name in methods}
    if (context.run / "shrinkage.csv").is_file():
        metrics["shrinkage"] = _shrinkage(study, context.read_table("shrinkage.csv"))
    metrics["kinds"] = {kind: _kind(concentration, kind, study.kinds.methods) for kind in study.kinds.sizes}
    metrics["memory"] = _memory(concentration, study.memory.methods)
    metrics["trade"] = {str(width): traded(trade, width) for width in study.trade.widths}
    context.update_metrics("collapse", metrics)
    context.save_arrays("collapse", _arrays(study, metrics, trade, std))


def _weight_floor(context, count) -> float:
    """Standard error of the weight of the first mode over as many exact samples whose modes are known."""
    weight = float(context.target.weights[0])
    return math.sqrt(weight * (1 - weight) / count)


def _columns(table, rows):
    """Columns of numbers, as lists; nan becomes None."""
    names = ("low", "high", "lost", "lost_se", "predicted")
    return {name: [None if math.isnan(value) else value for value in table[name][rows].tolist()] for name in names}


def _floors(table, part):
    first = table["part"] == part
    return {name: float(table[f"{name}_floor"][first][0]) for name in _STATISTICS}


def _statistics(table, rows) -> dict[str, float]:
    """The numbers of one row; those that were not measured are left out."""
    names = [name for key in (*_STATISTICS, "mode_weight") for name in (key, f"{key}_se")]
    found = {name: float(table[name][rows][0]) for name in names}
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _shrinkage(study, table):
    """Lists over angles, and by method the share of the variance that the shrinkage costs, to first order."""
    found = {name: table[name].tolist() for name in ("angle", "psi", "size", "size_se", "error")}
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
    """Lists over the angle up to which the training samples themselves are the law."""
    found = {"floor": _floors(table, "memory")}
    for name in methods:
        rows = (table["part"] == "memory") & (table["method"] == name)
        keys = ("training", "training_se", "neighbour", "neighbour_se", "trace", "trace_se")
        found[name] = {"angle": table["high"][rows].tolist()} | {key: table[key][rows].tolist() for key in keys}
    return found


def traded(table, width) -> dict[str, float]:
    """Errors of the networks of one width, means over repeats with standard errors: each phase alone; both phases with
    the steps of one (`shared`) and of two (`both`); and the paired ratios of the latter two to `alone`."""

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
        for name, values in columns.items():
            found[f"{phase}_{name}"], found[f"{phase}_{name}_se"] = mean_and_error(values)
    return found


def _arrays(study, metrics, trade, std):
    """What the figure is drawn from."""
    names = list(study.methods)
    arrays = {"names": names, "labels": [study.methods[name].label for name in names], "size": study.injected.size}
    arrays |= {"stochasticity": [study.methods[name].stochasticity for name in names], "std": std}
    for name in names:
        band = metrics["bands"][name]
        for key in ("low", "high", "lost", "lost_se", "predicted"):
            arrays[f"band.{name}.{key}"] = numpy.array(band[key], dtype=float)
    arrays |= {"memory": study.memory.methods, "memory_floor": metrics["memory"]["floor"]["training"]}
    for name in study.memory.methods:
        for key in ("angle", "training", "training_se"):
            arrays[f"memory.{name}.{key}"] = metrics["memory"][name][key]
    arrays["widths"] = study.trade.widths
    for width in study.trade.widths:
        for phase in ("high", "low"):
            arrays |= {f"trade.{width}.{phase}.{key}": value for key, value in _curve(trade, width, phase).items()}
    return arrays


def _curve(table, width, phase):
    """share, mean and standard error of a phase's error over the share of low noise, without the networks that have
    not seen the phase; and the network of both phases with twice the steps."""
    unseen = 1.0 if phase == "high" else 0.0
    here = (table["width"] == width) & (table["name"] != "both") & (table["share"] != unseen)
    shares = numpy.unique(table["share"][here])
    found = numpy.array([mean_and_error(table[phase][here & (table["share"] == share)]) for share in shares])
    mean, error = mean_and_error(table[phase][(table["width"] == width) & (table["name"] == "both")])
    return {"share": shares, "error": found[:, 0], "error_se": found[:, 1], "both": mean, "both_se": error}
