"""All parameters of a network as one vector."""

import torch


class FlatParameters:
    """One vector that holds all parameters of a module, and one vector that holds their gradients.

    The parameters become views of these vectors. So clipping, the optimiser and weight averaging need one operation
    each, and not one for each parameter; with small batches those would take most of a training step.

    value (size,): an `nn.Parameter` to hand to an optimiser. gradient (size,): its `.grad`, to which `backward()` adds.
    """

    def __init__(self, module: torch.nn.Module):
        parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        flat = torch.cat([parameter.detach().flatten() for parameter in parameters])
        self.parameters, self.value = parameters, torch.nn.Parameter(flat)
        self.place(flat, torch.zeros_like(flat))

    def place(self, value, gradient):
        """Let the parameters be views of `value` (size,), and their gradients views of `gradient`, as they are."""
        self.value.data, self.gradient = value, gradient
        self.value.grad = gradient
        offset = 0
        for parameter in self.parameters:
            here = slice(offset, offset + parameter.numel())
            parameter.data = self.value.data[here].view_as(parameter)
            parameter.grad = self.gradient[here].view_as(parameter)
            offset = here.stop

    def clip_(self, largest: float):
        """Scale the gradient down to the Euclidean norm `largest` if it is longer."""
        norm = torch.linalg.vector_norm(self.gradient)
        if norm.device.type != "cpu":  # elsewhere it is not waited for
            self.gradient.mul_((largest / (norm + 1e-6)).clamp_max_(1.0))
        elif norm > largest:
            self.gradient.mul_(largest / (norm.item() + 1e-6))
