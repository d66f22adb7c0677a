"""The Curie-Weiss ferromagnet: exact answers for any number of spins, by an integral on a line.

    exp(beta M^2/(2n)) = sqrt(n/(2 pi beta)) int exp(-n y^2/(2 beta) + y M) dy,      M = sum_i x_i

so that P(x) ~ exp(beta M^2/(2n) + <h, x>) is a mixture over y of independent spins with the fields h_i + y, and stays
one under any further field. The integrand -n y^2/(2 beta) + sum_i log 2 cosh(b_i + y) falls as a Gaussian of variance
beta/n beyond |y| = beta, and sums over an even grid of y are exact to rounding: with the step c sqrt(beta/n) their
error is exp(-2 pi^2/c^2).
"""

import math

import torch

from scorelab.channel import sin_cos
from scorelab.laws.atoms import Atoms
from scorelab.targets.ising import Ising, ferromagnet

#: c of the step, and the logarithm of the part of the integral that is left out
_STEP, _DEPTH = 0.7, 42.0
#: numbers in one block of a computation
_BLOCK = 2**21
#: what the integral gives for any n
_INTEGRATED = ("sample", "posterior_mean", "noisy_log_prob", "projection", "orthogonal_variance", "correlations")


class CurieWeiss(Ising):
    """P(x) ~ exp(beta/(2n) <x, 1>^2 + <h, x>) on {-1, 1}^n, an `Ising` whose couplings are 1/n, for any n.

    n: number of spins. beta: >= 0. h: one number, or (n,). The law of a projection is known for the direction
    (1, ..., 1), and for others up to n = 22. Raises ValueError as `Ising` does.
    """

    def __init__(self, n: int, beta: float, h=None):
        super().__init__(ferromagnet(n), beta, h)
        width = math.sqrt(self.beta / n)
        steps = math.ceil((self.beta + math.sqrt(2 * _DEPTH) * width) / (_STEP * width)) if width else 0
        self.y = _STEP * width * torch.arange(-steps, steps + 1, dtype=torch.float64)

    def _own(self, attribute):
        few = attribute == "noisy_projection" and self.n < 512
        return few or attribute in _INTEGRATED or super()._own(attribute)

    # The integral. --------------------------------------------------------------------------------------------------

    def _shares(self, fields):
        """The weights of the nodes y under further fields (B, n), (B, points), which sum to 1; and log Z less
        sum |fields|, (B,)."""
        sign, own = torch.where(fields < 0, -1.0, 1.0).double(), self.h + self.y.unsqueeze(1)
        # log 2 cosh(b + a) - |b| = s a + log(1 + exp(-2 (|b| + s a))), s the sign of b
        exponents = sign.unsqueeze(1) * own
        logs = sign @ own.T
        exponents.add_(fields.abs().unsqueeze(1)).mul_(-2)
        logs = logs + torch.nn.functional.softplus(exponents, threshold=40.0).sum(2)
        constant = 0.0
        if self.beta > 0:
            logs, constant = logs - self.n * self.y.square() / (2 * self.beta), math.log(_STEP / math.sqrt(2 * math.pi))
        log_total = torch.logsumexp(logs, 1)
        return torch.exp(logs - log_total.unsqueeze(1)), log_total + constant

    def _by_block(self, fields, measure):
        """The results of `measure` (fields -> tensor) for fields (B, n), a block at a time."""
        size = max(1, _BLOCK // (len(self.y) * self.n))
        return torch.cat([measure(some) for some in fields.split(size)])

    def _tanh(self, fields):
        return torch.tanh((self.h + self.y.unsqueeze(1)).unsqueeze(0) + fields.unsqueeze(1))

    def _means(self, fields):
        def measure(some):
            return (self._shares(some)[0].unsqueeze(1) @ self._tanh(some)).squeeze(1).clamp(-1, 1)

        return self._by_block(fields, measure)

    def _pairs(self, fields):
        def measure(some):
            tanh = self._tanh(some)
            pairs = tanh.mT @ (self._shares(some)[0].unsqueeze(2) * tanh)
            pairs.diagonal(dim1=1, dim2=2).fill_(1.0)
            return pairs

        return self._by_block(fields, measure)

    def _draws(self, fields, count, generator):
        """One draw for each of `count` rows of fields, or `count` draws for the only row: a node y, and the spins."""
        node = torch.multinomial(
            self._by_block(fields, lambda some: self._shares(some)[0]),
            count // len(fields),
            replacement=True,
            generator=generator,
        ).reshape(-1)
        field = self.h + self.y[node].unsqueeze(1) + fields
        chance = torch.rand(count, self.n, generator=generator, dtype=torch.float64)
        return torch.where(chance < torch.sigmoid(2 * field), 1.0, -1.0).double()

    @property
    def _none(self):
        return torch.zeros(1, self.n, dtype=torch.float64)

    # The law itself. ------------------------------------------------------------------------------------------------

    def sample(self, count, generator, dtype=torch.float32):
        return self._draws(self._none, count, generator).to(dtype)

    def log_partition(self, tilt=None):
        """The logarithm of the sum of the weights of all states; () for no tilt, or (B,) for finite fields (B, n)."""
        if tilt is None:
            return self._shares(self._none)[1][0]
        tilt = torch.as_tensor(tilt, dtype=torch.float64)
        return self._by_block(tilt, lambda some: self._shares(some)[1] + some.abs().sum(1))

    def marginals(self):
        return self._means(self._none)[0]

    def correlations(self):
        return self._pairs(self._none)[0]

    def entropy(self):
        energy = 0.5 * self.beta * float(self.correlations().sum()) / self.n
        return float(self.log_partition()) - energy - float(self.h @ self.marginals())

    def projection(self, direction):
        """`projection`: the exact law of <X, d>/|d|^2. A constant d asks for the law of a sum of independent spins at
        each node, which grows spin by spin."""
        direction = torch.as_tensor(direction, dtype=torch.float64)
        if not bool((direction == direction[0]).all()):
            if self.too_many is not None:
                raise self._without("projection")
            return super().projection(direction)
        up = torch.sigmoid(2 * (self.h + self.y.unsqueeze(1)))
        counts = torch.zeros(len(self.y), self.n + 1, dtype=torch.float64)
        counts[:, 0] = 1.0
        for chance in up.T.unsqueeze(2):
            counts[:, 1:], counts[:, 0] = (
                chance * counts[:, :-1] + (1 - chance) * counts[:, 1:],
                (1 - chance[:, 0]) * counts[:, 0],
            )
        total = 2 * torch.arange(self.n + 1, dtype=torch.float64) - self.n
        return Atoms(total / (self.n * direction[0]), self._shares(self._none)[0][0] @ counts)

    # The noisy state. -----------------------------------------------------------------------------------------------

    def posterior_mean(self, x, angle):
        return self._means(self.tilt(x, angle)).to(x.dtype)

    def posterior_pair_moments(self, x, angle):
        return self._pairs(self.tilt(x, angle)).to(x.dtype)

    def posterior_sample(self, x, angle, generator):
        return self._draws(self.tilt(x, angle), len(x), generator).to(x.dtype)

    def posterior_risk(self, clean, x, angle):
        """The posterior variance, which has the mean of the squared error and less noise, (count,)."""
        return (1 - self.posterior_mean(x.double(), angle).square()).sum(1)

    def noisy_log_prob(self, x, angle):
        noisy = x.double()
        sin, cos = sin_cos(angle, noisy)
        if bool((cos == 0).any()):
            raise ValueError("angle = pi/2: a law with finitely many states has no density")
        found = self._by_block(noisy * sin / cos**2, lambda some: self._shares(some)[1]) - self.log_partition()
        squared = 0.5 * ((noisy.abs() - sin) / cos) ** 2 + torch.log(cos * math.sqrt(2 * math.pi))
        return (found - squared.sum(1)).to(x.dtype)
