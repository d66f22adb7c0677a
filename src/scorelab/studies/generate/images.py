"""Numbers of generated images beside the images of the data set, and the arrays of their figures."""

import math

import numpy
import torch

from scorelab.channel import HALF_PI
from scorelab.files import remove
from scorelab.laws.estimate import Estimate, flatten
from scorelab.metrics import images
from scorelab.randomness import BLOCK, stream
from scorelab.samplers.loop import draw_samples

#: samples of the figure `images`; paths and steps of the figure `denoising`
_PICTURES, _PATHS, _STEPS = 24, 3, 20
#: angles of the table generalisation.csv
_ANGLES = numpy.linspace(0.05, HALF_PI - 0.05, 24).tolist()


class Frames:
    """An observer that keeps the states at evenly spaced steps, for `observe` of `scorelab.samplers.loop.simulate`.

    steps: of the grid. kept: the steps that are kept, at most `_STEPS` + 2, the first and the last of them among them.
    """

    def __init__(self, steps: int):
        self.kept = sorted({*range(0, steps + 1, math.ceil(steps / _STEPS)), steps})
        self.angles, self.states = {}, {}

    def __call__(self, k, angle, x):
        if k in self.kept:
            self.angles[k], self.states[k] = angle, x.clone()

    @torch.no_grad()
    def means(self, denoiser) -> torch.Tensor:
        """The posterior means at the states, (frames, count, *shape); at pi/2 all is known."""
        states = ((self.states[k], self.angles[k]) for k in self.kept)
        return torch.stack([denoiser(x, angle) if angle < HALF_PI else x for x, angle in states])


def measure(study, context, incomparable: str | None) -> None:
    """Measure copies and distances to what is held out, for a target that is a set of images or of other samples, and
    classes of images; nothing is done for any other target.

    incomparable: why the denoiser cannot be compared with the posterior mean of the target; None if it can.
    """
    target, samples = context.target, context.samples
    for path in (
        path for name in ("denoising", "generalisation") for path in context.run.path.glob(f"figures/{name}.*")
    ):
        remove(path)  # an earlier run of this stage may have left them
    if not target.can("points"):
        return
    of_images = target.can("images")
    generator, repeats = stream(context.seed, "images"), study.floor_repeats
    found = {"count": len(target.points), "data": target.digest}
    for measured in (images.memorisation, images.distances, images.classification)[: 3 if of_images else 2]:
        found |= measured(samples, target, repeats, generator)
    context.update_metrics("images" if of_images else "data", found)
    if of_images:
        _pictures(context)
    if incomparable is not None:
        context.update_metrics("generalisation", {"gap_train": Estimate.missing(incomparable)})
        return
    rows = images.generalisation(
        context.compared, target, _ANGLES, study.posterior_mean_draws, stream(context.seed, "generalisation")
    )
    rows = [flatten(row)[0] for row in rows]
    context.write_table("generalisation.csv", rows)
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    missing = {} if target.can("held_out") else {"gap_held_out": Estimate.missing(target.lacks("held_out"))}
    context.update_metrics("generalisation", columns | missing)
    context.save_arrays("generalisation", columns | ({} if of_images else {"of_images": 0}))
    if of_images and context.process is None and float(context.angles[-1]) > float(context.angles[0]):
        _denoising(context)


def _pictures(context):
    """The first samples, each with its nearest training image."""
    samples = torch.tensor(context.samples[:_PICTURES])
    nearest = context.target.nearest(samples)
    pairs = {"samples": samples, "nearest": context.target.points[nearest.index], "ratio": nearest.ratio}
    context.save_arrays("images", {name: values.cpu().numpy() for name, values in pairs.items()})


def _denoising(context):
    """Draw the first samples of the run once more, and keep the states on their way, and their posterior means."""
    job, target = context.sampling, context.target
    frames, seed = Frames(len(context.angles) - 1), context.sampling_seed
    first = job.model_copy(update={"count": min(_PATHS, job.count), "batch_size": BLOCK, "output": "scaled"})
    where = {"angles": context.angles, "observe": frames, "device": context.device}
    for _ in draw_samples(first, context.schedule, context.denoiser, target.shape, seed, **where):
        pass
    means = frames.means(context.denoiser.for_samples(0, first.count, seed))
    states = torch.stack([frames.states[k] for k in frames.kept])
    arrays = {"step": frames.kept, "angle": [frames.angles[k] for k in frames.kept]}
    context.save_arrays("denoising", arrays | {"states": states.cpu().numpy(), "means": means.cpu().numpy()})
