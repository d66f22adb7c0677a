"""The numbers of the study, declared."""

from scorelab.laws.section import Section

_LAW = "modified second_order ou"
_SAME = "the same exactly for the modified equation, for that of second order, and for the OU process"

SECTIONS = (
    Section(
        "sgd",
        "Numbers of `study=sgd`; delta = theta - theta*, gamma the step, g = gamma (`text`) or 2 gamma (`author`). "
        "docs/studies/sgd.md has the derivations.",
        (
            ("protocol gamma", "name, 1", "protocol; the step, or its number c in c/t"),
            ("threshold", "1", "gamma from which on the mean square of SGD grows without bound, exactly"),
            ("threshold_modified", "1", "the same for the modified equation"),
            ("growth", "1", "factor by which a step multiplies large second moments, exactly; stable below 1"),
            ("tenth_at hundredth_at", "steps", "first step at which the exact mean square is below 1/10, 1/100"),
        ),
    ),
    Section(
        "sgd.descent",
        "Runs from theta_0 at some steps, lists over them. Where runs diverged, means over runs say nothing, and the "
        "exact values stand alone.",
        (
            ("t", "steps", "of each entry"),
            ("mean_square _standard_error _exact", "1", "E|delta|^2 of SGD"),
            (_LAW, "1", f"{_SAME}; `null` beyond double precision"),
            ("theta_1 _standard_error _exact", "1", "E theta_1"),
            ("theta_2 _standard_error _exact", "1", "E theta_2"),
            ("variance_1 _standard_error _exact _modified _second_order _ou", "1", f"Var theta_1; {_SAME}"),
            ("variance_2 _standard_error _exact _modified _second_order _ou", "1", f"Var theta_2; {_SAME}"),
        ),
    ),
    Section(
        "sgd.end",
        "The same at the last step.",
        (
            ("mean_square _standard_error _exact", "1", "E|delta|^2 of SGD"),
            (_LAW, "1", _SAME),
            ("average _standard_error _exact", "1", "E|delta|^2 of the average of Polyak and Ruppert"),
            ("log10_square _standard_error", "1", "mean of log10 |delta|^2 over the runs"),
        ),
    ),
    Section(
        "sgd.diverged",
        "Runs with |delta|^2 above 1e6 (|theta_0 - theta*|^2 + sigma^2) at some step.",
        (
            ("share _standard_error", "1", "share of such runs"),
            ("first median last", "steps", "first step at which |delta|^2 is above: least, median, largest over runs"),
        ),
    ),
    Section(
        "sgd.stationary.STEP",
        "Steps of one size in the limit. Measured: long runs from theta*, over time and over runs; the transient that "
        "is left is below 1e-5 of the limit.",
        (
            ("gamma growth", "1", "the step, and the factor by which it multiplies large second moments"),
            ("mean_square _standard_error _exact", "1", "limit of E|delta|^2"),
            (_LAW, "1", _SAME),
            ("covariance _standard_error _exact", "1", "limit of E delta delta^T, its upper triangle row by row"),
            ("worst", "standard errors", "largest distance of an entry of the covariance from its exact value"),
        ),
    ),
    Section(
        "sgd.distance",
        "SGD and the equations at the time T, exactly.",
        (
            ("T", "1", "time: the sum of the g of all steps"),
            ("counts gamma", "steps, 1", "numbers of steps until T, and their size; lists"),
        ),
    ),
    Section(
        "sgd.distance.modified sgd.distance.second_order sgd.distance.ou",
        "Lists over the numbers of steps; an order is the slope against log g over the smaller half of the steps, with "
        "the error that its residuals leave.",
        (
            ("mean_square _order _order_standard_error", "1", "|E|delta|^2 - E|delta_SGD|^2| / E|delta_SGD|^2"),
            ("covariance _order _order_standard_error", "1", "|C - C_SGD| / |C_SGD| in the Frobenius norm"),
            (
                "gelbrich _order _order_standard_error",
                "1",
                "Wasserstein-2 distance of the normal laws with the moments of both, which no laws with them are below",
            ),
        ),
    ),
)
