"""A sweep whose trainings are computed together: `hydra/launcher=stacked`.

The jobs that differ only in what may differ between the rows of a `scorelab.training.stack.Stack` are trained as one
program. Each writes the checkpoints of a single training into its own directory, the last one at the end of its
training. Then the jobs of this stack run as with any launcher: a job finds its checkpoint, and has only to finish, to
sample and to measure; and the next stack is trained. So a sweep that was stopped is resumed by any launcher, and a run
directory does not tell how it was trained, but for the rounding of its numbers.
"""

import contextlib
import json
import logging
from importlib.util import find_spec
from pathlib import Path

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from omegaconf import OmegaConf, open_dict, read_write

from scorelab.errors import ConfigError, ScorelabError, one_line
from scorelab.lab.config import Config
from scorelab.lab.execution import begin, require_parts, stages_of
from scorelab.lab.launching import of_joblib
from scorelab.lab.locks import Lock
from scorelab.lab.room import free_on
from scorelab.lab.runs import PROGRESS, Run
from scorelab.progress import Progress, reported
from scorelab.workers import computing

log = logging.getLogger("scorelab")

#: keys of a training that the rows of a stack must share; every other may differ, such as lr, weight_decay, clip,
#: averaging, warmup, the angles, the weight of the objective, keep
_SHARED = ("epochs", "batch_size", "train_count", "optimizer", "loss", "noise", "flips", "precision")
#: the share of the free memory that a stack may take, by an estimate
_SHARE = 0.8
#: where the stage `train` of a study has to come from
_STAGE = "scorelab.studies.training"


def stack_key(config: Config) -> str | None:
    """What the jobs of one stack have in common: the network, the shape of the data, the steps, the device. None for a
    job that trains no network for the Gaussian channel.

    Everything else may differ: seed, the numbers of the target, the other keys of `training`, sampling and measuring.
    """
    if config.general.replicas > 1 or config.general.run is not None:
        return None  # it is a stack of its own, or is trained
    if config.study.stages.get("train") != _STAGE or config.other_process or config["denoiser"].cls.exact:
        return None
    training, target = config.options("training"), config["target"].data
    if training.enabled is False or training.resume or training.precision == "bfloat16":
        return None
    general = {key: getattr(config.general, key) for key in ("device", "threads", "extensions", "stage")}
    shared = {key: getattr(training, key) for key in _SHARED}
    shared["objective"] = "regression" if training.is_regression else training.objective
    target = {key: target.get(key) for key in ("_target_", "n")}
    return json.dumps([general, config["denoiser"].data, target, shared], sort_keys=True)


def pays(device) -> bool:
    """Whether networks on a device are faster as one tensor program: on a CPU, which one fills, they are not."""
    return device.type != "cpu"


class StackedLauncher(Launcher):
    """A launcher that trains jobs together beforehand, and leaves them to another launcher to finish.

    replicas: the most jobs in one stack. n_jobs: how many jobs are finished at a time, by Hydra's launcher for joblib;
    1 finishes one after the other in this process, by Hydra's basic launcher.
    """

    def __init__(self, replicas: int = 32, n_jobs: int = 1):
        self.replicas, self.n_jobs = replicas, n_jobs

    @property
    def by_joblib(self) -> bool:
        """Whether the jobs are finished by joblib."""
        return self.n_jobs > 1

    def require(self):
        """Raise ConfigError for numbers that cannot be, and where n_jobs asks for a launcher that is not there."""
        for name in ("replicas", "n_jobs"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise ConfigError(f"hydra.launcher.{name} = {value}: an integer >= 1 is needed")
        if self.by_joblib and find_spec("hydra_plugins.hydra_joblib_launcher") is None:
            raise ConfigError(f"hydra.launcher.n_jobs = {self.n_jobs}: needs the package hydra-joblib-launcher")

    def setup(self, *, hydra_context, task_function, config):
        """What Hydra calls before `launch`."""
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def launch(self, job_overrides, initial_job_idx):
        """Finish jobs by the launcher that does so; return what it returns."""
        name = "joblib" if self.by_joblib else "basic"
        node = OmegaConf.to_container(ConfigStore.instance().load(f"hydra/launcher/{name}.yaml").node)
        if self.by_joblib:
            node |= {"prefer": "processes", "batch_size": 1}
        config = self.config.copy()
        with read_write(config.hydra), open_dict(config.hydra):
            config.hydra.launcher = node
        context = {"hydra_context": self.hydra_context, "task_function": self.task_function}
        others = Plugins.instance().instantiate_launcher(config=config, **context)
        if self.by_joblib:
            others.joblib |= of_joblib(self.n_jobs, len(job_overrides))
        others.setup(config=self.config, **context)  # to the jobs the launcher is the one that was asked for
        return others.launch(job_overrides, initial_job_idx)

    def stacks(self, jobs: list[tuple[Run, Config]]) -> list[list[int]]:
        """The places of the jobs that are trained together, for each stack; those that fit none are the last."""
        groups, stacks = {}, []
        for place, (_, config) in enumerate(jobs):
            groups.setdefault(stack_key(config), []).append(place)
        alone = groups.pop(None, [])
        for group in groups.values():
            for first in range(0, len(group), self.replicas):
                some = group[first : first + self.replicas]
                stacks.append(some) if len(some) > 1 else alone.extend(some)
        if alone:
            log.info("stacked: %d jobs fit no stack, and are done alone", len(alone))
        return [*stacks, sorted(alone)] if alone else stacks

    def train(self, jobs: list[tuple[Run, Config]]) -> set[Path]:
        """Train the jobs of a stack, and return the directories of those that diverged, marked as failed."""
        return train(jobs, here=not self.by_joblib)


def train(jobs: list[tuple[Run, Config]], here: bool = True) -> set[Path]:
    """Train jobs as a stack, and return the directories of those that diverged, marked as failed; nothing is done for
    jobs that fit no stack together.

    here: whether this process does the rest of the jobs. Then, on a device, the trained networks sample and are
    measured as a stack too, and the jobs find what they were asked.
    """
    keys = {stack_key(config) for _, config in jobs}
    return _train(jobs, here) if len(jobs) > 1 and len(keys) == 1 and None not in keys else set()


def _train(jobs, here) -> set[Path]:
    """Train jobs of one key, and return the directories of those that diverged."""
    from scorelab.devices import current

    with contextlib.ExitStack() as held, computing(jobs[0][1].general.threads):
        begun, groups, failed = [], {}, set()
        try:
            for run, config in jobs:
                for kind, *part in _begun(run, config, held, begun):
                    groups.setdefault(kind, []).append(part)
            for (name, *_), group in groups.items():
                for some in _fitting([each for each in group if each[0].run.path not in failed]):
                    with current(some[0][1].device):
                        failed |= _together(some, ahead=here and not name) if len(some) > 1 else set()
        except KeyboardInterrupt:
            for run in begun:
                run.mark("interrupted")
            raise
        except Exception as error:  # each job tells it again, in its own log, where it is the job's own
            names = ", ".join(run.path.name for run, _ in jobs)
            log.error("stacked: jobs %s are trained one by one, after an error: %s", names, one_line(error))
    return failed


def _begun(run, config, held, begun) -> list:
    """Begin a job, and return what is to be trained of it: what it has in common with the other rows of its stack, the
    context, the trainer, and the place of its checkpoints; nothing for a job that cannot begin, or fits no stack: it is
    left to its own turn, which says why."""
    from scorelab.denoisers.stacked import Unstackable
    from scorelab.lab.context import Context
    from scorelab.studies.training import stackable

    context = Context(run, config)
    try:
        held.enter_context(Lock(run.path))
        require_parts(context)
        context.plan()
        begin(context, stages_of(config))
        begun.append(run)
        parts = stackable(context)
    except (ScorelabError, Unstackable) as error:
        log.info("stacked: job %s is left to its own turn (%s)", run.path.name, one_line(error))
        return []
    kinds = ((name, trainer.epoch, trainer.options.N) for name, trainer, _ in parts)
    rows = zip(kinds, parts, strict=True)
    return [(kind, context, *part[1:]) for kind, part in rows if part[1].epoch < part[1].options.epochs]


def _fitting(group):
    """Yield parts of a group of (context, trainer, checkpoint) whose stacks fit into the memory that is free."""
    from scorelab.training.stack import bytes_of

    free = free_on(group[0][1].device) if group else None
    most = len(group) if free is None else max(int(_SHARE * free / bytes_of(group[0][1])), 1)
    if most < len(group):
        log.info("stacked: %d of %d jobs fit into the free memory at a time", most, len(group))
    for first in range(0, len(group), most):
        yield group[first : first + most]


def _together(group, ahead: bool) -> set[Path]:
    """Train a stack of (context, trainer, checkpoint), and return the directories of the runs that diverged, which are
    marked as failed. Those that cannot be stacked are left to their own turns. ahead: whether the later stages ask the
    trained networks ahead, which are whole denoisers and not parts."""
    from scorelab.denoisers.stacked import Unstackable
    from scorelab.training.device_stack import DeviceStack
    from scorelab.training.stack import Stack

    contexts, trainers, checkpoints = zip(*group, strict=True)
    runs = [context.run for context in contexts]
    names = ", ".join(run.path.name for run in runs)
    try:
        stack = (Stack if trainers[0].device.type == "cpu" else DeviceStack)(list(trainers))
    except Unstackable as error:
        log.info("stacked: jobs %s are trained one by one, as %s", names, error)
        return set()
    log.info("stacked: jobs %s are trained together", names)
    options, epoch = trainers[0].options, trainers[0].epoch
    files = [run / PROGRESS for run in runs]
    report = reported(*files, stage="train")
    with report, Progress("training", options.epochs, "epochs", start=epoch) as progress:

        def show(stack):
            progress.update(max(each.epoch for each in stack.trainers), f"{len(stack.active)} jobs")

        errors = stack.run(list(checkpoints), show)
    failed = set()
    for run, error in zip(runs, errors, strict=True):
        if error is not None:
            log.error("job %s: %s", run.path.name, one_line(error))
            run.mark("failed", error=one_line(error))
            failed.add(run.path)
    if ahead:
        _ahead([each for each, error in zip(group, errors, strict=True) if error is None])
    return failed


def _ahead(group):
    """Compute ahead what the later stages of trained runs ask of their denoisers, for all of one study at once."""
    for study, some in _by_study(group).items():
        contexts, trainers, _ = zip(*some, strict=True)
        names = ", ".join(context.run.path.name for context in contexts)
        try:
            study.ahead(contexts, [trainer.denoiser.eval() for trainer in trainers])
            log.info("stacked: jobs %s sampled and measured together", names)
        except Exception as error:  # also of memory; a fault of a job is told in the job's own turn
            log.info("stacked: jobs %s sample and measure one by one (%s)", names, one_line(error))


def _by_study(group) -> dict:
    """class of the study -> (context, trainer, checkpoint), where there are several to be sampled and measured."""
    groups = {}
    for each in group:
        context = each[0]
        if pays(context.device) and len(stages_of(context.config)) > 1:
            groups.setdefault(type(context.config.study), []).append(each)
    return {study: some for study, some in groups.items() if len(some) > 1}
