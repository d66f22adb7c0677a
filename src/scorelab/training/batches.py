"""The batches of a training: samples, angles and noise, each a function of the seed and the epoch's number."""

import torch

from scorelab.randomness import stream
from scorelab.training.noising import flipped

#: entries of a segment: noise is drawn, and noisy states are made, for as many batches at a time as fit in a segment
_SEGMENT = 2**21


class Batches:
    """Batches (x, angle, *columns), see `scorelab.training.objectives.Objective`, of the samples of a training.

    law, channel, objective: those of the `Trainer`. samples (options.N, *shape): the first options.train_count of them
    are trained on, `data`, and the others, `held_out`, are for validation.
    """

    def __init__(self, options, seed: int, law, channel, objective, samples):
        self.options, self.seed, self.law, self.channel, self.objective = options, seed, law, channel, objective
        self.data, self.held_out = samples[: options.train_count], samples[options.train_count :]

    def of_epoch(self, epoch: int):
        """Yield the batches of an epoch."""
        return self.split(self.segments(self.training_draws(epoch)), self.options.batch_size)

    def of_validation(self, epoch: int):
        """Yield the batches of the validation after so many epochs."""
        return self.split(self.segments(self.validation_draws(epoch)), self.options.validation_batch)

    def some(self):
        """A few noisy states and their angles."""
        generator = stream(self.seed, "fit")
        clean = self.data[:8]
        angle = self.law.sample(len(clean), generator).to(clean.device)
        return self.noisy(clean, angle, generator)[0], angle

    def noisy(self, clean, angle, generator):
        """What a network sees of samples at angles, and the states of the channel."""
        state = self.channel.observe(clean, angle, generator)
        return self.channel.seen(state, angle), state

    @staticmethod
    def split(segments, size: int):
        """Yield batches of so many samples of each segment."""
        for columns in segments:
            yield from zip(*(values.split(size) for values in columns), strict=True)

    def segments(self, draws):
        """Yield (x, angle, *columns) of many batches at a time."""
        for clean, angle, generator in draws:
            x, _ = self.noisy(clean, angle, generator)
            yield x, angle, *self.objective.columns(clean, x, angle, generator)

    # What is drawn. -------------------------------------------------------------------------------------------------

    def _stream(self, *name):
        """The generator of a stream that is drawn from for many batches at a time: on a GPU of CUDA its own."""
        return stream(self.seed, *name, device="cuda" if self.data.device.type == "cuda" else "cpu")

    def training_draws(self, epoch: int):
        """The draws of an epoch."""
        generator = self._stream("epoch", epoch)
        order = torch.randperm(len(self.data), generator=generator, device=generator.device)
        return self.draws(self.data, self.options.batch_size, generator, order)

    def validation_draws(self, epoch: int):
        """The draws of the validation after so many epochs."""
        return self.draws(self.held_out, self.options.validation_batch, self._stream("validation", epoch))

    def segment_steps(self, size: int) -> int:
        """The most batches of so many samples in a segment."""
        return max(_SEGMENT // (self.data[0].numel() * size * self.objective.width), 1)

    def draws(self, samples, size: int, generator, order=None):
        """Yield (samples, angle, generator) of a segment of batches at a time; the noise is next from the generator.

        order: of the samples, for batches that are trained on, which alone are flipped and may repeat their noise.
        """
        trains, options = order is not None, self.options
        repeated = trains and options.noise == "repeated"
        rows = (1 if repeated else self.segment_steps(size)) * size
        for first in range(0, len(samples), rows):
            clean = samples[order[first : first + rows]] if trains else samples[first : first + rows]
            if repeated:
                generator = self._stream("repeated noise")
            if trains and options.flips:
                clean = flipped(clean, generator)
            yield clean, self.law.sample(len(clean), generator).to(samples.device), generator
