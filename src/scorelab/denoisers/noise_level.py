"""Features of the noise level, for networks that are told it."""

import math

import torch
from torch import nn

#: the highest frequency of the sinusoids of the angle, in 1/radian; the lowest is 1
_HIGHEST = 100.0


class NoiseLevel(nn.Module):
    """e = MLP([sin(w_j phi), cos(w_j phi)]), (angles, size), for angles (angles,); w_j geometric from 1 to 100.

    dim: the number of sinusoids. size: the number of features.
    """

    def __init__(self, dim: int, size: int):
        super().__init__()
        frequencies = torch.logspace(0, math.log10(_HIGHEST), dim // 2)
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.layers = nn.Sequential(nn.Linear(2 * len(frequencies), size), nn.SiLU(), nn.Linear(size, size), nn.SiLU())

    def forward(self, angle):
        phases = angle.unsqueeze(1) * self.frequencies
        return self.layers(torch.cat([phases.sin(), phases.cos()], 1))
