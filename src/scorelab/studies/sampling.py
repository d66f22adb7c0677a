"""Stage `sample`: samples.npy."""

import io
import logging
import math
import time

import numpy
import torch

from scorelab.channel import HALF_PI
from scorelab.errors import ScorelabError
from scorelab.files import write_chunks
from scorelab.progress import Progress
from scorelab.randomness import stream_seed
from scorelab.samplers.ends import warn
from scorelab.samplers.loop import Found, draw_samples

log = logging.getLogger("scorelab")


def run(study, context):
    """Draw the samples batch by batch into a file, which gets its name when it is complete."""
    job, schedule, found = context.sampling, context.schedule, Found()
    log.info("sampling: %s, %s", type(job.rule).__name__, schedule.describe(job.steps))
    warn(job, schedule, context.angles, context.target)
    started = time.perf_counter()
    write_chunks(context.run / "samples.npy", _file(context, found))
    values = {"nfe": job.nfe, "seconds": time.perf_counter() - started, "count": job.count}
    values |= {"steps": job.steps, "output": job.output}
    end = job.end_angle(schedule)
    first = next(angle for angle in map(float, context.angles) if angle > 0)
    values |= {"first_t": _snr(first), "T": _snr(end), "end_angle": end}
    context.update_metrics("sampling", found.estimates() | values)


def _snr(angle):
    return math.tan(angle) ** 2 if angle < HALF_PI else None


def _file(context, found):
    """The chunks of an npy file of shape (count, *shape), float32; memory is bounded by a batch.

    found: gathers the numbers that the steps of the rule report.
    """
    job, shape = context.sampling, context.target.shape
    header = io.BytesIO()
    layout = {"descr": "<f4", "fortran_order": False, "shape": (job.count, *shape)}
    numpy.lib.format.write_array_header_1_0(header, layout)
    yield header.getvalue()
    done = 0
    with Progress("sampling", job.count, "samples") as progress:
        seed = stream_seed(context.seed, "sampling")
        where = {"angles": context.angles, "found": found}
        for batch in draw_samples(job, context.schedule, context.denoiser, shape, seed, **where):
            if not bool(torch.isfinite(batch).all()):
                raise ScorelabError(f"sampling: {job.output} of the last state is not finite")
            yield batch.cpu().numpy().astype("<f4", copy=False).tobytes()
            done += len(batch)
            progress.update(done)
