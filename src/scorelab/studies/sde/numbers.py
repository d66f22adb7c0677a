"""The numbers of the study, declared."""

from scorelab.laws.section import Section

SECTIONS = (
    Section("sde", "Numbers of `study=sde`.", (("protocol", "name", "of the OU process"),)),
    Section(
        "sde.schemes",
        "Both schemes on common Brownian paths.",
        (("T counts", "1, steps", "the end; numbers of steps until T, over which the lists below are"),),
    ),
    Section(
        "sde.schemes.SCHEME",
        "An equation and a scheme: `black_scholes` (geometric Brownian motion) or `langevin` (OU), by `euler_maruyama` "
        "or `milstein`; exact values are of the recursion of moments. An order is the slope of log error on log h over "
        "the smaller half of the steps where the error is 4 standard errors or more; its exact value is the slope of "
        "the exact errors there.",
        (
            ("strong _standard_error _exact", "1", "(E|w - X(T)|^2)^(1/2)"),
            ("weak _standard_error _exact", "1", "|E w - E X(T)|"),
            ("weak_second _standard_error _exact", "1", "|E w^2 - E X(T)^2|"),
            ("strong_order _standard_error _exact", "1", "its order"),
            ("weak_order _standard_error _exact", "1", "its order"),
            ("weak_second_order _standard_error _exact", "1", "its order"),
        ),
    ),
    Section(
        "sde.ou",
        "The OU process that models SGD, by Euler-Maruyama; exact values are of the equation.",
        (
            ("kappa volatility", "1", "of d theta = kappa (theta* - theta) dt + volatility dB"),
            ("stationary_variance", "1", "volatility^2/(2 kappa)"),
            ("t", "1", "times of the next two"),
            ("mean _standard_error _exact", "1", "E theta_1"),
            ("variance _standard_error _exact", "1", "variance of a coordinate, over all coordinates"),
            (
                "inside _standard_error _exact",
                "1",
                "share of paths within 2 exact standard deviations of the exact mean",
            ),
        ),
    ),
    Section(
        "sde.ou.end",
        "The same at the end.",
        (
            ("mean _standard_error _exact _scheme", "1", "E theta_1; that of Euler-Maruyama, exactly"),
            ("variance _standard_error _exact _scheme", "1", "variance; that of Euler-Maruyama, exactly"),
        ),
    ),
)
