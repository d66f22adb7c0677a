"""A denoiser for each side of the data."""

import numpy
import torch

from scorelab.denoisers.base import Denoiser, Part
from scorelab.randomness import BLOCK, stream


class MixtureAwareDenoiser(Denoiser):
    """The samples are split into sides, each with a denoiser of its own (000_6c70dbc10a1c9c83.txt, section 7.6).

    split: `principal_component`, by the sign of the centred projection on the first principal component (two sides), or
    `kmeans`. A generated sample is assigned to a side once, with the share q of the training samples that lie there,
    and denoised by that side's denoiser throughout: the posterior weight is replaced by 0 or 1.

    The result is a mixture of processes, and not one function of (x, angle): `for_samples` gives the denoiser of given
    samples, and errors are those of each side's denoiser on its own side.
    """

    def __init__(self, denoisers, split: str, n: int):
        super().__init__()
        self.sides = torch.nn.ModuleList(denoisers)
        self.split = split
        count = len(denoisers)
        self.register_buffer("shares", torch.full((count,), 1 / count, dtype=torch.float64))
        self.register_buffer("centres", torch.zeros(count, n, dtype=torch.float64))

    def forward(self, x, angle):
        """sum_k q_k m_k(x; phi), shape of x: what is known of a sample without its side, before it starts."""
        return sum(float(share) * side(x, angle) for share, side in zip(self.shares, self.sides, strict=True))

    def side_of(self, points):
        """The side of points (count, *shape), (count,): the side whose centre is the nearest."""
        return torch.cdist(points.double().flatten(1), self.centres).argmin(1)

    def parts(self, samples, target):
        """Each side on its samples, held against the modes of the target that lie there."""
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
        """The denoiser of these samples: sample i has the same side in whatever batch it is."""
        blocks = range(first // BLOCK, -(-(first + count) // BLOCK))
        uniform = torch.cat([torch.rand(BLOCK, generator=stream(seed, "side", block)) for block in blocks])[:count]
        return _Assigned(self.sides, torch.bucketize(uniform.double(), self.shares.cumsum(0)[:-1], right=True))

    def incomparable(self, target):
        """The law on each side needs an exact posterior mean of its own."""
        laws = [target.restricted(self.side_of, k)[1] for k in range(len(self.sides))]
        if all(law.can("posterior_mean") for law in laws):
            return None
        return target.lacks("posterior_mean") or "the law of the target on one side of the data is not known"

    def knowing(self, clean, target):
        """Both posterior means given the side of the clean sample."""
        side = self.side_of(clean)
        laws = [target.restricted(self.side_of, k)[1].posterior_mean for k in range(len(self.sides))]
        return _Assigned(self.sides, side), _Assigned(laws, side)

    def choice_kl(self, target):
        """sum_k p_k log(p_k / q_k), with p_k the exact shares of the sides."""
        exact = torch.tensor([target.restricted(self.side_of, k)[0] for k in range(len(self.sides))])
        return float(torch.special.xlogy(exact.double(), exact / self.shares).sum())


class _Assigned(Denoiser):
    """Posterior means of samples whose sides (count,) are known; means: a function of (x, angle) for each side."""

    def __init__(self, means, side):
        super().__init__()
        self.means = list(means)
        self.rows = [torch.nonzero(side == k).squeeze(1) for k in range(len(self.means))]

    def forward(self, x, angle):
        """Each row by its own side, shape of x."""
        result = torch.empty_like(x)
        for mean, rows in zip(self.means, self.rows, strict=True):
            result[rows] = mean(x[rows], angle if torch.as_tensor(angle).dim() == 0 else angle[rows])
        return result


def _principal_component(samples, sides):
    """The mean plus and minus the first principal component: points that project above 0 are nearest to the first."""
    from sklearn.decomposition import PCA

    pca = PCA(n_components=1, svd_solver="randomized", random_state=0).fit(samples)
    return numpy.stack([pca.mean_ + pca.components_[0], pca.mean_ - pca.components_[0]])


def _kmeans(samples, sides):
    """The centres of k-means."""
    from sklearn.cluster import KMeans

    return KMeans(sides, n_init=10, random_state=0).fit(samples).cluster_centers_


#: name -> function from samples (count, n) and a number of sides to centres (sides, n)
_SPLITS = {"principal_component": _principal_component, "kmeans": _kmeans}
