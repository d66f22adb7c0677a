"""The posterior mean of coupled coordinates by approximate message passing (AMP), for every noise level.

The target is P(x) ~ prod_i prior(x_i) exp(beta/2 <x, A x> + <h, x>), symmetric A with entries of variance 1/n. An
observation x_phi is one of a field y and a precision t, P(x | x_phi) ~ P(x) exp(<y, x> - t |x|^2/2) with

    t = tan^2(phi),     y = x_phi sin/cos^2

which is y = t X + sqrt(t) G of stochastic localization. With eta = E[x | field, precision] of the prior, AMP is

    z^{k+1} = beta A m^k + y + h - b_k m^{k-1},     m^k = eta(z^k; s_k),     m^0 = 0
    b_k = beta^2 (1/n) sum_i Var[x_i | z^k_i, s_k],     s_{k+1} = beta^2 |m^k|^2/n + t

For signs m = tanh z and b_k = beta^2 (1 - |m^k|^2/n) (CS 224 lecture 24, section 3, after El Alaoui, Montanari
and Sellke 2022). For other priors the quartic term of a spiked target, -beta^2/(4n) |x|^4, makes the
precision s_k: it adds beta^2 E|x|^2/n, and the fluctuation of the fields takes beta^2 (E|x|^2 - |m|^2)/n away.

Then natural gradient descent on the free energy of Thouless, Anderson and Palmer (TAP) makes the result smooth in y. In
the coordinate u, m = eta(u; s), its step is u -= step_size (u - beta A m - y - h + b m). So both phases move a field
towards beta A m + y + h - b m', with m' = m^{k-1} in AMP and m' = m in the descent; the code has one loop.

The law of signs does not depend on the diagonal of A, which is left out: for small n the error of AMP is then ten times
smaller. For other priors A_ii stays in the matrix, as a part of the fields.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch

from scorelab.channel import sin_cos
from scorelab.denoisers.base import Denoiser
from scorelab.denoisers.state_evolution import fixed_point
from scorelab.targets.priors import Rademacher

#: cos^2 of an angle is taken as at least this, so that clean data have a finite field
_CLEAN = 1e-30


class Solution(NamedTuple):
    """mean (count, n): the posterior mean that was found. residual (count,): the root mean square change of its
    coordinates in the last step; 0 where the equations are solved."""

    mean: torch.Tensor
    residual: torch.Tensor


class AMPDenoiser(Denoiser):
    """E[X | x_phi] of a target with couplings by AMP and natural gradient descent; nothing is trained.

    couplings: of the target, a `scorelab.targets.couplings.Couplings`. iterations: K of AMP, >= 1. descent_steps: steps
    of the descent, >= 0. step_size: of the descent, in (0, 1]. damping: the share of the old field that AMP keeps, in
    [0, 1). tolerance: a sample ends AMP, and then the descent, at the first residual below it; 0 makes all steps.
    onsager: the memory term,
        mean     b as above, one number for all coordinates
        entries  b_i = beta^2 sum_j A_ij^2 Var[x_j | z_j, s]: right to second order in beta for every A, which matters
                 for small n, at twice the cost
        none     b = 0, naive mean field

    In the descent the mean b is beta^2 (1 - q) with q the fixed point of state evolution, for signs without a field h.
    For all other targets it follows from the present m.
    """

    def __init__(
        self,
        couplings,
        iterations: int = 15,
        descent_steps: int = 15,
        step_size: float = 0.5,
        damping: float = 0.0,
        tolerance: float = 0.0,
        onsager: str = "mean",
    ):
        super().__init__()
        self.iterations, self.descent_steps, self.step_size = iterations, descent_steps, step_size
        self.damping, self.tolerance, self.onsager = damping, tolerance, onsager
        self.beta, self.prior = couplings.beta, couplings.prior
        self._signs = isinstance(self.prior, Rademacher)
        A = couplings.A - couplings.A.diag().diag() if self._signs else couplings.A
        self.register_buffer("matrix", self.beta * A, persistent=False)
        self.register_buffer("h", couplings.h if bool(couplings.h.any()) else None, persistent=False)
        self._last = None

    @property
    def products(self) -> int:
        """Products of an (n, n) matrix with a vector in one evaluation, at most; m^0 = 0 needs none."""
        return (self.iterations - 1 + self.descent_steps) * (2 if self.onsager == "entries" else 1)

    def forward(self, x, angle):
        sin, cos = sin_cos(angle, x)
        squared = cos.square().clamp_min(_CLEAN)
        self._last = self.solve(x * (sin / squared), sin.square() / squared)
        return self._last.mean

    def measured(self):
        """The residual of each sample at the last evaluation."""
        return {} if self._last is None else {"residual": self._last.residual}

    def solve(self, y, t, start=None, observe: Callable | None = None) -> Solution:
        """The posterior mean for the fields y (count, n), to which h is added, and the precision t, a number or (count,
        1).

        start (count, n): m^0, by default 0. observe(m) is called with every iterate m^1, m^2 ..., which it must not
        change.
        """
        matrix = self.matrix.to(y.dtype)
        squares = matrix.square() if self.onsager == "entries" else None
        y = y if self.h is None else y + self.h.to(y.dtype)
        t = torch.as_tensor(t, dtype=y.dtype, device=y.device)
        z, precision = y, t.expand(len(y), 1)  # a sign has no use for a precision
        m = memory = torch.zeros_like(y) if start is None else start
        residual = y.new_zeros(len(y), 1)
        for steps, descends in ((self.iterations, False), (self.descent_steps, True)):
            rate = self.step_size if descends else 1 - self.damping
            limit = self._limit(t) if descends else None
            running = torch.ones_like(residual, dtype=torch.bool)
            for step in range(steps):
                if step or descends or start is not None:  # the first field is y, as m^0 = 0
                    towards = torch.addmm(y, m, matrix)
                    reaction = self._reaction(m, z, precision, squares) if limit is None else limit
                    if reaction is not None:
                        towards = torch.addcmul(towards, reaction, m if descends else memory, value=-1)
                    moved = towards if rate == 1 else torch.lerp(z, towards, rate)
                    z = torch.where(running, moved, z) if self.tolerance else moved
                    if not self._signs:
                        moved = torch.lerp(precision, self._precision(m, t), rate)
                        precision = torch.where(running, moved, precision)
                memory, m = m, self.prior.mean(z, precision)
                if observe is not None:
                    observe(m)
                if self.tolerance or step == steps - 1:
                    change = (m - memory).square().mean(1, keepdim=True).sqrt()
                    residual = torch.where(running, change, residual)
                    running = running & (change >= self.tolerance)
                    if self.tolerance and not bool(running.any()):
                        break
        return Solution(m, residual.squeeze(1))

    def _precision(self, m, t):
        """s of m, (count, 1)."""
        return self.beta**2 * m.square().mean(1, keepdim=True) + t

    def _reaction(self, m, z, precision, squares):
        """b at m and its fields z: (count, 1), or (count, n) for `entries`; None for `none`."""
        if self.onsager == "none":
            return None
        variance = 1 - m.square() if self._signs else self.prior.variance(z, precision)
        return self.beta**2 * variance.mean(1, keepdim=True) if squares is None else variance @ squares

    def _limit(self, t):
        """b of the descent where state evolution has it; None where b follows from m."""
        if self.onsager != "mean" or self.h is not None or not self._signs:
            return None
        return (self.beta**2 * (1 - fixed_point(self.beta, t.cpu()))).to(t)
