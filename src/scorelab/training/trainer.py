"""The training loop."""

import contextlib
import json
import math
import time
from functools import cached_property
from pathlib import Path

import torch

from scorelab.channel import aligned
from scorelab.devices import on, widest
from scorelab.errors import ConfigError, ScorelabError, TrainingDiverged
from scorelab.laws.estimate import Estimate, mean_and_error, spelled_out
from scorelab.randomness import stream
from scorelab.stopping import deferred
from scorelab.targets.bayes_risk import bayes_risk
from scorelab.tensorfile import read_tensors, require_shapes, write_tensors
from scorelab.training import graphs
from scorelab.training.angles import angle_law
from scorelab.training.batches import Batches
from scorelab.training.derivatives import require_derivatives
from scorelab.training.fit import require_fit
from scorelab.training.noising import GaussianChannel
from scorelab.training.objectives import Regression, build_objective
from scorelab.training.optimizer import Optimizer
from scorelab.training.options import Training
from scorelab.training.parameters import FlatParameters

#: kinds of devices for which torch has its optimisers in one piece
_FUSED = ("cpu", "cuda", "mps")
#: number of exact samples that the excess risk is measured on
_STATES = 2000


def training_samples(target, options: Training, seed: int):
    """The N samples of a training, (N, *shape)."""
    return target.training_samples(options.N, stream(seed, "data"))


class Trainer:
    """Minimise an objective over the parameters of a denoiser.

    schedule: needed only for angles uniform in its native time. samples (options.N, *shape): None draws them from the
    target. process: how the noisy states are made of the samples, a `scorelab.processes.Process`; by default the
    Gaussian channel. For another process the objective has to be a regression, and its least value is not known.
    device: where it is trained; the denoiser moves there.

    The randomness of an epoch is a function of the seed and the epoch's number, and a checkpoint holds everything else
    that the rest of the training depends on. So a training that was stopped and resumed ends with the same weights, bit
    for bit, as a training that was not stopped.

    rows: one dictionary for each record, the content of training.csv:
        epoch, step, loss        mean loss over the steps since the last record, mean over coordinates
        bayes_risk               the least expected loss, which the exact posterior mean has; negative for objectives
                                 without the score, and absent for a target without a Bayes risk
        excess_risk, excess_risk_standard_error   expected loss of the weights that would be kept, minus bayes_risk,
                                 and its standard error, on exact samples; the squared error for any loss; absent for
                                 a target without an exact posterior mean
        validation_loss          present if samples are held out
        lr, seconds

    not_measured: name of a column that the target does not allow -> the reason. bayes_risk_error: an upper bound of the
    standard error of `bayes_risk`, the weighted sum of the errors at all angles; None if the Bayes risk is exact or not
    known.
    """

    def __init__(
        self,
        denoiser,
        target,
        options: Training,
        seed: int,
        schedule=None,
        samples=None,
        process=None,
        device="cpu",
    ):
        self.device = torch.device(device)
        self.denoiser, self.options, self.seed = on(denoiser, self.device), options, seed
        self.target, self.channel = target, GaussianChannel() if process is None else process
        self.law = angle_law(options, schedule)
        exact = options.objective == "explicit"  # alone asks the target for a posterior mean, in each batch
        if exact and widest(self.device) != torch.float64:
            raise ConfigError(f"training.objective = explicit: needs float64, which {self.device.type} does not have")
        self.objective = build_objective(options, self.law, on(target, self.device) if exact else target)
        if process is not None and type(self.objective) is not Regression:
            raise ConfigError(f"training.objective = {options.objective}: a process is learned by a regression")
        self.flat = FlatParameters(denoiser)
        fused = self.device.type in _FUSED
        self.optimizer = Optimizer(options.optimizer, self.flat.value, options.weight_decay, fused)
        self._network = graphs.in_precision(denoiser, options.precision, self.device)  # what steps are taken with
        self._graphs = graphs.Graphs(self)
        self.average = self.flat.value.detach().clone() if options.averaging else None
        self.best, self.best_loss = None, math.inf
        self.epoch, self.step, self.seconds, self.rows, self._saved_epoch = 0, 0, 0.0, [], 0
        self._losses = []  # of the epochs since the last record
        data = (training_samples(target, options, seed) if samples is None else samples).to(self.device)
        self.batches = Batches(options, seed, self.law, self.channel, self.objective, data)
        if options.flips and self.data.dim() != 4:
            shape = tuple(self.data.shape[1:])
            raise ConfigError(
                f"training.flips = true: images (channels, height, width) are needed, samples have the shape {shape}"
            )
        require_fit(denoiser, self.data[:2].clone(), self.law.low)  # a network may change its input in place
        if self.objective.differentiates:
            require_derivatives(denoiser, *self.batches.some(), f"training.objective = {options.objective}")
        self.not_measured = {}
        why = self._why_unknown(process)
        if why is not None:
            self.not_measured["bayes_risk"] = Estimate.missing(why)
        self.states = self._states()

    def _why_unknown(self, process) -> str | None:
        """Why the least value of the objective is not known; None if it is known."""
        if self.objective.unknown is not None:
            return self.objective.unknown
        if self.options.flips:
            return "the Bayes risk of flipped images is not known"
        return self.target.lacks("bayes_risk") if process is None else "the Bayes risk of this process is not known"

    @property
    def held_out(self):
        """The samples that are held out for validation, (count, *shape)."""
        return self.batches.held_out

    @property
    def data(self):
        """The samples that are trained on, (count, *shape)."""
        return self.batches.data

    # What is measured beside the loss. ------------------------------------------------------------------------------

    @cached_property
    def _least(self):
        """The least expected loss, by quadrature over the angles, and a bound of its standard error."""
        if "bayes_risk" in self.not_measured:
            return None, None
        angles, weights = self.law.quadrature()
        risk, error = bayes_risk(self.target, angles)
        least = self.objective.least_value(angles, risk)
        if error is not None:
            error = float(weights @ (self.objective.least_value(angles, risk + error) - least).abs())
        return float(weights @ least), error

    @property
    def bayes_risk(self):
        """The least expected loss; it is computed at its first use, which may take a while."""
        return self._least[0]

    @property
    def bayes_risk_error(self):
        """An upper bound of its standard error."""
        return self._least[1]

    def _states(self):
        """Fixed noisy states with their exact posterior means, for the excess risk; None if the means are not known."""
        why = self.target.lacks(*self.channel.needs)
        if why is not None:
            self.not_measured["excess_risk"] = Estimate.missing(why)
            return None
        generator = stream(self.seed, "probes")
        clean = self.target.sample(_STATES, generator)
        angle = self.law.sample(_STATES, generator)
        x, state = self.batches.noisy(clean, angle, generator)
        exact, root = self.channel.posterior_mean(self.target, state, angle), self.objective.root_weight(angle)
        return *(each.to(self.device) for each in (x, angle, exact)), None if root is None else root.to(self.device)

    @torch.no_grad()
    def excess_risk(self):
        """E w |m - m_hat|^2 / n of the weights that would be kept, and its standard error.

        Raises ScorelabError for a target without an exact posterior mean.
        """
        if self.states is None:
            raise ScorelabError(f"training: no excess risk, as {self.not_measured['excess_risk'].not_measured}")
        x, angle, exact, root = self.states
        with self.kept_weights():
            error = self.denoiser(x.clone(), angle) - exact
        squared = (error if root is None else error * aligned(root, error)).square().flatten(1).mean(1)
        return mean_and_error(squared.cpu().double())

    @torch.no_grad()
    def validation_loss(self):
        """The objective on the held-out samples; every epoch has its own noise."""
        losses, counts = [], []
        for batch in self.batches.of_validation(self.epoch):
            losses.append(self.objective.loss(self.denoiser, *batch))
            counts.append(len(batch[0]))
        return mean_of(read(losses), counts)

    @property
    def kept(self):
        """The weights that would be kept at the end, as one vector: the average, the best or the last weights."""
        best = self.best if self.options.keep == "best" else None
        return next((each for each in (best, self.average) if each is not None), self.flat.value)

    @contextlib.contextmanager
    def kept_weights(self):
        """Let the denoiser use the weights that would be kept at the end."""
        kept = self.kept
        if kept is self.flat.value:
            yield
            return
        last = self.flat.value.detach().clone()
        self.flat.value.data.copy_(kept)
        try:
            yield
        finally:
            self.flat.value.data.copy_(last)

    # The loop. ------------------------------------------------------------------------------------------------------

    def run(self, checkpoint: Path | None = None, on_epoch=None):
        """Train to the end; afterwards the denoiser holds the weights that are kept.

        checkpoint: the file that the state is written to every `checkpoint_every` epochs. on_epoch(trainer), if given,
        is called after each epoch. Raises TrainingDiverged when the loss, or a weight at the end, is not a finite
        number, and `Stopped` after an epoch in which a signal came, with a checkpoint written.
        """
        self.start()
        with deferred(checkpoint is not None) as stop_here:
            while self.epoch < self.options.epochs:
                self.end_epochs([self.train_epoch()], checkpoint)
                if on_epoch is not None:
                    on_epoch(self)
                stop_here(lambda: self.save(checkpoint))
        self.finish()

    def start(self, clock=time.perf_counter):
        """Begin or go on. clock: the seconds that this training has taken, up to a constant."""
        self._clock, self._started = clock, clock() - self.seconds

    @property
    def _record_every(self) -> int:
        return -(-self.options.epochs // self.options.records)

    @property
    def next_stop(self) -> int:
        """The next epoch after which something is due: a record, or the validation that chooses the best weights."""
        if len(self.held_out) and self.options.keep == "best":
            return self.epoch + 1
        return min(self.epoch + self._record_every - self.epoch % self._record_every, self.options.epochs)

    def end_epochs(self, losses, checkpoint: Path | None = None, excess_risk=None, validation_loss=None):
        """Count epochs with these mean losses, up to the next stop: validate, record and write a checkpoint where these
        are due. excess_risk, validation_loss: what the methods of these names would measure; None measures it."""
        options = self.options
        self._losses.extend(losses)
        self.epoch += len(losses)
        row, records = {"epoch": self.epoch, "step": self.step}, self.epoch == options.epochs
        records |= self.epoch % self._record_every == 0
        if len(self.held_out) and (records or options.keep == "best"):
            row["validation_loss"] = self.validation_loss() if validation_loss is None else validation_loss
            if row["validation_loss"] < self.best_loss:
                self.best_loss = row["validation_loss"]
                self.best = self._current().clone() if options.keep == "best" else None
        self.seconds = self._clock() - self._started
        if records:
            self._record(row, excess_risk)
        if checkpoint is not None and self._checkpoint_is_due():
            self.save(checkpoint)

    def finish(self):
        """Give the denoiser the weights that are kept. Raises TrainingDiverged where one is not finite."""
        with self.kept_weights():
            final = self.flat.value.detach().clone()
        if not bool(torch.isfinite(final).all()):
            raise TrainingDiverged(
                f"training: the weights are not finite after the last step, {self.step}; {self._advice}"
            )
        self.flat.value.data.copy_(final)

    def _checkpoint_is_due(self):
        """Whether to write a checkpoint now."""
        due = self.epoch - self._saved_epoch >= self.options.checkpoint_every
        return self.options.checkpoint_every and due and self.epoch < self.options.epochs

    def _current(self):
        return self.flat.value.detach() if self.average is None else self.average

    def _record(self, row, excess_risk):
        row["loss"] = math.fsum(self._losses) / len(self._losses)
        self._losses.clear()
        if self.bayes_risk is not None:
            row["bayes_risk"] = self.bayes_risk
        if self.states is not None:
            row["excess_risk"], row["excess_risk_standard_error"] = excess_risk or self.excess_risk()
        self.rows.append(row | {"lr": self._lr(self.step), "seconds": self.seconds})

    def _lr(self, step):
        options = self.options
        growth = min(1.0, (step + 1) / options.warmup) if options.warmup else 1.0
        if options.lr_schedule == "constant":
            return options.lr * growth
        return options.lr * growth * 0.5 * (1 + math.cos(math.pi * step / options.total_steps))

    def train_epoch(self):
        """Train on every training sample once, and return the mean loss. Raises TrainingDiverged.

        On the CPU the loss is looked at in each step. Elsewhere, where this would wait for the device, it is looked at
        once, after the epoch; where it is not finite the epoch is done again from its beginning, to say where.
        """
        if self.device.type == "cpu":
            return self._epoch(looking=True)
        step, before = self.step, {name: tensor.clone() for name, tensor in self.tensors().items()}
        mean = self._epoch(looking=False)
        if not math.isfinite(mean):
            self.step = step
            self._restore(before)
            self._epoch(looking=True)
        return mean

    def _epoch(self, looking: bool):
        """One epoch. looking: whether to raise TrainingDiverged at the step at which the loss is not finite."""
        size, losses, counts = self.options.batch_size, [], []
        for batch in self.batches.of_epoch(self.epoch):
            counts.append(len(batch[0]))
            graph = self._graphs.of(batch) if counts[-1] == size and not looking else None
            losses.append(
                graph(batch, *self.sizes(self.step)) if graph else self.take(batch, *self.sizes(self.step), looking)
            )
            self.step += 1
        return mean_of(read(losses), counts)

    def take(self, batch, lr, share, looking: bool = False):
        """Take a step and return its loss; lr and share, as of `sizes`, are numbers or tensors ()."""
        with graphs.products(self.options.precision):
            loss = self.objective.loss(self._network, *batch)
            self.flat.gradient.zero_()
            loss.backward()
        if looking and not math.isfinite(loss.item()):
            raise self.diverged(loss.item(), batch)
        self._move(lr, share)
        return loss.detach()

    def update(self):
        """Take a step of the optimiser along the gradient that is there."""
        self._move(*self.sizes(self.step))
        self.step += 1

    def sizes(self, step: int):
        """The size of a step, counted from 0, and the share of the new weights in their average afterwards, which is
        larger early on, so that the average leaves the initial weights behind."""
        return self._lr(step), 1 - min(self.options.averaging, (2 + step) / (11 + step))

    def _move(self, lr, share):
        if self.options.clip is not None:
            self.flat.clip_(self.options.clip)
        self.optimizer.step(lr)
        if self.average is not None:
            self.average.lerp_(self.flat.value.detach(), share)

    @torch.no_grad()
    def diverged(self, value, batch):
        """The error of a training whose loss at a batch, (x, angle, *columns), is no finite number."""
        angle, losses = batch[1], self.objective.losses(self._network, *batch)
        bad = ~torch.isfinite(losses)
        worst = int(torch.where(bad, math.inf, losses).argmax())
        where = f"angle {float(angle[worst]):.6f} rad"
        if bool(bad.all()):
            where = f"every angle of the batch, the first {where}"
        return self.diverged_at(value, self.step, self.epoch, f", at {where}")

    def diverged_at(self, value, step: int, epoch: int, where: str = ""):
        """The error of a training whose loss is no finite number at a step of an epoch, both counted from 0."""
        when = f"at step {step + 1} (epoch {epoch + 1}){where}"
        return TrainingDiverged(f"training: the loss is {value} {when}; {self._advice}")

    @property
    def _advice(self):
        return f"a smaller training.lr (now {self.options.lr:g}) or training.clip may help"

    # Checkpoints. ---------------------------------------------------------------------------------------------------

    def tensors(self):
        """Name -> what a step changes, not copied."""
        tensors = {f"optimizer.{name}": value for name, value in self.optimizer.state.items()}
        tensors["value"] = self.flat.value.detach()
        if self.average is not None:
            tensors["average"] = self.average
        if self.best is not None:
            tensors["best"] = self.best
        return tensors

    def save(self, path: Path):
        """Write a checkpoint; it replaces an earlier checkpoint only after it is written completely."""
        counters = {"epoch": self.epoch, "step": self.step, "seconds": self.seconds, "rows": self.rows}
        counters |= {"losses": self._losses} if self._losses else {}
        write_tensors(path, self.tensors(), {"training": json.dumps(counters | {"best_loss": self.best_loss})})
        self._saved_epoch = self.epoch

    def load(self, path: Path):
        """Continue from a checkpoint. Raises ScorelabError if the file is damaged or belongs to another training."""
        tensors, metadata = read_tensors(path)
        needed = {"value": self.flat.value} | ({} if self.average is None else {"average": self.average})
        require_shapes(path, tensors, needed)
        if "training" not in metadata:
            raise ScorelabError(f"{path}: not a checkpoint of a training")
        counters = json.loads(metadata["training"])
        self.epoch, self.step, self.seconds = counters["epoch"], counters["step"], counters["seconds"]
        self.rows = [spelled_out(row) for row in counters["rows"]]
        self.best_loss, self._saved_epoch = counters["best_loss"], counters["epoch"]
        self._losses = counters.get("losses", [])
        self._restore(tensors)

    def _restore(self, tensors):
        """Take what `tensors` gave. The optimiser gets new tensors, unknown to a graph."""
        self._graphs.forget()
        self.flat.value.data.copy_(tensors["value"])
        if self.average is not None:
            self.average.copy_(tensors["average"])
        self.best = tensors["best"].to(self.device) if "best" in tensors else None
        state = {name.removeprefix("optimizer."): tensors[name] for name in tensors if name.startswith("optimizer.")}
        self.optimizer.load(state)


def read(losses):
    """Numbers of the device, read at once."""
    return torch.stack(losses).tolist()


def mean_of(values, counts):
    """The mean of the values, each counted so many times."""
    total = 0.0
    for value, count in zip(values, counts, strict=True):
        total += value * count
    return total / sum(counts)
