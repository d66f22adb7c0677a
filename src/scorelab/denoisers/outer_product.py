"""Algorithm 1: one hidden layer whose output weights are modulated by a time embedding."""

import torch
from torch.nn import functional

from scorelab.denoisers.base import Denoiser
from scorelab.denoisers.parametrization import velocity_factors
from scorelab.devices import like


class OuterProductDenoiser(Denoiser):
    """The network of Visconti 2025, algorithm 1.

        s = Linear_0([cos(i alpha), sin(i alpha)])      i = 0 ... frequencies - 1,  s in R^L
        h = activation(Linear_1(input))                 h in R^m
        N = Linear_2(flatten(s outer h))                N in R^n

    The `parametrization` says how the posterior mean is made of N and the input. The arguments are the options of
    `scorelab.denoisers.OuterProduct`. States of another shape than (count, n) are read as vectors of n entries.

    The three factors s, h and Linear_2 are contracted in the order that makes the fewest numbers. With one angle for
    all samples, s and Linear_2 are contracted first, to one (n, m) matrix. With one angle per sample, the outer product
    of s and h is formed first if m <= n, because it has L m numbers per sample; otherwise h and Linear_2 are contracted
    first, to L n numbers per sample.
    """

    static = True

    def __init__(
        self,
        n: int,
        L: int,
        m: int,
        frequencies: int,
        activation: str,
        parametrization: str,
        input: str,
        zero_output: bool,
        data_std: float = 1.0,
    ):
        super().__init__()
        self.L, self.m, self.parametrization, self.input = L, m, parametrization, input
        self.data_std = data_std
        self.activation = getattr(functional, activation)
        self.linear_0 = torch.nn.Linear(2 * frequencies, L)
        self.linear_1 = torch.nn.Linear(n, m)
        self.linear_2 = torch.nn.Linear(L * m, n)
        # Not by `torch.arange`, which imports half a second of torch's compiler where a run counts its parameters.
        self.register_buffer("frequencies", torch.tensor(range(frequencies), dtype=torch.float32), persistent=False)
        if zero_output:
            torch.nn.init.zeros_(self.linear_2.weight)
            torch.nn.init.zeros_(self.linear_2.bias)

    def forward(self, x, angle):
        return self._of_vectors(x.flatten(1), angle).view_as(x)

    def _of_vectors(self, x, angle):
        """The posterior mean of states (count, n)."""
        skip, out, seen, embedded = self.factors(x, like(angle, x).unsqueeze(-1))
        output = self._contract(self.linear_0(embedded), self.activation(self.linear_1(seen)))
        return torch.addcmul(output, skip, x) if out is None else torch.addcmul(skip * x, out, output)

    def factors(self, x, angle):
        """What does not depend on the parameters, at angles (count, 1) or (1,): the posterior mean is skip x + out N,
        the input of Linear_1 is `seen`, and that of Linear_0 is `embedded`. out = None stands for 1."""
        sin, cos = torch.sin(angle), torch.cos(angle)
        phases = angle * self.frequencies
        embedded = torch.cat([torch.cos(phases), torch.sin(phases)], -1)
        raw_scale = sin / cos**2
        c_skip, c_out, c_in = velocity_factors(self.data_std, sin, cos)
        factor = raw_scale if self.input == "raw" else c_in
        seen = x if factor is None else x * factor
        if self.parametrization == "velocity":
            return c_skip, c_out, seen, embedded
        return sin if self.parametrization == "skip" else raw_scale, None, seen, embedded

    def _contract(self, embedding, hidden):
        """Linear_2(flatten(embedding outer hidden)), contracted in the order that makes the fewest numbers."""
        weight, bias = self.linear_2.weight, self.linear_2.bias
        n, L, m = weight.shape[0], self.L, self.m
        if embedding.dim() == 1:
            combined = (embedding @ weight.view(n, L, m).transpose(0, 1).reshape(L, n * m)).view(n, m)
            return functional.linear(hidden, combined, bias)
        if m <= n:
            return functional.linear((embedding.unsqueeze(2) * hidden.unsqueeze(1)).flatten(1), weight, bias)
        by_feature = (hidden @ weight.view(n * L, m).T).view(-1, n, L)
        return torch.baddbmm(bias.unsqueeze(1), by_feature, embedding.unsqueeze(2)).squeeze(2)
