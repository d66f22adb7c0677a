"""What an estimator that knows everything of a mixture but its means would score: the floors of a learned denoiser.

The means of isotropic Gaussian modes are estimated from N samples by maximum likelihood, with known weights and widths.
To leading order in 1/N the errors of the estimate are N(0, I^-1/N), with the Fisher information I of one sample. Y_T/T
has the law of X + N(0, 1/T), which is a mixture as well, and the information about the means in Y_T is

    I_kl(T) = E[gamma_k gamma_l (y - mu_k)(y - mu_l)^T] / (v_k v_l),      v_k = s_k^2 + 1/T,      I = I(infinity).

Given Y_T, the path until T does not depend on the means. So the path KL is the KL divergence of the two laws of Y_T,
and its expectation is trace(I(T) I^-1)/(2N). It is sum_k n s_k^2 T/(1 + s_k^2 T)/(2N) for modes that do not overlap.
"""

import math

import torch

from scorelab.channel import sin_cos
from scorelab.laws.mixture import IsotropicMixture
from scorelab.once import once
from scorelab.randomness import stream

#: draws on which the information is computed, and the most coordinates of means in their span
_DRAWS, _LARGEST = 2**16, 512
#: how few samples of a mode, and which error of the difference of two modes, leave the leading order in 1/N accurate
_FEW, _UNCERTAIN = 20, 1 / 3


def estimated_means(denoiser, target, count: int | None):
    """The `EstimatedMeans` of a target from `count` samples, or None; and why there are none, or None.

    denoiser: the denoiser that the floor is for. count: None if nothing is trained, which needs no reason. The leading
    order in 1/count is taken as accurate, which it is to about 5 per cent, where each mode has 20 samples or more in
    expectation, and the standard deviation of the difference of two means is at most a third of the Wasserstein-2
    distance of their modes.
    """
    if count is None:
        return None, None
    why = target.lacks("gaussian_modes")
    if why is not None:
        return None, why
    if denoiser.chooses:
        return None, "the floor is derived for one process, and the denoiser chooses among several"
    law = IsotropicMixture(target.weights, target.means, target.std)
    if len(law.means) * min(len(law.means) - 1, law.n) > _LARGEST:
        return None, f"the information about {len(law.means)} means in {law.n} dimensions is too large to compute"
    if float(law.weights.min()) * count < _FEW:
        return None, f"the floor is derived for many samples of each mode, and one mode has fewer than {_FEW}"
    means = _known(law, count)
    if not means.uncertainty() <= _UNCERTAIN:
        return None, f"the floor is derived for modes that the samples tell apart, which {count} samples do not"
    return means, None


class EstimatedMeans:
    """The maximum-likelihood means of an `IsotropicMixture` from `count` samples, to leading order in 1/count.

    The information has a part in the span of the differences of the means, and the same part in each coordinate outside
    this span. Both are means over normal draws in each mode, whose first two moments are exact; so they are exact to
    rounding for modes that do not overlap.
    """

    def __init__(self, law: IsotropicMixture, count: int):
        self.law, self.count = law, count
        self.basis = law.span()
        self.places, self.outside = (law.means - law.mean) @ self.basis.T, law.n - len(self.basis)
        generator, draws = stream(0, "information"), _DRAWS // len(law.means)
        self.normals = _matched(torch.randn(draws, len(self.basis), generator=generator, dtype=torch.float64))
        self.lengths = _squared_lengths(self.outside, draws, generator)
        self.inside, self.across = self.information(0.0)

    def information(self, noise: float):
        """I of X + N(0, noise I): (K r, K r) in the span of the means, (K, K) in each coordinate outside of it."""
        law, variance = self.law, self.law.std**2 + noise
        inside, across = 0.0, 0.0
        for weight, place, own in zip(law.weights, self.places, variance, strict=True):
            residual = (place + own.sqrt() * self.normals).unsqueeze(1) - self.places
            squared = residual.square().sum(2) + (self.outside * own * self.lengths).unsqueeze(1)
            log_joint = law.weights.log() - 0.5 * (squared / variance + law.n * variance.log())
            share = torch.softmax(log_joint, 1) / variance
            score = (share.unsqueeze(2) * residual).flatten(1)
            across = across + weight * own * (share.T * self.lengths) @ share / len(score)
            inside = inside + weight * score.T @ score / len(score)
        return inside, across

    def uncertainty(self) -> float:
        """The largest standard deviation of the difference of two means, over the Wasserstein-2 distance of their
        modes; infinite where the information is singular, and 0 for one mode."""
        law, (modes, rank) = self.law, self.places.shape
        if any(int(torch.linalg.cholesky_ex(part).info) for part in (self.inside, self.across)):
            return math.inf
        inside = torch.linalg.inv(self.inside).reshape(modes, rank, modes, rank).diagonal(dim1=1, dim2=3).sum(-1)
        covariance = (inside + self.outside * torch.linalg.inv(self.across)) / self.count
        variances = covariance.diagonal()
        spread = variances.unsqueeze(1) + variances - 2 * covariance
        apart = torch.cdist(law.means, law.means).square() + law.n * (law.std.unsqueeze(1) - law.std).square()
        pairs = ~torch.eye(modes, dtype=torch.bool)
        return float((spread[pairs] / apart[pairs]).sqrt().max()) if modes > 1 else 0.0

    def path_kl(self, T: float) -> float:
        """The expected path KL until T, in nats: trace(I(T) I^-1)/(2 count)."""
        inside, across = self.information(1 / T)
        trace = torch.linalg.solve(self.inside, inside).trace()
        trace = trace + self.outside * torch.linalg.solve(self.across, across).trace()
        return float(trace) / (2 * self.count)

    def errors(self, number: int, generator):
        """Draws of the errors of the means, (number, K, n), float64."""
        modes, rank = self.places.shape
        outside = torch.randn(number, modes, self.law.n, generator=generator, dtype=torch.float64)
        outside = outside - (outside @ self.basis.T) @ self.basis
        inside = torch.randn(number, modes * rank, generator=generator, dtype=torch.float64)
        inside = (inside @ _root_of_inverse(self.inside).T).reshape(number, modes, rank)
        found = _root_of_inverse(self.across) @ outside + inside @ self.basis
        return found / math.sqrt(self.count)

    def change(self, x, angle, errors):
        """The change of the posterior mean at states x (count, n) by errors of the means (count, K, n), to first order:

        sum_k gamma_k {cos^2 delta_k + (m_k - m) sin <x - sin mu_k, delta_k>} / v_k,  v_k = s_k^2 sin^2 + cos^2.
        """
        law, x = self.law, x.double()
        sin, cos = sin_cos(angle, x)
        variance = law.std**2 * sin**2 + cos**2
        share = law.posterior_weights(x, angle) / variance
        residual = x.unsqueeze(1) - sin * law.means
        means = law.means + (law.std**2 * sin / variance).unsqueeze(1) * residual
        apart = means - law.posterior_mean(x, angle).unsqueeze(1)
        moved = share * sin * (residual * errors).sum(2)
        return (cos**2 * share.unsqueeze(2) * errors + moved.unsqueeze(2) * apart).sum(1)


_known = once(EstimatedMeans)


def _matched(normals):
    """Normal draws (count, r), moved and mixed so that their mean is 0 and their covariance I, to rounding."""
    return torch.linalg.qr(normals - normals.mean(0)).Q * math.sqrt(len(normals))


def _squared_lengths(degrees: int, count: int, generator):
    """Draws of chi^2/degrees with the mean 1, to rounding, shape (count,); ones for no degrees of freedom."""
    if not degrees:
        return torch.ones(count, dtype=torch.float64)
    lengths = torch._standard_gamma(torch.full((count,), degrees / 2, dtype=torch.float64), generator=generator)
    return lengths / lengths.mean()


def _root_of_inverse(matrix):
    """R with R R^T = matrix^-1."""
    root = torch.linalg.cholesky(matrix)
    return torch.linalg.solve_triangular(root.T, torch.eye(len(root), dtype=root.dtype), upper=True)
