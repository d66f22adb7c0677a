"""Factors that give a network inputs and outputs of unit size at every angle."""

import torch


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
