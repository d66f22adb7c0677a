"""The main job: train a denoiser, sample with it, project, measure, draw. Each stage has a module."""

import math
from typing import Annotated, Literal

from pydantic import Field, field_validator

from scorelab.errors import ConfigError
from scorelab.options import Natural, Positive, Several
from scorelab.studies.base import Number, Study, Table, row

#: times of the first and the last angle of the posterior-mean figure
EARLIEST, LATEST = math.tan(0.1) ** 2, math.tan(math.pi / 2 - 0.1) ** 2
#: a path KL above so many nats, and so many floors, ends a run with a line
_FAR, _FLOORS = 1.0, 10.0
#: the most modes that have a row each in the closing table
_ROWS = 10

W1 = Number("projection.w1", "W1 of the projection", "W1", "floor", scale="log")
W1_FLOOR = Number("projection.w1_floor", "mean W1 of exact samples", "W1 floor")
KS = Number("projection.ks", "KS distance", "", "floor")
MODE_WEIGHT = Number("projection.mode_weight", "mode weight", held="exact")
PATH_KL = Number(
    "path_kl.total",
    "path KL (nats)",
    held="floor",
    error="path_kl.standard_error",
    reference="path_kl.parametric_floor",
    scale="log",
)
MEMORISED = Number("images.memorised", "share of copies of training images", "copies", "floor")
SLICED_W1 = Number("images.sliced_w1", "sliced W1 to held-out images", "sliced W1", "floor", scale="log")
COPIES = Number("data.memorised", "share of copies of the data", "copies of data", "floor")
TO_HELD_OUT = Number("data.sliced_w1", "sliced W1 to held-out samples", "sliced W1 to held-out", "floor", scale="log")
RECOGNISED = Number("images.recognised", "share recognised by a classifier", "recognised", "floor")
EXCESS_RISK = Number("training.excess_risk", "excess risk")
SECONDS = Number("training.seconds", "training (s)")


class Generate(Study):
    """The main job.

    path_kl_angles: Gauss-Legendre angles of the path-KL integral, on each stretch between two jumps of the denoiser.
    path_kl_draws: exact noisy states for each angle.
    posterior_mean_draws: noisy states for each angle of the posterior-mean figure. posterior_mean_data: the clean
    samples of these states, exact samples of the `target` or the generated `samples` (which the published code took).
    posterior_mean_switches: times in increasing order; there are twelve angles before, between and after them each, and
    without any time the twelve angles of figures 3 and 5 of the semester paper.
    floor_repeats: sets of exact samples that noise floors are measured on, and bootstrap sets for standard errors.
    trajectories: number of the first samples whose paths are measured and drawn, 0 or >= 2; there are no paths where
    the sampler stays at one angle. animation: whether the paths are also drawn as figures/trajectories.gif, and in the
    plane as figures/plane.gif.

    A target of two dimensions is drawn in the plane as well, and three isotropic Gaussian modes in the plane through
    their means.

    For a target that is a set of images, copies of training images, distances to images that are held out and classes
    are measured as well, and where along the angle the denoiser leaves the optimum of its training images.

    With a process other than the channel of the schedule, the training draws its states from the process, and the
    process draws the samples; what belongs to the channel is not measured.
    """

    uses = (*Study.uses, "process")
    stages = {
        "train": "scorelab.studies.training",
        "sample": "scorelab.studies.sampling",
        "analyse": ".analyse",
        "plot": ".plot",
    }
    figures = {
        "projection": "scorelab.figures.projection",
        "posterior_mean": ".figures.posterior_mean",
        "errors": ".figures.errors",
        "training": "scorelab.figures.training",
        "trajectories": ".figures.trajectories",
        "laws": ".figures.laws",
        "plane": ".figures.plane",
        "fields": ".figures.fields",
        "flow": ".figures.flow",
        "images": ".figures.images",
        "denoising": ".figures.denoising",
        "generalisation": ".figures.generalisation",
    }
    complete = (
        *("projection", "posterior_mean", "errors", "laws", "trajectories"),
        *("plane", "fields", "flow"),
        *("images", "denoising", "generalisation"),
    )
    sections = ".numbers"
    overviews = {"projection": "scorelab.figures.projection"}
    headline = (W1, KS, MODE_WEIGHT, PATH_KL, MEMORISED, SLICED_W1, RECOGNISED, COPIES, TO_HELD_OUT)
    columns = (W1, W1_FLOOR, MODE_WEIGHT, PATH_KL, MEMORISED, SLICED_W1, RECOGNISED, EXCESS_RISK, SECONDS)
    compared = (PATH_KL, W1, MODE_WEIGHT)
    goal = "path_kl.total"

    path_kl_angles: Several
    path_kl_draws: Several
    posterior_mean_draws: Several
    posterior_mean_data: Literal["target", "samples"]
    posterior_mean_switches: list[Annotated[Positive, Field(gt=EARLIEST, lt=LATEST)]] = []
    floor_repeats: Several
    trajectories: Natural = 0
    animation: bool = False

    @field_validator("posterior_mean_switches")
    @classmethod
    def _in_order(cls, times):
        if sorted(set(times)) != times:
            raise ValueError("times in increasing order are needed")
        return times

    @field_validator("trajectories")
    @classmethod
    def _none_or_several(cls, count):
        if count == 1:
            raise ValueError("0, or an integer >= 2, is needed: one path has no spread")
        return count

    def memory_needed(self, n):
        """The states of each angle: clean, noise, mixed and their posterior means."""
        states = {name: 16.0 * n * getattr(self, name) for name in ("path_kl_draws", "posterior_mean_draws")}
        return states | {"path_kl_angles": 200.0 * self.path_kl_angles, "trajectories": 4.0 * n * self.trajectories}

    @classmethod
    def idle(cls, components):
        """The schedule, under another process than its channel."""
        process = components["process"]
        return () if process.options.of_schedule else ("schedule",)

    def require(self, config):
        """Raise ConfigError for a channel with an end or a grid of its own, and for a training that no process has."""
        process, training = config.options("process"), config.options("training")
        if config.other_process is None:
            for name, value in process:
                if value is not None:
                    why = "in the main job the schedule says where the isotropic process ends and steps; null is needed"
                    raise ConfigError(f"process.{name} = {config.data['process'][name]}: {why}")
        elif not config["denoiser"].cls.exact and training.enabled is not False:
            training.of_process()

    def only_cpu(self, config):
        """None for the Gaussian channel; the other processes run on the CPU."""
        return config.other_process and f"the process {config.other_process} runs on the CPU"

    @classmethod
    def ahead(cls, contexts, denoisers):
        from scorelab.studies.generate import together

        together.ahead(contexts, denoisers)

    def closing(self, metrics):
        """The headline, the angle at which the posterior mean is worst, and a line where the denoiser is far from its
        floor."""
        table = super().closing(metrics)
        if table is not None:
            table = Table(table.headings, _with_modes(table.rows, metrics), (*table.lines, *_far(metrics)))
        posterior = metrics.get("posterior_mean", {})
        if "relative_error" not in posterior:  # not measured, or of a run that has only been trained
            return table
        keys = ("relative_error", "t", "relative_error_standard_error", "relative_error_floor")
        columns = [posterior[key] for key in keys if key in posterior]
        error, t, spread, *floor = max(zip(*columns, strict=True))
        where = f", at t = {t:.3g}" if error else ""  # an exact denoiser has its largest error nowhere
        last = row(f"largest relative error{where}", error, spread, "floor", *floor)
        return Table(table.headings, [*table.rows, last], table.lines)


def _with_modes(rows, metrics):
    """The rows of a closing table, in which every mode has a row in the place of the first mode alone, or where there
    are more than ten, two numbers of all of them."""
    found = metrics.get("projection", {})
    weights = found.get("mode_weights", ())
    if len(weights) <= 2:
        return rows
    if len(weights) <= _ROWS or "mode_deviation" not in found:
        keys = ("mode_weights", "mode_weights_standard_error", "mode_weights_exact")
        columns = [found.get(key, [None] * len(weights)) for key in keys]
        new = [
            row(f"weight of mode {k}", *each[:2], "exact", each[2]) for k, each in enumerate(zip(*columns, strict=True))
        ]
        new = new[:_ROWS]
    else:
        texts = {"mode_deviation": "largest deviation of a mode weight (s.e.)"}
        texts["mode_chi_squared"] = f"chi-squared of {len(weights)} mode weights"
        new = [row(text, found[key], None, "floor", found[f"{key}_floor"]) for key, text in texts.items()]
    return [one for each in rows for one in (new if each[0] == MODE_WEIGHT.name else [each])]


def _far(metrics):
    """A line, and what may help, where the path KL is beyond 1 nat by four standard errors, and ten times its floor.

    A path KL of 1 nat says of the samples no more than that their total variation from exact ones is below
    sqrt(1 - 1/e) = 0.8 (Bretagnolle and Huber 1979).
    """
    found = metrics.get("path_kl", {})
    total, floor = found.get("total"), found.get("parametric_floor")
    if total is None or total - 4 * found["standard_error"] <= _FAR or (floor and total <= _FLOORS * floor):
        return
    if "images" in metrics or "data" in metrics:  # to be far from the optimum is no fault there
        what = "training images" if "images" in metrics else "data"
        yield f"path KL: to the process that copies the {what}, which a network that generalises is far from"
        return
    held = f"{total / floor:.3g} times its floor" if floor else "with a floor that is not known"
    text = f"a path KL of {total:.4g} nats, {held}, hardly bounds the error of the samples"
    if metrics.get("training", {}).get("steps"):
        text += "; more training.epochs or training.weight=likelihood may help"
        if "mode_weights" in metrics.get("projection", {}):
            text += ", and for narrow modes denoiser=velocity with denoiser.data_std=null"
    yield text
