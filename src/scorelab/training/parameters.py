"""All parameters of a network as one vector."""

import torch


class FlatParameters:
    """One vector that all parameters of a module are views of, and one for their gradients.

    Clipping, the optimiser and weight averaging are then one operation each instead of one a parameter, which at small
    batches is most of a training step.

    value (size,): an `nn.Parameter` to hand to an optimiser. gradient (size,): its `.grad`, where `backward()` adds.
    """

    def __init__(self, module: torch.nn.Module):
        parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        flat = torch.cat([parameter.detach().flatten() for parameter in parameters])
        self.value = torch.nn.Parameter(flat)
        self.gradient = self.value.grad = torch.zeros_like(flat)
        offset = 0
        for parameter in parameters:
            here = slice(offset, offset + parameter.numel())
            parameter.data = self.value.data[here].view_as(parameter)
            parameter.grad = self.gradient[here].view_as(parameter)
            offset = here.stop

    def clip_(self, largest: float):
        """Scale the gradient down to Euclidean norm `largest` where it is longer."""
        norm = torch.linalg.vector_norm(self.gradient).item()
        if norm > largest:
            self.gradient.mul_(largest / (norm + 1e-6))
