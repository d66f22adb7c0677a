"""Expectations over pairs of modes by quasi-random points, at many angles, each with its standard error.

There are three unbiased estimators of E sum_{k<l} gamma_k gamma_l apart_kl, see `mode_pairs`. All use the same points
at all angles.

`Crossed`: the modes have one variance v. Each noise z is used with every mode, as x_k = sin mu_k + sqrt(v) z. The
posterior weights at x_k are

    gamma_l(x_k) = E_kl e_l / sum_j E_kj e_j,    E_kl = w_l exp(-sin^2 |mu_k - mu_l|^2/(2v)),
                                                 e_l = exp(sin <z, mu_l>/sqrt(v)),

so that matrix products with E do for all modes what needs an exponential for each pair otherwise. As the mode of x is
known, the value can be linear in the weights: E sum_{k<l} gamma_k gamma_l apart_kl = E sum_l gamma_l(x_k) apart_kl/2.

`States`: x is drawn from the mixture, whose modes have any widths. This is good where many modes overlap. Functions of
x whose expectation is known follow the values, and the part of the values that is linear in them is replaced by its
expectation. This takes away up to 99 per cent of the variance at small angles, and 70 to 90 per cent where the modes
come apart. `Crossed` has such functions too.

`Bridges`: a pair of modes is drawn, and x between them. This is good where modes hardly overlap, so that a state that
two modes claim is rare. Let b_kl be the normal density, and M_kl its mass, in sqrt(p_k p_l) = M_kl b_kl. Then

    w_k w_l p_k p_l/p = sqrt(w_k w_l) M_kl b_kl / (2 cosh(L/2)) * alone,      L = log w_k p_k - log w_l p_l

where alone = (w_k p_k + w_l p_l)/p <= 1 is the probability that x belongs to one of the two. Across the line through
the means x follows b_kl. Along this line L is quadratic in the coordinate c of x, which follows a density that is high
around the root of L, and has a weight.

Nearly all of the time goes into posterior weights, so that they are in single precision; the first points, which are
also computed in double precision, tell whether that is enough, and their mean difference is given back.

An estimate is the mean over 32 scrambles of a Sobol sequence; their spread is its error. Points are added until the
error is small enough. All angles share one allowance of posterior weights: what the easy ones leave is for
the others.
"""

import functools
import math
from dataclasses import dataclass, fields

import torch

from scorelab.quadrature import Scrambles, chi_squared_quantile
from scorelab.workers import side_by_side

_SCRAMBLES, _FIRST = 32, 2**6  # scrambles; points of each at first
_ENTRIES, _LEAST = 2**23, 2**26  # posterior weights that may be computed for each angle on average, and at least in all
_BLOCK, _CHUNK = 2**20, 2**17  # inner products that are kept, and posterior weights at a time
_PART = 2**11  # points that are made at a time
_STEEP, _STEEP_SINGLE = 50.0, 6.5  # largest deviation of an exponent whose square is finite in double, single precision
_WANTED = 1e-4  # a standard error that is small enough, as a share of the answer
_NORMAL = 0.2  # share of the points along a bridge that are normal
_ALONE = 0.4  # bridges are for sums that are rare, if `alone` is above this on average


def sampled(states):
    """The expectation and its standard error at several angles, (2, angles), for the `ModePairs` of each angle."""
    with side_by_side() as each_of:
        return _sampled(states, each_of)


def _sampled(states, each_of):
    """each_of: function (function, items) -> the list of their results."""
    span, allowed = states[0].span, max(_ENTRIES * len(states), _LEAST)
    each = _SCRAMBLES * len(span.weights)  # posterior weights of one point of all scrambles
    block = max(_BLOCK // each, 1)
    scrambles, tallies = Scrambles(span.places.shape[1] + 3, _SCRAMBLES), []
    within = torch.tensor([pairs.within for pairs in states], dtype=torch.float64)
    found = torch.zeros(2, len(states), dtype=torch.float64)
    active, points, fresh = list(range(len(states))), 0, _FIRST
    while True:
        for start in range(0, fresh, block):
            parts = scrambles.draw(min(block, fresh - start)).split(_PART)
            drawn = _Points.joined(each_of(functools.partial(_Points.of, span), parts))
            tallies = tallies or each_of(functools.partial(_tally, points=drawn), states)
            each_of(functools.partial(_Tally.add, points=drawn), [tallies[number] for number in active])
        allowed -= fresh * each * sum(tallies[number].cost for number in active)
        points, fresh = points + fresh, (points + fresh) // 4
        found[:, active] = torch.stack(each_of(_Tally.result, [tallies[number] for number in active]), 1)
        active = (found[1] > _WANTED * (within + found[0])).nonzero().flatten().tolist()
        if not active or fresh * each * sum(tallies[number].cost for number in active) > allowed:
            return found


def _tally(pairs, points):
    """The tally of the estimator that suits an angle: `Crossed` or `States` unless its values would be rare, in single
    precision if that gives the same values."""
    kind = Crossed if Crossed.fits(pairs) else States
    values = points.first(kind.pilot).values(kind(pairs))
    if values[0].mean() < kind.rare * pairs.largest or not pairs.largest:
        parts = points.first(Bridges.pilot).values(Bridges(pairs).parts)
        together, alone = parts.mean(1)
        if together > _ALONE * alone or not pairs.largest:
            kind, values = Bridges, parts[:1]
    single = kind(pairs, single=True)
    lost = values - points.first(kind.pilot).single.values(single)
    same = lost[0].abs().mean() < 0.1 * _WANTED * (pairs.within + values[0].mean())
    return _Tally(single, lost) if same and single.finite else _Tally(kind(pairs))


class _Tally:
    """The values of an estimator and of its controls, which have the expectation 0, summed up.

    The mean of the value, less the multiple of the controls that its values regress on, is the estimate. lost (values,
    points): what rounding takes from the values; its mean is given back.
    """

    def __init__(self, estimator, lost=None):
        self.estimator, self.cost = estimator, estimator.cost
        self.sums, self.products, self.rows = 0.0, 0.0, 0
        lost = torch.zeros(1, 2) if lost is None else lost
        self.lost, self.variance = lost.mean(1, keepdim=True), lost[0].var() / lost.shape[1]

    def add(self, points):
        """Count some points."""
        values = (points.single if self.estimator.single else points).values(self.estimator).double()
        self.sums = self.sums + values.reshape(len(values), _SCRAMBLES, -1).sum(-1)
        self.products = self.products + values @ values.T
        self.rows += values.shape[1]

    def result(self):
        """The estimate and its standard error, by the spread of the scrambles and the rounding of weights, (2,)."""
        means = self.sums * (_SCRAMBLES / self.rows)
        mean = means.mean(1)
        covariance = self.products / self.rows - mean.outer(mean)
        scale = covariance.diag().clamp_min(0).sqrt()
        scale = torch.where(scale > 0, scale, 1.0)
        correlation = covariance / scale.outer(scale)
        multiple = torch.linalg.pinv(correlation[1:, 1:], rtol=1e-8, hermitian=True) @ correlation[1:, 0]
        means = means + self.lost
        values = means[0] - (multiple * scale[0] / scale[1:]) @ means[1:]
        rounding = torch.finfo(torch.float32).eps * values.mean() if self.estimator.single else 0.0
        return torch.stack([values.mean(), (values.var() / _SCRAMBLES + self.variance + rounding**2).sqrt()])


@dataclass
class _Points:
    """Quasi-random points: label and place (rows,), uniform; mode (rows,), drawn with the weights; q (rows, K), the
    inner products of a normal vector z with the places; z2 (rows,), the squared length of z with its part outside the
    span; own (rows,), the q of the mode; powers (rows, 4), polynomials of it that have the expectation 0; shared,
    polynomials of z2, (rows, 2), and, for modes of one width, of all q, averaged over the modes, (rows, 5)."""

    label: torch.Tensor
    place: torch.Tensor
    mode: torch.Tensor
    q: torch.Tensor
    z2: torch.Tensor
    own: torch.Tensor
    powers: torch.Tensor
    shared: torch.Tensor

    @classmethod
    def of(cls, span, uniform):
        """The points of uniform numbers (rows, r + 3)."""
        label, place, radius = uniform[:, :3].T.contiguous()
        z = math.sqrt(2) * torch.erfinv(2 * uniform[:, 3:] - 1)
        z2 = z.square().sum(1) + chi_squared_quantile(radius, span.outside)
        mode, q = torch.searchsorted(span.weights.cumsum(0)[:-1].contiguous(), label), z @ span.places.T
        norms, own = span.products.diag(), q.gather(1, mode.unsqueeze(1)).squeeze(1)
        scale = span.weights @ norms
        scale = torch.where(scale > 0, scale, 1.0)
        t, norm = own / scale.sqrt(), (norms / scale)[mode]
        powers = torch.stack([t, t**2 - norm, t**3, t.square().square() - 3 * norm**2], 1)
        t, norm, size = q / scale.sqrt(), norms / scale, span.places.shape[1] + span.outside
        shared = [z2 - size, z2.square() - size * (size + 2)]
        if span.equal:
            square = t.square()
            each = (square - norm, square * t, square.square() - 3 * norm**2)
            shared += [polynomial @ span.weights for polynomial in each]
        shared = torch.stack(shared, 1)
        return cls(label, place, mode, q, z2, own, powers, shared)

    @classmethod
    def joined(cls, parts):
        """All points of several parts."""
        return cls(*(torch.cat(each) for each in zip(*(part.columns() for part in parts), strict=True)))

    def columns(self):
        """The tensors."""
        return [getattr(self, each.name) for each in fields(self)]

    def first(self, rows):
        """The first points alone."""
        return _Points(*(each[:rows] for each in self.columns()))

    @functools.cached_property
    def single(self):
        """The same points with the inner products in single precision."""
        label, place, mode, *rest = self.columns()
        return _Points(label, place, mode, *(each.float() for each in rest))

    def values(self, function):
        """function(points), (values, rows), a chunk at a time."""
        rows = max(_CHUNK // self.q.shape[1], 1)
        chunks = zip(*(each.split(rows) for each in self.columns()), strict=True)
        return torch.cat([function(_Points(*chunk)) for chunk in chunks], -1)


class Crossed:
    """The sum at the states of all modes that one noise makes, averaged with the weights, and controls: gamma_k less
    sum_l gamma_l^2, and polynomials in <z, mu_k> and z2."""

    pilot, rare = 2**7, 0.002

    def __init__(self, pairs, single=False):
        span, variance = pairs.span, float(pairs.variance[0])
        self.single, self.pairs, self.slope = single, pairs, pairs.sin / math.sqrt(variance)
        self.finite = self.steepness(pairs) < _STEEP_SINGLE
        self.cost = 1 + len(span.weights) / 60  # by measurement, in posterior weights of `States`
        dtype, table = torch.float32 if single else torch.float64, torch.exp(-0.5 * self.slope**2 * span.squares)
        table *= span.weights
        each = (table, table * span.squares, table.square())
        self.table, self.squares, self.table2 = (one.T.to(dtype).contiguous() for one in each)
        self.weights, self.own = span.weights.to(dtype), table.diag().to(dtype)

    @classmethod
    def fits(cls, pairs):
        """Whether the modes have one width, and e is finite in double precision."""
        return pairs.span.equal and cls.steepness(pairs) < _STEEP

    @staticmethod
    def steepness(pairs):
        """The standard deviation of log e of the mode that is farthest from the mean."""
        return pairs.sin * float((pairs.span.products.diag() / pairs.variance).max()) ** 0.5

    def __call__(self, points):
        """The mean sum of each noise, and the controls, (7, rows)."""
        e, dot = torch.exp(self.slope * points.q), torch.linalg.vecdot
        inverse = (e @ self.table).reciprocal_()
        share = inverse * self.weights
        own, squares = dot(e * self.own, share), dot(e @ self.squares, share)
        repeated = dot((e.square_() @ self.table2).mul_(inverse), share)
        return torch.cat([torch.stack([self.pairs.from_mode(own, squares), own - repeated]), points.shared.T])


class States:
    """sum_{k<l} gamma_k gamma_l apart_kl at states of the mixture, and controls: |x|^2, E[|mu|^2 | x], E[<x, mu> | x]
    and polynomials in <z, mu_k>, less their expectations."""

    pilot, rare, cost, finite = 2**10, 0.15, 1, True

    def __init__(self, pairs, single=False):
        norm = float(pairs.span.weights @ pairs.span.products.diag())
        noise = (pairs.span.places.shape[1] + pairs.span.outside) * float(pairs.span.weights @ pairs.variance)
        self.expected = torch.tensor([[pairs.sin**2 * norm + noise], [norm], [pairs.sin * norm]], dtype=torch.float64)
        self.single, self.pairs = single, pairs.single() if single else pairs
        products = self.pairs.span.products
        self.root, self.norms, self.at_means = self.pairs.variance.sqrt(), products.diag(), pairs.sin * products

    def __call__(self, points):
        """The sum at each point, and the controls, (8, rows)."""
        pairs, mode = self.pairs, points.mode
        root = self.root[mode]
        inner = torch.addcmul(self.at_means.index_select(0, mode), root.unsqueeze(1), points.q)
        length2 = pairs.sin**2 * self.norms[mode] + 2 * pairs.sin * root * points.own + root.square() * points.z2
        gamma = pairs.posterior(inner, length2.unsqueeze(1))
        value = pairs.spread(gamma, inner, length2.unsqueeze(1))
        known = torch.stack([length2, gamma @ self.norms, torch.linalg.vecdot(gamma, inner)])
        return torch.cat([value.unsqueeze(0), known - self.expected, points.powers.T])


class Bridges:
    """The same expectation at states between two modes, see the module.

    For each pair of modes k, l: variance, of b_kl; distance, of the means; near and far, the shares of mu_k and mu_l in
    the mean of b_kl; level, slope and bend, the numbers in L = level + slope c + bend |x|^2, with x counted from this
    mean in standard deviations of b_kl; log_weight, the logarithm of sqrt(w_k w_l) M_kl; log_chance, that of the
    probability that the pair is drawn.
    """

    pilot, cost, finite = 2**10, 2, True

    def __init__(self, pairs, single=False):
        self.single, self.pairs = single, pairs.single() if single else pairs
        span, sin = pairs.span, pairs.sin
        self.k, self.l = k, l = torch.triu_indices(len(span.weights), len(span.weights), 1)
        (first, second), log_w = (pairs.variance[each] for each in (k, l)), span.weights.log()
        square = sin**2 * span.squares[k, l]
        self.variance = 2 * first * second / (first + second)
        self.near, self.far = second / (first + second), first / (first + second)
        self.distance = span.squares[k, l].sqrt()
        self.slope = 2 * self.variance.sqrt() * square.sqrt() / (first + second)
        self.bend = 0.5 * self.variance * (1 / second - 1 / first)
        self.level = log_w[k] - log_w[l] + 0.5 * span.n * (second / first).log()
        self.level += 0.5 * square * (self.near**2 / second - self.far**2 / first)
        self.log_weight = pairs.overlap(k, l)
        size = self.log_weight + pairs.typical()[k, l].log() - torch.log1p(0.25 * self.slope)
        self.log_chance = torch.log_softmax(size, 0)
        self.bounds = self.log_chance.exp().cumsum(0)[:-1].contiguous()

    def __call__(self, points):
        """The weighted value at each point, (1, rows)."""
        return self.parts(points)[:1]

    def parts(self, points):
        """The value at each point, and the value of a pair that is alone, (2, rows)."""
        pairs, pair, q = self.pairs, torch.searchsorted(self.bounds, points.label), points.q
        k, l = self.k[pair].unsqueeze(1), self.l[pair].unsqueeze(1)
        c, along, log_density = self._along(pair, points.place, q.gather(1, k) - q.gather(1, l), points.z2)
        inner, length2 = self._states(pair, c, along, q, points.z2)
        log_joint = pairs.log_joint(inner, length2)
        gamma = torch.softmax(log_joint, 1)
        alone, size = gamma.gather(1, k) + gamma.gather(1, l), (log_joint.gather(1, k) - log_joint.gather(1, l)).abs()
        log_value = self.log_weight[pair] - self.log_chance[pair] - log_density - 0.5 * c**2
        log_value = log_value.unsqueeze(1) - 0.5 * size - torch.log1p(torch.exp(-size))
        value = log_value.exp() * pairs.apart(k, l, inner.gather(1, k), inner.gather(1, l), length2)
        return torch.cat([value * alone, value], 1).T

    def _along(self, pair, place, difference, z2):
        """The coordinates c and <z, e> along the unit vector e from mu_l to mu_k, (rows,), and log(sqrt(2 pi) h(c)) for
        the density h of c. Two modes with one mean have no such vector: there c = <z, e> = 0.

        h is a mixture of the normal density, which bounds the weights, and of a hyperbolic secant, as narrow as that of
        L at the root of L nearest to 0, or as wide as the normal density where L has no root that matters.
        """
        slope, bend, apart = self.slope[pair], self.bend[pair], self.distance[pair] > 0
        along = torch.where(apart, difference.squeeze(1) / self.distance[pair], 0)
        level = self.level[pair] + bend * (z2 - along**2)
        steep = (slope**2 - 4 * bend * level).clamp_min(0).sqrt()
        root = torch.where(slope > 0, -2 * level / (slope + steep), 0).clamp(-0.5 * slope, 0.5 * slope)
        rate = 0.5 * ((steep - 2 * root.abs()).clamp_min(0) ** 2 + 2.5).sqrt()
        normal = place < _NORMAL
        share = torch.where(normal, place / _NORMAL, (place - _NORMAL) / (1 - _NORMAL)).clamp(1e-12, 1 - 1e-12)
        c = torch.where(normal, torch.special.ndtri(share), root + torch.log(torch.tan(0.5 * math.pi * share)) / rate)
        distance = (rate * (c - root)).abs()
        secant = rate * math.sqrt(8 / math.pi) * torch.exp(-distance) / (1 + torch.exp(-2 * distance))
        log_density = torch.log(_NORMAL * torch.exp(-0.5 * c**2) + (1 - _NORMAL) * secant)
        return torch.where(apart, c, 0), along, torch.where(apart, log_density, 0)

    def _states(self, pair, c, along, q, z2):
        """`inner` and `length2` of the states."""
        sin, products, k, l = self.pairs.sin, self.pairs.span.products, self.k[pair], self.l[pair]
        near, far, deviation = self.near[pair], self.far[pair], self.variance[pair].sqrt()
        shift = torch.where(self.distance[pair] > 0, (c - along) / self.distance[pair], 0)
        of_k, of_l = sin * near + deviation * shift, sin * far - deviation * shift  # x less its part across the line
        own, of_first, of_second = (each.to(q.dtype).unsqueeze(1) for each in (deviation, of_k, of_l))
        inner = own * q
        inner.addcmul_(of_first, products.index_select(0, k)).addcmul_(of_second, products.index_select(0, l))
        kk, kl, ll = products[k, k], products[k, l], products[l, l]
        squared = near**2 * kk + 2 * near * far * kl + far**2 * ll
        q_k, q_l = (q.gather(1, each.unsqueeze(1)).squeeze(1) for each in (k, l))
        across = near * (q_k + shift * (kk - kl)) + far * (q_l + shift * (kl - ll))
        length2 = sin**2 * squared + 2 * sin * deviation * across + deviation**2 * (z2 + c**2 - along**2)
        return inner, length2.to(q.dtype).unsqueeze(1)
