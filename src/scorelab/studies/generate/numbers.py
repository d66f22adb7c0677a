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
            "speciation time on; standard error of a share, which is not 0 where all paths agree; both for the "
            "exact paths",
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

SECTIONS = (TRAINING, PARTS, SAMPLING, PROJECTION, ORTHOGONAL, PATH_KL, POSTERIOR_MEAN, TRAJECTORIES)
