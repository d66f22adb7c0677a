"""Stage `analyse`: likelihood.csv, the section `likelihood` of metrics.json, and the arrays of the figure."""

import contextlib
import math
from dataclasses import replace

import torch

from scorelab.channel import HALF_PI
from scorelab.errors import ScorelabError
from scorelab.laws.estimate import Estimate
from scorelab.quadrature import NotResolved
from scorelab.randomness import stream, stream_seed
from scorelab.samplers.risk import risk_of
from scorelab.studies.likelihood import bits_per_dimension
from scorelab.studies.likelihood.measurements import bound, flow_log_prob, mass_of_bins, measure_errors
from scorelab.studies.likelihood.theory import Chain, Information

_DISCRETE = "the decoder gives masses of bins, and the flow has a density"


def run(study, context):
    """Measure the bound of every chain with every variance, and the flow; write the table, metrics.json and arrays."""
    target, schedule, denoiser = context.target, context.schedule, context.denoiser
    clean = target.sample(study.count, stream(context.seed, "likelihood"), torch.float64)
    risk = risk_of(schedule, target, denoiser)
    chains = {T: Chain(schedule.angles(T - 1, risk), schedule.start_std, target.n) for T in study.steps}
    angles = torch.unique(torch.cat([chain.angles for chain in chains.values()]))
    information, unknown = _information(target, schedule.end_angle)
    log_probs, nll, entropy = _exact(study, target, clean, information)
    errors = measure_errors(denoiser, target, clean, angles, information, stream_seed(context.seed, "likelihood"))
    decode = None if study.bins is None else mass_of_bins(clean, study.bins)
    square = clean.square().flatten(1).sum(1)
    if information is not None:  # E|X|^2 is known
        at_noise = target.posterior_mean(torch.zeros_like(clean[:1]), 0.0)
        square = information.variance + float(at_noise.square().sum())
    found = {
        (variance, T): bound(chain, variance, errors.at(chain.angles), square, information, entropy, decode)
        for variance in study.variances
        for T, chain in chains.items()
    }
    gaps = {key: _gap(one, nll, log_probs, entropy) for key, one in found.items()}
    rows = [
        {"steps": T, "variance": variance} | row
        for (variance, T), one in found.items()
        for row in _rows(chains[T], one, errors.at(chains[T].angles))
    ]
    context.write_table("likelihood.csv", rows)
    last = study.variance, max(study.steps)
    numbers = {"nll": nll, "bound": found[last].estimate(), "gap": gaps[last]}
    numbers |= _flow(study, context, clean, log_probs, nll.not_measured)
    for name in ("nll", "bound", "gap", "flow", "flow_gap"):
        numbers[f"{name}_bits_per_dimension"] = _in_bits(numbers[name], target.n)
    numbers["chains"] = {
        variance: _chains(study, variance, found, gaps, unknown, entropy is not None) for variance in study.variances
    }
    plain = {"n": target.n, "count": study.count, "steps": last[1], "variance": study.variance}
    context.update_metrics("likelihood", plain | numbers)
    if (context.run / "training.csv").is_file():
        context.save_arrays("training", context.read_table("training.csv", texts=("part",)))
    context.save_arrays("likelihood", _arrays(study, chains[last[1]], found, gaps, numbers))


def _information(target, end_angle):
    """The information, or None and why it is not known."""
    why = target.lacks("bayes_risk", "posterior_mean")
    if why is None and target.bayes_risk_and_error(torch.tensor([0.7], dtype=torch.float64))[1] is not None:
        why = "the Bayes risk of the target is not exact"
    if why is not None:
        return None, why
    try:
        return Information(target, end_angle), None
    except NotResolved as error:
        return None, str(error)


def _exact(study, target, clean, information):
    """log p of each sample or None, the negative log-likelihood, and its expectation or None."""
    if study.bins is not None:
        why = target.lacks("states")
        if why is not None:
            return None, Estimate.missing(f"the masses of the target's values are not known: {why}"), None
        weights = torch.softmax(target.states()[1], 0)
        entropy = float(torch.special.entr(weights).sum())
        return None, Estimate(entropy, exact=entropy), entropy
    why = target.lacks("density")
    if why is not None:
        return None, Estimate.missing(why), None
    try:
        log_probs = target.noisy_log_prob(clean, HALF_PI)
    except (ValueError, ScorelabError) as error:  # a law may have a density with noise alone
        return None, Estimate.missing(str(error)), None
    entropy = None
    if information is not None:
        with contextlib.suppress(NotResolved):
            entropy = information.entropy
    return log_probs, replace(Estimate.mean(-log_probs), exact=entropy), entropy


def _gap(one, nll, log_probs, entropy) -> Estimate:
    """The bound minus the negative log-likelihood: minus its expectation where this is known, else sample by sample."""
    if nll.not_measured is not None:
        return Estimate.missing(nll.not_measured)
    if entropy is not None:
        return one.estimate(entropy)
    return one.estimate(nll.value, -log_probs)


def _rows(chain, one, errors):
    """A row for each term: L_T, L_{T-1}, ..., L_0, with level t = T, T - 1, ..., 0."""
    T, nan = len(chain.angles), math.nan
    exact, gaps = one.exact, one.step_gaps
    square_errors = errors.parts.std(0) / math.sqrt(len(errors.parts))
    yield {
        **{"term": "start", "level": T, "angle": float(chain.angles[0])},
        **{"squared_error": nan, "squared_error_standard_error": nan, "nats": one.start, "nats_standard_error": nan},
        **{"nats_exact": nan if exact is None else exact.start, "divergence_exact": one.start_gap, "learned": 0.0},
    }
    for k in range(T):
        last = k == T - 1
        yield {
            "term": "decoder" if last else "step",
            "level": T - 1 - k,
            "angle": float(chain.angles[k]),  # of the state that the step leaves
            "squared_error": float(errors.mean[k]),
            "squared_error_standard_error": float(square_errors[k]),
            "nats": float(one.steps[k]),
            "nats_standard_error": float(one.standard_errors[k]),
            "nats_exact": nan if exact is None else float(exact.steps[k]),
            "divergence_exact": nan if gaps is None else float(gaps[k]),
            "learned": nan if exact is None else float(one.steps[k] - exact.steps[k]),
        }


def _chains(study, variance, found, gaps, unknown, entropy_known):
    """The numbers of one variance, lists over the lengths of the chains."""
    bounds = [found[variance, T] for T in study.steps]
    numbers = {"steps": list(study.steps), "bound": Estimate.together([one.estimate() for one in bounds])}
    mine = [gaps[variance, T] for T in study.steps]
    missing = next((gap for gap in mine if gap.not_measured is not None), None)
    numbers["gap"] = missing or Estimate.together(mine)
    numbers["start"] = [one.start for one in bounds]
    numbers["kernels"] = [float(one.steps[:-1].sum()) for one in bounds]
    numbers["decoder"] = [float(one.steps[-1]) for one in bounds]
    names = ("start_divergence", "kernels_divergence", "decoder_divergence", "learned")
    if unknown is not None:
        return numbers | {name: Estimate.missing(unknown) for name in names}
    numbers["start_divergence"] = [one.start_gap for one in bounds]
    numbers["kernels_divergence"] = [float(one.step_gaps[:-1].sum()) for one in bounds]
    numbers["decoder_divergence"] = (
        [float(one.step_gaps[-1]) for one in bounds]
        if entropy_known and study.bins is None
        else Estimate.missing("the entropy of the target is not known")
    )
    numbers["learned"] = Estimate.together([replace(one.estimate(one.exact.total), exact=None) for one in bounds])
    return numbers


def _in_bits(nats: Estimate, n) -> Estimate:
    parts = ("value", "standard_error", "exact")
    given = {part: getattr(nats, part) for part in parts if getattr(nats, part) is not None}
    return replace(nats, **{part: bits_per_dimension(value, n) for part, value in given.items()})


def _flow(study, context, clean, log_probs, unknown):
    """The negative log-likelihood by the flow, beside that of an exact flow on the same samples.

    unknown: why there is no log p of the samples, or None."""
    target, schedule, options = context.target, context.schedule, study.flow
    names = ("flow", "flow_gap")
    why = "study.flow.trace = none" if options.trace == "none" else _DISCRETE if study.bins is not None else None
    if why is not None:
        return {name: Estimate.missing(why) for name in names}
    clean, end = clean[: options.count], schedule.end_angle
    found, step_error = flow_log_prob(context.denoiser, schedule, clean, options, context.seed)
    if not bool(found.isfinite().all()):
        return {name: Estimate.missing("a path of the flow is not finite") for name in names}
    numbers = {"flow": Estimate.mean(-found.mean(1)), "flow_step_error": step_error}
    numbers["flow_evaluations"] = 4 * options.steps
    if options.trace == "hutchinson":
        spread = found.var(1) / options.probes
        numbers["flow_probe_error"] = math.sqrt(float(spread.mean()) / len(clean))
    if log_probs is None:
        return numbers | {"flow_gap": Estimate.missing(unknown)}
    gap, sin = Estimate.mean(log_probs[: options.count] - found.mean(1)), math.sin(end)
    at_end = target.n * math.log(sin) + target.noisy_log_prob(sin * clean, end)
    numbers["flow"] = replace(numbers["flow"], exact=-float(at_end.mean()))
    return numbers | {"flow_gap": replace(gap, exact=float((log_probs[: options.count] - at_end).mean()))}


def _arrays(study, chain, found, gaps, numbers):
    """The arrays of the figure: terms of the longest chain with the variance of the table, and gaps over `steps`."""
    one = found[study.variance, len(chain.angles)]
    arrays = {"angles": chain.angles.numpy(), "levels": torch.arange(len(chain.angles), 0, -1).numpy()}
    arrays |= {"terms": one.steps.numpy(), "terms_standard_error": one.standard_errors.numpy()}
    if one.exact is not None:
        arrays |= {"terms_exact": one.exact.steps.numpy(), "divergence": one.step_gaps.numpy()}
        arrays["learned"] = (one.steps - one.exact.steps).numpy()
    arrays |= {"steps": study.steps, "variances": study.variances, "variance": study.variance}
    measured = gaps[study.variance, study.steps[0]].not_measured is None
    arrays["quantity"] = "gap" if measured else "bound"
    for variance in study.variances:
        mine = [gaps[variance, T] if measured else found[variance, T].estimate() for T in study.steps]
        for part in ("value", "standard_error", "exact"):
            values = [getattr(each, part) for each in mine]
            arrays[f"{variance}.{part}"] = [math.nan if value is None else value for value in values]
    flow = numbers["flow_gap"]
    if flow.not_measured is None:
        arrays |= {"flow": flow.value, "flow_standard_error": flow.standard_error, "flow_exact": flow.exact}
    return arrays
