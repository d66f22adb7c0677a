"""Stage `sample`: samples.npy."""

import io
import logging
import math
import time

import numpy
import torch

from scorelab import processes
from scorelab.channel import HALF_PI
from scorelab.errors import ScorelabError
from scorelab.files import write_chunks
from scorelab.laws.estimate import Estimate
from scorelab.progress import Progress
from scorelab.samplers.ends import warn
from scorelab.samplers.loop import Drawn, Found, draw_samples

log = logging.getLogger("scorelab")


def run(study, context):
    """Draw the samples batch by batch into a file, which gets its name when it is complete."""
    values = _along_schedule(context) if context.process is None else _along_process(context)
    context.update_metrics("sampling", values)


def _along_schedule(context):
    """Draw the samples by the sampling rule, and return the numbers of the sampling."""
    job, schedule = context.sampling, context.schedule
    context.denoiser  # noqa: B018 (a damaged file is found before anything is computed)
    log.info("sampling: %s, %s", type(job.rule).__name__, schedule.describe(job.steps))
    warn(job, schedule, context.angles, context.target)
    drawn = context.ahead("samples") or _drawn(context)
    values = {"nfe": job.nfe, "seconds": drawn.seconds + _write(context, drawn.batches), "count": job.count}
    values |= {"steps": job.steps, "output": job.output}
    end = job.end_angle(schedule)
    first = next(angle for angle in map(float, context.angles) if angle > 0)
    return drawn.found.estimates() | values | {"first_t": _snr(first), "T": _snr(end), "end_angle": end}


def _drawn(context):
    found, seed = Found(), context.sampling_seed
    where = {"angles": context.angles, "found": found, "device": context.device}
    return Drawn(
        draw_samples(context.sampling, context.schedule, context.denoiser, context.target.shape, seed, **where), found
    )


def _along_process(context):
    """Draw the samples by the process, and return the numbers of the sampling."""
    job, process, target = context.sampling, context.process, context.target
    angles, name, exact = process.angles(job.steps), context.config.other_process, context.denoiser.exact
    log.info("sampling: process %s, %d steps; no schedule and no rule of sampling is used", name, len(angles) - 1)
    posterior = processes.Exact(process, target) if exact else processes.Learned(process, context.denoiser, target)
    seed = context.sampling_seed
    batches = processes.draw_samples(process, posterior, job.count, job.steps, seed, job.batch_size)
    values = {"seconds": _write(context, batches), "count": job.count, "steps": len(angles) - 1}
    values |= {"nfe": posterior.evaluated / job.count, "end_angle": float(angles[-1])}
    return values | dict.fromkeys(("output", "first_t", "T"), Estimate.missing(f"the process is {name}"))


def _snr(angle):
    return math.tan(angle) ** 2 if angle < HALF_PI else None


def _write(context, batches):
    """Write the batches (batch, *shape) into samples.npy as they come, and return the seconds that it takes."""
    started = time.perf_counter()
    write_chunks(context.run / "samples.npy", _file(context, batches))
    return time.perf_counter() - started


def _file(context, batches):
    """The chunks of an npy file of shape (count, *shape), float32."""
    job = context.sampling
    header = io.BytesIO()
    layout = {"descr": "<f4", "fortran_order": False, "shape": (job.count, *context.target.shape)}
    numpy.lib.format.write_array_header_1_0(header, layout)
    yield header.getvalue()
    done = 0
    with Progress("sampling", job.count, "samples") as progress:
        for batch in batches:
            if not bool(torch.isfinite(batch).all()):
                raise ScorelabError(f"sampling: {job.output} of the last state is not finite")
            yield batch.cpu().numpy().astype("<f4", copy=False).tobytes()
            done += len(batch)
            progress.update(done)
