"""Processes with Gaussian noise: rows w_j of a matrix are seen, each with a signal-to-noise ratio q_j of its own.

    Y_j = q_j <w_j, x> + sqrt(q_j) G_j,        dY_j = q_j' <w_j, m> dt + sqrt(q_j') dB_j  along a sampled path,

and law(x | Y) is mu(dx) exp(<b, x> - <x, Q x>/2) with b = sum_j Y_j w_j and Q = sum_j q_j w_j w_j^T. A state is
z_j = Y_j / sqrt(q_j (q_j + 1)) = sin_j <w_j, x> + cos_j G_j with tan^2(angle_j) = q_j: each row has its own angle. The
time of a process is t = tan^2(angle). A step with the frozen posterior mean m is Euler-Maruyama's,

    Y_j' = Y_j + (q_j' - q_j) <w_j, m> + sqrt(q_j' - q_j) G_j.

- isotropic: w_j = e_j, q_j = t. It is stochastic localization (Visconti 2025, equation 10).
- anisotropic: w_j orthonormal, Q(t) a path of positive matrices with these axes (Montanari 2023, section 4).
- linear: Y = t A x + B_t for a matrix A, so that w_j/|w_j| are the rows of A and q_j = gain_j^2 t.
"""

import abc
import math

import torch

from scorelab.channel import mix
from scorelab.processes.base import Process
from scorelab.samplers.base import Step
from scorelab.samplers.euler_maruyama import EulerMaruyama


class Gaussian(Process):
    """Base of the processes with Gaussian noise. A subclass gives `ratios`.

    rows: w (m, n), float64. end_angle: where sampling stops. grid: an instance of `scorelab.schedules.grids.Grid`.
    """

    needs = ("tilted_mean",)
    #: the first angle > 0 of a grid whose coordinate is infinite at angle 0
    first_angle = 0.02

    def __init__(self, rows, end_angle: float, grid):
        self.rows, self.end_angle, self.grid = rows, end_angle, grid
        self.draws, self.n = rows.shape
        self.shape = (self.draws,)

    @abc.abstractmethod
    def ratios(self, angle) -> torch.Tensor:
        """The signal-to-noise ratios q at an angle, (m,), or (count, m) for angles (count,), float64."""

    def angles(self, steps):
        return self.grid.angles(self, steps)

    def start(self, noise):
        return noise().clone()

    def observe(self, clean, angle, generator):
        noise = torch.randn(len(clean), *self.shape, generator=generator, dtype=clean.dtype)
        angles = torch.atan(self.ratios(angle).sqrt()).expand(noise.shape)
        return mix(clean @ self.rows.T.to(clean.dtype), noise, angles)

    def tilt(self, state, angle):
        """b (count, n) and Q, (n, n) or (count, n, n), of the tilt that the states stand for, float64."""
        ratios = self.ratios(angle)
        linear = (state.double() * (ratios * (ratios + 1)).sqrt()) @ self.rows
        return linear, (self.rows.T * ratios.unsqueeze(-2)) @ self.rows

    def posterior_mean(self, target, state, angle):
        return target.tilted_mean(*self.tilt(state, angle)).to(state.dtype)

    def seen(self, state, angle):
        """The mean of the rows z_j w_j, taken back to R^n."""
        return state @ (self.rows * (self.n / len(self.rows))).to(state.dtype)

    def step(self, posterior, state, angle, next_angle, noise, memory):
        mean = posterior(state, angle) @ self.rows.T.to(state.dtype)
        ratios, after = self.ratios(angle), self.ratios(next_angle)
        gained, scale, moved = after - ratios, (ratios * (ratios + 1)).sqrt(), after > ratios
        after_scale = torch.where(moved, (after * (after + 1)).sqrt(), 1.0)
        kept, gain, spread = (part.to(state.dtype) for part in (scale, gained, gained.clamp_min(0).sqrt()))
        stepped = (state * kept + mean * gain + noise() * spread) / after_scale.to(state.dtype)
        return Step(torch.where(moved, stepped, state))


class Isotropic(Gaussian):
    """Y_t = t x + B_t. The exact posterior mean is the capability `posterior_mean`, and a step is
    `scorelab.samplers.EulerMaruyama`, bit for bit."""

    needs = ("posterior_mean",)

    def __init__(self, n: int, end_angle: float, grid):
        super().__init__(torch.eye(n, dtype=torch.float64), end_angle, grid)

    def ratios(self, angle):
        ratio = torch.tan(torch.as_tensor(angle, dtype=torch.float64)).square()
        return ratio.unsqueeze(-1).expand(*ratio.shape, self.n)

    def observe(self, clean, angle, generator):
        return mix(clean, torch.randn(clean.shape, generator=generator, dtype=clean.dtype), angle)

    def posterior_mean(self, target, state, angle):
        return target.posterior_mean(state, angle)

    def seen(self, state, angle):
        return state

    def step(self, posterior, state, angle, next_angle, noise, memory):
        return EulerMaruyama().step(posterior, state, angle, next_angle, noise, memory)


class Powers(Gaussian):
    """q_j = t^p_j (anisotropic), or q_j = gain_j^2 t (linear), or both: q_j = factor_j t^p_j.

    factors, powers: (m,), > 0.
    """

    def __init__(self, rows, factors, powers, end_angle, grid):
        super().__init__(rows, end_angle, grid)
        self.factors, self.powers = factors, powers

    def ratios(self, angle):
        time = torch.tan(torch.as_tensor(angle, dtype=torch.float64)).square().unsqueeze(-1)
        return self.factors * time**self.powers


class InOrder(Gaussian):
    """One row after the other: row j is seen while the angle runs over its window, in which its own angle runs from 0
    to end_angle.

    overlap: in [0, 1). With 0 each window begins where the one before ends; with an overlap near 1 all windows are
    nearly the whole path, as in the isotropic process.
    """

    def __init__(self, rows, overlap: float, end_angle, grid):
        super().__init__(rows, end_angle, grid)
        count = len(rows)
        self.width = 1 / (1 + (1 - overlap) * (count - 1))
        self.first = torch.arange(count, dtype=torch.float64) * (1 - overlap) * self.width

    def ratios(self, angle):
        share = torch.as_tensor(angle, dtype=torch.float64).unsqueeze(-1) / self.end_angle
        return torch.tan(((share - self.first) / self.width).clamp(0, 1) * self.end_angle).square()


def principal_axes(covariance):
    """The eigenvectors of a covariance (n, n) as rows, from the largest variance to the smallest."""
    return torch.linalg.eigh(covariance).eigenvectors.T.flip(0)


def gains(levels, coarse_gain: float):
    """coarse_gain^(L - level) for levels (m,) whose largest is L, float64: 1 on the finest level."""
    return math.e ** (math.log(coarse_gain) * (levels.max() - levels).double())
