"""Stage `train`: denoiser.safetensors and training.csv."""

import logging
import math

from scorelab.denoisers.base import Denoiser
from scorelab.denoisers.stacked import Unstackable
from scorelab.errors import ConfigError
from scorelab.laws.estimate import Estimate
from scorelab.progress import Progress
from scorelab.randomness import stream_seed
from scorelab.training.device_stack import DeviceStack
from scorelab.training.stack import Stack, pays_alone
from scorelab.training.trainer import Trainer, training_samples

log = logging.getLogger("scorelab")


def run(study, context):
    """Train the denoiser part by part, each part from its last checkpoint if there is one. A denoiser that is not to be
    trained, as `training.enabled` says, is only saved."""
    denoiser = context.new_denoiser()
    try:
        trained = context.training.trains(denoiser)
    except ValueError as error:
        raise ConfigError(f"training.{error}") from None
    if context.process is not None and (denoiser.chooses or not (denoiser.exact or denoiser.trainable)):
        pair = f"denoiser {context.config['denoiser'].cls.__name__} with process {context.config.other_process}"
        raise ConfigError(f"{pair}: exact is needed, or a network that is one function of the state")
    why = context.target.lacks("samples")
    learns = trained or type(denoiser).parts is not Denoiser.parts
    if why is not None and learns:
        raise ConfigError(f"denoiser {context.config['denoiser'].cls.__name__} learns from samples: {why}")
    samples = training_samples(context.target, context.training, context.seed) if learns else None
    try:  # a denoiser that is not trained may still learn from the samples how to split them
        parts = denoiser.parts(samples, context.target)
    except ValueError as error:
        raise ConfigError(f"denoiser: {error}") from None
    if not trained:
        log.info("denoiser %s: not trained", context.config["denoiser"].path.rpartition(".")[2])
        context.save_denoiser(denoiser)
        context.update_metrics("training", {"steps": 0, "seconds": 0.0})
        return
    _warn(context)
    if context.device.type != "cpu":
        log.info("device: %s", context.device)
    trainers, rows = [], []
    for part in parts:
        trainers.append(_train(context, part, rows, last=part is parts[-1]))
        rows += _rows(trainers[-1], part)
    context.save_denoiser(denoiser)
    context.write_table("training.csv", rows)
    for part in parts:
        _checkpoint(context, part).unlink(missing_ok=True)
    seen = sum(trainer.options.train_count * trainer.options.epochs for trainer in trainers)
    values = {
        "steps": sum(trainer.step for trainer in trainers),
        "seconds": sum(trainer.seconds for trainer in trainers),
    }
    values["samples_per_second"] = seen / values["seconds"]
    finals = [_final(trainer) for trainer in trainers]
    if len(parts) == 1:
        values |= finals[0]
    else:
        values["parts"] = {
            part.name: final | {"N": len(part.samples)} for part, final in zip(parts, finals, strict=True)
        }
    context.update_metrics("training", values)


def _warn(context):
    """Log a line if the step size will not reach its value, and one if the samples will go on to angles that the
    denoiser is not trained at."""
    options = context.training
    if options.warmup > options.total_steps:
        log.warning(
            "training: %d steps of warmup, and %d steps in all: the step size ends at %.2g of training.lr",
            options.warmup,
            options.total_steps,
            options.total_steps / options.warmup,
        )
    end = _last_angle(context)
    if end is not None and end > options.angle_max + 1e-9:
        log.warning(
            "training: its angles end at %.6g, and sampling goes on to %.6g; training.angle_max=%.6g would do",
            options.angle_max,
            end,
            math.ceil(1e5 * end) / 1e5 if end < math.pi / 2 - 1e-4 else end,
        )


def _last_angle(context):
    """The last angle at which the samples will ask the denoiser; None for angles of training that have no end."""
    if context.process is not None:
        angles = context.process.angles(context.sampling.steps)
        return float(angles[-1] if angles[-1] < math.pi / 2 else angles[-2])  # at pi/2 all is known
    if context.training.angles in ("native", "chain", "single") or not context.config.uses("schedule"):
        return None
    return context.schedule.end_angle


def _checkpoint(context, part):
    return context.run / f"checkpoint{part.name and f'-{part.name}'}.safetensors"


def _final(trainer) -> dict:
    """The numbers of the last record of a training, and the reasons why other numbers were not measured."""
    row = trainer.rows[-1]
    values = {key: row[key] for key in ("loss", "validation_loss") if key in row}
    if "bayes_risk" in row:
        values["bayes_risk"] = Estimate(row["bayes_risk"], trainer.bayes_risk_error)
    if "excess_risk" in row:
        values["excess_risk"] = Estimate(row["excess_risk"], row["excess_risk_standard_error"])
    return values | trainer.not_measured


def _rows(trainer, part):
    """The rows of training.csv, with the name of the part where there are several parts."""
    return [{"part": part.name, **row} if part.name else row for row in trainer.rows]


def _options(context, part):
    """The training options of a part, with the number of its samples and with its angles."""
    options = context.training if context.process is None else context.training.of_process()
    change = {"N": len(part.samples)}
    if part.angles is not None:
        low, high = max(options.angle_min, part.angles[0]), min(options.angle_max, part.angles[1])
        if not low < high or options.angles not in ("uniform", "log_t", "ladder"):
            raise ConfigError(
                f"training.angles = {options.angles} on [{options.angle_min:g}, {options.angle_max:g}]: {part.name} of "
                f"the denoiser needs angles on [{part.angles[0]:g}, {part.angles[1]:g}]"
            )
        change |= {"angle_min": low, "angle_max": high}
    return options.model_copy(update=change)


def stackable(context):
    """What a stack trains of a run: the name of each part of its denoiser, its `Trainer`, at its last checkpoint if
    there is one, and the place of its checkpoints. Raises Unstackable for a run that trains nothing of the kind."""
    denoiser = context.new_denoiser()
    if context.process is not None or not context.training.trains(denoiser):
        raise Unstackable("they have no network to train, or another process")
    samples = training_samples(context.target, context.training, context.seed)
    parts = denoiser.parts(samples, context.target)
    return [(part.name, _trainer(context, part), _checkpoint(context, part)) for part in parts]


def _trainer(context, part):
    """The `Trainer` of a part, at its last checkpoint if there is one."""
    options, checkpoint = _options(context, part), _checkpoint(context, part)
    seed = stream_seed(context.seed, part.name) if part.name else context.seed
    schedule = context.schedule if context.process is None else None
    where = (schedule, part.samples, context.process, context.device)
    trainer = Trainer(part.denoiser, part.target, options, seed, *where)
    if checkpoint.is_file():
        trainer.load(checkpoint)
    return trainer


def _fit(trainer, checkpoint, show):
    """Train; as a stack of one where that is faster."""
    if trainer.device.type == "cpu":
        stack = Stack([trainer]) if pays_alone(trainer) else None
    else:
        stack = DeviceStack.by_kernels(trainer)
    if stack is None:
        trainer.run(checkpoint, show)
        return
    (error,) = stack.run([checkpoint], lambda _: show(trainer))
    if error is not None:
        raise error


def _announce(trainer, part):
    """Log what is about to be trained."""
    options = trainer.options
    if trainer.epoch:
        log.info("training goes on after epoch %d of %d", trainer.epoch, options.epochs)
    log.info(
        "training%s: N = %d (%d train), %d epochs of %d steps, %s at %s angles on [%g, %g]",
        part.name and f" {part.name}",
        options.N,
        options.train_count,
        options.epochs,
        options.steps_per_epoch,
        options.objective,
        options.angles,
        trainer.law.low,
        trainer.law.high,
    )


def _train(context, part, before, last):
    """Train a part. before: the rows of training.csv of the parts before it; the table grows in the meantime."""
    trainer, checkpoint = _trainer(context, part), _checkpoint(context, part)
    options = trainer.options
    if trainer.epoch < options.epochs:  # the jobs of a stack have only to finish
        _announce(trainer, part)
    least, error = trainer.bayes_risk, trainer.bayes_risk_error  # this may take a while
    log.info("least loss: %s", "not known" if least is None else f"{least:.5f}" + (f" ± {error:.1g}" if error else ""))
    with Progress("training", options.epochs, "epochs", start=trainer.epoch) as progress:

        def show(trainer):
            row = trainer.rows[-1] if trainer.rows else {}
            shown = {"loss": "loss {:.5f}", "excess_risk": "excess {:.2e}"}
            progress.update(trainer.epoch, "  ".join(shown[key].format(row[key]) for key in shown if key in row))
            context.grow_table("training.csv", before + _rows(trainer, part))

        _fit(trainer, checkpoint, show)
    if not last:  # so that an interruption of a later part does not lose this part
        trainer.save(checkpoint)
    return trainer
