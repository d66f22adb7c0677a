"""A denoiser for each side of the data."""

import numpy
import torch

from scorelab.denoisers.base import Denoiser, Part
from scorelab.randomness import BLOCK, stream


class MixtureAwareDenoiser(Denoiser):
    """Split the samples into sides, and give each side its own denoiser (Visconti 2025, section 7.6).

    split: `principal_component` makes two sides, by the sign of the centred projection on the first principal
    component; `kmeans` makes any number. A generated sample is assigned to a side once. The probability of a side is
    the share q of the training samples that lie there. The denoiser of the side denoises the sample throughout, so the
    posterior weight is replaced by 0 or 1.

    The result is a mixture of processes, and not one function of (x, angle): `for_samples` gives the denoiser of given
    samples, and the error of a denoiser is measured on its own side.
    """

    chooses = True

    def __init__(self, denoisers, split: str, n: int):
        super().__init__()
        self.sides = torch.nn.ModuleList(denoisers)
        self.split = split
        count = len(denoisers)
        self.register_buffer("shares", torch.full((count,), 1 / count, dtype=torch.float64))
        self.register_buffer("centres", torch.zeros(count, n, dtype=torch.float64))

    def forward(self, x, angle):
        """sum_k q_k m_k(x; phi), shape of x: the mean of a sample that has not started and has no side yet."""
        return sum(float(share) * side(x, angle) for share, side in zip(self.shares, self.sides, strict=True))

    def side_of(self, points):
        """The side of each of the points (count, *shape), shape (count,): the side with the nearest centre."""
        return torch.cdist(points.to(self.centres).flatten(1), self.centres).argmin(1).to(points.device)

    def parts(self, samples, target):
        """One part for each side: its denoiser, its samples, and the law of the target on this side.

        Raises ValueError if a side has no samples.
        """
        self.centres.copy_(torch.as_tensor(_SPLITS[self.split](samples.flatten(1).cpu().numpy(), len(self.sides))))
        side = self.side_of(samples)
        self.shares.copy_(torch.bincount(side, minlength=len(self.sides)).double() / len(samples))
        if bool((self.shares == 0).any()):
            raise ValueError(f"split = {self.split}: one of {len(self.sides)} sides has no samples")
        return [
            Part(f"side_{k + 1}", denoiser, samples[side == k], target.restricted(self.side_of, k)[1])
            for k, denoiser in enumerate(self.sides)
        ]

    def for_samples(self, first, count, seed):
        """The denoiser of these samples; the side of sample i depends on i and the seed, and not on the batch."""
        blocks = range(first // BLOCK, -(-(first + count) // BLOCK))
        uniform = torch.cat([torch.rand(BLOCK, generator=stream(seed, "side", block)) for block in blocks])[:count]
        ends = self.shares.cumsum(0)[:-1]
        return _Assigned(self.sides, torch.bucketize(uniform.to(ends), ends, right=True))

    def incomparable(self, target):
        """The law on each side needs its own exact posterior mean."""
        laws = [target.restricted(self.side_of, k)[1] for k in range(len(self.sides))]
        if all(law.can("posterior_mean") for law in laws):
            return None
        return target.lacks("posterior_mean") or "the law of the target on one side of the data is not known"

    def knowing(self, clean, target):
        """The learned and the exact posterior mean, given the side of each clean sample."""
        side = self.side_of(clean)
        laws = [target.restricted(self.side_of, k)[1].posterior_mean for k in range(len(self.sides))]
        return _Assigned(self.sides, side), _Assigned(laws, side)

    def choice_kl(self, target):
        """sum_k p_k log(p_k / q_k), where p_k is the exact share of side k."""
        exact = torch.tensor([target.restricted(self.side_of, k)[0] for k in range(len(self.sides))])
        return float(torch.special.xlogy(exact.double(), exact / self.shares.cpu()).sum())


class _Assigned(Denoiser):
    """Posterior means of samples whose sides (count,) are known; means: a function of (x, angle) for each side."""

    def __init__(self, means, side):
        super().__init__()
        self.means = list(means)
        self.rows = [torch.nonzero(side == k).squeeze(1) for k in range(len(self.means))]

    def forward(self, x, angle):
        result = torch.empty_like(x)
        for mean, rows in zip(self.means, (rows.to(x.device) for rows in self.rows), strict=True):
            result[rows] = mean(x[rows], angle if torch.as_tensor(angle).dim() == 0 else angle[rows])
        return result


def _principal_component(samples, sides):
    """The mean plus and minus the first principal component u.

    A point x is nearer to the first centre exactly if <x - mean, u> > 0.
    """
    from sklearn.decomposition import PCA

    pca = PCA(n_components=1, svd_solver="randomized", random_state=0).fit(samples)
    return numpy.stack([pca.mean_ + pca.components_[0], pca.mean_ - pca.components_[0]])


def _kmeans(samples, sides):
    """The centres that k-means finds."""
    from sklearn.cluster import KMeans

    return KMeans(sides, n_init=10, random_state=0).fit(samples).cluster_centers_


#: name -> function from samples (count, n) and the number of sides to centres (sides, n)
_SPLITS = {"principal_component": _principal_component, "kmeans": _kmeans}
