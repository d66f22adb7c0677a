"""Expectations over pairs of modes of an isotropic mixture in the channel, each with its error.

With the posterior weights gamma_k(x) and a number apart_kl(x) for each pair of modes, the expectation is

    E sum_{k<l} gamma_k gamma_l apart_kl.

`Centres` has apart_kl = |m_k - m_l|^2 for the posterior means m_k = E[X | x, mode k], which makes the expectation the
variance of X given x that lies between the modes. `Labels` has apart_kl = 2, which makes it E[1 - sum_k gamma_k^2].

The integrand depends on x through the coordinates of x in the span of the means and, if the standard deviations differ,
through the length of x outside this span. With one or two such coordinates and few modes the trapezoidal rule is exact
to rounding: its step is halved until two results agree. Otherwise quasi-random points are used, see `mode_draws`.
"""

import copy
import math

import torch

from scorelab.channel import sin_cos
from scorelab.laws.mode_draws import sampled
from scorelab.quadrature import REACH, NotResolved, converged, lattice, log_chi_squared_range

_STEP = 0.72  # the coarsest step of the trapezoidal rule, in standard deviations of the narrowest mode
_EXACT, _CLOSE = 1e-10, 1e-5  # shares of the answer to which two steps have to agree
_CHEAP, _ENTRIES = 2**17, 2**22  # posterior weights that a step of the trapezoidal rule computes
_CHUNK = 2**16  # posterior weights at a time
_NEGLIGIBLE = -40.0  # logarithm of a density, in units of the largest, where nothing is computed
_NOTHING = 1e-12  # share of the answer that is left out where a bound allows it


class Span:
    """The modes of a law in an orthonormal basis of the span of their means; its origin is the mean of the mixture.

    places (K, r): the coordinates of the means. products, squares (K, K): inner products and squared distances of the
    places. outside: the dimension of the rest of the space if the length of x there tells modes apart, else 0.
    """

    def __init__(self, law):
        self.n, self.std, self.weights = law.n, law.std, law._weights
        self.places = (law.means - law.mean) @ law.span().T
        self.products = self.places @ self.places.T
        self.squares = (self.places.unsqueeze(1) - self.places).square().sum(-1)
        self.equal = bool((self.std == self.std[0]).all())
        self.outside = 0 if self.equal else self.n - self.places.shape[1]
        self.coordinates = self.places.shape[1] + (self.outside > 0)


class ModePairs:
    """The modes of a span at one angle; sin and cos are numbers.

    within: a part of the answer that is known. largest: about the value of the expectation without any signal. variance
    (K,): v_k = s_k^2 sin^2 + cos^2. kept, shrink (K,): the factors of m_k = kept_k mu_k + shrink_k x.

    A row of the methods' tensors is a noisy state x: `inner` (rows, K) has its inner products with the places,
    `length2` (rows, 1) its squared length, both counted from sin times the mean of the mixture.
    """

    def __init__(self, span: Span, sin: float, cos: float):
        self.span, self.sin = span, sin
        self.variance = span.std**2 * sin**2 + cos**2
        self.kept, self.shrink = cos**2 / self.variance, span.std**2 * sin / self.variance
        self.within = float(span.weights @ (span.n * span.std**2 * self.kept))
        self.largest = 0.5 * float(span.weights @ self.typical() @ span.weights)
        constant = span.weights.log() - 0.5 * span.n * self.variance.log()
        self._constant = constant - 0.5 * sin**2 * span.products.diag() / self.variance

    def single(self):
        """The same modes in single precision."""
        pairs = _single(self)
        pairs.span = _single(self.span)
        return pairs

    def log_joint(self, inner, length2):
        """log w_k + log N(x; sin mu_k, v_k I) up to a number that all modes share, (rows, K)."""
        exponent = torch.addcmul(self._constant, self.sin / self.variance, inner)
        return exponent if self.span.equal else exponent.addcmul_(length2, -0.5 / self.variance)

    def posterior(self, inner, length2):
        """gamma_k, (rows, K)."""
        exponent = self.log_joint(inner, length2)
        joint = exponent.sub_(exponent.amax(1, keepdim=True)).exp_()
        return joint.div_(joint.sum(1, keepdim=True))

    def overlap(self, k, l):
        """log int sqrt(w_k p_k w_l p_l) dx for numbers of modes k and l that broadcast."""
        span, first, second = self.span, self.variance[k], self.variance[l]
        log_width = (2 * (first * second).sqrt() / (first + second)).log()
        log_w = span.weights.log()
        apart = self.sin**2 * span.squares[k, l] / (first + second)
        return 0.5 * (log_w[k] + log_w[l] + span.n * log_width) - 0.25 * apart

    def bound(self) -> float:
        """About the largest value that the expectation can have, by gamma_k gamma_l <= sqrt(gamma_k gamma_l)/2."""
        k, l = torch.triu_indices(*self.span.squares.shape, 1)
        return 0.5 * float((self.overlap(k, l).exp() * self.typical()[k, l]).sum())


class Centres(ModePairs):
    """apart_kl = |m_k - m_l|^2: the variance of X between the modes; `within` is the variance within them."""

    def apart(self, k, l, inner_k, inner_l, length2):
        """|m_k - m_l|^2 for numbers of modes k and l that broadcast, with their inner products."""
        span, kept_k, kept_l = self.span, self.kept[k], self.kept[l]
        square = kept_k * kept_l * span.squares[k, l]
        if span.equal:
            return square
        norms, shrunk = span.products.diag(), self.shrink[k] - self.shrink[l]
        square = square + (kept_k - kept_l) * (kept_k * norms[k] - kept_l * norms[l])
        return square + 2 * shrunk * (kept_k * inner_k - kept_l * inner_l) + shrunk**2 * length2

    def from_mode(self, own, squares):
        """sum_l gamma_l apart_kl/2 at a state of mode k, for modes of one width; own: gamma_k; squares: sum_l gamma_l
        |mu_k - mu_l|^2, or means of the two."""
        return 0.5 * float(self.kept[0]) ** 2 * squares

    def typical(self):
        """The size of apart, (K, K)."""
        shrunk = self.shrink.unsqueeze(1) - self.shrink
        noise = self.span.n * (self.variance.unsqueeze(1) * self.variance).sqrt()
        return self.kept.unsqueeze(1) * self.kept * self.span.squares + shrunk**2 * noise

    def spread(self, gamma, inner, length2):
        """sum_{k<l} gamma_k gamma_l apart_kl = sum_k gamma_k |m_k|^2 - |sum_k gamma_k m_k|^2, (rows,)."""
        norms, places = self.kept.square() * self.span.products.diag(), self.kept.unsqueeze(1) * self.span.places
        found = gamma @ norms - (gamma @ places).square().sum(1)
        if self.span.equal:
            return found
        kept = gamma * self.kept
        along, shrunk = kept * inner, gamma @ self.shrink
        found = found + 2 * (along @ self.shrink - shrunk * along.sum(1))
        return found + (gamma @ self.shrink**2 - shrunk**2) * length2.squeeze(1)


class Labels(ModePairs):
    """apart_kl = 2: the probability that two modes drawn from the posterior differ."""

    def __init__(self, span, sin, cos):
        super().__init__(span, sin, cos)
        self.within = 0.0

    def apart(self, k, l, inner_k, inner_l, length2):
        """2, with the shape of k and l together."""
        return torch.full(torch.broadcast_shapes(k.shape, l.shape), 2.0, dtype=torch.float64)

    def from_mode(self, own, squares):
        """1 - gamma_k."""
        return 1 - own

    def typical(self):
        """The size of apart, (K, K)."""
        return 2 * (1 - torch.eye(len(self.variance), dtype=torch.float64))

    def spread(self, gamma, inner, length2):
        """1 - sum_k gamma_k^2, (rows,)."""
        return 1 - gamma.square().sum(1)


def bayes_risk(law, angle):
    """E |X - E[X | x_phi]|^2 of an `IsotropicMixture` and its standard error, each with the shape of `angle`, float64.

    The posterior is a mixture, and its variance is the variance within its modes plus the variance between them. So

        risk = sum_k w_k n s_k^2 cos^2 / v_k + E sum_{k<l} gamma_k gamma_l |m_k - m_l|^2.

    The error is None if every angle is exact to rounding. Errors at several angles are not independent.
    """
    return _expectations(Centres, law, angle)


def undecided(law, angle):
    """E[1 - sum_k gamma_k^2] of an `IsotropicMixture`, with its error as `bayes_risk`; 1 - sum_k w_k^2 at angle 0."""
    return _expectations(Labels, law, angle)


def _expectations(kind, law, angle):
    angle = torch.as_tensor(angle, dtype=torch.float64) if not isinstance(angle, torch.Tensor) else angle
    span = Span(law)
    sines, cosines = (value.flatten().tolist() for value in sin_cos(angle.flatten(), law.means))
    states = [kind(span, sin, cos) for sin, cos in zip(sines, cosines, strict=True)]
    found, rest = torch.zeros(2, len(states), dtype=torch.float64), []
    for number, pairs in enumerate(states):
        try:
            found[:, number] = torch.tensor(_trapezoidal(pairs), dtype=torch.float64)
        except NotResolved:
            rest.append(number)
    if rest:
        found[:, rest] = sampled([states[number] for number in rest])
    found[0] += torch.tensor([pairs.within for pairs in states], dtype=torch.float64)
    value, error = found.reshape(2, *angle.shape)
    return value, error if bool((found[1] > 0).any()) else None


def _single(thing):
    """A copy of an object, its tensors in single precision."""
    thing = copy.copy(thing)
    vars(thing).update({name: each.float() for name, each in vars(thing).items() if isinstance(each, torch.Tensor)})
    return thing


def _trapezoidal(pairs) -> tuple[float, float]:
    """The expectation by the trapezoidal rule, and its error, which is 0 where it is exact to rounding.

    The step is halved until two values agree to _EXACT, or to _CLOSE where a step is not cheap. As each halving squares
    the error, the finer value is better than that. Raises NotResolved if too many nodes are needed.
    """
    if pairs.bound() <= _NOTHING * pairs.within:
        return 0.0, 0.0
    if pairs.span.coordinates > 2:
        raise NotResolved(f"a lattice in {pairs.span.coordinates} dimensions has too many nodes")

    entries = 0

    def rule(step):
        nonlocal entries
        value, entries = _on_lattice(pairs, step)
        return value

    def tolerance(value):
        return (_EXACT if entries < _CHEAP else _CLOSE) * (pairs.within + value) + 1e-14 * pairs.largest

    value, error = converged(rule, _STEP, tolerance)
    return value, error if error > _EXACT * (pairs.within + value) else 0.0


def _on_lattice(pairs, step) -> tuple[float, int]:
    """The expectation by the trapezoidal rule, with a step in standard deviations of the narrowest mode.

    x is in these standard deviations. Its length outside the span enters as log R^2, in which its law is analytic.
    """
    span, outside, smallest = pairs.span, pairs.span.outside, float(pairs.variance.min())
    rank, ratio = span.places.shape[1], pairs.variance / smallest
    places = span.places / math.sqrt(smallest)
    reach = REACH * ratio.sqrt().unsqueeze(1)
    low, high = (pairs.sin * places - reach).amin(0), (pairs.sin * places + reach).amax(0)
    if outside:
        least, most, width = log_chi_squared_range(outside)
        low = torch.cat([low, torch.tensor([least / width])])
        high = torch.cat([high, torch.tensor([(most + math.log(float(ratio.max()))) / width])])
    total, mass, entries = 0.0, 0.0, 0
    for node in lattice(low, high, step, _ENTRIES // len(ratio), max(_CHUNK // len(ratio), 1)):
        entries += len(node) * len(ratio)
        x, log_volume = node[:, :rank], torch.zeros(len(node), dtype=torch.float64)
        length2 = x.square().sum(1)
        if outside:
            log_radius2 = width * node[:, rank]
            log_volume = 0.5 * outside * (log_radius2 - math.log(outside) + 1)
            length2 = length2 + log_radius2.exp()
        inner, length2 = smallest * (x @ places.T), smallest * length2.unsqueeze(1)
        log_joint = pairs.log_joint(inner, length2)
        log_volume = log_volume + 0.5 * span.n * math.log(smallest)
        if span.equal:  # the part that `log_joint` leaves out
            log_volume = log_volume - length2.squeeze(1) * (0.5 / smallest)
        largest = log_joint.amax(1, keepdim=True)
        near = (largest.squeeze(1) + log_volume > _NEGLIGIBLE).nonzero().squeeze(1)
        if len(near) < len(node):
            parts = (log_joint, largest, log_volume, inner, length2)
            log_joint, largest, log_volume, inner, length2 = (part.index_select(0, near) for part in parts)
        joint = torch.exp(log_joint - largest)
        all_modes = joint.sum(1, keepdim=True)
        density = torch.exp(log_volume + largest.squeeze(1)) * all_modes.squeeze(1)
        mass += float(density.sum())
        total += float(density @ pairs.spread(joint / all_modes, inner, length2))
    return total / mass, entries
