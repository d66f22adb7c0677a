"""What a run takes of the memory and of the disk, before it begins."""

import os
import shutil
from pathlib import Path

from scorelab.errors import ConfigError
from scorelab.lab.config import Config

#: copies of a batch that a sampling rule holds at once, and of a parameter in training: itself, its gradient, the
#: optimiser's two moments, and the average that is kept
_COPIES_OF_STATE, _COPIES_OF_PARAMETER = 8, 5
#: bytes of one step of a grid, in all the lists and tables that have it
_STEP = 200


def require_room(config: Config, directory: Path, n: int | None = None):
    """Raise ConfigError for a run that does not fit into the memory that is free, or onto the disk.

    n: the dimension of the target; None takes the one that its options name, or 1 if they name none. Only what the
    configuration tells is counted: the samples, the batches, the grid, the parameters of the denoiser and what the
    study declares. The rest may still fail, with one line of its own.
    """
    n = _dimension(config) if n is None else n
    memory = _free_memory()
    for key, value, needed in _in_memory(config, n):
        if memory is not None and needed > memory:
            raise ConfigError(f"{key} = {value}: about {_size(needed)} of memory are needed, {_size(memory)} are free")
    if config.sampling is not None:
        needed, free = 4 * n * config.sampling.count, shutil.disk_usage(directory).free
        if needed > free:
            takes = f"samples.npy takes {_size(needed)}"
            raise ConfigError(f"sampler.count = {config.sampling.count}: {takes}, the disk has {_size(free)} free")


def _in_memory(config, n):
    """Yield (key, value, bytes) of what is held in memory."""
    if config.uses("target") and "n" in config["target"].data:
        yield "target.n", n, 8.0 * n * len(getattr(config.options("target"), "weights", (0, 0)))
    parameters = _parameters(config, n) if config.uses("denoiser", "target") else 0
    if config.uses("training") and parameters:  # else no samples are drawn
        N = config.options("training").N
        yield "training.N", N, 8.0 * n * N
    job = config.sampling
    if job is not None:
        yield "sampler.batch_size", job.batch_size, 4.0 * n * min(job.batch_size, job.count) * _COPIES_OF_STATE
        yield "sampler.steps", job.steps, float(_STEP) * job.steps
    for key, needed in config.study.memory_needed(n).items():
        yield f"study.{key}", getattr(config.study, key), float(needed)
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
