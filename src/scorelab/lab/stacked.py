"""A sweep whose trainings are computed together: `hydra/launcher=stacked`.

The jobs that differ only in what may differ between the rows of a `scorelab.training.stack.Stack` are trained as one
program. Each writes the checkpoints of a single training into its own directory, the last one at the end of its
training. Then the jobs run one after the other, as with any launcher: a job finds its checkpoint, and has only to
finish, to sample and to measure. So a sweep that was stopped is resumed by any launcher, and a run directory does not
tell how it was trained, but for the rounding of its numbers.
"""

import contextlib
import json
import logging
from pathlib import Path

from hydra._internal.core_plugins.basic_launcher import BasicLauncher

from scorelab.errors import ConfigError, ScorelabError, one_line
from scorelab.lab.config import Config
from scorelab.lab.execution import begin, require_parts, stages_of
from scorelab.lab.locks import Lock
from scorelab.lab.runs import Run
from scorelab.progress import Progress

log = logging.getLogger("scorelab")

#: keys of a training that the rows of a stack must share; every other may differ, such as lr, weight_decay, clip,
#: averaging, warmup, the angles, the weight of the objective, keep
_SHARED = ("epochs", "batch_size", "train_count", "optimizer", "loss", "noise", "flips")
#: where the stage `train` of a study has to come from
_STAGE = "scorelab.studies.training"


def stack_key(config: Config) -> str | None:
    """What the jobs of one stack have in common: the network, the shape of the data, the steps, the device. None for a
    job that trains no single network for the Gaussian channel.

    Everything else may differ: seed, the numbers of the target, the other keys of `training`, sampling and measuring.
    """
    if config.study.stages.get("train") != _STAGE or config.other_process or config["denoiser"].cls.exact:
        return None
    training, target = config.options("training"), config["target"].data
    if training.enabled is False or training.resume or training.precision != "float32":
        return None
    general = {key: getattr(config.general, key) for key in ("device", "threads", "extensions", "stage")}
    shared = {key: getattr(training, key) for key in _SHARED}
    shared["objective"] = "regression" if training.is_regression else training.objective
    target = {key: target.get(key) for key in ("_target_", "n")}
    return json.dumps([general, config["denoiser"].data, target, shared], sort_keys=True)


class StackedLauncher(BasicLauncher):
    """Hydra's launcher of one job after the other, with the trainings computed together beforehand.

    replicas: the most jobs in one stack.
    """

    def __init__(self, replicas: int = 32):
        super().__init__()
        self.replicas = replicas

    def require(self):
        """Raise ConfigError for a number of replicas that cannot be."""
        if type(self.replicas) is not int or self.replicas < 1:
            raise ConfigError(f"hydra.launcher.replicas = {self.replicas}: an integer >= 1 is needed")

    def prepare(self, jobs: list[tuple[Run, Config]]) -> set[Path]:
        """Train the jobs that fit into stacks, and return the directories of those that diverged, marked as failed."""
        groups, failed = {}, set()
        for run, config in jobs:
            groups.setdefault(stack_key(config), []).append((run, config))
        alone = len(groups.pop(None, ()))
        for group in groups.values():
            for first in range(0, len(group), self.replicas):
                some = group[first : first + self.replicas]
                if len(some) > 1:
                    failed |= _train(some)
                alone += len(some) == 1
        if alone:
            log.info("stacked: %d jobs fit no stack, and are trained alone", alone)
        return failed


def _train(jobs) -> set[Path]:
    """Train jobs of one key. A job that cannot begin is left to its own turn, which says why."""
    import torch

    from scorelab.lab.context import Context
    from scorelab.studies.training import one_trainer
    from scorelab.training.device_stack import DeviceStack
    from scorelab.training.stack import Stack, Unstackable

    names, threads = ", ".join(run.path.name for run, _ in jobs), torch.get_num_threads()
    by_epoch, begun = {}, []
    with contextlib.ExitStack() as held:
        held.callback(torch.set_num_threads, threads)
        torch.set_num_threads(jobs[0][1].general.threads or threads)
        try:
            for run, config in jobs:
                context = Context(run, config)
                try:
                    held.enter_context(Lock(run.path))
                    require_parts(context)
                    context.plan()
                    begin(context, stages_of(config))
                    begun.append(run)
                    trainer, checkpoint = one_trainer(context)
                except ScorelabError as error:
                    log.info("stacked: job %s is left to its own turn (%s)", run.path.name, one_line(error))
                    continue
                if trainer.epoch < trainer.options.epochs:
                    by_epoch.setdefault(trainer.epoch, []).append((run, trainer, checkpoint))
            failed = set()
            for group in by_epoch.values():
                runs, trainers, checkpoints = zip(*group, strict=True)
                stack = (Stack if trainers[0].device.type == "cpu" else DeviceStack)(list(trainers))
                log.info("stacked: jobs %s are trained together", ", ".join(run.path.name for run in runs))
                with Progress("training", trainers[0].options.epochs, "epochs", start=trainers[0].epoch) as progress:

                    def show(stack, progress=progress):
                        progress.update(max(each.epoch for each in stack.trainers), f"{len(stack.active)} jobs")

                    errors = stack.run(list(checkpoints), show)
                for run, error in zip(runs, errors, strict=True):
                    if error is not None:
                        log.error("job %s: %s", run.path.name, one_line(error))
                        run.mark("failed", error=one_line(error))
                        failed.add(run.path)
            return failed
        except Unstackable as error:
            log.info("stacked: jobs %s are trained one by one, as %s", names, error)
        except KeyboardInterrupt:
            for run in begun:
                run.mark("interrupted")
            raise
        except Exception as error:  # each job tells it again, in its own log, where it is the job's own
            log.error("stacked: jobs %s are trained one by one, after an error: %s", names, one_line(error))
        return set()
