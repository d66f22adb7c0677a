"""A stack on a GPU, where nothing is read between two records.

The noisy states of all rows are made at once, of the draws that each row would draw alone. The optimisers step as one,
over matrices; for algorithm 1 a step is the kernels of `scorelab.training.kernels`. The losses stay on the device until
a row has something to record, and excess risk and validation are measured for all rows at once.
"""

import math

import torch
from torch.func import functional_call, vmap

from scorelab.channel import aligned, mix
from scorelab.laws.estimate import mean_and_error
from scorelab.randomness import normal, stream_seed
from scorelab.training import adam
from scorelab.training.noising import GaussianChannel
from scorelab.training.objectives import Regression
from scorelab.training.stack import Stack, in_closed_form

#: entries of states that the networks are asked at at a time
_STATES = 2**24
#: the most samples of a batch, whose pairs a program of the kernels holds in its registers
_LARGEST_BATCH = 128


class DeviceStack(Stack):
    """See `Stack`. kernels: whether the steps of algorithm 1 are kernels; None takes them on a GPU of CUDA.

    A row whose loss is not finite goes on until the next record, by itself, and then has its error.
    """

    def __init__(self, trainers, kernels: bool | None = None):
        super().__init__(trainers)
        first = self.first
        self.device = first.device
        #: whether noise is Gaussian, and a loss is what its samples say
        self.gaussian = type(first.channel) is GaussianChannel and type(first.objective) is Regression
        #: whether the rows make the same of their draws
        self.alike = self.gaussian and _same_states(trainers)
        self.fused = self.draws = None
        wanted = self.device.type == "cuda" if kernels is None else kernels
        if wanted and all(map(steps_are_kernels, trainers)):
            from scorelab.training import fused

            steps = min(first.batches.segment_steps(self.size), len(first.data) // self.size)
            self.fused = fused.FusedSteps(self.rows, first.denoiser, self.size, steps, first.options.precision)
            samples = torch.stack([each.data for each in trainers])
            self.draws = fused.Draws([stream_seed(each.seed, "epochs") for each in trainers], samples)
            for each, own in zip(trainers, samples, strict=True):
                each.batches.data = own

    @classmethod
    def by_kernels(cls, trainer):
        """A stack of one whose steps are kernels; None for a training whose steps are not."""
        return cls([trainer]) if trainer.device.type == "cuda" and steps_are_kernels(trainer) else None

    def advance(self, checkpoints):
        """Train to the next epoch after which something is due in any row, and do it."""
        start = self.trainers[self.active[0]].epoch
        epochs = range(start, min(self.trainers[row].next_stop for row in self.active))
        losses = [self.train_epoch(epoch) for epoch in epochs]
        counts = [len(part) for part in self.first.data.split(self.size)]
        weights = (torch.tensor(counts, dtype=torch.float64) / sum(counts)).to(self.device)
        means = torch.stack([each.double() @ weights for each in losses], 1).tolist()
        for row in self.active:
            for epoch, mean, own in zip(epochs, means[row], losses, strict=True):
                if not math.isfinite(mean):
                    self.errors[row] = self._diverged(row, epoch, own[row].tolist())
                    break
        measured = self._measured(epochs.stop)
        for row in self.active:
            self.trainers[row].end_epochs(means[row], checkpoints[row], **measured[row])

    def _diverged(self, row, epoch, losses):
        each = self.trainers[row]
        step = next(k for k, loss in enumerate(losses) if not math.isfinite(loss))
        return each.diverged_at(losses[step], epoch * each.options.steps_per_epoch + step, epoch)

    def train_epoch(self, epoch: int | None = None):
        """Train every row on each of its samples once; the losses of the steps, (R, steps), on the device."""
        epoch = self.first.epoch if epoch is None else epoch
        if self.draws is not None:
            size = self.first.batches.segment_steps(self.size) * self.size
            states = (self._states(clean, self._angle(share), noise) for clean, share, noise in self.draws(epoch, size))
        else:
            states = self._drawn([each.batches.training_draws(epoch) for each in self.trainers])
        return torch.cat([self._steps(self._columns(each)) for each in states], 1)

    # States. --------------------------------------------------------------------------------------------------------

    def _angle(self, share):
        """The angles (R, count), float32, that uniform numbers stand for."""
        if self.alike:
            return self.first.law.of_share(share).float()
        return torch.stack([each.law.of_share(own) for each, own in zip(self.trainers, share, strict=True)]).float()

    def _drawn(self, draws):
        """Yield (x, angle, *columns) of all rows, each (R, count, ...), for the draws of each row by its generator."""
        if not self.gaussian:
            own = (each.batches.segments(mine) for each, mine in zip(self.trainers, draws, strict=True))
            yield from (tuple(map(torch.stack, zip(*parts, strict=True))) for parts in zip(*own, strict=True))
            return
        for parts in zip(*draws, strict=True):
            noise = [normal(clean.shape, generator, device=clean.device) for clean, _, generator in parts]
            clean, angle, _ = zip(*parts, strict=True)
            yield self._states(*map(torch.stack, (clean, angle, noise)))

    def _states(self, clean, angle, noise):
        """(x, angle, *columns) of all rows, each (R, count, ...), of their draws."""
        x = mix(clean.flatten(0, 1), noise.flatten(0, 1), angle.flatten()).view_as(clean)
        if self.alike:
            columns = self.first.objective.columns(*(each.flatten(0, 1) for each in (clean, x, angle)), None)
            return x, angle, *(values.unflatten(0, angle.shape) for values in columns)
        rows = zip(self.trainers, clean, x, angle, strict=True)
        columns = [each.objective.columns(*own, None) for each, *own in rows]
        return x, angle, *map(torch.stack, zip(*columns, strict=True))

    def _columns(self, states):
        columns = self.gradient_of.columns(*(values.flatten(0, 1) for values in states))
        return tuple(values.unflatten(0, states[1].shape) for values in columns)

    # Steps. ---------------------------------------------------------------------------------------------------------

    def _steps(self, columns):
        """Take the steps of a segment (R, count, ...), and return their losses (R, steps)."""
        steps = -(-columns[0].shape[1] // self.size)
        if self.rows.first is None:  # the optimiser is not one of `adam`
            losses = []
            for batch in self._batches(columns):
                losses.append(self.gradient_of(*batch))
                for each in self.trainers:
                    each.update()
            return torch.stack(losses, 1)
        table, losses, done = self._table(steps), [], 0
        if self.fused is not None:
            done = columns[0].shape[1] // self.size
            losses.append(self.fused([values[:, : done * self.size] for values in columns], table[:, :done]))
            columns = [values[:, done * self.size :] for values in columns]
        rows = self.rows
        for number, batch in enumerate(self._batches(columns) if done < steps else (), done):
            losses.append(self.gradient_of(*batch).unsqueeze(1))
            with torch.no_grad():
                adam.update(rows.values, rows.gradient, rows.first, rows.second, rows.average, table[:, number])
        rows.steps += steps
        for each in self.trainers:
            each.step += steps
        return torch.cat(losses, 1)

    def _batches(self, columns):
        return zip(*(values.split(self.size, 1) for values in columns), strict=True)

    def _table(self, steps):
        table = adam.table(self.trainers, steps)
        if self.device.type == "cuda":  # so that the copy waits for nothing
            table = table.pin_memory()
        return table.to(self.device, non_blocking=True)

    # What is measured at records. -----------------------------------------------------------------------------------

    def _measured(self, epoch: int) -> list[dict]:
        """The excess risk and the validation loss of each row, where they are due; empty where a row measures them."""
        due = [row for row in self.active if self.trainers[row].next_stop == epoch]
        measured = [{} for _ in self.trainers]
        first = self.first
        if due and first.states is not None and self.alike:
            x, angle, exact, root = zip(*(each.states for each in self.trainers), strict=True)
            root = [] if root[0] is None else [torch.stack(root)]
            kept = torch.stack([each.kept.detach() for each in self.trainers])
            squared = self._losses(_squared, kept, torch.stack(x), torch.stack(angle), torch.stack(exact), *root)
            for row, own in enumerate(squared.double().cpu()):
                if self.trainers[row].options.keep == "last":  # the best weights may be those of this epoch
                    measured[row]["excess_risk"] = mean_and_error(own)
        if due and len(first.held_out) and self.alike:
            losses = [
                self._losses(first.objective.losses, self.rows.values, *states)
                for states in self._drawn([each.batches.validation_draws(epoch) for each in self.trainers])
            ]
            for row, own in enumerate(torch.cat(losses, 1).double().mean(1).tolist()):
                measured[row]["validation_loss"] = own
        return measured

    @torch.no_grad()
    def _losses(self, losses, values, x, *columns):
        """losses(denoiser, x, *columns), (R, count), of the networks with the parameters `values` (R, P)."""
        denoiser, parameters = self.first.denoiser, self.rows.named(values)

        def of_row(own, *batch):
            return losses(lambda *state: functional_call(denoiser, own, state), *batch)

        size = max(_STATES // x[:, 0].numel(), 1)
        batches = zip(*(each.split(size, 1) for each in (x, *columns)), strict=True)
        return torch.cat([vmap(of_row)(parameters, *batch) for batch in batches], 1)


def steps_are_kernels(trainer) -> bool:
    """Whether the kernels know the steps of a training."""
    options = trainer.options
    plain = options.noise == "fresh" and not options.flips and options.optimizer != "sgd"
    size = options.batch_size <= min(_LARGEST_BATCH, len(trainer.data)) and options.precision != "bfloat16"
    return plain and size and type(trainer.channel) is GaussianChannel and in_closed_form(trainer)


def _squared(denoiser, x, angle, exact, root=None):
    error = denoiser(x, angle) - exact
    return (error if root is None else error * aligned(root, error)).square().flatten(1).mean(1)


def _same_states(trainers) -> bool:
    """Whether the noisy states of all rows, and their weights, follow from their draws alike."""
    first = trainers[0]
    if any((each.states is None) != (first.states is None) for each in trainers):
        return False
    laws = [each.law.quadrature() for each in trainers]
    same = all(torch.equal(one, two) for law in laws for one, two in zip(law, laws[0], strict=True))
    names = ("objective", "weight")
    return same and all(getattr(each.options, k) == getattr(first.options, k) for each in trainers for k in names)
