"""Many trainings of one architecture in one tensor program.

The parameters of R networks are the rows of one matrix (R, P), and so are their gradients and what their optimisers
keep. Each row is a whole `Trainer`, with its own seed, data, options, average and best weights: what a training does
between its epochs, its records and its checkpoints, is what it does alone. Only the loss and its gradient are computed
for all rows at once, at the noisy states that each row would draw alone. So a row agrees with the same training alone
to the rounding of matrix products. A row whose loss is not finite stops, with an error, and touches no other.

Here each row steps its own optimiser, and its loss is looked at in each step, as is right on a CPU;
`scorelab.training.device_stack` is for a GPU.
"""

import time

import torch
from torch.func import functional_call, vmap

from scorelab.denoisers import outer_product_gradient
from scorelab.denoisers.stacked import Unstackable
from scorelab.errors import TrainingDiverged, one_line
from scorelab.stopping import deferred
from scorelab.training.objectives import Regression
from scorelab.training.rows import Rows
from scorelab.training.trainer import Trainer, mean_of

#: how far a loss of a row may be from the loss of its network alone, relative
_TOLERANCE = 1e-3
#: samples of a small batch, and the entries of its outer products: measured, see docs/benchmarks.md
_SMALL = 256, 2**18


def in_closed_form(trainer: Trainer) -> bool:
    """Whether the gradient of a training is known in closed form."""
    squared = type(trainer.objective) is Regression and trainer.objective.squared
    return squared and outer_product_gradient.knows(trainer.denoiser)


def pays_alone(trainer: Trainer) -> bool:
    """Whether a training alone on a CPU is faster as a stack of one: with its gradient in closed form, for batches so
    small that automatic differentiation takes a good part of a step."""
    size = trainer.options.batch_size
    if not in_closed_form(trainer) or size > _SMALL[0]:
        return False
    return size * trainer.denoiser.linear_2.in_features <= _SMALL[1]


def bytes_of(trainer: Trainer) -> int:
    """About the memory that a training takes as the row of a stack, in bytes: its parameters, their gradients, moments
    and averages, its samples, the noisy states of a segment, and those that the excess risk is measured at."""
    data, size = trainer.data, trainer.options.batch_size
    n = data[0].numel()
    segment = min(trainer.batches.segment_steps(size) * size, len(data))
    states = 0 if trainer.states is None else 3 * trainer.states[0].numel()
    return 4 * (6 * trainer.flat.value.numel() + (2 * len(data) + 10 * segment) * n + states)


class Stack:
    """Trainings of one architecture, with equal numbers of samples, epochs and batches.

    trainers: R of them, at the same epoch. Raises Unstackable if they cannot be computed together.
    """

    def __init__(self, trainers: list[Trainer]):
        self.trainers, self.errors = trainers, [None] * len(trainers)
        self.first = first = trainers[0]
        for each in trainers:
            _require_alike(first, each)
        self.rows, self.size = Rows(trainers), first.options.batch_size
        self.closed = in_closed_form(first)
        if self.closed:
            self.gradient_of = outer_product_gradient.Gradient(first.denoiser, self.rows.values, self.rows.gradient)
        else:
            self.gradient_of = _Vmapped(first, self.rows)
        self._try()

    def _try(self):
        """Compare the losses of all rows with those of their networks alone, on a few states."""
        columns = []
        for each in self.trainers:
            x, angle = each.batches.some()
            generator = torch.Generator().manual_seed(0)
            columns.append((x, angle, *each.objective.columns(each.data[: len(x)], x, angle, generator)))
        if len({len(self.gradient_of.columns(*each)) for each in columns}) > 1:
            raise Unstackable("some of them weight their losses, and some do not")
        try:
            found = self.gradient_of(*self._together(columns))
        except Exception as error:  # whatever vmap raises for an operation that it does not have
            raise Unstackable(f"torch.func.vmap cannot take them ({one_line(error)})") from None
        for each, own, loss in zip(self.trainers, columns, found.tolist(), strict=True):
            with torch.no_grad():
                alone = float(each.objective.loss(each.denoiser, *own))
            if not abs(loss - alone) <= _TOLERANCE * abs(alone) + 1e-6:
                raise Unstackable("they differ in more than their parameters")

    def _together(self, columns):
        """The columns of a segment of each row as columns of (R, count, ...)."""
        each = (self.gradient_of.columns(*own) for own in columns)
        return tuple(torch.stack(values) for values in zip(*each, strict=True))

    @property
    def active(self) -> list[int]:
        """The rows that have not diverged."""
        return [row for row, error in enumerate(self.errors) if error is None]

    def run(self, checkpoints=None, on_epoch=None) -> list[TrainingDiverged | None]:
        """Train all rows to the end, and return the error of each, or None; a denoiser without an error holds the
        weights that are kept.

        checkpoints: a file for each row, which is written as that of a single training, and once more at the end, from
        where the same training alone has only to finish. on_epoch(stack), if given, is called after each epoch, or
        after those at which something is recorded. Raises `Stopped` after an epoch in which a signal came, with the
        checkpoints written. The seconds of a row are those of the stack, divided by its rows.
        """
        count = len(self.trainers)
        checkpoints = [None] * count if checkpoints is None else checkpoints
        for each in self.trainers:
            each.start(lambda: time.perf_counter() / count)
        with deferred(any(checkpoints)) as stop_here:
            while self.active and self.trainers[self.active[0]].epoch < self.first.options.epochs:
                self.advance(checkpoints)
                if on_epoch is not None:
                    on_epoch(self)
                stop_here(lambda: self._save(checkpoints))
        self._save(checkpoints)
        for row in self.active:
            try:
                self.trainers[row].finish()
            except TrainingDiverged as error:
                self.errors[row] = error
        return self.errors

    def _save(self, checkpoints):
        for row in self.active:
            if checkpoints[row] is not None:
                self.trainers[row].save(checkpoints[row])

    def advance(self, checkpoints):
        """Train an epoch, and do what is due after it."""
        means = self.train_epoch()
        for row in self.active:
            self.trainers[row].end_epochs([means[row]], checkpoints[row])

    def train_epoch(self) -> list[float]:
        """Train every active row on each of its samples once, and return the mean losses (R,)."""
        losses, counts = [], []
        rows = self.active
        own = {row: self._segments(each) for row, each in enumerate(self.trainers)}
        # a row that has stopped is given the states of another one
        while self.active and (parts := {row: part for row in rows if (part := next(own[row], None)) is not None}):
            columns = [parts.get(row, parts[rows[0]]) for row in range(len(self.trainers))]
            batches = zip(*(values.split(self.size, 1) for values in self._together(columns)), strict=True)
            for number, batch in enumerate(batches):
                found = self.gradient_of(*batch)
                finite = torch.isfinite(found)
                if not bool(finite.all()):
                    self._stop(found, finite, columns, number)
                losses.append(found)
                counts.append(batch[0].shape[1])
                for row in self.active:
                    self.trainers[row].update()
        return [mean_of(values, counts) for values in torch.stack(losses, 1).tolist()]

    @staticmethod
    def _segments(trainer):
        return trainer.batches.segments(trainer.batches.training_draws(trainer.epoch))

    def _stop(self, losses, finite, columns, number):
        """Stop the rows whose losses at a batch of a segment are not finite."""
        here = slice(number * self.size, (number + 1) * self.size)
        for row in self.active:
            if not bool(finite[row]):
                batch = tuple(values[here] for values in columns[row])
                self.errors[row] = self.trainers[row].diverged(float(losses[row]), batch)


class _Vmapped:
    """The gradient of any network by automatic differentiation of `torch.func.vmap`."""

    def __init__(self, trainer, rows):
        self.parameters = {name: own.requires_grad_() for name, own in rows.named(rows.values).items()}
        self.slopes = list(rows.named(rows.gradient).values())
        denoiser, objective = trainer.denoiser, trainer.objective

        def loss(parameters, *batch):
            return objective.loss(lambda *state: functional_call(denoiser, parameters, state), *batch)

        self.losses = vmap(loss)

    @staticmethod
    def columns(*columns):
        return columns

    def __call__(self, *batch):
        losses = self.losses(self.parameters, *batch)
        found = torch.autograd.grad(losses.sum(), list(self.parameters.values()))
        for slope, own in zip(self.slopes, found, strict=True):
            slope.copy_(own)
        return losses.detach()


def _require_alike(first: Trainer, other: Trainer):
    """Raise Unstackable unless two trainings can be rows of one stack."""
    shapes = [[(name, tuple(p.shape)) for name, p in each.denoiser.named_parameters()] for each in (first, other)]
    if type(first.denoiser) is not type(other.denoiser) or shapes[0] != shapes[1]:
        raise Unstackable("they have different networks")
    buffers = [dict(each.denoiser.named_buffers()) for each in (first, other)]
    if any(not torch.equal(one, buffers[1][name]) for name, one in buffers[0].items()):
        raise Unstackable("their networks have different buffers")
    if first.objective.differentiates:
        raise Unstackable("their objective differentiates the network")
    if type(first.objective) is not type(other.objective) or first.options.loss != other.options.loss:
        raise Unstackable("they have different objectives")
    for name, one, two in (
        ("samples", len(first.data), len(other.data)),
        ("batches", first.options.batch_size, other.options.batch_size),
        ("epochs", first.options.epochs, other.options.epochs),
        ("epochs behind them", first.epoch, other.epoch),
        ("precisions", first.options.precision, other.options.precision),
        ("repeated noise", first.options.noise, other.options.noise),
        ("optimisers", first.options.optimizer, other.options.optimizer),
    ):
        if one != two:
            raise Unstackable(f"they have different {name}")
