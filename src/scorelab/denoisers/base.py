"""The contract of a denoiser."""

import abc
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch

from scorelab.devices import CPU


@dataclass(frozen=True)
class Part:
    """A denoiser that is trained on its own: the whole denoiser of a run, or one of its networks.

    name: its name in logs, tables and checkpoints. denoiser: a `Denoiser` with parameters. samples (N', *shape): the
    samples that it is trained on. target: the law of these samples, against which errors are measured. angles:
    (low, high), the range that the angles of the training are restricted to; None for no restriction.
    """

    name: str
    denoiser: Any
    samples: torch.Tensor
    target: Any
    angles: tuple[float, float] | None = None


class Denoiser(torch.nn.Module, abc.ABC):
    """A function of the noisy state and its angle that returns a posterior mean.

    A subclass implements `forward`. The key `training.enabled` says whether a run trains it.
    """

    #: whether the denoiser is the exact posterior mean of its `target`
    exact = False
    #: whether the denoiser first chooses one of several processes, so that it is not one function of (x, angle)
    chooses = False
    #: whether `forward` does the same operations of torch for all states of one shape, whatever their values
    static = False

    @abc.abstractmethod
    def forward(self, x: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
        """The posterior mean E[X | x_phi = x], shape of x.

        x: (count, n), or (count, *shape) for a target whose samples have another shape. angle: radians in [0, pi/2],
        one number for all samples (a number or a tensor of shape ()), or one number per sample (count,).
        """

    @property
    def device(self) -> torch.device:
        """Where the denoiser computes: where its parameters and buffers are; the CPU if it has none."""
        return next((tensor.device for tensor in chain(self.parameters(), self.buffers())), CPU)

    def parts(self, samples, target) -> list[Part]:
        """The parts that are trained one after the other; by default the whole denoiser, on all samples.

        A denoiser that first learns something else from the samples, for instance how to split them, learns it here.
        """
        return [Part("", self, samples, target)]

    def for_samples(self, first: int, count: int, seed: int) -> "Denoiser":
        """The denoiser of the samples `first ... first + count - 1`; by default all samples have the same denoiser.

        seed: the seed of the sampling.
        """
        return self

    def incomparable(self, target) -> str | None:
        """Why the denoiser cannot be compared with an exact posterior mean; None if it can."""
        return target.lacks("posterior_mean")

    def knowing(self, clean, target):
        """The learned and the exact posterior mean, two functions of (x, angle); their difference is the error.

        clean (count, *shape): the samples that the noisy states x are made from. A denoiser that knows more than the
        state takes its knowledge from these samples.
        """
        return self, target.posterior_mean

    def jumps(self) -> list[float]:
        """The angles, in radians and in increasing order, at which the denoiser jumps: those of its networks."""
        inside = (module for module in self.modules() if module is not self and isinstance(module, Denoiser))
        return sorted({angle for denoiser in inside for angle in denoiser.jumps()})

    def choice_kl(self, target) -> float:
        """The part of the path KL, in nats, that a choice before the beginning of the path causes."""
        return 0.0

    def measured(self) -> dict[str, torch.Tensor]:
        """What the denoiser found out of its own accuracy at its last evaluation, name -> numbers (count,)."""
        return {}

    @property
    def trainable(self) -> bool:
        """Whether the denoiser is not exact and has parameters that are not frozen."""
        return not self.exact and any(parameter.requires_grad for parameter in self.parameters())
