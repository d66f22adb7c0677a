"""The numbers of the study, declared."""

from scorelab.laws.section import Section

_RATE = (
    "rate _standard_error",
    "1",
    "slope of the logarithm of the error, in T for `initialisation`, in log h for `discretization`, in log eps for "
    "`score`; not measured where there is no error at all",
)
_RATIO = ("ratio_min ratio_max", "1", "least and largest error over its term of the bound")

SECTIONS = (
    Section(
        "discretization",
        "Numbers of `study=discretization`; docs/studies/discretization.md has the derivations. All of them are exact, "
        "so that there are no floors; a standard error is the one of a fitted slope, over the half of the points where "
        "the error is smallest. Distances are total variations (TV); the bound is theorem 1 with the constant 1.",
        (("horizon", "time of the OU process", "T of the discretization and of the score errors"),),
    ),
    Section(
        "discretization.targets.TARGET",
        "",
        (
            ("n", "coordinates", "dimension"),
            ("kl", "nats", "KL(q | N(0, I))"),
            ("lipschitz", "1/(unit of x)^2", "Lipschitz constant L of the score"),
            ("second_moment", "(unit of x)^2", "m_2^2"),
            (
                "growth.discretization growth.score",
                "1",
                "error at twice the horizon over the error at the horizon (shape `weight`, least eps for `score`); the "
                "theorem has sqrt(2)",
            ),
        ),
    ),
    Section(
        "discretization.targets.TARGET.initialisation",
        "TV(q_T, N(0, I)) against T.",
        (
            _RATE,
            _RATIO,
            (
                "rate_at_the_end _standard_error",
                "1",
                "slope in T of what the exact reversed process leaves of the start at its end",
            ),
        ),
    ),
    Section(
        "discretization.targets.TARGET.discretization",
        "TV at the end against h, from q_T with the exact score.",
        (
            _RATE,
            _RATIO,
            (
                "path_rate _standard_error path_ratio_min path_ratio_max",
                "1",
                "slope and shares of the bound of sqrt(KL/2) of paths",
            ),
        ),
    ),
    Section(
        "discretization.targets.TARGET.score.SHAPE",
        "TV between the ends with an error of the score and without it, by the shape of the error: `along` a, along "
        "the gradient of the posterior `weight`, constant and `orthogonal` to a, `radial` and orthogonal to a.",
        (_RATE, _RATIO),
    ),
    Section(
        "discretization.targets.TARGET.total",
        "All three errors at once, shape `weight`.",
        (
            ("ratio_min ratio_max", "1", "least and largest total over the whole bound"),
            (
                "parts_ratio_min parts_ratio_max",
                "1",
                "least and largest total over the sum of the three terms as measured, at most 1",
            ),
        ),
    ),
    Section(
        "discretization.targets.TARGET.localization",
        "The setting of the paper, lists over `steps`.",
        (
            ("steps", "steps", "steps of Euler-Maruyama"),
            ("variation", "1", "TV of Euler-Maruyama's state at the last angle to its exact law"),
            ("truncation", "1", "TV of the law of Y_T/T to the target"),
            (
                "variance",
                "(unit of x)^2",
                "variance of the state in each direction outside of the line, exactly 1 for an exact sampler",
            ),
            (
                "theorem_variation",
                "1",
                "TV of the theorem's scheme with as many steps, from N(0, I); `null` where the steps are longer than "
                "log 3, with which it diverges",
            ),
        ),
    ),
)
