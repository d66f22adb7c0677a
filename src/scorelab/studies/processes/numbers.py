"""The numbers of the study, declared."""

from scorelab.laws.section import Section

_ERRORS = (
    ("evaluations", "evaluations", "evaluations of the posterior for one sample, a list, one entry a number of steps"),
    (
        "error _standard_error",
        "unit of the distance",
        "distance of the samples to the target, a list over them; the standard error is that over the sets, and at "
        "least that of as many sets of exact samples",
    ),
    ("error_last _standard_error _floor", "unit of the distance", "the last of this list"),
    (
        "end_error _standard_error",
        "unit of the distance",
        "distance of the outputs of exact last states: what stays of the error with infinitely many steps",
    ),
    (
        "evaluations_at_floor",
        "evaluations",
        "least number of evaluations from which on the error is above the floor by at most four standard errors of the "
        "distance of exact sets; `null` where it is not",
    ),
    (
        "largest_drift",
        "standard errors",
        "largest deviation of a coordinate of the mean posterior mean from the mean of the target, over angles: a few "
        "at most where posterior means are a martingale",
    ),
    ("risk_at_end", "1", "E|X - E[X|Y]|^2 over E|X - EX|^2 at the last angle: 0 where the process localizes"),
)

SECTIONS = (
    Section(
        "process_training.PROCESS",
        "The training of the posterior mean of each process of `study.learn`.",
        (
            ("loss", "squared unit of a coordinate", "mean squared error per coordinate in the last epochs"),
            (
                "excess_risk _standard_error",
                "squared unit of a coordinate",
                "E|m - m_hat|^2 / n of the weights that are kept, over 2000 exact states",
            ),
            ("steps", "steps", "steps of the optimiser"),
            ("seconds", "seconds", "time of the training"),
        ),
    ),
    Section(
        "processes",
        "Numbers of `study=processes`; processes.csv has every measurement with its standard error over "
        "`study.repeats` sets.",
        (
            ("distance", "name", "the distance: total variation over the states, or W1 of the projection"),
            (
                "error_floor error_floor_deviation",
                "unit of the distance",
                "mean and standard deviation of the distance over sets of as many exact samples",
            ),
        ),
    ),
    Section("processes.exact.PROCESS", "Each process with the exact posterior.", _ERRORS),
    Section("processes.learned.PROCESS", "Each process with the learned posterior mean.", _ERRORS[:5]),
)
