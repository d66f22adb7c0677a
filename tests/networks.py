"""Networks that know nothing of scorelab, and one that derives from its contract: a package for `extensions`."""

import torch

from scorelab.denoisers import Denoiser


class Plain(torch.nn.Module):
    """A function of a state (count, n) and a time (count,)."""

    def __init__(self, n: int, width: int = 8):
        super().__init__()
        self.hidden = torch.nn.Linear(n + 1, width)
        self.out = torch.nn.Linear(width, n)

    def forward(self, state, time):
        time = torch.log1p(time.to(state.dtype)).unsqueeze(1) / 8
        return self.out(torch.tanh(self.hidden(torch.cat([state, time], 1))))


class Frozen(Plain):
    """The same, whose weights are not to be trained."""

    def __init__(self, n: int, width: int = 8):
        super().__init__(n, width)
        self.requires_grad_(False)


class Zero(torch.nn.Module):
    """No parameters, and extra arguments that a configuration cannot give."""

    def __init__(self, *layers, **options):
        super().__init__()

    def forward(self, state, time):
        return torch.zeros_like(state)


class Short(torch.nn.Module):
    """An output of another shape than the state's."""

    def forward(self, state, time):
        return state[:, :1]


class Velocity(Denoiser):
    """A network on the contract of scorelab."""

    def __init__(self, n: int, width: int = 8):
        super().__init__()
        self.network = Plain(n, width)

    def forward(self, x, angle):
        angle = torch.as_tensor(angle, dtype=x.dtype).expand(len(x))
        return torch.sin(angle)[:, None] * x + torch.cos(angle)[:, None] * self.network(x, angle)
