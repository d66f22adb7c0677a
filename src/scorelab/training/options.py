"""What `conf/training` may say."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import model_validator

from scorelab.errors import ConfigError
from scorelab.options import Angle, Count, Fraction, Natural, NonNegative, Options, Positive, Several

#: objectives that are a squared error of the posterior mean, each with a weight of its own
_REGRESSIONS = ("posterior_mean", "velocity", "noise", "score", "dsm")


class Training(Options):
    """A training protocol.

    protocol: its name in the presets and the report.
    enabled: whether the denoiser is trained; null trains a denoiser that has parameters which are not frozen.
    N: samples drawn from the target. epochs: passes over the samples. batch_size: samples per step.
    objective: the squared error of the `posterior_mean` (the paper's), the `velocity`, the `noise`, the score of x_phi
        (`score`) or the score of X + sigma G (`dsm`); or score matching with the exact score (`explicit`); or score
        matching without any score, by the exact trace of the Jacobian (`implicit`), by probes of this trace
        (`implicit_hutchinson`) or by slices (`sliced`). Each is the mean over coordinates; see docs/objectives.md.
    loss: `squared`, or `huber`: e^2/2 for entries |e| <= 1 of the (weighted) error, |e| - 1/2 beyond, in place of e^2;
        for the objectives that are a squared error.
    weight: the factor lambda(phi) of the objective: `unit`, `noise_variance`, `likelihood` or `min_snr`; null takes the
        factor in the source of the objective. probe: the law of the random directions of implicit_hutchinson and
        sliced. probes: the number of these directions per sample.
    angles: the law of the training angles: `uniform` in the angle (the paper's) or in `log_t`, on
        [angle_min, angle_max]; `ladder`, `levels` noise levels on this range, geometric in cot(angle); `native`,
        uniform in the schedule's own time; `chain`, uniform on the integers 1 ... T of DDPM's chain; `single`, the one
        angle where x / sin = X + noise_level G.
    noise: `fresh`, or `repeated`: every step draws the same angles, the same noise and the same flips, as in code that
        seeds its generator anew at each step. flips: whether each image that is trained on is mirrored, left to right,
        with probability 1/2.
    optimizer: adamw, adam or sgd (momentum 0.9). lr: step size, constant or falling to 0 along a cosine, after
        `warmup` steps of linear growth. weight_decay: decoupled for adamw, an L2 term for the others.
    clip: largest Euclidean norm of a gradient, or null. averaging: decay of the running average of the weights; the
        average is kept instead of the last weights. 0 keeps the last weights.
    precision: of the products and convolutions of the network in a step, `float32`, or with device=cuda alone `tf32`,
        which keeps 10 of 23 bits of what is multiplied, or `bfloat16`, with 7; parameters, loss and all that is
        measured are float32.
    validation: share of the N samples that is held out. validation_batch: samples per forward pass of a validation.
    keep: the epoch whose weights are kept, the `last` one or the one with the `best` validation loss.
    checkpoint_every: epochs between checkpoints; 0 writes none. records: the largest number of rows of training.csv.
    resume: a run directory whose training was interrupted.
    """

    bookkeeping: ClassVar[tuple[str, ...]] = ("resume", "checkpoint_every")
    added: ClassVar[Mapping[str, Any]] = {"loss": "squared", "noise": "fresh", "flips": False, "precision": "float32"}

    protocol: str = "custom"
    enabled: bool | None = None
    N: Count
    epochs: Count
    batch_size: Count
    objective: Literal[
        "posterior_mean",
        "velocity",
        "noise",
        "score",
        "dsm",
        "explicit",
        "implicit",
        "implicit_hutchinson",
        "sliced",
    ]
    loss: Literal["squared", "huber"] = "squared"
    weight: Literal["unit", "noise_variance", "likelihood", "min_snr"] | None
    probe: Literal["rademacher", "gaussian"]
    probes: Count
    angles: Literal["uniform", "log_t", "native", "chain", "single", "ladder"]
    angle_min: Angle
    angle_max: Angle
    noise_level: Positive
    levels: Several
    noise: Literal["fresh", "repeated"] = "fresh"
    flips: bool = False
    optimizer: Literal["adamw", "adam", "sgd"]
    lr: Positive
    lr_schedule: Literal["constant", "cosine"]
    warmup: Natural
    weight_decay: NonNegative
    clip: Positive | None
    averaging: Fraction
    precision: Literal["float32", "tf32", "bfloat16"] = "float32"
    validation: Fraction
    validation_batch: Count
    keep: Literal["last", "best"]
    checkpoint_every: Natural
    records: Count
    resume: str | None

    @model_validator(mode="after")
    def _rules(self):
        if not self.angle_min < self.angle_max:
            raise ValueError(f"angle_min = {self.angle_min} must be below angle_max = {self.angle_max}")
        if self.angles in ("log_t", "ladder") and self.angle_min == 0:
            raise ValueError(f"angle_min = 0: angles: {self.angles} needs angle_min > 0")
        if self.weight == "likelihood" and self.angles in ("chain", "single", "ladder"):
            raise ValueError(f"weight = likelihood needs angles with a density, angles: {self.angles} has none")
        by_parts = self.objective in ("implicit", "implicit_hutchinson", "sliced")
        if self.loss == "huber" and by_parts:
            allowed = ", ".join((*_REGRESSIONS, "explicit"))
            raise ValueError(f"loss = huber: objective: {self.objective} is no squared error; allowed are {allowed}")
        if self.weight == "likelihood" and by_parts and self.angles == "uniform" and self.angle_min == 0:
            raise ValueError(f"angle_min = 0: weight: likelihood of objective: {self.objective} needs angle_min > 0")
        if self.precision != "float32" and by_parts:
            raise ValueError(f"precision = {self.precision}: objective: {self.objective} needs float32")
        if self.keep == "best" and self.validation == 0:
            raise ValueError("keep = best needs validation > 0")
        if self.train_count < 1:
            raise ValueError(f"validation = {self.validation} of N = {self.N} leaves no sample to train on")
        return self

    def trains(self, denoiser) -> bool:
        """Whether this denoiser is trained. Raises ValueError if it has to be trained and has nothing to train."""
        if self.enabled and not denoiser.trainable:
            raise ValueError("enabled = true: the denoiser has no parameters to train")
        return denoiser.trainable if self.enabled is None else self.enabled

    def of_process(self) -> "Training":
        """The same protocol for the posterior mean of an observation process: its squared error, with the weight that
        is configured, or the same at all angles. Raises ConfigError for an objective that is no regression, and for
        angles that only a schedule has.
        """
        if self.objective not in _REGRESSIONS:
            allowed = f"a process is learned by a regression: {', '.join(_REGRESSIONS)}"
            raise ConfigError(f"training.objective = {self.objective}: {allowed}")
        if self.angles not in ("uniform", "log_t", "ladder"):
            raise ConfigError(f"training.angles = {self.angles}: a process needs uniform, log_t or ladder")
        # with the weight of another objective, states near the end would count for nearly everything
        return self.model_copy(update={"objective": "posterior_mean"})

    def needs_of_target(self):
        """The exact posterior mean, for `explicit`, which is trained on the exact score."""
        return ("posterior_mean",) if self.objective == "explicit" else ()

    @property
    def is_regression(self) -> bool:
        """Whether the objective is the squared error of a quantity whose value is known for each sample."""
        return self.objective in _REGRESSIONS

    @property
    def train_count(self) -> int:
        """How many samples are trained on."""
        return self.N - round(self.validation * self.N)

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps per epoch; the last batch of an epoch may be smaller."""
        return -(-self.train_count // self.batch_size)

    @property
    def total_steps(self) -> int:
        """Optimiser steps of the whole training."""
        return self.epochs * self.steps_per_epoch
