"""Stage `train`: denoiser.safetensors and training.csv."""

import logging

from scorelab.progress import Progress
from scorelab.training.trainer import Trainer

log = logging.getLogger("scorelab")


def run(study, context):
    """Train the denoiser, from the last checkpoint if there is one; a denoiser without parameters is only saved."""
    denoiser = context.new_denoiser()
    if not denoiser.trainable:
        log.info("denoiser %s: nothing to train", context.config["denoiser"].path.rpartition(".")[2])
        context.save_denoiser(denoiser)
        context.update_metrics("training", {"steps": 0, "seconds": 0.0})
        return
    options = context.training
    trainer = Trainer(denoiser, context.target, options, context.seed)
    checkpoint = context.run / "checkpoint.safetensors"
    if checkpoint.is_file():
        trainer.load(checkpoint)
        log.info("training goes on after epoch %d of %d", trainer.epoch, options.epochs)
    log.info(
        "training: N = %d (%d train), %d epochs of %d steps, angles %s on [%g, %g], Bayes risk %.5f a coordinate",
        options.N,
        options.train_count,
        options.epochs,
        options.steps_per_epoch,
        options.angles,
        options.angle_min,
        options.angle_max,
        trainer.bayes_risk,
    )
    with Progress("training", options.epochs, "epochs", start=trainer.epoch) as progress:

        def show(trainer):
            row = trainer.rows[-1] if trainer.rows else {}
            text = f"loss {row['loss']:.5f}  excess {row['excess_risk']:.2e}" if row else ""
            progress.update(trainer.epoch, text)

        trainer.run(checkpoint, show)
    context.save_denoiser(denoiser)
    context.write_table("training.csv", trainer.rows)
    checkpoint.unlink(missing_ok=True)
    last = trainer.rows[-1]
    keys = ("loss", "bayes_risk", "excess_risk", "excess_risk_se", "validation_loss")
    values = {key: last[key] for key in keys if key in last}
    values |= {"steps": trainer.step, "seconds": trainer.seconds}
    values["samples_per_second"] = options.train_count * options.epochs / trainer.seconds
    context.update_metrics("training", values)
