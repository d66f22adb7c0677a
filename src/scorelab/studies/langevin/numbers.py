"""The numbers of the study, declared."""

from scorelab.laws.section import Section
from scorelab.studies.numbers import PARTS, TRAINING

SECTIONS = (
    TRAINING,
    PARTS,
    Section(
        "langevin",
        "The weights of the modes that each method of `study=langevin` finds. ULA has a prediction, the exact "
        "relaxation of the continuous dynamics, where the modes of the target have one standard deviation and means on "
        "a line; elsewhere it is not measured.",
        (
            ("count", "samples", "samples of a method"),
            ("tolerance", "1", "a weight this near to the exact one counts as found"),
            (
                "weight_exact weight_floor",
                "1",
                "weight of the first mode; standard error of its mean over as many exact samples",
            ),
            ("mode_weights_exact", "1", "weights of all modes"),
            (
                "w1_floor w1_floor_deviation",
                "multiples of |a|",
                "mean and standard deviation of the Wasserstein-1 distance over sets of as many exact samples",
            ),
        ),
    ),
    Section(
        "langevin.methods.METHOD",
        "At the largest budget of the method.",
        (
            ("evaluations", "evaluations", "evaluations of the score for one sample"),
            (
                "weight _standard_error",
                "1",
                "mean posterior weight of the first mode given the state at its own noise level; its expectation over "
                "exact states is the weight of the mode, whatever the overlap of the modes",
            ),
            ("mode_weights", "1", "mean posterior weights of all modes"),
            (
                "w1 _standard_error",
                "multiples of |a|",
                "Wasserstein-1 distance of the projection to the law of the target; bootstrap standard error",
            ),
            (
                "evaluations_needed",
                "evaluations",
                "least budget from which on all weights are within the tolerance; `null` where the last ones are not",
            ),
            ("weight_predicted", "1", "weight by the exact relaxation from the same start, after the same time"),
            ("relaxation_time", "(unit of x)^2", "1/lambda_1 of the generator"),
            ("relaxation_evaluations", "evaluations", "this time over the step size"),
        ),
    ),
    Section(
        "langevin.separations",
        "Two modes ever further apart, with the exact posterior mean.",
        (
            ("distance", "standard deviations", "list of the distances of the two means"),
            ("tolerance", "1", "a weight this near to the exact one counts as found"),
        ),
    ),
    Section(
        "langevin.separations.methods.METHOD",
        "Lists over the distances.",
        (
            (
                "evaluations _standard_error",
                "evaluations",
                "least number of evaluations from which on all weights are within the tolerance, `null` where it is "
                "not reached; bootstrap standard error",
            ),
            ("evaluations_predicted", "evaluations", "the least number by the exact relaxation"),
            ("budget", "evaluations", "largest number of evaluations that was allowed"),
        ),
    ),
)
