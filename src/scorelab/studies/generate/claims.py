"""What the semester paper sees in its figures: 000_6c70dbc10a1c9c83.txt, sections 7.2 to 7.7.

These are claims about whole runs, so that they run the laboratory as its users do: the published networks under the
text's protocol in setting 1, on a tenth of its budget, several seeds each. docs/reproduction.md has the full budgets.
"""

import contextlib
import logging
import math
import tempfile
from pathlib import Path

import numpy

from scorelab.claims import CORRECTED, FAILS, HOLDS, Evidence, at_least, at_most, claim, equal
from scorelab.laws.estimate import mean_and_error

_SOURCE = "000_6c70dbc10a1c9c83.txt, section "
_W1, _KS, _WEIGHT, _KL = "projection.w1", "projection.ks", "projection.mode_weight", "path_kl.total"
_ERROR = "posterior_mean.relative_error"
_EARLY, _MIDDLE, _LATE = 0, 9, 11  # of the published times: t = 0.01, 7.3, 87


class Runs:
    """Runs of one configuration, one run for each seed, and the numbers of their metrics.json over the seeds."""

    def __init__(self, budget, seeds, *overrides, N=5000):
        steps = budget.of(5000, 100)
        asked = ["training=paper", f"training.N={N}", f"training.epochs={max(1, steps * 50 // N)}", "threads=1"]
        asked += ["sampler=euler_maruyama", "sampler.steps=199", "schedule.grid=angle", "study.trajectories=0"]
        asked += [f"sampler.count={budget.of(5000, 200)}", f"study.floor_repeats={budget.of(50, 4)}"]
        asked += ["figures.dpi=50", "study.path_kl_angles=32", f"study.path_kl_draws={budget.of(400, 20)}", *overrides]
        self.metrics = []
        with tempfile.TemporaryDirectory() as folder, _quiet():
            for seed in range(budget.seed, budget.seed + budget.of(seeds, 2)):
                run = budget.run([*asked, f"seed={seed}"], Path(folder) / str(seed))
                self.metrics.append(run.metrics | {"split": _split(run)})

    def values(self, key, place=None):
        """A number for each seed, shape (seeds,); `place`: its position where metrics.json has a list."""
        found = []
        for value in self.metrics:
            for part in key.split("."):
                value = value[part]
            found.append(value if place is None else value[place])
        return numpy.array(found, float)

    def mean(self, key, place=None):
        """Mean over seeds and its standard error."""
        return mean_and_error(self.values(key, place))

    @property
    def miss(self):
        """Distance of the mode weight from the exact one, (seeds,)."""
        return numpy.abs(self.values(_WEIGHT) - self.values("projection.mode_weight_exact"))


@contextlib.contextmanager
def _quiet():
    """Keep what these runs log in their own files."""
    log = logging.getLogger("scorelab")
    before, log.propagate = log.propagate, False
    try:
        yield
    finally:
        log.propagate = before


def _split(run):
    """How a run of one network a mode splits: share of the larger side, |cos| of the angle of the direction to a."""
    from safetensors.torch import load_file

    weights = load_file(run.directory / "denoiser.safetensors")
    if "centres" not in weights:
        return {"share": math.nan, "cosine": math.nan}
    apart = weights["centres"][0] - weights["centres"][1]
    cosine = apart.sum().abs() / (apart.norm() * math.sqrt(len(apart)))  # a is (1, ..., 1)
    return {"share": float(weights["shares"].max()), "cosine": float(cosine)}


def _numbers(**runs):
    """The numbers of runs that findings quote: means over seeds, and their standard errors as NAME_error."""
    found = {}
    for name, each in runs.items():
        for key, values in (
            ("w1", each.values(_W1)),
            ("ks", each.values(_KS)),
            ("weight", each.values(_WEIGHT)),
            ("kl", each.values(_KL)),
            ("early", each.values(_ERROR, _EARLY)),
        ):
            found[f"{name}_{key}"], found[f"{name}_{key}_error"] = mean_and_error(values)
    return found


@claim(
    "S0-16",
    source=f"{_SOURCE}7.2",
    statement="No setting of the ReLU network matches the target; the diffusion concentrates near the dominant mode.",
    corrected="No setting matches the target; in setting 1 the dominant mode comes out too light, not too heavy.",
    recorded=CORRECTED,
    fault="error",
    finding="Setting 1, 5000 steps of training: W1 of the projection is {floors:.0f} times that of exact samples, "
    "and the weight of the dominant mode {relu_weight:.3f} ± {relu_weight_error:.3f} instead of 0.7. With the "
    "published budgets it is below 0.7 in three of four runs, at 0.7 in the fourth, and W1 is off in all "
    "(docs/reproduction/report.md).",
    cost=80,
    quick=False,
)
def relu(budget):
    """The published ReLU network, raw input."""
    runs = Runs(budget, 8, "denoiser=relu")
    floors, error = mean_and_error(runs.values(_W1) / runs.values("projection.w1_floor"))
    weight, weight_error = runs.mean(_WEIGHT)
    missed = at_least("W1 over its floor", floors, 2.0, error=error)
    return Evidence(
        stated=[missed, at_least("weight of the dominant mode", weight, 0.7, error=weight_error)],
        corrected=[missed, at_most("weight of the dominant mode", weight, 0.7, error=weight_error)],
        numbers=_numbers(relu=runs) | {"floors": floors},
    )


@claim(
    "S0-17",
    source=f"{_SOURCE}7.4",
    statement="The tanh network aligns better with the target than the ReLU network, with a larger error of the "
    "posterior mean at small t.",
    corrected="The tanh network has the smaller path KL, and its samples are further from the target's mode weights.",
    recorded=CORRECTED,
    fault="error",
    finding="Setting 1, 5000 steps of training, tanh against ReLU: weight of the dominant mode {tanh_weight:.3f} ± "
    "{tanh_weight_error:.3f} against {relu_weight:.3f} ± {relu_weight_error:.3f}, W1 {tanh_w1:.3f} ± "
    "{tanh_w1_error:.3f} against {relu_w1:.3f} ± {relu_w1_error:.3f}, path KL {tanh_kl:.2g} against {relu_kl:.2g} "
    "nats. The relative error at t = 0.01 is {tanh_early:.3f} ± {tanh_early_error:.3f} against {relu_early:.3f} ± "
    "{relu_early_error:.3f}. ReLU's path KL comes from large t, where its raw input is large, and does little to the "
    "modes; they are chosen at small t.",
    cost=160,
    quick=False,
)
def tanh(budget):
    """Both published networks, trained on the same samples."""
    tanh, relu = Runs(budget, 8, "denoiser=tanh"), Runs(budget, 8, "denoiser=relu")
    further, error = mean_and_error(tanh.miss - relu.miss)
    log_kl, kl_error = mean_and_error(numpy.log(tanh.values(_KL) / relu.values(_KL)))
    return Evidence(
        stated=[at_most("distance of the mode weight from 0.7, tanh - ReLU", further, 0, error=error)],
        corrected=[
            at_least("distance of the mode weight from 0.7, tanh - ReLU", further, 0, error=error),
            at_most("log of the path KL, tanh - ReLU", log_kl, 0, error=kl_error),
        ],
        numbers=_numbers(tanh=tanh, relu=relu),
    )


@claim(
    "S0-18",
    source=f"{_SOURCE}7.3",
    statement="The relative error of the posterior mean grows again at large t, which is due to overfitting.",
    corrected="It grows for a ReLU network that sees y_t itself, whose size grows with t. Ten times as many samples "
    "do not remove that, an input of unit size does, up to a factor of 1.5.",
    recorded=CORRECTED,
    fault="error",
    finding="Relative error at t = 87 over that at t = 7.3, 5000 steps of training, geometric means over seeds: "
    "{raw:.1f} for the published network with 5000 samples, {many:.1f} with 50000 samples, each seen five times, "
    "{unit:.2f} with the input x_phi of unit size; the logarithms have standard errors of {raw_error:.2f}, "
    "{many_error:.2f} and {unit_error:.2f}.",
    cost=150,
    quick=False,
)
def late_error(budget):
    """The growth of the error with more data, and with an input of unit size."""
    runs = {
        "raw": Runs(budget, 6, "denoiser=relu"),
        "many": Runs(budget, 6, "denoiser=relu", N=50000),
        "unit": Runs(budget, 6, "denoiser=relu", "denoiser.input=angle"),
    }
    growths = {
        name: mean_and_error(numpy.log(each.values(_ERROR, _LATE) / each.values(_ERROR, _MIDDLE)))
        for name, each in runs.items()
    }
    numbers = {name: math.exp(mean) for name, (mean, _) in growths.items()}
    numbers |= {f"{name}_error": error for name, (_, error) in growths.items()}

    def growth(compare, what, name, factor=1.0):
        mean, error = growths[name]
        return compare(f"log of the growth of the error from t = 7.3 to 87{what}", mean, math.log(factor), error=error)

    grows = growth(at_least, "", "raw")
    return Evidence(
        stated=[grows, growth(at_most, ", ten times as many samples", "many")],
        corrected=[
            grows,
            growth(at_least, ", ten times as many samples", "many"),
            growth(at_most, ", input of unit size", "unit", 1.5),
        ],
        numbers=numbers,
    )


@claim(
    "S0-19",
    source=f"{_SOURCE}7.6",
    statement="One network a mode: the principal component finds the direction a, q is close to p, samples align much "
    "better, and tanh and ReLU differ less.",
    recorded=HOLDS,
    finding="|cos| of the split's direction with a is {cosine:.5f}, and q - p = {share:.4f} ± {share_error:.4f}. The "
    "weight of the dominant mode is off by {both_miss:.3f} instead of {one_miss:.3f}, and its difference between tanh "
    "and ReLU is {both_gap:.3f} instead of {one_gap:.3f}. But not every sample is safe: W1 is {mixture_relu_w1:.2g} ± "
    "{mixture_relu_w1_error:.1g} with ReLU, where single samples can run away, and {mixture_tanh_w1:.3f} with tanh.",
    cost=200,
    quick=False,
)
def mixture_aware(budget):
    """One network, and one network for each mode, with both activations, on the same samples."""
    kinds = ("relu", "tanh")
    one = {kind: Runs(budget, 5, f"denoiser={kind}") for kind in kinds}
    both = {kind: Runs(budget, 5, "denoiser=mixture_aware", f"denoiser@denoiser.network={kind}") for kind in kinds}
    numbers = _numbers(**{f"mixture_{kind}": both[kind] for kind in kinds})
    share, share_error = mean_and_error(both["tanh"].values("split.share") - 0.7)
    cosine = float(both["tanh"].values("split.cosine").min())
    misses = {name: (runs["relu"].miss + runs["tanh"].miss) / 2 for name, runs in (("one", one), ("both", both))}
    gaps = {
        name: numpy.abs(runs["tanh"].values(_WEIGHT) - runs["relu"].values(_WEIGHT))
        for name, runs in (("one", one), ("both", both))
    }
    better, better_error = mean_and_error(misses["both"] - misses["one"])
    closer, closer_error = mean_and_error(gaps["both"] - gaps["one"])
    numbers |= {f"{name}_miss": float(values.mean()) for name, values in misses.items()}
    numbers |= {f"{name}_gap": float(values.mean()) for name, values in gaps.items()}
    return Evidence(
        stated=[
            at_least("least |cos| of the split's direction with a", cosine, 0.99),
            equal("q - p", share, 0, error=share_error, tolerance=0.0, resolution=0.03),
            at_most("distance of the mode weight from 0.7, against one network", better, 0, error=better_error),
            at_most("difference of it between tanh and ReLU, against one network", closer, 0, error=closer_error),
        ],
        numbers=numbers | {"cosine": cosine, "share": share, "share_error": share_error},
    )


@claim(
    "S0-20",
    source=f"{_SOURCE}7.7",
    statement="One network a phase, switched at t = 1, gives the best match of all, better than one network and than "
    "one network a mode.",
    recorded=FAILS,
    fault="error",
    finding="Distance of the mode weight from 0.7, tanh, setting 1, 5000 steps of training for each network: one "
    "network {one:.3f} ± {one_error:.3f}; one a phase, switched at t = 1 {text:.3f} ± {text_error:.3f}, at t = 2 "
    "{code:.3f} ± {code_error:.3f}, at the speciation time {speciation:.3f} ± {speciation_error:.3f}; one a mode "
    "{mode:.3f} ± {mode_error:.3f}. One network a mode is far ahead, as it counts the weights and need not learn them.",
    cost=250,
    quick=False,
)
def phase_aware(budget):
    """One network, one network for each mode, and networks by phase, trained on the same samples."""
    phases = {"text": "1.0", "code": "2.0", "speciation": "speciation"}
    network = "denoiser@denoiser.network=tanh"
    runs = {"one": Runs(budget, 5, "denoiser=tanh"), "mode": Runs(budget, 5, "denoiser=mixture_aware", network)}
    for name, switch in phases.items():
        runs[name] = Runs(budget, 5, "denoiser=phase_aware", network, f"denoiser.switches=[{switch}]")
    numbers = {}
    for name, each in runs.items():
        numbers[name], numbers[f"{name}_error"] = mean_and_error(each.miss)
    worse, error = mean_and_error(runs["text"].miss - runs["mode"].miss)
    return Evidence(
        stated=[at_most("distance of the mode weight from 0.7, against one network a mode", worse, 0, error=error)],
        numbers=numbers,
        counterexample=f"N = 5000, L = 3, m = 256, tanh: off by {numbers['text']:.3f} against {numbers['mode']:.3f}",
    )
