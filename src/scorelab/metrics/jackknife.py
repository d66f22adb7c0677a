"""Standard errors of statistics that are not means of independent numbers.

The jackknife leaves out one part of the samples after the other. To second order a statistic is a sum of what each part
adds and of what each pair of parts adds together, with the variance V = V_1 + V_2, and the jackknife's variance has the
expectation V_1 + 2 V_2. Where V_1 vanishes its standard error is too large by the root of 2: for the mean square of
overlaps of independent signs, for tr(C)^2/tr(C^2) near its maximum. Efron and Stein (The Annals of Statistics 9, 1981,
section 5) subtract an estimate of V_2, from the statistic without each pair of parts. V is at least half of the
jackknife's variance, which holds the difference above 0.
"""

import math


def corrected_error(left, squared_interactions: float) -> float:
    """The standard error of a statistic. left: the statistic (count,) without each part, float64. squared_interactions:
    sum over pairs i < j of (Q_ij - mean of Q)^2, where Q_ij = count S - (count - 1)(S_i + S_j) + (count - 2) S_ij."""
    count = len(left)
    variance = (count - 1) / count * float((left - left.mean()).square().sum())
    return math.sqrt(max(variance - squared_interactions / (count * (count - 1)), variance / 2))


def interactions(whole, left, pairs):
    """Sum over pairs i < j of (Q_ij - mean of Q)^2, as in `corrected_error`, of a statistic of few parts.

    whole: the statistic. left (count,), pairs (count, count): the statistic without each part, and without each two.
    """
    count = len(left)
    found = count * whole - (count - 1) * (left + left.unsqueeze(1)) + (count - 2) * pairs
    found = found[left.new_ones(count, count).triu(1).bool()]
    return float((found - found.mean()).square().sum())
