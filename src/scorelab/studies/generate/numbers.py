"""The numbers of the main job, declared."""

from scorelab.laws.section import Section
from scorelab.metrics.numbers import ORTHOGONAL, PATH_KL, POSTERIOR_MEAN, PROJECTION
from scorelab.studies.numbers import PARTS, SAMPLING, TRAINING


def _commitment(name: str, threshold: str) -> tuple:
    """Rows of the times of commitment to a threshold."""
    return (
        (
            f"{name} _standard_error _exact _exact_standard_error",
            "1",
            f"median of the time t = tan^2 from which on gamma of a path's final mode stays at {threshold} or more; "
            "bootstrap standard error; both for the exact paths",
        ),
        (
            f"{name}_quartiles _standard_error _exact _exact_standard_error",
            "1",
            "lower and upper quartile of this time, as a list, with the same companions",
        ),
    )


TRAJECTORIES = Section(
    "trajectories",
    "Numbers of the paths of the first `study.trajectories` samples: the same denoiser, grid and random numbers, "
    "observed along the grid. Without paths there is only `count` = 0, as for a sampler that stays at one "
    "angle (`ula`, `mala`); a target with one mode has `count` and the laws.\n\n"
    "*Exact paths* are paths of Y_t = t X + W_t on the same grid, X drawn from the target: the time reversal of the "
    "noising process, which is the same under every clock. A sampler that draws no noise (`ddim`, `heun` ...) or runs "
    "a chain at each angle (`annealed_langevin`) has the same laws but other paths, whose commitment need not agree "
    "with the exact one. gamma_k(x) is the exact posterior weight of mode k; the final mode of a path is the mode with "
    "the largest weight at the end of the path.\n\n"
    "The weights are observed at 400 times, evenly spaced in log t from a hundredth to a hundred times the speciation "
    "time, and at both ends of the grid. Between two points of the grid a path is completed by a Brownian bridge, the "
    "exact law of Y_t between two of its values. So numbers of runs on different grids can be compared. They cannot "
    "where the target has no speciation time, as the weights are then observed on the grid. A sampler that draws no "
    "noise gets the same bridges.\n\n"
    "A time of commitment is linear in the angle between two of these times; it is the first of them, 0 for a grid "
    "that begins at 0, where the weight never is seen below the threshold, and `null` where it still is below it at "
    "the end. Its standard error is 0 where the quantile is the first time in every bootstrap set. What happens "
    "between two of the times is not seen: the median `commitment_t` of exact paths of the default is 0.006, and 0.007 "
    "where they are seen at 4000 times.",
    (
        ("count exact_count", "paths", "number of paths of the sampler, and of exact paths"),
        *_commitment("commitment_t", "1/2"),
        *_commitment("commitment_90_t", "0.9"),
        (
            "speciation_t",
            "1",
            "speciation time, by quadrature: E[1 - sum_k gamma_k^2] is half of 1 - sum_k w_k^2 there, its value "
            "without any signal; for two modes E[gamma (1 - gamma)] = p (1 - p)/2, where the posterior weight has half "
            "the variance of a mode that is known; `null` if it is never reached",
        ),
        (
            "switched_after_speciation _standard_error _exact _exact_standard_error",
            "1",
            "share of the paths whose leading mode was not their final one at some time of observation from the "
            "speciation time on; standard error of a share, which is not 0 where all paths agree; both for the exact "
            "paths",
        ),
        (
            "law_angle",
            "radians",
            "list of six angles of the grid, the last one among them, evenly spaced in half the angle plus half the "
            "exact information about the projection; the next keys are lists over these angles",
        ),
        ("law_t", "1", "signal-to-noise ratio tan^2 of these angles"),
        (
            "law_w1 _standard_error",
            "multiples of |a|",
            "Wasserstein-1 distance of the projections `<x_phi, a>/|a|^2` to their exact law; bootstrap standard error",
        ),
        (
            "law_w1_floor law_w1_floor_deviation",
            "multiples of |a|",
            "mean and standard deviation of this distance over sets of as many exact states",
        ),
    ),
)

IMAGES = Section(
    "images",
    "Numbers of generated images, for a target that is a set of images. The floor is the same number of images of the "
    "same kind: of those that are held out, or of as many training images; `floor_deviation` is its standard error. "
    "A sampler that copies the training images has `memorised` = 1.",
    (
        ("count", "images", "training images: the points of the law"),
        ("data", "digits", "sixteen digits that tell these training and held-out images from others"),
        (
            "memorised _standard_error _floor _floor_deviation",
            "1",
            "share of the samples whose nearest training image is at less than 1/3 of the distance to the second "
            "nearest; the floor is the share of the held-out images",
        ),
        (
            "nearest_ratio _standard_error _floor _floor_deviation",
            "1",
            "median of the distance to the nearest training image over that to the second nearest; bootstrap standard "
            "error; the floor is that of the held-out images",
        ),
        (
            "sliced_w1 _standard_error _floor _floor_deviation",
            "unit of x",
            "Wasserstein-1 distance of the projections on a direction, between samples and held-out images, mean over "
            "128 random directions of length 1; of at most 4096 images of each, and no more samples than training "
            "images; bootstrap standard error over both sets; the floor is the distance of as many training images to "
            "the same held-out images",
        ),
        (
            "mmd_squared _standard_error _floor _floor_deviation",
            "1",
            "unbiased estimate of the squared maximum mean discrepancy of the same sets, for the mean of three "
            "Gaussian kernels, of a half, one and two median distances of images; it may be negative; jackknife "
            "standard error, too large by a root of 2 at most where both sets have one law; the floor is as for "
            "`sliced_w1`",
        ),
        (
            "classifier_accuracy _standard_error",
            "1",
            "share of the held-out images whose class a fixed classifier finds, kernel ridge regression on 4096 "
            "training images at most",
        ),
        (
            "recognised _standard_error _floor _floor_deviation",
            "1",
            "share of the samples whose class the classifier gives with the confidence of at least the 5 per cent "
            "quantile over the held-out images of the right class; the floor is the share of all held-out images, 0.95 "
            "of those of the right class by construction",
        ),
        (
            "class_distance _standard_error _floor _floor_deviation",
            "1",
            "total variation between the classes that the classifier gives to the samples and those of the training "
            "images; bootstrap standard error; the floor is its mean for as many draws of the classes themselves",
        ),
        ("class_shares _exact", "1", "shares of the classes among the samples, and among the training images"),
    ),
)

DATA = Section(
    "data",
    "Numbers of samples beside the data, for a target that is a set of samples (`target=samples`). The floor is the "
    "same number of data that are held out, or of as many data of the law; `floor_deviation` is its standard error. A "
    "sampler that copies the data has `memorised` = 1.",
    (
        ("count", "samples", "the points of the law"),
        ("data", "digits", "sixteen digits that tell these data and those held out from others"),
        *(
            (name, unit, text.replace("training images", "data").replace("images", "data").replace("image", "sample"))
            for name, unit, text in IMAGES.rows[2:6]
        ),
    ),
)

GENERALISATION = Section(
    "generalisation",
    "For a target that is a set of images, or of other samples, which are then meant by images: lists over angles, "
    "squared errors on noisy images. m is the exact posterior mean of the law of the training images, which is the "
    "optimum of the training loss and copies them. Where `error_held_out` is below `optimum_held_out` the denoiser has "
    "learned more than its training images.",
    (
        ("angle", "radians", "angle of the noisy states"),
        ("t", "1", "signal-to-noise ratio tan^2 of the angle"),
        *(
            row
            for kind, meaning in (
                ("gap", "E|m_hat - m|^2, how far the denoiser is from the optimum"),
                ("error", "E|X - m_hat|^2, the denoising error of the denoiser"),
                ("optimum", "E|X - m|^2, the denoising error of the optimum"),
            )
            for row in (
                (f"{kind}_train _standard_error", "(unit of x)^2", f"{meaning}, on noisy training images"),
                (f"{kind}_held_out _standard_error", "(unit of x)^2", "the same on noisy images that are held out"),
            )
        ),
    ),
)

SECTIONS = (
    TRAINING,
    PARTS,
    SAMPLING,
    PROJECTION,
    ORTHOGONAL,
    PATH_KL,
    POSTERIOR_MEAN,
    TRAJECTORIES,
    IMAGES,
    DATA,
    GENERALISATION,
)
