"""The contract of a denoiser."""

import abc
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Part:
    """What is trained on its own: a denoiser, or a piece of one that has several.

    name: for logs, tables and checkpoints. denoiser: a `Denoiser` with parameters. samples (N', n): what it is trained
    on. target: their law, which its errors are measured against. angles: (low, high) that it is trained between, inside
    those of the training; None for all of them.
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

    #: whether it is the exact posterior mean of its `target`
    exact = False

    @abc.abstractmethod
    def forward(self, x: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
        """The posterior mean E[X | x_phi = x], shape of x.

        x: (count, n), or (count, *shape) for a target whose samples have another shape. angle: radians in [0, pi/2],
        one number for all samples (a number or a tensor of shape ()) or one a sample (count,).
        """

    def parts(self, samples, target) -> list[Part]:
        """The parts that are trained one after the other; by default the whole, on all samples.

        A denoiser that learns something from the samples first, as how to split them, does it here.
        """
        return [Part("", self, samples, target)]

    def for_samples(self, first: int, count: int, seed: int) -> "Denoiser":
        """The denoiser of the samples `first ... first + count - 1`, where they do not all have the same; `seed`: of
        the sampling."""
        return self

    def incomparable(self, target) -> str | None:
        """Why there is no exact posterior mean to hold the denoiser against; None if there is one."""
        return target.lacks("posterior_mean")

    def knowing(self, clean, target):
        """The learned and the exact posterior mean, functions of (x, angle), that errors are the differences of.

        clean (count, *shape): what the noisy states are made from, for a denoiser that knows more than the state.
        """
        return self, target.posterior_mean

    def choice_kl(self, target) -> float:
        """The part of the path KL, in nats, of what is chosen before the path begins."""
        return 0.0

    @property
    def trainable(self) -> bool:
        """Whether there is anything to train: parameters that are not frozen, of a denoiser that is not exact."""
        return not self.exact and any(parameter.requires_grad for parameter in self.parameters())
