"""What `conf/training` may say."""

from typing import ClassVar, Literal

from pydantic import model_validator

from scorelab.options import Angle, Count, Fraction, Natural, NonNegative, Options, Positive, Several


class Training(Options):
    """A training protocol.

    protocol: its name, which the presets and the report know it by.
    enabled: whether the denoiser is trained; null trains one that has parameters which are not frozen.
    N: samples drawn from the target. epochs, batch_size: passes over them, and samples a step.
    objective: squared error of the `posterior_mean` (the paper's), the `velocity`, the `noise` or the score, of x_phi
        (`score`) or of X + sigma G (`dsm`); score matching with the exact score (`explicit`) or without any score, by
        the exact trace of the Jacobian (`implicit`), probes of it (`implicit_hutchinson`) or slices (`sliced`). Each is
        the mean over coordinates; see docs/objectives.md.
    weight: lambda(phi) before the objective: `unit`, `noise_variance`, `likelihood` or `min_snr`; null for its
        source's. probe, probes: law and number a sample of the random directions of implicit_hutchinson and sliced.
    angles: law of the training angles: on [angle_min, angle_max] `uniform` in the angle (the paper's), `log_t`, or
        `ladder`, `levels` noise levels geometric in cot(angle); `native`, uniform in the schedule's own time; `single`,
        the one angle where x / sin = X + noise_level G.
    optimizer: adamw, adam or sgd (momentum 0.9). lr: step size, constant or falling to 0 along a cosine, after
        `warmup` steps of linear growth. weight_decay: decoupled for adamw, an L2 term for the others.
    clip: largest Euclidean norm of a gradient, or null. averaging: decay of the running average of the weights that is
        kept instead of the last weights; 0 keeps the last.
    validation: share of the N samples that is held out. validation_batch: samples a forward pass there.
    keep: the weights of the `last` epoch, or of the one with the `best` validation loss.
    checkpoint_every: epochs between checkpoints; 0 writes none. records: rows of training.csv at most.
    resume: a run directory whose training was interrupted.
    """

    bookkeeping: ClassVar[tuple[str, ...]] = ("resume", "checkpoint_every")

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
    weight: Literal["unit", "noise_variance", "likelihood", "min_snr"] | None
    probe: Literal["rademacher", "gaussian"]
    probes: Count
    angles: Literal["uniform", "log_t", "native", "single", "ladder"]
    angle_min: Angle
    angle_max: Angle
    noise_level: Positive
    levels: Several
    optimizer: Literal["adamw", "adam", "sgd"]
    lr: Positive
    lr_schedule: Literal["constant", "cosine"]
    warmup: Natural
    weight_decay: NonNegative
    clip: Positive | None
    averaging: Fraction
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
        if self.weight == "likelihood" and self.angles in ("single", "ladder"):
            raise ValueError(f"weight = likelihood needs angles with a density, angles: {self.angles} has none")
        by_parts = self.objective in ("implicit", "implicit_hutchinson", "sliced")
        if self.weight == "likelihood" and by_parts and self.angles == "uniform" and self.angle_min == 0:
            raise ValueError(f"angle_min = 0: weight: likelihood of objective: {self.objective} needs angle_min > 0")
        if self.keep == "best" and self.validation == 0:
            raise ValueError("keep = best needs validation > 0")
        if self.train_count < 1:
            raise ValueError(f"validation = {self.validation} of N = {self.N} leaves no sample to train on")
        return self

    def trains(self, denoiser) -> bool:
        """Whether this denoiser is trained. Raises ValueError where it has to be and has nothing to train."""
        if self.enabled and not denoiser.trainable:
            raise ValueError("enabled = true: the denoiser has no parameters to train")
        return denoiser.trainable if self.enabled is None else self.enabled

    def needs_of_target(self):
        """The exact score of score matching with it."""
        return ("posterior_mean",) if self.objective == "explicit" else ()

    @property
    def train_count(self) -> int:
        """Samples that are trained on."""
        return self.N - round(self.validation * self.N)

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps an epoch; the last batch may be smaller."""
        return -(-self.train_count // self.batch_size)

    @property
    def total_steps(self) -> int:
        """Optimiser steps of the whole training."""
        return self.epochs * self.steps_per_epoch
