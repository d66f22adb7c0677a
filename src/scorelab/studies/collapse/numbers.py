"""The numbers of the study, declared."""

from scorelab.laws.section import Section
from scorelab.studies.numbers import PARTS, TRAINING

_TRACE = ("trace _standard_error", "1", "mean of |x - mean_k|^2/(n s_k^2), k the mode of x")
_NEIGHBOUR = ("neighbour _standard_error", "1", "mean distance to the nearest other sample")
_TRAINING = ("training _standard_error", "1", "mean distance to the nearest training sample")
_FLOOR = "standard deviation of the statistic over sets of as many exact samples, as a share of its mean"
_PHASES = ("high", "low")


def _in_phases(name: str) -> str:
    """The keys of a number and its standard error, at high and at low noise."""
    return " ".join(f"{phase}_{name} {phase}_{name}_standard_error" for phase in _PHASES)


SECTIONS = (
    TRAINING,
    PARTS,
    Section(
        "collapse",
        "Numbers of `study=collapse`; bands.csv, concentration.csv and trade.csv have the tables, "
        "docs/studies/collapse.md the definitions. Each of `trace`, `participation`, `neighbour` and `training` is "
        "over its mean on sets of as many exact samples: 1 for an exact sampler.",
        (
            ("count", "samples", "samples of `exact`, `learned` and `kinds`"),
            ("size", "1", "size of the shrinkage of `bands`, over the root of the Bayes risk"),
            (
                "crossing_angle",
                "radians",
                "atan(1/s), where the signal is as large as the noise: both kinds of sampler lose as much there",
            ),
            ("floor.STATISTIC", "1", _FLOOR),
            (
                "mode_weight_exact mode_weight_floor",
                "1",
                "weight of the first mode; standard error of `mode_weight` for as many exact samples",
            ),
        ),
    ),
    Section(
        "collapse.bands.METHOD",
        "Lists over bands of angles.",
        (
            ("low high", "radians", "ends of a band"),
            (
                "lost _standard_error",
                "1",
                "share of the variance within the modes that a posterior mean shrunk in this band costs, against "
                "samples of the same random numbers with the exact one",
            ),
            (
                "predicted",
                "1",
                "this share by the closed form; not measured where the modes differ in their standard deviation",
            ),
        ),
    ),
    Section(
        "collapse.exact.METHOD collapse.learned.METHOD collapse.kinds.KIND.METHOD.BAND",
        "`exact`: with the exact posterior mean. `learned`: with the denoiser of the run, unless it is exact. `kinds`: "
        "with an error of a kind at `high_noise`, at `low_noise` and at `all` angles.",
        (
            _TRACE,
            (
                "participation _standard_error",
                "1",
                "tr(C)^2/(n tr(C^2)) of the covariance C within a mode, averaged with the shares of the modes",
            ),
            _NEIGHBOUR,
            (*_TRAINING[:2], f"{_TRAINING[2]}; for a trained denoiser alone"),
            (
                "mode_weight _standard_error",
                "1",
                "mean posterior weight of the first mode, not divided by anything",
            ),
        ),
    ),
    Section(
        "collapse.memory",
        "Where the posterior mean of the training samples takes the place of the exact one up to an angle.",
        (("floor.STATISTIC", "1", _FLOOR),),
    ),
    Section(
        "collapse.memory.METHOD",
        "Lists over the angle.",
        (("angle", "radians", "angle up to which the samples are remembered"), _TRAINING, _NEIGHBOUR, _TRACE),
    ),
    Section(
        "collapse.shrinkage",
        "For a trained denoiser, if all modes have one standard deviation s; lists over angles.",
        (
            ("angle psi", "radians", "angle, and psi with tan(psi) = s tan(angle)"),
            ("size _standard_error", "1", "size of the shrinkage, over the root of the Bayes risk within the modes"),
            ("error", "1", "root mean square of m_hat - m, over the same root"),
            (
                "first_order_loss.METHOD",
                "1",
                "share of the variance within the modes that this shrinkage costs to first order; the rest of the "
                "error adds to the variance",
            ),
        ),
    ),
    Section(
        "collapse.trade.WIDTH",
        "Errors of the velocity per coordinate, means over `study.trade.repeats`, in the phases of `high_` and `low_` "
        "noise.",
        (
            (_in_phases("alone"), "(unit of x)^2", "error of a network that is trained in this phase only"),
            (
                _in_phases("shared"),
                "(unit of x)^2",
                "error of a network that is trained half and half in both phases with as many steps; absent without "
                "0.5 in `study.trade.shares`",
            ),
            (_in_phases("cost"), "1", "`shared` over `alone`, as a mean of ratios; absent with `shared`"),
            (
                _in_phases("both"),
                "(unit of x)^2",
                "error of a network that is trained half and half with twice as many steps, the budget of two networks "
                "of one phase",
            ),
            (_in_phases("interference"), "1", "`both` over `alone`, as a mean of ratios"),
        ),
    ),
)
