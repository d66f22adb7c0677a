"""How the posterior mean is made of a network's output, so that the network's input and output have unit size."""

import abc
import math

import torch

from scorelab.channel import aligned
from scorelab.denoisers.base import Denoiser


def velocity_factors(data_std: float, sin, cos):
    """c_skip, c_out and c_in of m = c_skip x + c_out N(c_in x), for data of a standard deviation s (Karras et al. 2022,
    table 1, in the angle):

        c_skip = s^2 sin/v,  c_out = s cos/sqrt(v),  c_in = 1/sqrt(v),  v = s^2 sin^2 + cos^2.

    sin, cos: tensors of one shape. For s = 1 they are sin, cos and None, which stands for 1.
    """
    if data_std == 1:
        return sin, cos, None
    squared = data_std**2
    size = torch.sqrt(squared * sin**2 + cos**2)
    return squared * sin / size**2, data_std * cos / size, 1 / size


def starting_at_zero(layer: torch.nn.Module) -> torch.nn.Module:
    """The layer with weights of 0, so that a block that adds it starts as the identity."""
    for parameter in layer.parameters():
        torch.nn.init.zeros_(parameter)
    return layer


class ParametrizedDenoiser(Denoiser):
    """A network N that is told the angle; the posterior mean m is made of N(c_in x, phi) by the `parametrization`:

        velocity         m = c_skip x + c_out N
        noise            m = (x - cos N)/sin, whose first angle is the root of the rounding error; see `Convention`
        posterior_mean   m = N

    with the c_skip, c_out and c_in of `velocity_factors` for data of the standard deviation `data_std`. A subclass
    implements `output`.
    """

    def __init__(self, parametrization: str, data_std: float):
        super().__init__()
        self.parametrization, self.data_std = parametrization, data_std

    @abc.abstractmethod
    def output(self, x, angle):
        """N for inputs (count, *shape) of unit size and angles (1,) or (count,): shape of x."""

    def forward(self, x, angle):
        angle = torch.as_tensor(angle, dtype=x.dtype, device=x.device).reshape(-1)
        if self.parametrization == "noise":
            angle = angle.clamp_min(math.sqrt(torch.finfo(x.dtype).eps))
        sin, cos = aligned(torch.sin(angle), x), aligned(torch.cos(angle), x)
        c_skip, c_out, c_in = velocity_factors(self.data_std, sin, cos)
        output = self.output(x if c_in is None else x * c_in, angle).to(x.dtype)
        if self.parametrization == "velocity":
            return torch.addcmul(c_skip * x, c_out, output)
        return (x - cos * output) / sin if self.parametrization == "noise" else output
