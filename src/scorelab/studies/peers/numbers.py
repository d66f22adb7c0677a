"""The numbers of the study, declared."""

from scorelab.laws.section import Section

SECTIONS = (
    Section(
        "peers",
        "Numbers of `study=peers`.",
        (
            ("evaluations", "evaluations", "at most so many are asked of the denoiser, over which the lists below are"),
            ("machine", "text", "on which the costs were measured"),
            ("versions.LIBRARY", "text", "of each library, or that it is not installed"),
        ),
    ),
    Section(
        "peers.PEER",
        "A sampler, by its name in `study.peers`. Moments are those of its samples of a Gaussian in three dimensions, "
        "exact up to rounding. An order is the slope of the difference between N and 2N steps, on log N, over the last "
        "three N.",
        (
            ("library title claimed", "text", "of the sampler; its claimed order, a number or empty"),
            (
                "order _standard_error",
                "1",
                "of mean and covariance on a Gaussian; of the regression, as the differences have no sampling error",
            ),
            (
                "strong_order _standard_error",
                "1",
                "of paths from one noise on a mixture; the jackknife's",
            ),
            ("steps", "steps", "of the sampler for each number of evaluations; null where one step needs more"),
            ("mean_bias", "standard deviations", "distance of the mean from that of the law"),
            ("variance_bias", "1", "trace of the covariance over that of the law, minus 1"),
            ("covariance_bias", "1", "Frobenius distance of the covariance, over the norm of that of the law"),
            (
                "cost cost_spread",
                "microseconds",
                "processor time of a step beyond the denoiser, median; half the distance of quartiles",
            ),
            ("failures", "names", "properties of docs/conformance.md that fail"),
        ),
    ),
)
