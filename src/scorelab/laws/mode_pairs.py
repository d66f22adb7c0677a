"""Expectations over pairs of modes of an isotropic mixture in the channel, by quadrature.

Because w_k E_k[gamma_l] = E[gamma_k gamma_l] = w_l E_l[gamma_k], each pair is integrated over the narrower of its two
modes, where the integrand is smooth. The integrand depends on x through the coordinates of x in the span of the means
and, if the standard deviations differ, through the length of x outside this span. With one or two such coordinates the
trapezoidal rule is exact to rounding for two modes and for equal standard deviations. With more coordinates 2^16
scrambled Sobol points are used; their relative error is about 1e-5.
"""

import math

import torch

from scorelab.channel import sin_cos
from scorelab.quadrature import expectation_nodes


class ModePairs:
    """The modes of a law at one angle, in the order of their standard deviations.

    law: an `IsotropicMixture`. places (K, r): the coordinates of its means in an orthonormal basis of a space that
    holds their differences. sin, cos: numbers.

    The attributes log_weights, std, variance (K,) and places (K, r) have this order; variance is std^2 sin^2 + cos^2.
    """

    def __init__(self, law, places, sin: float, cos: float):
        order = torch.argsort(law.std)
        self.n, self.sin, self.cos = law.n, sin, cos
        self.std, self.places, self.log_weights = law.std[order], places[order], law._weights.log()[order]
        self.variance = self.std**2 * sin**2 + cos**2
        self.outside = law.n - places.shape[1] if bool((self.std != self.std[0]).any()) else 0

    def nodes(self, k):
        """Yield the quadrature nodes of x in mode k, a chunk at a time; k is not the last mode.

        A chunk is (inside (points, r), radius2 (points,), gamma (points, K), mass (points,)): the coordinates of
        x - sin o with o the origin of `places`, the squared length of the rest of x, the posterior weights at x, and
        the weights of the nodes, which sum to 1 over all chunks.
        """
        sin, variance, places = self.sin, self.variance, self.places
        distance = (places[k + 1 :] - places[k]).square().sum(1).sqrt()
        slope = float((sin * distance * variance[k].sqrt() / variance[k + 1 :]).max())
        unequal = float(1 - variance[k] / variance[-1])
        for z, unit_radius2, mass in expectation_nodes(places.shape[1], self.outside, slope + 6 * unequal):
            inside = sin * places[k] + variance[k].sqrt() * z
            radius2 = variance[k] * unit_radius2
            squared = (inside.unsqueeze(1) - sin * places).square().sum(-1) + radius2.unsqueeze(1)
            gamma = torch.softmax(self.log_weights - 0.5 * (squared / variance + self.n * torch.log(variance)), -1)
            yield inside, radius2, gamma, mass

    def between(self, k) -> float:
        """E_k sum_{l after k} gamma_l |m_l - m_k|^2, with m_k = mu_k + c_k (x - sin mu_k), c_k = s_k^2 sin/v_k."""
        shrink, total = self.std**2 * self.sin / self.variance, 0.0
        of_places = (self.cos**2 / self.variance).unsqueeze(1) * self.places
        for inside, radius2, gamma, mass in self.nodes(k):
            centres = of_places + shrink.unsqueeze(1) * inside.unsqueeze(1)
            apart = (centres[:, k + 1 :] - centres[:, k : k + 1]).square().sum(2)
            apart = apart + radius2.unsqueeze(1) * (shrink[k + 1 :] - shrink[k]) ** 2
            total += float(mass @ (gamma[:, k + 1 :] * apart).sum(1))
        return total


def bayes_risk(law, angle):
    """E |X - E[X | x_phi]|^2 of an `IsotropicMixture`, with the shape of `angle`, float64.

    The posterior is a mixture, and its variance is the variance within its modes plus the variance between them. So

        risk = sum_k w_k { n s_k^2 cos^2 / v_k + E_k sum_{l after k} gamma_l |m_l - m_k|^2 }.
    """
    angle = angle if isinstance(angle, torch.Tensor) else torch.as_tensor(angle, dtype=torch.float64)
    sines, cosines = (value.flatten().tolist() for value in sin_cos(angle.flatten(), law.means))
    places = _in_their_span(law.means)
    risks = [_risk(ModePairs(law, places, sin, cos)) for sin, cos in zip(sines, cosines, strict=True)]
    return torch.tensor(risks, dtype=torch.float64).reshape(angle.shape)


def _risk(pairs) -> float:
    total, last = 0.0, len(pairs.std) - 1
    for k in range(last + 1):
        within = float(pairs.n * pairs.std[k] ** 2 * pairs.cos**2 / pairs.variance[k])
        total += math.exp(float(pairs.log_weights[k])) * (within + (pairs.between(k) if k < last else 0.0))
    return total


def _in_their_span(means):
    """The coordinates (K, r) of mu_k - mu_1 in an orthonormal basis of their span, r <= min(K - 1, n)."""
    offsets = means - means[0]
    if not bool(offsets.any()):
        return offsets[:, :0]
    _, singular, basis = torch.linalg.svd(offsets, full_matrices=False)
    return offsets @ basis[singular > 1e-12 * singular[0]].T


def undecided(law, places, angle: float) -> float:
    """E[1 - sum_k gamma_k^2] of an `IsotropicMixture` at an angle; at angle 0 it is 1 - sum_k w_k^2.

    Because E[gamma_k gamma_l] = w_k E_k[gamma_l], it equals 2 sum_k w_k E_k sum_{l after k} gamma_l. places: see
    `ModePairs`.
    """
    pairs, total = ModePairs(law, places, math.sin(angle), math.cos(angle)), 0.0
    weights = law._weights[torch.argsort(law.std)]
    for k in range(len(weights) - 1):
        for _, _, gamma, mass in pairs.nodes(k):
            total += 2 * float(weights[k] * (mass @ gamma[:, k + 1 :].sum(1)))
    return total
