"""The spiked model: a sign vector seen through a noisy matrix."""

import torch

from scorelab.claims import CORRECTED, Evidence, at_least, claim, equal
from scorelab.claims.panels import panel, panels
from scorelab.laws.estimate import mean_and_error
from scorelab.laws.spin_sums import all_states
from scorelab.studies.synchronization import theory


@claim(
    "S1-07",
    source="CS 224 lecture 24, section 3, posterior sampling from the spiked model",
    statement="With A = (beta/n) theta theta^T + W, W with entries N(0, 1/n), P(theta|A) ~ exp(-beta/2 <x, A x>).",
    corrected="P(theta|A) ~ P(theta) exp(+beta/2 <theta, A theta>) for a symmetric W (N(0, 1/n) above the diagonal), "
    "and P(theta) exp(+beta <theta, A theta>) if all n^2 entries are independent, as the paragraph before has them.",
    recorded=CORRECTED,
    fault="misprint",
    finding="All 2^{n} vectors, uniform prior, Bayes' rule from the densities of the entries of A. The printed law is "
    "away from it by up to {printed_symmetric:.3g} in total variation for a symmetric W, and "
    "{printed_independent:.3g} for independent entries: the sign is wrong. With + it is exact for a symmetric W, "
    "{symmetric:.1g}; independent entries say twice as much, and need beta in place of beta/2: {independent:.1g} "
    "(beta/2: {half:.3g}). At beta = {beta:g} and a symmetric W the posterior's mean squared overlap with theta is "
    "{bayes:.3g} ± {bayes_error:.1g}, that of the printed law {printed:.3g} ± {printed_error:.1g}, below the "
    "{prior:g} of a guess: it avoids what A points at. The sign is that of the Sherrington-Kirkpatrick model above "
    "it, where W and -W have one law and it does not matter; nothing else in the section uses it. The threshold beta "
    "= 1 that it names is that of a symmetric W.",
)
def spiked_posterior(budget):
    """Enumerate all sign vectors."""
    n, betas = budget.of(10, 8), (0.5, 1.0, 2.0, 3.0)
    vectors, theta = all_states(n), torch.ones(n, dtype=torch.float64)
    theta[::3] = -1
    distances = {}
    for symmetric in (True, False):
        for beta in betas:
            observed = theory.observe(theta, beta, symmetric, 8, budget.stream("law", int(symmetric)))
            exact = theory.bayes(observed, vectors, beta, symmetric)
            for name, form in (
                ("printed", theory.printed_log_posterior),
                ("half", theory.log_posterior_of_symmetric_noise),
                ("whole", theory.log_posterior_of_independent_noise),
            ):
                off = theory.total_variation(theory.posterior(form, observed, vectors, beta), exact)
                distances[name, symmetric] = max(off, distances.get((name, symmetric), 0.0))

    curve = [_mean_overlaps(beta, vectors, theta, budget) for beta in betas]
    exact, printed, errors, printed_errors = zip(*curve, strict=True)
    at = betas.index(2.0)
    picture = panel(
        "Posterior against theta",
        betas,
        {"Bayes": exact, "printed": printed},
        errors={"Bayes": errors, "printed": printed_errors},
        dashed={"a guess": [1 / n] * len(betas)},
        xlabel="strength beta",
        ylabel="squared overlap",
    )

    def none(what, key):
        return equal(f"largest total variation distance to Bayes' rule: {what}", distances[key], 0, tolerance=1e-10)

    return Evidence(
        stated=[
            none("-beta/2, symmetric W", ("printed", True)),
            none("-beta/2, independent entries", ("printed", False)),
        ],
        corrected=[
            none("beta/2, symmetric W", ("half", True)),
            none("beta, independent entries", ("whole", False)),
            at_least("beta/2, independent entries: the distance is not 0", distances["half", False], 0.01),
        ],
        numbers={
            "n": n,
            "printed_symmetric": distances["printed", True],
            "printed_independent": distances["printed", False],
            "symmetric": distances["half", True],
            "independent": distances["whole", False],
            "half": distances["half", False],
            "beta": betas[at],
            "bayes": exact[at],
            "bayes_error": errors[at],
            "printed": printed[at],
            "printed_error": printed_errors[at],
            "prior": 1 / n,
        },
        figures={"claim": panels(picture)},
    )


def _mean_overlaps(beta, vectors, theta, budget):
    """Mean squared overlaps of Bayes' rule and of the printed law over draws of a symmetric A, and the standard
    errors of the two means."""
    count = budget.of(400, 40)
    observed = theory.observe(theta, beta, True, count, budget.stream("overlap"))
    forms = theory.log_posterior_of_symmetric_noise, theory.printed_log_posterior
    laws = (theory.posterior(form, observed, vectors, beta) for form in forms)
    (exact, exact_error), (printed, printed_error) = (
        mean_and_error(theory.overlaps(law, vectors, theta)) for law in laws
    )
    return exact, printed, exact_error, printed_error
