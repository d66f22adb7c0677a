"""Expectations over pairs of modes by quasi-random points, at many angles, each with its standard error.

There are two unbiased estimators of E sum_{k<l} gamma_k gamma_l apart_kl, see `mode_pairs`. Both use the same points at
all angles.

`States`: x is drawn from the mixture. This is good where many modes overlap.

`Bridges`: a pair of modes is drawn, and x between them. This is good where modes hardly overlap, so that a state that
two modes claim is rare. Let b_kl be the normal density, and M_kl its mass, in sqrt(p_k p_l) = M_kl b_kl. Then

    w_k w_l p_k p_l/p = sqrt(w_k w_l) M_kl b_kl / (2 cosh(L/2)) * alone,      L = log w_k p_k - log w_l p_l

where alone = (w_k p_k + w_l p_l)/p <= 1 is the probability that x belongs to one of the two. Across the line through
the means x follows b_kl. Along this line L is quadratic in the coordinate c of x, which follows a density that is high
around the root of L, and has a weight.

An estimate is the mean over 8 scrambles of a Sobol sequence; their spread is its error. The number of points doubles
until the error is small enough or there are too many points.
"""

import math

import torch

from scorelab.quadrature import Scrambles, chi_squared_quantile

_FIRST, _ENTRIES = 2**9, 2**22  # points of a scramble at first; posterior weights that an angle may take in all
_CHUNK = 2**16  # posterior weights at a time
_WANTED = 1e-4  # a standard error that is small enough, as a share of the answer
_NORMAL = 0.2  # share of the points along a bridge that are normal
_RARE, _ALONE = 0.15, 0.3  # bridges are for sums below this share of the largest, if `alone` is above this on average


def sampled(states):
    """The expectation and its standard error at several angles, (2, angles), for the `ModePairs` of each angle."""
    span = states[0].span
    scrambles = Scrambles(span.places.shape[1] + 3)
    sums, used = torch.zeros(len(states), len(scrambles)).double(), torch.zeros(len(states), 1).double()
    within = torch.tensor([pairs.within for pairs in states], dtype=torch.float64)
    estimators, active, fresh = {}, range(len(states)), _FIRST
    while True:
        points = _Points(span, scrambles.draw(fresh))
        for number in active:
            if number not in estimators:
                estimators[number] = _suited(states[number], points)
            sums[number] += points.values(estimators[number]).reshape(len(scrambles), fresh).sum(1)
            used[number] += fresh
        mean, error = (sums / used).mean(1), (sums / used).std(1) / math.sqrt(len(scrambles))
        active = [number for number in active if error[number] > _WANTED * (within[number] + mean[number])]
        fresh = int(used.max())
        if not active or 2 * fresh * len(scrambles) * len(span.weights) > _ENTRIES:
            return torch.stack([mean, error])


def _suited(pairs, points):
    """The estimator that suits an angle."""
    bridges = Bridges(pairs)
    together, alone = points.values(bridges.parts).mean(1)
    rare = together < _RARE * pairs.largest and together > _ALONE * alone
    return bridges if rare or not pairs.largest else States(pairs)


class _Points:
    """Quasi-random points: label and place (rows,), uniform, q (rows, K), the inner products of a normal vector z with
    the places, and z2 (rows,), the squared length of z with its part outside the span."""

    def __init__(self, span, uniform):
        label, place, radius, inside = uniform[:, 0], uniform[:, 1], uniform[:, 2], uniform[:, 3:]
        z = torch.special.ndtri(inside)
        radius2 = chi_squared_quantile(radius, span.outside)
        self.columns = (label, place, z @ span.places.T, z.square().sum(1) + radius2)

    def values(self, function):
        """function(label, place, q, z2) for all rows, a chunk at a time."""
        rows = max(_CHUNK // self.columns[2].shape[1], 1)
        chunks = zip(*(each.split(rows) for each in self.columns), strict=True)
        return torch.cat([function(*chunk) for chunk in chunks], -1)


class States:
    """sum_{k<l} gamma_k gamma_l apart_kl at states of the mixture."""

    def __init__(self, pairs):
        self.pairs, self.bounds = pairs, pairs.span.weights.cumsum(0)[:-1].contiguous()
        self.at_means = pairs.log_joint(pairs.sin * pairs.span.products, torch.zeros(1, dtype=torch.float64))

    def __call__(self, label, place, q, z2):
        """The sum at each row of points, (rows,)."""
        pairs, mode = self.pairs, torch.searchsorted(self.bounds, label.contiguous())
        if pairs.span.equal:  # the same numbers in one step
            alpha = float(pairs.sin / pairs.variance[0].sqrt())
            log_joint, state = torch.add(self.at_means.index_select(0, mode), q, alpha=alpha), (None, None)
        else:
            state = pairs.states_of(mode, q, z2)
            log_joint = pairs.log_joint(*state)
        return pairs.spread(torch.softmax(log_joint, 1), *state)


class Bridges:
    """The same expectation at states between two modes, see the module.

    For each pair of modes k, l: variance, of b_kl; distance, of the means; near and far, the shares of mu_k and mu_l in
    the mean of b_kl; level, slope and bend, the numbers in L = level + slope c + bend |x|^2, with x counted from this
    mean in standard deviations of b_kl; log_weight, the logarithm of sqrt(w_k w_l) M_kl; log_chance, that of the
    probability that the pair is drawn.
    """

    def __init__(self, pairs):
        self.pairs, span, sin = pairs, pairs.span, pairs.sin
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

    def __call__(self, label, place, q, z2):
        """The weighted value at each row of points, (rows,)."""
        return self.parts(label, place, q, z2)[0]

    def parts(self, label, place, q, z2):
        """The value at each row, and the value of a pair that is alone, (2, rows)."""
        pairs, pair = self.pairs, torch.searchsorted(self.bounds, label.contiguous())
        k, l = self.k[pair].unsqueeze(1), self.l[pair].unsqueeze(1)
        c, along, log_density = self._along(pair, place, q.gather(1, k) - q.gather(1, l), z2)
        inner, length2 = self._states(pair, c, along, q, z2)
        log_joint = pairs.log_joint(inner, length2)
        of_k, of_l = log_joint.gather(1, k), log_joint.gather(1, l)
        size = (of_k - of_l).abs()
        log_value = self.log_weight[pair] - self.log_chance[pair] - log_density - 0.5 * c**2
        log_value = log_value.unsqueeze(1) - 0.5 * size - torch.log1p(torch.exp(-size))
        alone = torch.exp(torch.logaddexp(of_k, of_l) - torch.logsumexp(log_joint, 1, keepdim=True))
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
        sin, products, row = self.pairs.sin, self.pairs.span.products, torch.arange(len(pair))
        k, l = self.k[pair], self.l[pair]
        near, far, deviation = self.near[pair], self.far[pair], self.variance[pair].sqrt()
        shift = torch.where(self.distance[pair] > 0, (c - along) / self.distance[pair], 0).unsqueeze(1)
        q = q + shift * (products[k] - products[l])
        centre = near.unsqueeze(1) * products[k] + far.unsqueeze(1) * products[l]
        squared = near * centre[row, k] + far * centre[row, l]
        across = near * q[row, k] + far * q[row, l]
        length2 = sin**2 * squared + 2 * sin * deviation * across + deviation**2 * (z2 + c**2 - along**2)
        return sin * centre + deviation.unsqueeze(1) * q, length2.unsqueeze(1)
