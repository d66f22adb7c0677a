"""The numbers of the study, declared."""

from scorelab.laws.section import Section

SECTIONS = (
    Section(
        "conditional_mean",
        "Numbers of `study=conditional_mean`, for two modes of one standard deviation s. All of them are exact, so "
        "that there are no floors and no standard errors; docs/studies/conditional_mean.md has the derivations. "
        "gamma_1 is the posterior weight of the first mode, u = `<y_t, a>/(t |a|^2)`. A slope is named after the "
        "coordinate that it is taken in: `_state` is `<y_t, a>`, `_scaled` is u, `_standardised` is `<y_t, a>` over "
        "its standard deviation in a mode.",
        (
            ("p", "1", "weight of the first mode"),
            ("a_squared", "(unit of x)^2", "squared distance of the two means"),
            ("std", "unit of x", "standard deviation s of a mode"),
            ("speciation_t", "1", "speciation time, as in `trajectories`"),
            ("speciation_t_estimate", "1", "1/|a|^2, the time of that order"),
            (
                "slope_sup_state slope_sup_scaled slope_sup_standardised",
                "1/unit of the coordinate",
                "what the largest slope of gamma_1 stays below at every t: 1/4, |a|^2/(4 s^2), |a|/(4 s)",
            ),
            ("mean_slope_max", "1", "largest slope of `<m, a>/|a|^2` in u over all u and t"),
            ("mean_slope_max_t", "1", "the t of this slope; `null` where the slope grows for ever to 1"),
            ("nonlinearity_max nonlinearity_max_t", "1", "largest `nonlinearity` over t; its t"),
            (
                "threshold",
                "1/unit of the coordinate",
                "list of thresholds, the 1/epsilon of equation (17); the next keys are lists over the thresholds",
            ),
            (
                "sharp_t_state sharp_t_scaled sharp_t_standardised",
                "1",
                "t_sharp, the infimum of the times with a slope above the threshold: 0 where such times begin at 0, "
                "`null` where there are none",
            ),
            (
                "sharp_until_t_state",
                "1",
                "supremum of such times in the coordinate `<y_t, a>`; 0 where there are none",
            ),
        ),
    ),
    Section(
        "conditional_mean.at.NAME",
        "At each time of `study.switches`, and at the time `speciation` where there is one.",
        (
            ("t", "1", "the time"),
            (
                "slope_state slope_scaled slope_standardised",
                "1/unit of the coordinate",
                "largest slope of gamma_1 over y_t",
            ),
            ("mean_slope", "1", "largest slope of `<m, a>/|a|^2` in u"),
            ("transition", "1", "the u where gamma_1 = 1/2"),
            (
                "nonlinearity",
                "1",
                "share of Var `<m, a>` that the best linear function of `<y_t, a>` leaves, under the exact law",
            ),
            (
                "undecided",
                "1",
                "E[gamma_1 (1 - gamma_1)] over p (1 - p): 1 without any signal, 1/2 at the speciation time",
            ),
        ),
    ),
)
