"""The spiked model with a Gaussian prior: an exact posterior for any n, by an integral on a line.

The posterior exp(-|x|^2/2 + strength/2 <x, A x> - kappa |x|^4), kappa = strength^2/(4 n), is made Gaussian by

    exp(-kappa r^2) = (4 pi kappa)^-1/2 int exp(u^2/(4 kappa) - u r) dtau,      u = saddle - i tau,      r = |x|^2,

which holds for every saddle. With the eigenvalues of A in a_k = 1 - strength eigenvalue_k and d_k = cos^2 (a_k + 2 u) +
sin^2 the density of x_phi is, in the eigenbasis of A, the integral of exp G(u),

    G(u) = u^2/(4 kappa) - 1/2 sum_k log d_k - 1/2 sum_k x_k^2 (a_k + 2 u)/d_k,

and given u the posterior of X_k is normal with the mean sin x_k/d_k and the variance cos^2/d_k. G is real and convex
on the real line, so |exp G| falls from its minimum there in both directions of tau. Where a d_k is 0 the integrand is
singular, at a distance from the saddle; with tau = width sinh(w), and a width that is at most this distance, the
trapezoidal rule in w converges exponentially with few points.
"""

import math
from functools import cached_property
from typing import NamedTuple

import torch

from scorelab.channel import sin_cos
from scorelab.quadrature import converged
from scorelab.targets.base import Target
from scorelab.targets.signal import orthogonal_variance

#: numbers in one block of a computation
_BLOCK = 2**21
#: the logarithm of the part of the integrand that is left out at both ends; how far two resolutions may differ, whose
#: finer one then has about the square of this error
_DEPTH, _TOLERANCE = 42.0, 1e-6


class _Given(NamedTuple):
    """What is known at nodes u of the integral, in the eigenbasis: alpha = a + 2 u and 1/d, (count, points, n),
    complex; x, sin and cos broadcast to them."""

    alpha: torch.Tensor
    inverse: torch.Tensor
    x: torch.Tensor
    sin: torch.Tensor
    cos: torch.Tensor

    @property
    def mean(self):
        """The posterior mean of X_k given u."""
        return self.sin * self.x * self.inverse

    @property
    def variance(self):
        """The posterior variance of X_k given u."""
        return self.cos**2 * self.inverse

    @property
    def score(self):
        """The derivative of G in x_k."""
        return -self.x * self.alpha * self.inverse


class GaussianPosterior(Target):
    """The posterior of theta ~ N(0, I) given A, on R^n; see `scorelab.targets.SpikedModel`.

    A (n, n): symmetric, float64. strength: >= 0.
    """

    risk_draws = 512

    def __init__(self, A, strength: float):
        eigenvalues, self.basis = torch.linalg.eigh(A)
        self.n = len(A)
        self.precisions, self.kappa = 1 - strength * eigenvalues, strength**2 / (4 * self.n)

    # The integral. --------------------------------------------------------------------------------------------------

    @torch.no_grad()  # no integral depends on its saddle
    def _saddle(self, x, sin, cos):
        """The minimum of G on the real line and the width of sinh, (count, 1) each; x (count, n) in the eigenbasis.
        Newton's method on G', which is concave, climbs to the minimum from below."""
        kappa = self.kappa
        edge = -0.5 * (self.precisions.min() + torch.where(cos > 0, (sin / cos) ** 2, torch.inf))
        root = torch.sqrt(edge**2 + 4 * kappa)
        u = torch.where(edge > 0, 0.5 * (edge + root), torch.where(edge.isinf(), 0.0, 2 * kappa / (root - edge)))
        for _ in range(200):
            d = cos**2 * (self.precisions + 2 * u) + sin**2
            slope = u / (2 * kappa) - (cos**2 / d + (x * sin / d) ** 2).sum(1, keepdim=True)
            curvature = 1 / (2 * kappa) + 2 * cos**2 * (cos**2 / d**2 + 2 * (x * sin) ** 2 / d**3).sum(1, keepdim=True)
            step = -slope / curvature
            u = u + step
            if bool((step.abs() <= 1e-14 * u.abs()).all()):
                break
        return u, torch.minimum(u - edge, curvature.rsqrt())

    def _integrals(self, x, angle, measure):
        """log of the density of x_phi but for constants, (count,), and the means of `measure` under the integral.

        x: (count, n) in the eigenbasis, float64. measure: function of `_Given` to numbers (count, points, m).
        """
        sin, cos = (each.expand(len(x), 1) for each in sin_cos(angle, x))
        blocks = torch.arange(len(x)).split(max(1, _BLOCK // (64 * self.n)))
        parts = [self._block(x[some], sin[some], cos[some], measure) for some in blocks]
        return tuple(torch.cat(each) for each in zip(*parts, strict=True))

    def _block(self, x, sin, cos, measure):
        saddle, width = self._saddle(x, sin, cos)
        x, sin, cos = (each.unsqueeze(1) for each in (x, sin, cos))
        alpha = self.precisions + 2 * saddle.unsqueeze(2)
        d = cos**2 * alpha + sin**2
        squared = x**2 / d
        lowest = saddle**2 / (4 * self.kappa) - 0.5 * (torch.log(d) + squared * alpha).sum(2)

        def exponent(w):
            """The real and the imaginary part of G less its value at the saddle, (count, points) each; and the node's d
            over d at the saddle, 1 - i turned."""
            tau = width * torch.sinh(w)
            turned = 2 * cos**2 / d * tau.unsqueeze(2)
            share = 1 / (1 + turned**2)
            pull = 2 * sin**2 / d * squared * share * tau.unsqueeze(2)
            real = -(tau**2) / (4 * self.kappa) - 0.5 * (0.5 * torch.log1p(turned**2) + pull * turned).sum(2)
            imaginary = 0.5 * (torch.atan(turned) + pull).sum(2) - saddle * tau / (2 * self.kappa)
            return real, imaginary, turned, share

        far = float(torch.asinh(math.sqrt(4 * self.kappa * _DEPTH) / width).max())
        coarse = torch.arange(0, far + 0.5, 0.5, dtype=torch.float64)
        reach = 0.5 * int((exponent(coarse)[0] > -_DEPTH).any(0).sum())

        def rule(step):
            w = torch.arange(0, reach + step, step, dtype=torch.float64)
            real, imaginary, turned, share = exponent(w)
            size = width * torch.cosh(w) * torch.exp(real)
            size = size * torch.where(w == 0, 0.5, 1.0)  # the other half of the line has the conjugate values
            weight = torch.polar(size, imaginary)
            inverse = torch.complex(share / d, share * turned / d)
            along = -2 * (width * torch.sinh(w)).unsqueeze(2).expand_as(turned)
            at = _Given(torch.complex(alpha.expand_as(turned), along), inverse, x, sin, cos)
            total = weight.real.sum(1, keepdim=True)
            means = (weight.unsqueeze(2) * measure(at)).real.sum(1) / total
            return torch.cat([torch.log(2 * total * step), means], 1)

        found, _ = converged(rule, 0.5, lambda value: _TOLERANCE * max(1.0, float(value.detach().abs().max())))
        log_density = found[:, :1] + lowest - 0.5 * math.log(4 * math.pi * self.kappa)
        return log_density.squeeze(1), found[:, 1:]

    def _rotated(self, x):
        return x.double() @ self.basis

    # The law. -------------------------------------------------------------------------------------------------------

    @cached_property
    def _prior_integral(self):
        """log Z, and E x_k^2 in the eigenbasis (n,)."""
        if self.kappa == 0:
            return 0.0, torch.ones(self.n, dtype=torch.float64)
        log_z, squares = self._integrals(torch.zeros(1, self.n, dtype=torch.float64), 0.0, lambda at: at.variance)
        return float(log_z), squares[0]

    def log_partition(self) -> torch.Tensor:
        """log E exp(strength/2 <X, A X> - kappa |X|^4) for X from the prior, ()."""
        return torch.tensor(self._prior_integral[0], dtype=torch.float64)

    def marginals(self) -> torch.Tensor:
        """E x, which is 0, (n,)."""
        return torch.zeros(self.n, dtype=torch.float64)

    def correlations(self) -> torch.Tensor:
        """E[x x^T], (n, n)."""
        return self.basis @ torch.diag(self._prior_integral[1]) @ self.basis.T

    def orthogonal_variance(self, direction):
        return orthogonal_variance(self.correlations(), direction)

    def sample(self, count, generator, dtype=torch.float32):
        """Exact draws, by rejection: without the factor exp(-kappa (r - r_0)^2) the law is Gaussian, and this factor is
        the probability to accept a draw of it. It is largest where r_0 is the mean of r = |x|^2."""
        if self.kappa == 0:
            return torch.randn(count, self.n, generator=generator, dtype=torch.float64).to(dtype)
        one = torch.ones(1, 1, dtype=torch.float64)
        saddle, _ = self._saddle(torch.zeros(1, self.n, dtype=torch.float64), 0 * one, one)
        spread, middle = (self.precisions + 2 * saddle).rsqrt(), float(saddle) / (2 * self.kappa)
        kept, missing, drawn = [], count, max(256, 2 * count)
        while missing > 0:
            size = max(1, min(drawn, _BLOCK // self.n))
            x = spread * torch.randn(size, self.n, generator=generator, dtype=torch.float64)
            chance = torch.rand(size, generator=generator, dtype=torch.float64)
            kept.append(x[chance < torch.exp(-self.kappa * (x.square().sum(1) - middle) ** 2)][:missing])
            missing -= len(kept[-1])
        return (torch.cat(kept) @ self.basis.T).to(dtype)

    # The noisy state. -----------------------------------------------------------------------------------------------

    def _means(self, x, angle, measure):
        """Means (count, m) of a measure under the posterior of X given x_phi = x; x (count, n)."""
        if self.kappa > 0:
            return self._integrals(self._rotated(x), angle, measure)[1]
        sin, cos = (each.expand(len(x), 1).unsqueeze(2) for each in sin_cos(angle, x.double()))
        one = torch.ones(len(x), 1, self.n, dtype=torch.float64)
        return measure(_Given(one, one, self._rotated(x).unsqueeze(1), sin, cos)).squeeze(1)

    def posterior_mean(self, x, angle):
        return (self._means(x, angle, lambda at: at.mean) @ self.basis.T).to(x.dtype)

    def posterior_pair_moments(self, x, angle) -> torch.Tensor:
        """E[X X^T | x_phi = x], (count, n, n)."""

        def pairs(at):
            return (at.mean.unsqueeze(3) * at.mean.unsqueeze(2) + torch.diag_embed(at.variance)).flatten(2)

        found = self._means(x, angle, pairs).reshape(len(x), self.n, self.n)
        return (self.basis @ found @ self.basis.T).to(x.dtype)

    def posterior_risk(self, clean, x, angle):
        """The posterior variance, which has the mean of the squared error and less noise, (count,)."""

        def squares(at):
            return torch.cat([at.mean, (at.mean**2 + at.variance).sum(2, keepdim=True)], 2)

        found = self._means(x, angle, squares)
        return (found[:, -1] - found[:, :-1].square().sum(1)).clamp_min(0)

    def noisy_log_prob(self, x, angle):
        """`density`: log p_phi(x), (count,)."""
        if self.kappa > 0:
            found = (
                self._integrals(self._rotated(x), angle, lambda at: at.inverse[..., :1])[0] - self._prior_integral[0]
            )
        else:
            found = -0.5 * x.double().square().sum(1)
        return (found - 0.5 * self.n * math.log(2 * math.pi)).to(x.dtype)

    def noisy_score(self, x, angle):
        """`score`: grad log p_phi(x), also at pi/2."""
        return (self._means(x, angle, lambda at: at.score) @ self.basis.T).to(x.dtype)
