"""A network of fully connected layers, plain or residual."""

from torch import nn
from torch.nn import functional

from scorelab.denoisers.noise_level import NoiseLevel
from scorelab.denoisers.parametrization import ParametrizedDenoiser, starting_at_zero

#: sinusoids of the angle
_SINUSOIDS = 64


class MLPDenoiser(ParametrizedDenoiser):
    """Fully connected layers that see the state and features e of the noise level, see `NoiseLevel`.

        plain      h_0 = c_in x,        h_i = activation(W_i h_(i-1) + E_i e)
        residual   h_0 = W_0 c_in x,    h_i = h_(i-1) + V_i activation(W_i norm(h_(i-1)) + E_i e)
        N = W h_depth,                  i = 1 ... depth,  h_i in R^width

    W and each V_i start at 0. The arguments are the options of `scorelab.denoisers.MLP`; for N see
    `ParametrizedDenoiser`. States of another shape than (count, n) are read as vectors of n entries.
    """

    static = True

    def __init__(
        self, n: int, width: int, depth: int, residual: bool, activation: str, parametrization: str, data_std: float
    ):
        super().__init__(parametrization, data_std)
        self.told = NoiseLevel(_SINUSOIDS, width)
        self.first = nn.Linear(n, width) if residual else None
        layer = _Residual if residual else _Plain
        sizes = [width if residual else n] + [width] * (depth - 1)
        self.layers = nn.ModuleList(layer(size, width, getattr(functional, activation)) for size in sizes)
        self.last = starting_at_zero(nn.Linear(width, n))

    def output(self, x, angle):
        hidden, told = x.flatten(1), self.told(angle)
        if self.first is not None:
            hidden = self.first(hidden)
        for layer in self.layers:
            hidden = layer(hidden, told)
        return self.last(hidden).view_as(x)


class _Plain(nn.Module):
    """activation(W h + E e), of size `width`."""

    def __init__(self, size: int, width: int, activation):
        super().__init__()
        self.activation = activation
        self.seen, self.told = nn.Linear(size, width), nn.Linear(width, width, bias=False)

    def forward(self, hidden, told):
        return self.activation(self.seen(hidden) + self.told(told))


class _Residual(_Plain):
    """h + V activation(W norm(h) + E e)."""

    def __init__(self, size: int, width: int, activation):
        super().__init__(size, width, activation)
        self.norm, self.out = nn.LayerNorm(size), starting_at_zero(nn.Linear(width, size))

    def forward(self, hidden, told):
        return hidden + self.out(super().forward(self.norm(hidden), told))
