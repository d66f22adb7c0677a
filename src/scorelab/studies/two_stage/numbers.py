"""The numbers of the study, declared."""

from scorelab.laws.section import Section

_MEANS = tuple(f"stage{stage}_{name}_mean" for stage in (1, 2) for name in ("cosine", "norm", "distance"))
_ENDS = (
    (
        "stage1_cosine stage2_cosine",
        "1",
        "|cos| of the angle of mu to mu* at the end of a stage, a list over starts, `null` where a start has diverged",
    ),
    ("stage1_norm stage2_norm", "unit of x", "|mu|, as such a list"),
    ("stage1_distance stage2_distance", "unit of x", "the lesser of |mu - mu*| and |mu + mu*|, as such a list"),
    (
        " ".join(_MEANS),
        "as the list",
        "means over the starts that have not diverged, each with samples of its own",
    ),
    (
        " ".join(name.removesuffix("_mean") + "_standard_error" for name in _MEANS),
        "as the list",
        "standard errors of these means; absent where only one start came to an end",
    ),
    ("diverged_count", "starts", "how many starts diverged"),
    ("diverged", "list", "an entry with the next keys for each start that diverged"),
    ("diverged.start", "number from 0", "the start"),
    ("diverged.stage", "1 or 2", "stage in which it diverged"),
    (
        "diverged.step",
        "steps",
        "step at which the loss was not finite, or |mu| reached a thousand times |mu_0| + |mu*|",
    ),
)

SECTIONS = (
    Section(
        "two_stage",
        "Numbers of `study=two_stage`; docs/studies/two_stage.md has the derivations. The sign of mu is ignored, as "
        "the mixture does not determine it.",
        (
            ("objective protocol loss noise", "name", "as configured"),
            ("n", "coordinates", "dimension"),
            ("samples", "samples", "samples of a start"),
            ("t lr", "1", "signal-to-noise ratio and learning rate of the two stages, with the values of the protocol"),
            ("steps", "steps", "steps of the two stages"),
            ("norm_exact", "unit of x", "|mu*|"),
            ("initial_cosine", "1", "|cos| of the angle of mu_0 to mu*, a list over starts"),
            (
                "initial_argument",
                "1",
                "root mean square of the argument `<Y_t, mu_0>/(t+1)` of tanh in stage 1; a step is one of power "
                "iteration where it is far below 1",
            ),
            *_ENDS,
            (
                "floor floor_deviation",
                "unit of x",
                "mean and standard deviation of |mu_hat - mu*| for the mean mu_hat of the N samples with known signs: "
                "this distance has the law of chi_n/sqrt(N), with a mean of about sqrt(n/N). It is sqrt(1 + t) times "
                "as large where stage 2 has one draw of noise per sample, and 0 for the population",
            ),
            ("labelled_distance", "unit of x", "|mu_hat - mu*| for the samples of each start, a list over starts"),
            (
                "optimisation_error",
                "unit of x",
                "|mu - mu_hat| at the end, a list over starts: where the modes are far apart, the error that the "
                "descent itself leaves",
            ),
            (
                "high_noise.signal high_noise.norm",
                "1",
                "the numbers in grad E|X - m|^2 = t [norm |mu|^2 mu - signal (mu.mu*) mu*] to leading order in t, by "
                "quadrature",
            ),
            ("high_noise.signal_text high_noise.norm_text", "1", "these numbers as printed"),
        ),
    ),
    Section(
        "two_stage.population",
        "Descents from the same starts over the population; present where the loss is over samples.",
        _ENDS,
    ),
)
