"""Gaussian mixtures whose modes have a few directions of their own, in float64.

Mode k is N(mu_k, s_k^2 I + U_k U_k^T), with U_k (n, r) and r much smaller than n. With orthonormal columns Q_k in
their span, C_k is s_k^2 + rho_k along them and s_k^2 across. So in the channel V_k = v_k I + Q_k (sin^2 rho_k) Q_k^T,
v_k = s_k^2 sin^2 + cos^2, and any function of C_k and V_k is a number times the identity plus Q_k times r numbers times
Q_k^T. It costs n r for a state and a mode.
"""

import math

import torch

from scorelab.channel import sin_cos
from scorelab.laws.mixture import Mixture


class LowRank(Mixture):
    """sum_k w_k N(mu_k, s_k^2 I + U_k U_k^T) on R^n; see the module and `Mixture`.

    std: one number > 0, or (K,). factors: U^T, (K, r, n), of any rank. `covariances`, and what is asked of coordinates
    under other observations, have n x n entries a mode; nothing else has.

    Raises ValueError for weights or a std that are not positive, and for shapes that disagree.
    """

    def __init__(self, weights, means, std, factors):
        self._set_modes(weights, means)
        std, factors = (torch.as_tensor(each, dtype=torch.float64) for each in (std, factors))
        modes, n = self.means.shape
        if std.shape not in ((), (modes,)) or not bool((std > 0).all() and torch.isfinite(std).all()):
            raise ValueError(f"std = {std.tolist()}: one number > 0, or {modes} of them, is needed")
        if factors.dim() != 3 or factors.shape[::2] != (modes, n) or not bool(torch.isfinite(factors).all()):
            raise ValueError(f"factors have shape {tuple(factors.shape)}: finite numbers ({modes}, r, {n}) are needed")
        self._root, self._base = std.expand(modes), std.expand(modes) ** 2
        left, singular, _ = torch.linalg.svd(factors.mT, full_matrices=False)  # of (n, r)
        self._axes, self._extra = left, singular**2
        self._variances = torch.cat([self._base.unsqueeze(1), self._base.unsqueeze(1) + self._extra], 1)

    def changed(self, f):
        """The std (K,) and the factors (K, r, n) of the covariances f(C_k), for an increasing f."""
        base = f(self._base)
        grown = (f(self._base.unsqueeze(1) + self._extra) - base.unsqueeze(1)).clamp_min(0)
        return base.sqrt(), (self._axes * grown.sqrt().unsqueeze(1)).mT

    def noisy(self, signal, variance):
        changed = self.changed(lambda each: signal**2 * each + variance)
        return LowRank(self._weights, signal * self.means, *changed)

    def sample(self, count, generator, dtype=torch.float32):
        mode = torch.multinomial(self._weights, count, replacement=True, generator=generator)
        x = torch.randn(count, self.n, generator=generator, dtype=dtype)
        stretch = (self._variances[:, 1:].sqrt() - self._root.unsqueeze(1)).to(dtype)
        for k in range(len(self.means)):
            rows, axes = mode == k, self._axes[k].to(dtype)
            z = x[rows]
            x[rows] = self._root[k].to(dtype) * z + (z @ axes * stretch[k]) @ axes.T + self.means[k].to(dtype)
        return x

    def total_variances(self):
        return self.n * self._base + self._extra.sum(1)

    @property
    def covariances(self):
        identity = torch.eye(self.n, dtype=torch.float64, device=self.means.device)
        return self._base.reshape(-1, 1, 1) * identity + (self._axes * self._extra.unsqueeze(1)) @ self._axes.mT

    @property
    def covariance(self):
        offsets = (self.means - self.mean) * self._weights.sqrt().unsqueeze(1)
        within = self._axes * (self._weights.unsqueeze(1) * self._extra).sqrt().unsqueeze(1)
        rows = torch.cat([offsets, within.mT.flatten(0, 1)])
        identity = torch.eye(self.n, dtype=torch.float64, device=self.means.device)
        return (self._weights @ self._base) * identity + rows.T @ rows

    def _stds_along(self, direction, squared):
        inside = ((direction @ self._axes) ** 2 * self._extra).sum(1)
        return (self._base * squared + inside).sqrt() / squared

    # The noisy law at an angle, and the posterior. ------------------------------------------------------------------

    def _modes(self, x, sin, cos):
        """Of each mode: its number, x - sin mu_k (count, n), this times Q_k (count, r), v_k (count or 1, 1), and the
        variances along the axes (count or 1, r)."""
        sin, cos = (value.reshape(-1, 1) for value in (sin, cos))
        for k, mean in enumerate(self.means):
            residual = x - sin * mean
            across = self._base[k] * sin**2 + cos**2
            yield k, residual, residual @ self._axes[k], across, across + self._extra[k] * sin**2

    def _quadratic(self, x, angle):
        """(x - sin mu_k)^T V_k^-1 (x - sin mu_k) and log det V_k, each (count, K)."""
        squares, logs = [], []
        for _, residual, inner, across, along in self._modes(x, *sin_cos(angle, x)):
            rest = residual.square().sum(1, keepdim=True) - inner.square().sum(1, keepdim=True)
            squares.append((rest.clamp_min(0) / across).squeeze(1) + (inner.square() / along).sum(1))
            log = (self.n - inner.shape[1]) * across.log().squeeze(1) + along.log().sum(1)
            logs.append(log.expand(len(x)))
        return torch.stack(squares, 1), torch.stack(logs, 1)

    def _log_joint(self, x, angle):
        squares, logs = self._quadratic(x.double(), angle)
        return self._log_weights - 0.5 * (squares + logs + self.n * math.log(2 * math.pi))

    def squared_lengths(self, x, angle):
        return self._quadratic(x.double(), angle)[0] / self.n

    def _means_given(self, x, sin, cos):
        """Of each mode: its number and E[X | x, mode k], (count, n)."""
        scaled = sin.reshape(-1, 1)
        for k, residual, inner, across, along in self._modes(x, sin, cos):
            ratio = self._base[k] / across
            more = ((self._base[k] + self._extra[k]) / along - ratio) * inner
            yield k, self.means[k] + scaled * (ratio * residual + more @ self._axes[k].T)

    def mean_given_weights(self, gamma, x, angle):
        wide, gamma = x.double(), gamma.double()
        found = sum(gamma[:, k : k + 1] * mean for k, mean in self._means_given(wide, *sin_cos(angle, wide)))
        return found.to(x.dtype)

    def posterior_variance(self, x, angle):
        wide = x.double()
        sin, cos = sin_cos(angle, wide)
        gamma = self.posterior_weights(wide, angle)
        mean, found = self.mean_given_weights(gamma, wide, angle), 0.0
        for k, each in self._means_given(wide, sin, cos):
            found = found + gamma[:, k] * (each - mean).square().sum(1)
        for k, _, inner, across, along in self._modes(wide, sin, cos):
            within = (self.n - inner.shape[1]) * self._base[k] / across.squeeze(1)
            within = within + ((self._base[k] + self._extra[k]) / along).sum(1)
            found = found + gamma[:, k] * within * cos.reshape(-1) ** 2
        return found.to(x.dtype)

    def noisy_score(self, x, angle):
        wide = x.double()
        gamma, found = self.posterior_weights(wide, angle), 0.0
        for k, residual, inner, across, along in self._modes(wide, *sin_cos(angle, wide)):
            solved = residual / across + ((1 / along - 1 / across) * inner) @ self._axes[k].T
            found = found - gamma[:, k : k + 1] * solved
        return found.to(x.dtype)
