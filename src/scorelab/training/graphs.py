"""One step of a training on CUDA as a graph, which the GPU replays without its kernels being launched one by one.

A step of a U-Net is some hundred short kernels, and launching them takes longer than computing them. A graph keeps the
kernels and the addresses of their tensors. So before each replay what changes from step to step is written to where the
graph reads it: the batch, the step size, and the weight of the average.
"""

import contextlib
import logging

import torch

from scorelab.errors import ConfigError, one_line

log = logging.getLogger("scorelab")

#: kinds of devices that have graphs
KINDS = ("cuda",)
#: steps taken before the one that is captured, in which libraries choose their kernels
_WARMUP = 3


def capture(step, device):
    """A function that repeats what `step` makes the device do, and what `step` returned, whose tensors each repetition
    fills anew. step: function of whether it is being captured; beforehand it is taken `_WARMUP` times."""
    with torch.cuda.device(device):
        stream, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
        stream.wait_stream(torch.cuda.current_stream())
        try:
            with torch.cuda.stream(stream):  # it leaves the stream after a capture that went wrong as well
                for _ in range(_WARMUP):
                    step(False)
                with torch.cuda.graph(graph, stream=stream):
                    returned = step(True)
        finally:
            torch.cuda.current_stream().wait_stream(stream)
    return graph.replay, returned


class StepGraph:
    """The steps of a training on batches of one shape.

    trainer: a `Trainer`, which is left as it is; moments of its optimiser that are not there yet are made, and are 0.
    batch: (x, angle, *columns), any such batch.
    """

    def __init__(self, trainer, batch):
        self.batch = [values.clone() for values in batch]
        self.lr, self.share = (torch.zeros((), device=trainer.device) for _ in range(2))

        def step(captured):
            trainer.optimizer.captured = captured  # torch warns of it elsewhere
            return trainer.take(self.batch, self.lr, self.share)

        with _left_as_it_is(trainer):
            self.replay, self.loss = capture(step, trainer.device)

    def __call__(self, batch, lr: float, share: float) -> torch.Tensor:
        """Take the step, and return the loss. Nothing waits for the device."""
        torch._foreach_copy_(self.batch, list(batch))
        self.lr.fill_(lr)
        self.share.fill_(share)
        self.replay()
        return self.loss.clone()


@contextlib.contextmanager
def _left_as_it_is(trainer):
    """Put the tensors of a training back, in their places; those of its optimiser that are new become 0."""
    before = {name: tensor.clone() for name, tensor in trainer.tensors().items()}
    try:
        yield
    finally:
        trainer.optimizer.captured = False
        for name, tensor in trainer.tensors().items():
            if name in before:
                tensor.copy_(before[name])
            else:
                tensor.zero_()


class Graphs:
    """The graph of a `Trainer`, made at its first full batch, if its device has graphs and its step does the same
    operations for every batch of one shape."""

    def __init__(self, trainer):
        self.trainer, self.graph = trainer, None
        self.possible = trainer.device.type in KINDS
        self.possible = self.possible and trainer.denoiser.static and not trainer.objective.differentiates

    def of(self, batch) -> StepGraph | None:
        """The graph for such batches; None, with a line in the log at the first time, where the device makes none."""
        if self.graph is None and self.possible:
            try:
                self.graph = StepGraph(self.trainer, batch)
            except RuntimeError as error:
                self.possible = False
                log.warning("training: steps go kernel by kernel, as the device makes no graph (%s)", one_line(error))
        return self.graph

    def forget(self):
        """Make a new graph at the next batch: the tensors of the training are other ones."""
        self.graph = None


def products(precision: str):
    """A block in which the products of matrices of CUDA are in tf32, where that is the precision."""
    return _in_tf32() if precision == "tf32" else contextlib.nullcontext()


@contextlib.contextmanager
def _in_tf32():
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def in_precision(denoiser, precision: str, device: torch.device):
    """The denoiser, or a function that has its products and convolutions in bfloat16; parameters stay as they are.

    Raises ConfigError for another precision than float32 on a device other than of CUDA, where it is slower or missing.
    """
    if precision != "float32" and device.type != "cuda":
        raise ConfigError(f"training.precision = {precision}: needs device = cuda, not {device.type}")
    if precision != "bfloat16":
        return denoiser

    def network(x, angle):
        with torch.autocast(device.type, torch.bfloat16):
            return denoiser(x, angle)

    return network
