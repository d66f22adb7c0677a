"""Stage `train`: denoiser-PROCESS.safetensors and training-PROCESS.csv for each process of `study.learn`."""

import logging

from scorelab.errors import ConfigError
from scorelab.laws.estimate import Estimate
from scorelab.progress import Progress
from scorelab.randomness import stream_seed
from scorelab.studies.processes.measurements import distance_of
from scorelab.training.trainer import Trainer

log = logging.getLogger("scorelab")


def run(study, context):
    """Check that the target allows what is asked for, then train a network for each process of `study.learn`."""
    distance_of(context.target, study.count)
    processes, left_out = study.allowed(context)
    for why in left_out:
        log.info("left out: %s", why)
    metrics = {}
    for name in study.learn:
        denoiser = context.new_denoiser()
        if not denoiser.trainable:
            raise ConfigError("study.learn: a denoiser with parameters is needed, as denoiser=velocity")
        options = context.training.of_process()
        seed = stream_seed(context.seed, "process", name)
        trainer = Trainer(denoiser, context.target, options, seed, process=processes[name])
        log.info("training the posterior mean of %s: N = %d, %d epochs", name, options.N, options.epochs)
        with Progress(f"training {name}", options.epochs, "epochs") as progress:

            def show(trainer, progress=progress, table=f"training-{name}.csv"):
                progress.update(trainer.epoch)
                context.grow_table(table, trainer.rows)

            trainer.run(on_epoch=show)
        context.save_denoiser(denoiser, f"denoiser-{name}")
        context.write_table(f"training-{name}.csv", trainer.rows)
        row = trainer.rows[-1]
        metrics[name] = {"loss": row["loss"], "seconds": trainer.seconds, "steps": trainer.step}
        if "excess_risk" in row:
            metrics[name]["excess_risk"] = Estimate(row["excess_risk"], row["excess_risk_standard_error"])
    context.update_metrics("process_training", metrics)
