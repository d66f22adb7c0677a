"""The numbers of the study, declared."""

from scorelab.laws.section import Section

_ROWS = ("n strength", "signs, 1", "size, and lambda of each row; the other keys are lists over the rows")
_SAMPLED = (
    ("with_theta _standard_error", "1", "E <x, theta>^2/n^2 of samples with AMP; all errors are over matrices"),
    ("among _standard_error", "1", "E <x, x'>^2/n^2 of two samples"),
    ("gap _standard_error", "1", "the difference of the two; 0 in the mean if the posterior is sampled"),
    ("gap_largest", "1", "largest size of `gap`"),
)

SECTIONS = (
    Section(
        "synchronization",
        "Numbers of `study=synchronization`; docs/studies/synchronization.md explains them.",
        (("T steps", "1, steps", "end of stochastic localization, and its steps"),),
    ),
    Section(
        "synchronization.exact",
        "Small n.",
        (
            _ROWS,
            *_SAMPLED,
            ("with_theta_summed _standard_error", "1", "E <x, theta>^2/n^2 by sums over all states"),
            ("among_summed _standard_error", "1", "E <x, x'>^2/n^2 by sums over all states"),
        ),
    ),
    Section(
        "synchronization.large",
        "Large n.",
        (
            _ROWS,
            *_SAMPLED,
            ("spectral _standard_error", "1", "squared overlap of the leading eigenvector with theta"),
            ("spectral_limit", "1", "its limit as n grows, 1 - 1/lambda^2 or 0"),
            ("estimate _standard_error", "1", "squared cosine with theta of AMP from the leading eigenvector"),
            ("estimate_size _standard_error", "1", "|m|^2/n of the same"),
            ("bayes", "1", "their limit, the Bayes overlap q; that of `with_theta` and `among` is q^2"),
            ("off", "1", "largest distance of `with_theta` to q^2"),
        ),
    ),
)
