"""The order of convergence that differences between successive numbers of steps show."""

import itertools
import math

from scorelab.laws.estimate import mean_and_error, shown

#: a measured order this far below the claimed one is another order
MARGIN = 0.25


def order_of_gaps(what: str, gaps, least: float, claimed: float | None, margin: float = MARGIN):
    """The order that gaps without a sampling error show: (passed, measured, numbers) of a property.

    gaps: |value at 2 N steps - value at N steps| for doubling N; they do not depend on the limit. least: what is no
    more than rounding. The order is the last slope log2(gap/next gap), and its spread is the change from the slope
    before. A slope that is too low but still rises to the claim is undecided.
    """
    above = list(itertools.takewhile(lambda gap: gap > least, gaps))
    if len(above) < 2:
        return True, f"{what} are exact at every number of steps, to rounding"
    slopes = [math.log2(before / after) for before, after in itertools.pairwise(above)]
    spread = abs(slopes[-1] - slopes[-2]) if len(slopes) > 1 else None
    rises = spread is not None and slopes[-1] > slopes[-2]
    numbers = {"order": slopes[-1]} | ({"spread": spread} if spread is not None else {})
    passed, claim = verdict(slopes[-1], spread if rises else 0.0, claimed, margin)
    return passed, f"order of {what}: {shown(slopes[-1], spread, 3)}; {claim}", numbers


def order_of_means(what: str, changes, claimed: float | None, margin: float = MARGIN):
    """The order that measured changes show: (passed, measured, numbers) of a property.

    changes: for doubling numbers of steps the change of each sample, (count,); its mean is what converges, and a row
    has the same noise for all numbers of steps. A change counts as long as its mean is beyond four standard errors. The
    order is the slope log2(a/b) of the last two that count; its standard error is that of the mean of a_i/a - b_i/b,
    divided by log 2.
    """
    found = [mean_and_error(each) for each in changes]
    decided = len(list(itertools.takewhile(lambda each: abs(each[0]) > 4 * each[1], found)))
    if decided < 2:
        text = f"{decided} of {len(found)} changes of {what} with the steps are beyond four standard errors"
        return None, f"undecided: {text}; a larger count would tell"
    (a, _), (b, _) = found[decided - 2 : decided]
    value = math.log2(abs(a / b))
    error = mean_and_error(changes[decided - 2] / a - changes[decided - 1] / b)[1] / math.log(2)
    passed, claim = verdict(value, 4 * error, claimed, margin)
    numbers = {"order": value, "standard_error": error, "decided": decided}
    return passed, f"order of {what}: {shown(value, error)}; {claim}", numbers


def verdict(value: float, doubt: float, claimed: float | None, margin: float):
    """Whether an order is what is claimed, or more than a half where nothing is; None where doubt alone allows it."""
    least = 0.5 if claimed is None else claimed - margin
    claim = "none is claimed" if claimed is None else f"{claimed:g} is claimed"
    if value >= least:
        return True, claim
    if value + doubt >= least:
        return None, f"{claim}: undecided"
    return False, claim
