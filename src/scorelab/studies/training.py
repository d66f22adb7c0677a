"""Stage `train`: denoiser.safetensors and training.csv."""

import logging

from scorelab.errors import ConfigError
from scorelab.laws.estimate import Estimate
from scorelab.progress import Progress
from scorelab.randomness import stream_seed
from scorelab.training.trainer import Trainer, training_samples

log = logging.getLogger("scorelab")
#: columns of the last record that become metrics
_FINAL = ("loss", "bayes_risk", "excess_risk", "excess_risk_se", "validation_loss")


def run(study, context):
    """Train the denoiser part by part, each from its last checkpoint if there is one; one without parameters is only
    saved."""
    denoiser = context.new_denoiser()
    if not denoiser.trainable:
        log.info("denoiser %s: nothing to train", context.config["denoiser"].path.rpartition(".")[2])
        context.save_denoiser(denoiser)
        context.update_metrics("training", {"steps": 0, "seconds": 0.0})
        return
    samples = training_samples(context.target, context.training, context.seed)
    try:
        parts = denoiser.parts(samples, context.target)
    except ValueError as error:
        raise ConfigError(f"denoiser: {error}") from None
    trainers = [_train(context, part, last=part is parts[-1]) for part in parts]
    context.save_denoiser(denoiser)
    context.write_table(
        "training.csv", [row for trainer, part in zip(trainers, parts, strict=True) for row in _rows(trainer, part)]
    )
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


def _final(trainer):
    """The last record, the error of a Bayes risk that is measured itself, and what could not be measured."""
    final = {key: trainer.rows[-1][key] for key in _FINAL if key in trainer.rows[-1]}
    if trainer.bayes_risk_error is not None:
        final["bayes_risk"] = Estimate(final["bayes_risk"], trainer.bayes_risk_error)
    return final | trainer.not_measured


def _checkpoint(context, part):
    return context.run / f"checkpoint{part.name and f'-{part.name}'}.safetensors"


def _rows(trainer, part):
    """The rows of training.csv, with the part's name where there are several."""
    return [{"part": part.name, **row} if part.name else row for row in trainer.rows]


def _options(context, part):
    """The training options of a part: as many samples as it has, and its angles."""
    options = context.training
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


def _train(context, part, last):
    options, checkpoint = _options(context, part), _checkpoint(context, part)
    seed = stream_seed(context.seed, part.name) if part.name else context.seed
    trainer = Trainer(part.denoiser, part.target, options, seed, context.schedule, part.samples)
    if checkpoint.is_file():
        trainer.load(checkpoint)
        log.info("training goes on after epoch %d of %d", trainer.epoch, options.epochs)
    log.info(
        "training%s: N = %d (%d train), %d epochs of %d steps, %s at %s angles on [%g, %g], least loss %s",
        part.name and f" {part.name}",
        options.N,
        options.train_count,
        options.epochs,
        options.steps_per_epoch,
        options.objective,
        options.angles,
        trainer.law.low,
        trainer.law.high,
        "not known" if trainer.bayes_risk is None else f"{trainer.bayes_risk:.5f}",
    )
    with Progress("training", options.epochs, "epochs", start=trainer.epoch) as progress:

        def show(trainer):
            row = trainer.rows[-1] if trainer.rows else {}
            shown = {"loss": "loss {:.5f}", "excess_risk": "excess {:.2e}"}
            progress.update(trainer.epoch, "  ".join(shown[key].format(row[key]) for key in shown if key in row))

        trainer.run(checkpoint, show)
    if not last:  # an interruption of a later part does not lose this one
        trainer.save(checkpoint)
    return trainer
