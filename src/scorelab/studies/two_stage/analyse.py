"""Stage `analyse`: it writes the section `two_stage` of metrics.json and the arrays of the figure."""

import math
from dataclasses import replace

import numpy

from scorelab.errors import ScorelabError
from scorelab.figures.files import load_arrays
from scorelab.laws.estimate import Estimate
from scorelab.studies.two_stage.train import CURVES, noise_factor
from scorelab.theory.student import high_noise_constants


def run(study, context):
    """Measure where each start ended, and what the floor is.

    Raises ScorelabError if a key of the study has changed since the descents.
    """
    found = load_arrays(context.run / "two_stage.npz")
    if str(found["options"]) != study.model_dump_json():
        raise ScorelabError("study: stage=analyse cannot change what was descended; start a new run")
    star, initial, plans = found["star"], found["initial"], study.plans
    length = float(numpy.linalg.norm(star))
    metrics = {name: getattr(study, name) for name in ("objective", "protocol", "loss", "noise", "n", "samples")}
    metrics |= {"norm_exact": length, "initial_cosine": _cosines(initial, star).tolist()}
    metrics |= {name: [getattr(plan, name) for plan in plans] for name in ("t", "lr", "steps")}
    metrics["initial_argument"] = _argument(plans[0].t, initial, star)
    least, spread = floor(study)
    metrics |= {"floor": least, "floor_deviation": spread}
    metrics |= _ends(study.loss, found)
    reached = found[f"{study.loss}.mu2"]
    side = numpy.where(reached @ star < 0, -1.0, 1.0)[:, None]
    gap = numpy.linalg.norm(side * reached - found["labelled"], axis=1)
    metrics["optimisation_error"] = _list(gap, found[f"{study.loss}.diverged"])
    metrics["labelled_distance"] = numpy.linalg.norm(found["labelled"] - star, axis=1).tolist()
    if study.loss == "samples":
        metrics["population"] = _ends("population", found)
    signal, norm = high_noise_constants()
    metrics["high_noise"] = {"signal": signal, "norm": norm, "signal_text": 4.0, "norm_text": 2.0}
    context.update_metrics("two_stage", metrics)
    kinds = [kind for kind in ("samples", "population") if f"{kind}.mu1" in found]
    arrays = {"floor": least, "norm_exact": length, "t": metrics["t"], "kinds": kinds}
    for kind in kinds:
        for stage in (1, 2):
            names = [f"{kind}.stage{stage}.{name}" for name in ("step", *CURVES)]
            arrays |= {name: found[name] for name in names}
    context.save_arrays("two_stage", arrays)


def floor(study) -> tuple[float, float]:
    """Mean and standard deviation of |mu_hat - mu*| for the mean mu_hat of the samples with known signs. The
    distance |mu_hat - mu*| has the law of sqrt(variance/N) chi_n. Both numbers are 0 for the population."""
    if study.loss == "population":
        return 0.0, 0.0
    half, scale = study.n / 2, math.sqrt(noise_factor(study) / study.samples)
    mean = math.sqrt(2) * math.exp(math.lgamma(half + 0.5) - math.lgamma(half))
    return scale * mean, scale * math.sqrt(study.n - mean**2)


def _argument(t, mu, star) -> float:
    """Root mean square over starts of tanh's argument <Y_t,mu>/(t+1); where it is far below 1, a step is one of power
    iteration."""
    share = t / (t + 1)
    return float(numpy.sqrt(((share * (mu @ star)) ** 2 + share * (mu**2).sum(1)).mean()))


def _ends(kind, found) -> dict:
    """Where the descents over `kind` were after each stage, lists over starts; None for a start that had diverged."""
    star, diverged = found["star"], found[f"{kind}.diverged"]
    values = {}
    for stage in (1, 2):
        mu, gone = found[f"{kind}.mu{stage}"], (diverged[:, 0] > 0) & (diverged[:, 0] <= stage)
        side = numpy.where(mu @ star < 0, -1.0, 1.0)[:, None]
        columns = {"cosine": _cosines(mu, star), "norm": numpy.linalg.norm(mu, axis=1)}
        columns["distance"] = numpy.linalg.norm(side * mu - star, axis=1)
        for name, column in columns.items():
            mean = Estimate.mean(column[~gone], none="every start has diverged")
            values[f"stage{stage}_{name}_mean"] = replace(mean, standard_error=None)
            # The list over starts, and the standard error of their mean.
            values[f"stage{stage}_{name}"] = Estimate(_list(column, gone), mean.standard_error)
    lost = [
        {"start": start, "stage": stage, "step": step} for start, (stage, step) in enumerate(diverged.tolist()) if stage
    ]
    return values | {"diverged_count": len(lost), "diverged": lost}


def _cosines(mu, star):
    """|cos| of the angle to mu*, (starts,)."""
    return numpy.abs(mu @ star) / (numpy.linalg.norm(mu, axis=1) * numpy.linalg.norm(star))


def _list(column, gone):
    gone = numpy.asarray(gone).reshape(len(column), -1)[:, 0] > 0
    return [None if lost else value for lost, value in zip(gone.tolist(), column.tolist(), strict=True)]
