"""What a run takes of the memory, of the disk and of time, before it begins."""

import os
import shutil
from operator import attrgetter
from pathlib import Path

from scorelab.errors import ConfigError
from scorelab.lab.config import Config

#: copies of a batch that a sampling rule holds at once, and of a parameter in training: itself, its gradient, the
#: optimiser's two moments, and the average that is kept
_COPIES_OF_STATE, _COPIES_OF_PARAMETER = 8, 5
#: bytes of one step of a grid, in all the lists and tables that have it
_STEP = 200
#: operations a second that no single machine exceeds, seconds that a step takes at least, and a year
_RATE, _LAUNCH, _YEAR = 1e15, 1e-5, 365.25 * 86400


def require_room(config: Config, directory: Path, n: int | None = None):
    """Raise ConfigError for a run that does not fit into the memory that is free, or onto the disk, or into a year.

    n: the dimension of the target; None takes the one that its options name, or 1 if they name none. Only what the
    configuration tells is counted: the samples, the batches, the grid, the parameters of the denoiser and what the
    target and the study declare. The rest may still fail, with one line of its own. The time is what the fastest
    machine would need, so that a run that is refused would never end.
    """
    n = _dimension(config) if n is None else n
    parameters = _parameters(config, n) if config.uses("denoiser", "target") else 0
    memory = _free_memory()
    for key, value, needed in _in_memory(config, n, parameters):
        if memory is not None and needed > memory:
            raise ConfigError(f"{key} = {value}: about {_size(needed)} of memory are needed, {_size(memory)} are free")
    for key, value, seconds in _times(config, parameters):
        if seconds > _YEAR:
            raise ConfigError(f"{key} = {value}: takes {seconds / _YEAR:.3g} years on the fastest of machines")
    if config.sampling is not None:
        needed, free = 4 * n * config.sampling.count, shutil.disk_usage(directory).free
        if needed > free:
            takes = f"samples.npy takes {_size(needed)}"
            raise ConfigError(f"sampler.count = {config.sampling.count}: {takes}, the disk has {_size(free)} free")


def _times(config, parameters):
    """Yield (key, value, seconds) of what the fastest machine would need: three products with the parameters for a
    sample that is trained on, one for an evaluation."""
    if config.uses("training") and parameters:
        training = config.options("training")
        steps = training.epochs * max(1, training.N // training.batch_size)
        needed = max(6 * parameters * training.N * training.epochs / _RATE, steps * _LAUNCH)
        yield "training.epochs", training.epochs, needed
    job = config.sampling
    if job is not None:
        needed = max(2 * parameters * job.count * job.nfe / _RATE, job.nfe * -(-job.count // job.batch_size) * _LAUNCH)
        yield "sampler.steps", job.steps, needed


def _in_memory(config, n, parameters):
    """Yield (key, value, bytes) of what is held in memory."""
    if config.uses("target") and "n" in config["target"].data:
        options = config.options("target")
        declared = 0.0 if options is None else options.memory_needed()
        yield "target.n", n, declared or 8.0 * n * len(getattr(options, "weights", (0, 0)))
    if config.uses("training") and parameters:  # else no samples are drawn
        N = config.options("training").N
        yield "training.N", N, 8.0 * n * N
    job = config.sampling
    if job is not None:
        yield "sampler.batch_size", job.batch_size, 4.0 * n * min(job.batch_size, job.count) * _COPIES_OF_STATE
        yield "sampler.steps", job.steps, float(_STEP) * job.steps
    for key, needed in config.study.memory_needed(n).items():
        yield f"study.{key}", attrgetter(key)(config.study), float(needed)
    if parameters:
        path = config["denoiser"].path.rpartition(".")[2]
        yield "denoiser", path, 4.0 * parameters * (_COPIES_OF_PARAMETER if config.uses("training") else 1)


def _parameters(config, n) -> int:
    """The number of parameters of the denoiser; 0 if it cannot be built without values."""
    import torch

    try:
        with torch.device("meta"):
            denoiser = config["denoiser"].build(n=n, target=None)
        return sum(parameter.numel() for parameter in denoiser.parameters())
    except Exception:  # whatever a denoiser needs beside shapes; it is built in full later
        return 0


def _dimension(config) -> int:
    """The dimension that the target's options name; 1 if they name none."""
    n = config["target"].data.get("n") if config.uses("target") else None
    return n if isinstance(n, int) else 1


def free_on(device) -> float | None:
    """The bytes that are free on a `torch.device`; None where it does not tell."""
    if device.type == "cuda":
        import torch

        return float(torch.cuda.mem_get_info(device)[0])
    return _free_memory() if device.type == "cpu" else None


def _free_memory() -> float | None:
    """The bytes of memory that a new process can have; None where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return 1024.0 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        pass
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, OSError, ValueError):
        return None


def _size(count: float) -> str:
    """A number of bytes as text."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
