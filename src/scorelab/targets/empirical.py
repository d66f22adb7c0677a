"""The law of a finite set of points, or of the points with a Gaussian kernel, with its exact posterior.

X = x_i + s G', with i uniform on the N points and the width s >= 0 of the kernel. In the channel x = sin X + cos G

    p_phi(x) = 1/N sum_i N(x; sin x_i, v I),      v = s^2 sin^2 + cos^2,
    gamma_i(x) = softmax_i(-|x - sin x_i|^2/(2v)),
    E[X | x] = (cos^2/v) sum_i gamma_i x_i + (s^2 sin/v) x.

For s = 0 this minimises the training loss on the points over all functions, and a sampler that follows it copies the
points: it memorises. At angle 0 it is the mean of the points. At pi/2 with s = 0 there is no noise, and the limit at a
fixed x is taken: the nearest point, which is x itself where x is a point.
"""

import hashlib
import math
from functools import cached_property
from typing import NamedTuple

import torch

from scorelab.channel import sin_cos
from scorelab.targets.base import CAPABILITIES, NO_SCORE, Target

#: entries of a table of states and points, and of a block of points in double precision, that are made at a time
_BLOCK = 2**22
#: the most states whose distances to all points are computed together
_ROWS = 1024
#: candidates for the nearest points, whose distances are computed once more without rounding of large squares
_CANDIDATES = 4
#: products of states, points and coordinates in one measurement of the Bayes risk, and the draws that it has at least
_PRODUCTS, _FEWEST, _MOST = 2**31, 64, 4096


class Nearest(NamedTuple):
    """The points nearest to states: the index of the nearest one (count,), and the Euclidean distances to the nearest
    and to the second nearest point (count,), float64; a point that is there twice is both."""

    index: torch.Tensor
    distance: torch.Tensor
    second: torch.Tensor

    @property
    def ratio(self) -> torch.Tensor:
        """The first distance over the second, in [0, 1]; 0 where the first is 0."""
        return torch.where(self.distance > 0, self.distance / self.second, 0.0)


class _Sums(NamedTuple):
    """Sums over the points for states (count, n), float64: log sum_i exp(e_i) with e_i = log gamma_i up to a number of
    the state (count,), sum_i gamma_i y_i (count, n), and sum_i gamma_i |y_i|^2 (count,), with y_i = x_i - mean."""

    log_total: torch.Tensor
    mean: torch.Tensor
    square: torch.Tensor


class Empirical(Target):
    """The uniform law on N >= 2 points (N, *shape), each with an isotropic Gaussian kernel of the width std >= 0.

    Exponents and distances are computed in float64 for every dtype of the states, from points that are counted from
    their mean, as many at a time as fit in a block of bounded size. Results have the dtype of the states, and the
    points keep the dtype in which they are given. For std = 0 the law has atoms, and neither a density nor a score at
    pi/2: the target does not have the capability `score`.

    Raises ValueError for fewer than 2 points, for a point that is not finite and for std < 0.
    """

    def __init__(self, points, std: float = 0.0):
        points = torch.as_tensor(points)
        if points.dim() < 2 or len(points) < 2:
            raise ValueError(f"points have shape {tuple(points.shape)}: (N, ...) with N >= 2 is needed")
        if not bool(torch.isfinite(points).all()):
            raise ValueError("points: every entry must be a finite number")
        if not 0 <= std < math.inf:
            raise ValueError(f"std = {std}: a number >= 0 is needed")
        self.points, self.std, self.shape = points, float(std), tuple(points.shape[1:])
        self.mean = sum(block.double().sum(0) for block in self._blocks()) / len(points)
        self._lengths = torch.cat([self._offsets(block).square().sum(1) for block in self._blocks()])

    @cached_property
    def digest(self) -> str:
        """Sixteen digits that tell these points, and those that are held out, from others."""
        found = hashlib.sha256()
        for points in (self.points, self.held_out):
            if points is not None:
                found.update(str(tuple(points.shape)).encode() + points.cpu().contiguous().numpy().tobytes())
        return found.hexdigest()[:16]

    def _blocks(self, rows: int = 1):
        """The points (some, *shape), so many at a time that a table with `rows` states fits in a block."""
        return self.points.split(max(_BLOCK // max(rows, self.n), 1))

    def _offsets(self, block):
        """The points of a block counted from their mean, (some, n), float64."""
        return (block.double() - self.mean).flatten(1)

    def _own(self, attribute):
        return super()._own(attribute) and not (attribute == "noisy_score" and self.std == 0)

    def lacks(self, *names):
        why = super().lacks(*names)
        return NO_SCORE if why == CAPABILITIES["score"].lacking and self.std == 0 else why

    # Samples. -------------------------------------------------------------------------------------------------------

    def sample(self, count, generator, dtype=torch.float32):
        """Draw independent samples, shape (count, *shape)."""
        return self._with_kernel(torch.randint(len(self.points), (count,), generator=generator), generator, dtype)

    def training_samples(self, count, generator, dtype=torch.float32):
        """`count` samples that go through all points in whole passes, each in a random order: no point is there two
        times more than another."""
        passes = [torch.randperm(len(self.points), generator=generator) for _ in range(0, count, len(self.points))]
        return self._with_kernel(torch.cat(passes)[:count], generator, dtype)

    def _with_kernel(self, index, generator, dtype):
        x = self.points[index].to(dtype)
        if self.std == 0:
            return x
        return x + self.std * torch.randn(x.shape, generator=generator, dtype=dtype).to(x.device)

    # The posterior. -------------------------------------------------------------------------------------------------

    def _sums(self, x, sin, variance) -> _Sums:
        """The sums over the points for states x (count, n), float64. sin, variance: () or (count, 1)."""
        if len(x) > _ROWS:
            parts = [
                self._sums(
                    each, *(value if value.dim() == 0 else value[first : first + _ROWS] for value in (sin, variance))
                )
                for first, each in zip(range(0, len(x), _ROWS), x.split(_ROWS), strict=True)
            ]
            return _Sums(*map(torch.cat, zip(*parts, strict=True)))
        # log gamma_i + |x - sin mean|^2/(2v) = (sin <x - sin mean, y_i> - sin^2 |y_i|^2/2)/v up to the normalisation
        linear, quadratic = (x - sin * self.mean.flatten()) * (sin / variance), 0.5 * sin**2 / variance
        top = x.new_full((len(x), 1), -math.inf)
        total, mean, square = torch.zeros_like(top), torch.zeros_like(x), torch.zeros_like(top)
        lengths = self._lengths.split([len(block) for block in self._blocks(len(x))])
        for block, length in zip(self._blocks(len(x)), lengths, strict=True):
            offsets = self._offsets(block)
            exponent = linear @ offsets.T - quadratic * length
            higher = torch.maximum(top, exponent.detach().amax(1, keepdim=True))
            kept, weight, top = torch.exp(top - higher), torch.exp(exponent - higher), higher
            total = total * kept + weight.sum(1, keepdim=True)
            mean = mean * kept + weight @ offsets
            square = square * kept + (weight @ length).unsqueeze(1)
        return _Sums((top + total.log()).squeeze(1), mean / total, (square / total).squeeze(1))

    def _noise(self, x, angle):
        """sin, cos and v, float64, of states x (count, n): each () or (count, 1)."""
        sin, cos = sin_cos(angle, x.double())
        return sin, cos, self.std**2 * sin**2 + cos**2

    def posterior_mean(self, x, angle):
        """`posterior_mean`: see the module; shape (count, *shape)."""
        flat = x.double().flatten(1)
        sin, cos, variance = self._noise(flat, angle)
        certain = variance == 0
        safe = torch.where(certain, 1.0, variance)
        points = self.mean.flatten() + self._sums(flat, sin, safe).mean
        mean = (cos**2 / safe) * points + (self.std**2 * sin / safe) * flat
        if bool(certain.any()):
            at = certain.expand(len(flat), 1).squeeze(1)
            mean = mean.clone()
            mean[at] = self.points[self.nearest(x[at]).index].double().flatten(1)
        return mean.reshape(x.shape).to(x.dtype)

    def noisy_log_prob(self, x, angle):
        """`density`: log p_phi(x), (count,). Raises ValueError at pi/2 for std = 0, where there is no density."""
        flat = x.double().flatten(1)
        sin, _, variance = self._noise(flat, angle)
        self._require_noise(variance)
        residual = flat - sin * self.mean.flatten()
        around = residual.square().sum(1, keepdim=True) / variance + self.n * torch.log(2 * math.pi * variance)
        return (self._sums(flat, sin, variance).log_total - math.log(len(self.points)) - 0.5 * around.squeeze(1)).to(
            x.dtype
        )

    def noisy_score(self, x, angle):
        """`score`: grad log p_phi(x) = (sin sum_i gamma_i x_i - x)/v, shape (count, *shape). Raises ValueError at pi/2
        for std = 0, where there is no density."""
        flat = x.double().flatten(1)
        sin, _, variance = self._noise(flat, angle)
        self._require_noise(variance)
        points = self.mean.flatten() + self._sums(flat, sin, variance).mean
        return ((sin * points - flat) / variance).reshape(x.shape).to(x.dtype)

    def _require_noise(self, variance):
        if bool((variance == 0).any()):
            raise ValueError("angle = pi/2: a law of points has no density")

    @property
    def risk_draws(self):
        """4096 where that is quick, and at least 64."""
        return max(_FEWEST, min(_MOST, _PRODUCTS // (len(self.points) * self.n)))

    def posterior_risk(self, clean, x, angle):
        """The posterior variance, which has the mean of the squared error and less noise, (count,), float64."""
        return self._variance(x, angle)

    def posterior_variance(self, x, angle):
        return self._variance(x, angle).to(x.dtype)

    def _variance(self, x, angle):
        flat = x.double().flatten(1)
        sin, cos, variance = self._noise(flat, angle)
        safe = torch.where(variance == 0, 1.0, variance)
        sums = self._sums(flat, sin, safe)
        between = (sums.square - sums.mean.square().sum(1)).clamp_min(0)
        ratio, within = (
            value.expand(len(flat), 1).squeeze(1) for value in (cos**2 / safe, self.std**2 * cos**2 / safe)
        )
        return ratio**2 * between + self.n * within

    # Distances. -----------------------------------------------------------------------------------------------------

    def squared_lengths(self) -> torch.Tensor:
        """|x_i - mean|^2 of the points, (N,), float64."""
        return self._lengths

    @torch.no_grad()
    def nearest(self, x) -> Nearest:
        """The nearest and the second nearest point of states x (count, *shape); see `Nearest`.

        |x - x_i|^2 is expanded to find a few candidates, whose distances are then computed from the differences.
        """
        found = [self._nearest(each) for each in x.split(_ROWS)]
        return Nearest(*map(torch.cat, zip(*found, strict=True)))

    def _nearest(self, x):
        offsets, lengths = (x.double() - self.mean).flatten(1), self._lengths
        squared, index, first = x.new_empty(len(x), 0, dtype=torch.float64), None, 0
        for block in self._blocks(len(x)):
            here = lengths[first : first + len(block)] - 2 * offsets @ self._offsets(block).T
            places = torch.arange(first, first + len(block), device=x.device).expand(len(x), -1)
            squared = torch.cat([squared, here], 1)
            index = places if index is None else torch.cat([index, places], 1)
            squared, kept = squared.topk(min(_CANDIDATES, squared.shape[1]), largest=False)
            index, first = index.gather(1, kept), first + len(block)
        index = index.sort(1).values  # of points at one distance the first comes first
        apart = self.points[index].double() - x.double().unsqueeze(1)
        distance, order = apart.flatten(2).norm(dim=2).sort(dim=1, stable=True)
        return index.gather(1, order[:, :1]).squeeze(1), distance[:, 0], distance[:, 1]
