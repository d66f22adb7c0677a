"""The contract of a denoiser."""

import abc

import torch


class Denoiser(torch.nn.Module, abc.ABC):
    """A function of the noisy state and its angle that returns a posterior mean.

    A subclass implements `forward`. Whether it is trained follows from whether it has parameters.
    """

    @abc.abstractmethod
    def forward(self, x: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
        """The posterior mean E[X | x_phi = x], shape (count, n).

        x: (count, n). angle: radians, one number for all samples (a tensor of shape ()) or one a sample (count,).
        """

    @property
    def trainable(self) -> bool:
        """Whether there is anything to train."""
        return any(parameter.requires_grad for parameter in self.parameters())
