"""Running the stages of a checked configuration in a run directory, and recording where its numbers come from."""

import logging
import subprocess
import time
import traceback
from pathlib import Path

from scorelab.errors import ConfigError, ScorelabError, one_line, out_of_memory
from scorelab.lab import ahead
from scorelab.lab.config import Config
from scorelab.lab.names import pasted
from scorelab.lab.room import require_room
from scorelab.lab.runs import PROGRESS, Run
from scorelab.lab.tracked import Tracked
from scorelab.progress import reported, tell
from scorelab.versions import versions
from scorelab.workers import computing

log = logging.getLogger("scorelab")


def stages_of(config: Config) -> tuple[str, ...]:
    """The stages that a configuration asks for: all stages of the study, or one stage of an existing run and the stages
    after it. A new run that names the first stage stops after this stage."""
    stage, every = config.general.stage, tuple(config.study.stages)
    if stage == "all":
        return every
    return every[:1] if config.general.run is None else every[every.index(stage) :]


def execute(run: Run, config: Config):
    """Run the stages that a checked configuration asks for, and keep status.json up to date.

    An error of a stage is written to status.json and to the log file of the run, and then raised again.
    """
    with computing(config.general.threads):
        _execute(run, config)


def _execute(run: Run, config: Config):
    from scorelab.devices import current
    from scorelab.lab.context import Context

    study = config.study
    stages = stages_of(config)
    context, started = Context(run, config), time.perf_counter()
    try:
        require_parts(context)
        if stages[0] == next(iter(study.stages)):
            context.plan()
        begin(context, stages)  # what is refused before has begun nothing, and leaves no directory
    except BaseException as error:
        if (shown := out_of_memory(error)) is not None:
            raise shown from None
        raise
    context.tracked = Tracked(run, config)
    try:
        with reported(run / PROGRESS), current(context.device):
            for stage in stages:
                if run.needs(stage):
                    tell(stage=stage)
                    context.written.clear()
                    study.run_stage(stage, context)
                    seconds, started = time.perf_counter() - started, time.perf_counter()
                    run.finish_stage(stage, seconds, context.written)
                    context.tracked.stage(stages.index(stage), stage, seconds)
        context.update_metrics("run", provenance(config, run, context.device))
        run.mark("done")
    except KeyboardInterrupt:
        run.mark("interrupted")
        goes_on = f"{pasted('training.resume', run.path)} goes on"
        then = "its results are those of before" if run.state == "done" else goes_on
        log.error("interrupted; %s", then)
        raise
    except (Exception, SystemExit) as error:
        shown = out_of_memory(error) or error
        run.mark("failed", error=one_line(shown))
        if isinstance(shown, ScorelabError):
            _to_log_file(f"error: {one_line(shown)}")
            raise shown from None
        _to_log_file(traceback.format_exc())
        raise
    finally:
        ahead.drop(run, config)
        context.tracked.end()


def begin(context, stages):
    """Mark the run of a `Context` as running on its device; see `Run.begin`."""
    run, kind = context.run, context.device.type
    require_kind(run, context.config, kind)
    run.begin(context.config, stages)
    run.mark("running", device=kind)


def require_parts(context):
    """Raise ConfigError where the parts of a run cannot work together, or ask for more memory than there is."""
    config, run = context.config, context.run
    require_room(config, run.path)
    if config.uses("target"):
        require_of_target(config, context.target)
        if "n" not in config["target"].data:  # only the target itself knows its dimension
            require_room(config, run.path, context.target.n)


def require_device(config: Config):
    """Raise ConfigError for a device that this machine does not have; without one that is named torch is not needed."""
    if config.general.device not in ("auto", "cpu"):
        from scorelab import devices

        devices.resolve(config.general.device)


def require_kind(run: Run, config: Config, kind: str):
    """Raise ConfigError where a training would go on on another kind of device than it began on, unless the user names
    the device: then the log says that its end is the same in law alone."""
    begun = run.status.get("device", "cpu") if (run / "status.json").is_file() else kind
    if begun == kind or not any(run.path.glob("checkpoint*.safetensors")):
        return
    if config.general.device == "auto":
        where = f"the training of {run.path} began on {begun}, and device = auto is {kind} here"
        raise ConfigError(f"{where}; device={kind} goes on all the same, with other random numbers or other rounding")
    log.warning("training: began on %s, goes on on %s: the end is that of neither, but in law", begun, kind)


def require_of_target(config: Config, target):
    """Raise ConfigError if a part of the configuration needs a capability that the target does not have."""
    for group, part in config.components.items():
        if group == "denoiser" and part.cls.exact and config.other_process:
            continue  # the process knows what its exact posterior needs
        needs = () if part.options is None else part.options.needs_of_target()
        why = target.lacks(*needs)
        if why is not None:
            raise ConfigError(f"{group} {part.cls.__name__} cannot run with target {type(target).__name__}: {why}")


def provenance(config: Config, run: Run, device) -> dict:
    """Where the numbers of a run come from: seed, code, versions, the `torch.device`, time."""
    from scorelab import devices

    whence = run.status.get("sampled_from")
    return {
        "seed": config.general.seed,
        "git_commit": _git_commit(),
        "versions": versions(),
        "device": devices.describe(device),
        "wall_seconds": run.status["wall_seconds"],
        "fingerprint": config.fingerprint,
    } | ({"sampled_from": whence} if whence else {})


def _git_commit() -> str | None:
    """The commit of the code that runs, with "-dirty" if the code was changed since; None outside a checkout."""
    here = Path(__file__).resolve().parent
    try:
        asked = ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=40", "--match=no-tag"]
        return subprocess.run(asked, capture_output=True, text=True, timeout=10, check=True).stdout.strip() or None
    except (OSError, subprocess.SubprocessError):
        return None


def _to_log_file(text: str):
    """Write to the run's log file alone: the terminal gets its line elsewhere."""
    record = log.makeRecord(log.name, logging.ERROR, __file__, 0, text, (), None)
    for handler in [*log.handlers, *logging.getLogger().handlers]:
        if isinstance(handler, logging.FileHandler):
            handler.emit(record)
