"""The numbers of the study, declared."""

from scorelab.laws.section import Section

_ERROR = ("error _standard_error", "unit of x", "root mean square error over means, after pairing, at the last step")
_RECOVERED = (
    "recovered _standard_error",
    "1",
    "share of the starts that recover every mean; its error is not 0 where all do",
)
_FLOORS = (
    (
        "floor_labelled",
        "unit of x",
        "root mean square error of a mean with known labels, sqrt(n K/N)",
    ),
    ("floor_fisher", "unit of x", "root mean square error of a mean by the Cramer-Rao bound"),
)

SECTIONS = (
    Section(
        "learning",
        "Numbers of `study=learning`; [learning.md](studies/learning.md) has the results. A number with a standard "
        "error is a mean over starts or repeats, each with samples of its own.",
        (
            ("n", "coordinates", "dimension"),
            ("norm", "unit of x", "|mu*|"),
            ("samples starts", "number", "samples of a start, and number of starts"),
            ("objectives", "names", "as configured"),
            ("floor", "unit of x", "sqrt(n/N): |mu_hat - mu*| of the mean of the samples with known signs"),
        ),
    ),
    Section(
        "learning.levels.LEVEL",
        "A noise level, as configured.",
        (
            ("t", "1", "signal-to-noise ratio"),
            ("rate", "1", "rate of half the gradient"),
            ("steps", "steps", "steps of the descent"),
        ),
    ),
    Section(
        "learning.levels.LEVEL.LOSS.RULE",
        "LOSS is what the loss is over, `population` or `samples`. RULE is a descent (`ddpm`, "
        "`stochastic_localization`), or `power` iteration or gradient `em` at the same rate, on a path of its own. "
        "Only descents have the keys from `bound_printed_steps` on.",
        (
            ("cosine _standard_error", "1", "cosine of the angle to mu* at the last step"),
            ("norm_ratio _standard_error", "1", "|mu|/|mu*| at the last step"),
            (
                "error _standard_error",
                "unit of x",
                "|mu - mu*| at the last step; all three are not measured where the path has diverged",
            ),
            (
                "aligned_at",
                "steps",
                "recorded step at which the last of the starts has a cosine of 0.99; `null` if one never has",
            ),
            (
                "bound_printed_steps bound_steps",
                "steps",
                "number of recorded steps, over all starts, at which Lemma C.5 bounds tan(theta'): its conditions hold "
                "and 0 < kappa_1 < 1; as printed and as corrected",
            ),
            (
                "bound_printed_ratio bound_ratio",
                "1",
                "the largest tan(theta') over the bound; not measured where there is no such step",
            ),
            (
                "power_error_start em_error_start",
                "1",
                "|step' - step|/|step| at mu_0, where step' is the step of power iteration or gradient EM at the same "
                "rate; median over starts",
            ),
            ("power_error em_error", "1", "the same ratio, median over recorded steps and starts"),
            (
                "power_direction_error_start em_direction_error_start power_direction_error em_direction_error",
                "1",
                "the same two medians at the best rate: the sine of the angle between the steps, 1 for an obtuse angle",
            ),
        ),
    ),
    Section(
        "learning.regimes",
        "Where power iteration and EM approximate a step.",
        (
            ("tolerance", "1", "relative error up to which an approximation holds"),
            ("angle", "radians", "angle between mu and mu*"),
        ),
    ),
    Section(
        "learning.regimes.maps",
        "A list with one entry for each norm. Shares are shares of the map, in log t and log |mu|/|mu*|.",
        (
            ("norm", "unit of x", "|mu*|"),
            ("power_share em_share neither_share", "1", "share where the error is within the tolerance"),
            ("power_direction_share em_direction_share", "1", "the same share at the best rate"),
            (
                "power_up_to em_from",
                "1",
                "at |mu| = |mu*|/2: the largest t up to which the error of power iteration is within the tolerance, "
                "and the least t from which the error of EM is; `null` if there is no such t",
            ),
        ),
    ),
    Section(
        "learning.modes",
        "K modes, as configured.",
        (
            ("K", "modes", "number of modes"),
            ("n", "coordinates", "dimension"),
            ("separation", "unit of x", "distance of any two means"),
            ("samples repeats", "number", "samples of a repeat, and number of repeats"),
            ("t annealed", "1", "signal-to-noise ratio of `ddpm`, and list of the ratios of `annealed`"),
            *_FLOORS,
        ),
    ),
    Section(
        "learning.modes.START.RULE",
        "START is `warm` or `cold`. RULE is `ddpm` (one noise level), `annealed` (several, one after the other) or "
        "`em`.",
        (_ERROR, _RECOVERED),
    ),
    Section(
        "learning.modes.sizes",
        "By N from warm starts, lists in the order of `samples`.",
        (("samples", "samples", "N"), *_FLOORS),
    ),
    Section(
        "learning.modes.sizes.RULE",
        "RULE is `ddpm`, `em` or `sklearn`, which fits weights and variances too.",
        (
            _ERROR,
            ("slope _standard_error", "1", "slope of log error in log N; not measured with one size"),
            ("over_em _standard_error", "1", "error of descent over the error of EM on the same data; `ddpm` only"),
        ),
    ),
    Section(
        "learning.modes.separations",
        "From cold starts, lists in the order of `separation`.",
        (
            ("separation", "unit of x", "distance of any two means"),
            ("RULE.recovered RULE.recovered_standard_error", "1", "share of the starts that recover every mean"),
        ),
    ),
)
