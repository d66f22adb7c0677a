"""The Bayes risk of a target, computed once for all runs of a process that ask for it."""

from scorelab.once import once


@once
def bayes_risk(target, angle):
    """The Bayes risk of a target at an angle, or at a tensor of angles, and its standard error, or None for an exact
    one; see `Target.bayes_risk_and_error`. It is shared, and must not be changed."""
    return target.bayes_risk_and_error(angle)
