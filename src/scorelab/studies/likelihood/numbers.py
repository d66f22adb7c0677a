"""The numbers of the study, declared."""

from scorelab.laws.section import Section
from scorelab.studies.numbers import PARTS, TRAINING

_BITS = "bits a coordinate: nats over n log 2"

SECTIONS = (
    TRAINING,
    PARTS,
    Section(
        "likelihood",
        "Likelihoods of `study=likelihood`, in nats a sample, of exact samples. The `exact` value of a bound and of a "
        "gap is that of the exact posterior mean with the same chain; it is known where the Bayes risk is.",
        (
            ("n", "1", "coordinates of a sample"),
            ("count", "samples", "samples that errors and likelihoods are measured on"),
            ("steps", "steps", "length T of the longest chain, whose `bound` and `gap` stand here"),
            ("variance", "name", "variance of its reverse steps"),
            (
                "nll _standard_error _exact",
                "nats",
                "-log p, mean over the samples; exact: the differential entropy, by quadrature of the Bayes risk. With "
                "`study.bins`, the entropy of the states",
            ),
            ("bound _standard_error _exact", "nats", "the variational bound L of the chain"),
            (
                "gap _standard_error _exact",
                "nats",
                "the bound minus the entropy where it is known, else minus -log p, sample by sample",
            ),
            (
                "flow _standard_error _exact",
                "nats",
                "-log p of the probability flow, whose samples are x/sin at the last angle; exact: of an exact flow "
                "that starts from the exact law, on the same samples",
            ),
            (
                "flow_gap _standard_error _exact",
                "nats",
                "the flow's -log p minus the target's, sample by sample; exact: what the last angle alone makes of it",
            ),
            (
                "flow_step_error",
                "nats",
                "largest change of -log p of a sample with half as many steps, over 32 samples",
            ),
            ("flow_evaluations", "evaluations", "evaluations of the denoiser and its trace for one sample"),
            (
                "flow_probe_error",
                "nats",
                "the part of the standard error of `flow` that random directions make, where there are some",
            ),
            ("nll_bits_per_dimension _standard_error _exact", "bits", _BITS),
            ("bound_bits_per_dimension _standard_error _exact", "bits", _BITS),
            ("gap_bits_per_dimension _standard_error _exact", "bits", _BITS),
            ("flow_bits_per_dimension _standard_error _exact", "bits", _BITS),
            ("flow_gap_bits_per_dimension _standard_error _exact", "bits", _BITS),
        ),
    ),
    Section(
        "likelihood.chains.VARIANCE",
        "Lists over the lengths of the chains. Where the Bayes risk is known, the gap is the sum of the three "
        "divergences and `learned`.",
        (
            ("steps", "steps", "lengths T"),
            ("bound _standard_error _exact", "nats", "start + kernels + decoder"),
            ("gap _standard_error _exact", "nats", "the bound minus the negative log-likelihood, as above"),
            ("start", "nats", "L_T"),
            ("kernels", "nats", "sum of L_{t-1} over t = 2 ... T"),
            ("decoder", "nats", "L_0"),
            ("start_divergence", "nats", "KL(q(x_T) | p(x_T))"),
            (
                "kernels_divergence",
                "nats",
                "sum over t = 2 ... T of E KL(q(x_{t-1} | x_t) | p(x_{t-1} | x_t)) for the exact posterior mean: the "
                "price of Gaussian steps",
            ),
            ("decoder_divergence", "nats", "E KL(q(x_0 | x_1) | p(x_0 | x_1)) for the exact posterior mean"),
            (
                "learned _standard_error",
                "nats",
                "what the error of the denoiser adds: the bound minus that of the exact posterior mean",
            ),
        ),
    ),
)
