"""The sections of metrics.json that several studies have: the run's own training and sampling, declared."""

from scorelab.laws.section import Section

_LOSSES = (
    ("loss", "unit of the objective", "objective, mean over the steps since the last row of training.csv"),
    (
        "bayes_risk _standard_error",
        "unit of the objective",
        "least value of the objective, which the exact posterior mean has, by quadrature over the angles; it has an "
        "error where the Bayes risk is not exact",
    ),
    (
        "excess_risk _standard_error",
        "unit of the objective",
        "E w(phi) |m - m_hat|^2 / n of the weights that are kept, over 2000 exact noisy states: the expected objective "
        "minus `bayes_risk`, where the loss is squared",
    ),
    ("validation_loss", "unit of the objective", "objective over held-out samples, where samples are held out"),
)

TRAINING = Section(
    "training",
    "Only `steps` and `seconds` are there if there was nothing to train. Losses are per coordinate, as the code of the "
    "paper prints them.",
    (
        *_LOSSES,
        ("steps", "steps", "steps of the optimiser"),
        ("seconds", "seconds", "time of the training alone, all pieces of a resumed training together"),
        ("samples_per_second", "samples/second", "training samples over that time, each counted in every epoch"),
    ),
)

PARTS = Section(
    "training.parts.PART",
    "For a denoiser that is trained in several parts, each part has its losses here.",
    (*_LOSSES, ("N", "samples", "samples of the part, with the held-out samples")),
)

SAMPLING = Section(
    "sampling",
    "",
    (
        (
            "nfe",
            "evaluations",
            "evaluations of the denoiser for one sample, or of an exact posterior; the mean where samples differ",
        ),
        ("count", "samples", "number of samples"),
        ("steps", "steps", "steps of the sampler"),
        ("output", "name", "what is taken of the last state, as configured"),
        ("first_t", "1", "signal-to-noise ratio tan^2 of the first angle > 0 of the grid, `null` where infinite"),
        ("end_angle", "radians", "last angle of the grid"),
        (
            "T",
            "1",
            "signal-to-noise ratio tan^2 of the last angle, which is the final time of stochastic localization; `null` "
            "where it is infinite",
        ),
        ("seconds", "seconds", "time of the sampling, writing included"),
        (
            "residual _standard_error",
            "unit of x",
            "where the denoiser solves equations for the posterior mean, as `denoiser=amp` does: the root mean square "
            "change of a coordinate in its last step, mean over the steps of the sampler and over samples",
        ),
    ),
)
