"""The numbers of the study, declared."""

from scorelab.laws.section import Section

_ENERGY = "energy _standard_error"
_OVERLAP = "overlap _standard_error"
_ROW = ("beta n", "1, spins", "inverse temperature and size of each row; the other keys are lists over the rows")

SECTIONS = (
    Section(
        "spin_glass",
        "Numbers of `study=spin_glass`; docs/studies/spin_glass.md has the derivations.",
        (
            ("T steps", "1, steps", "end of stochastic localization, and its steps"),
            ("products", "products", "products of A with a vector for one sample, at most"),
        ),
    ),
    Section(
        "spin_glass.exact",
        "Small n, against sums over all states; means over several matrices, whose errors are of the samples.",
        (
            _ROW,
            (
                "correlations _standard_error _floor",
                "1",
                "root mean square error of E x_i x_j over pairs; the floor is that of as many exact samples",
            ),
            (
                "correlations_with_exact_mean _standard_error _floor",
                "1",
                "the same for the sampler with the exact posterior mean, on the same paths",
            ),
            (
                "distance _standard_error",
                "1",
                "E |x - x'|^2/n of coupled samples with the posterior mean of AMP and the exact one, a bound of W2^2/n "
                "between the two laws; its error is over matrices",
            ),
            (f"{_ENERGY} _exact", "1", "E <x, A x>/n"),
            (f"{_OVERLAP} _exact", "1", "n E R^2 of the overlap R of two samples"),
            (
                "error_over_floor",
                "1",
                "largest `correlations` over its floor, beta < 1; `null` if there is no such beta",
            ),
        ),
    ),
    Section(
        "spin_glass.large",
        "Large n, one matrix for each, against the limits as n grows; these are `null` from beta = 1 on.",
        (
            _ROW,
            (f"{_ENERGY} _exact energy_limit", "1", "E <x, A x>/n; exact where n <= 22; its limit beta"),
            (f"{_OVERLAP} overlap_limit", "1", "n E R^2; its limit 1/(1 - beta^2)"),
            ("half_the_steps _standard_error", "1", "E |x - x'|^2/n of coupled samples, x' with half the steps"),
            ("half_the_iterations _standard_error", "1", "the same, x' with half the iterations of AMP and descent"),
            (
                "energy_off overlap_off",
                "1",
                "largest error over the limit at the largest n, beta < 1; `null` if there is no such beta",
            ),
        ),
    ),
    Section(
        "spin_glass.iterates",
        "The iterates of AMP at the largest n beside state evolution, rows over beta, t and k.",
        (
            ("beta t n k", "1, 1, spins, iteration", "of the row"),
            ("overlap _standard_error", "1", "|m^k|^2/n, with its error over matrices"),
            ("predicted", "1", "the same by state evolution, as n grows"),
            ("off", "1", "largest difference of the two, beta < 1; `null` if there is no such beta"),
        ),
    ),
    Section(
        "spin_glass.chains",
        "The diffusion, Glauber dynamics and parallel tempering on one matrix, rows over method, beta and cost.",
        (
            ("method beta cost", "name, 1, products", "of the row; cost: products of A with a vector for one sample"),
            (f"{_ENERGY} _exact energy_limit", "1", "as in `large`"),
            (f"{_OVERLAP} overlap_limit", "1", "as in `large`"),
        ),
    ),
    Section(
        "spin_glass.glauber",
        "The exact speed of Glauber dynamics, rows over n and beta.",
        (
            ("n beta", "spins, 1", "of the row"),
            ("rate", "1/sweep", "n times the spectral gap; 1 for independent spins"),
            ("bound", "1/sweep", "its lower bound 1 - beta (lambda_max - lambda_min), which tends to 1 - 4 beta"),
        ),
    ),
)
