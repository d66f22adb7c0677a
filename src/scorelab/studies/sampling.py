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
from scorelab.samplers.loop import draw_samples

log = logging.getLogger("scorelab")


def run(study, context):
    """Draw the samples batch by batch into a file, which is put in its place when it is whole."""
    sampler, schedule = context.sampler, context.schedule
    log.info("sampling: %s, %s", type(sampler).__name__, schedule.describe(sampler.steps))
    started = time.perf_counter()
    write_chunks(context.run / "samples.npy", _file(context))
    values = {"nfe": sampler.nfe, "seconds": time.perf_counter() - started, "count": sampler.count}
    values |= {"steps": sampler.steps, "output": sampler.output}
    end = sampler.end_angle(schedule)
    values |= {"T": math.tan(end) ** 2 if end < HALF_PI else None, "end_angle": end}
    context.update_metrics("sampling", values)


def _file(context):
    """The chunks of an npy file of shape (count, *shape), float32; memory is bounded by a batch."""
    sampler, shape = context.sampler, context.target.shape
    header = io.BytesIO()
    numpy.lib.format.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": (sampler.count, *shape)}
    )
    yield header.getvalue()
    done = 0
    with Progress("sampling", sampler.count, "samples") as progress:
        seed = stream_seed(context.seed, "sampling")
        for batch in draw_samples(sampler, context.schedule, context.denoiser, shape, seed, angles=context.angles):
            if not bool(torch.isfinite(batch).all()):
                raise ScorelabError(f"sampling: {sampler.output} of the last state is not finite")
            yield batch.cpu().numpy().astype("<f4", copy=False).tobytes()
            done += len(batch)
            progress.update(done)
