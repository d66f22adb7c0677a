"""The numbers of the study, declared."""

from scorelab.laws.section import Section
from scorelab.studies.numbers import PARTS, TRAINING

SECTIONS = (
    TRAINING,
    PARTS,
    Section(
        "sampler_accuracy",
        "Numbers of `study=sampler_accuracy`; accuracy.csv has every measurement with its standard error over "
        "`study.repeats` sets, and its floor, the standard deviation over sets of as many exact samples.",
        (
            (
                "w1_floor w1_floor_deviation",
                "multiples of |a|",
                "mean and standard deviation of the Wasserstein-1 distance over sets of as many exact samples",
            ),
        ),
    ),
    Section(
        "sampler_accuracy.grids.GRID.SAMPLER",
        "",
        (
            (
                "nfe_at_floor",
                "evaluations",
                "least number of evaluations of the denoiser from which on W1 stays within 1.25 times its floor; "
                "`null` where it does not",
            ),
            (
                "w1_order orthogonal_variance_order",
                "1",
                "slope of log error against log step, over the points above three noise floors and below the standard "
                "deviation of the exact projection, or half the exact variance; the error of W1 is "
                "sqrt(W1^2 - floor^2); not measured with fewer than three points",
            ),
            ("w1_order_points orthogonal_variance_order_points", "points", "number of these points"),
        ),
    ),
)
