"""Stage `sample`: samples.npy."""

import logging
import os
import time

import numpy

from scorelab.errors import ScorelabError
from scorelab.progress import Progress
from scorelab.randomness import stream_seed
from scorelab.samplers.simulate import draw_samples

log = logging.getLogger("scorelab")


def run(study, context):
    """Draw the samples batch by batch into a file, which is put in place when it is whole."""
    sampler, schedule, target = context.sampler, context.schedule, context.target
    log.info("sampling: %s", schedule.describe(sampler.steps))
    path = context.run / "samples.npy"
    beside = context.run / ".samples.npy.part"
    started, done = time.perf_counter(), 0
    batches = draw_samples(sampler, schedule, context.denoiser, target.n, stream_seed(context.seed, "sampling"))
    try:
        stored = numpy.lib.format.open_memmap(beside, "w+", numpy.float32, (sampler.count, target.n))
        with Progress("sampling", sampler.count, "samples") as progress:
            for batch in batches:
                stored[done : done + len(batch)] = batch.numpy()
                done += len(batch)
                progress.update(done)
        stored.flush()
        os.replace(beside, path)
    except OSError as error:
        raise ScorelabError(f"{path}: cannot be written ({error.strerror or error})") from None
    finally:
        beside.unlink(missing_ok=True)
    seconds = time.perf_counter() - started
    if not numpy.isfinite(stored).all():
        raise ScorelabError(f"sampling: samples are not finite after {sampler.steps} steps; the denoiser diverges")
    values = {"nfe": sampler.nfe, "seconds": seconds, "count": sampler.count, "steps": sampler.steps}
    values |= {"T": schedule.end_snr, "end_angle": schedule.end_angle, "output": sampler.output}
    context.update_metrics("sampling", values)
