"""The sections of metrics.json that are measured here, declared."""

from scorelab.laws.section import Section

PROJECTION = Section(
    "projection",
    "Numbers of the projection `<x, a>/|a|^2` of the samples; `a` is the signal direction of the target. The exact law "
    "is the law of the same projection of the target.",
    (
        (
            "w1 _standard_error",
            "multiples of |a|",
            "Wasserstein-1 distance of the samples to the exact law, computed exactly; bootstrap standard error, "
            "which is a fifth too large for exact samples",
        ),
        (
            "w1_floor w1_floor_deviation",
            "multiples of |a|",
            "mean and standard deviation of this distance over sets of as many exact samples",
        ),
        (
            "w1_at_T",
            "multiples of |a|",
            "distance to the law that an exact sampler has at the finite end of the grid, with the chosen output",
        ),
        (
            "ks _standard_error _floor _floor_deviation",
            "1",
            "Kolmogorov-Smirnov distance to the exact law; its standard error, floor and floor deviation, as for `w1`",
        ),
        (
            "mean _standard_error _exact _floor",
            "multiples of |a|",
            "mean; the floor is the standard error of the mean of as many exact samples",
        ),
        (
            "variance _standard_error _exact _exact_at_T",
            "multiples of |a|^2",
            "variance, and its exact value for the target and at the finite end of the grid",
        ),
        (
            "mode_weight _standard_error",
            "1",
            "mean posterior weight of the first mode over the samples, under the law that an exact sampler has at the "
            "finite end of the grid, with the chosen output; its expectation over exact samples is the weight of the "
            "mode, whatever the overlap of the modes",
        ),
        (
            "mode_weight_exact mode_weight_floor",
            "1",
            "weight of the first mode; standard error of `mode_weight` for as many exact samples",
        ),
        (
            "mode_weights _standard_error _exact",
            "1",
            "mean posterior weights of all modes with their standard errors, and the weights of all modes",
        ),
        (
            "mode_chi_squared _floor _floor_deviation",
            "1",
            "Pearson's statistic sum_k (N_k - N w_k)^2/(N w_k) of the counts of the modes, where each sample draws its "
            "mode from its posterior: for exact samples the counts are multinomial, and mean and standard deviation "
            "are exact",
        ),
        (
            "mode_deviation _floor _floor_deviation",
            "standard errors",
            "largest |N_k - N w_k|/sqrt(N w_k (1 - w_k)) of the same counts; mean and standard deviation over 1000 "
            "multinomial draws",
        ),
    ),
)

ORTHOGONAL = Section(
    "orthogonal",
    "Numbers of the samples in the space orthogonal to `a`.",
    (
        (
            "variance _standard_error",
            "(unit of x)^2",
            "mean variance of a coordinate; below the exact value, the samples have collapsed",
        ),
        (
            "variance_exact variance_exact_at_T",
            "(unit of x)^2",
            "exact value for the target, and at the finite end of the grid",
        ),
    ),
)

PATH_KL = Section(
    "path_kl",
    "",
    (
        (
            "total standard_error",
            "nats",
            "1/2 int_0^T E|m - m_hat|^2 dt along the exact process: by Girsanov's theorem this is the Kullback-Leibler "
            "divergence between the exact and the learned path measure; the standard error has two "
            "parts, of the states and of the quadrature",
        ),
        (
            "rule_error",
            "nats",
            "error of the quadrature over the angle: its difference from the rule with twice as many angles, over the "
            "same 64 exact states",
        ),
        (
            "parametric_floor",
            "nats",
            "expected value of `total` if only the means were unknown, and estimated from the N training samples by "
            "maximum likelihood, to leading order in 1/N: trace(I(T) I^-1)/(2 N) with the Fisher information about the "
            "means I(T) in Y_T, and I in X; sum_k n s_k^2 T/(1 + s_k^2 T)/(2 N) for modes that do not overlap; `null` "
            "without training",
        ),
        ("end_angle", "radians", "upper end of the integral, as an angle"),
        ("T", "1", "upper end of the integral, as a signal-to-noise ratio"),
    ),
)

POSTERIOR_MEAN = Section(
    "posterior_mean",
    "Lists over twelve angles, every eighteenth of 200 points on [0.1, pi/2 - 0.1], as in figures 3 and 5 of the "
    "paper. The times of `study.posterior_mean_switches` divide this range into stretches, and each stretch has twelve "
    "such angles, as in figure 8.",
    (
        ("angle", "radians", "angle of the noisy states"),
        ("t", "1", "signal-to-noise ratio tan^2 of the angle"),
        (
            "relative_error _standard_error",
            "1",
            "mean of sqrt(|m_hat - m|^2 / max(|m|^2, 0.1)), as the published code defines it (the paper calls it "
            "relative MSE)",
        ),
        (
            "relative_error_floor",
            "1",
            "expected `relative_error` if only the means were unknown, and estimated as for `path_kl.parametric_floor`",
        ),
        ("squared_error _standard_error", "(unit of x)^2", "E|m_hat - m|^2"),
        (
            "bayes_risk _standard_error",
            "(unit of x)^2",
            "E|X - m|^2, which no denoiser goes below: the risk E|X - m_hat|^2 is `bayes_risk` + `squared_error`; it "
            "has an error where it is not exact",
        ),
    ),
)
