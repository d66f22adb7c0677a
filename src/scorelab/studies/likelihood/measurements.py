"""What is measured: the errors of the denoiser along a chain, the bound that follows from them, and the flow."""

import dataclasses
import math
from dataclasses import dataclass

import torch

from scorelab.channel import mix
from scorelab.laws.estimate import Estimate
from scorelab.progress import Progress
from scorelab.randomness import signs, stream
from scorelab.studies.likelihood.flow import InDouble, field_of, log_prob
from scorelab.studies.likelihood.theory import Chain, Information

#: samples that the flow follows at a time; samples on which the error of its steps is measured
_BATCH, _FEW = 128, 32


@dataclass(frozen=True)
class Errors:
    """The squared error of a denoiser at several angles, and what is left of it without the Bayes risk.

    angles: (angles,), increasing. parts: (count, angles), |m - m_hat|^2 where the Bayes risk is known, else
    |X - m_hat|^2. risk: R at the angles, or None. last: the `learned` and, where it is known, the `exact` posterior
    mean at the last angle, (count, *shape).
    """

    angles: torch.Tensor
    parts: torch.Tensor
    risk: torch.Tensor | None
    last: dict[str, torch.Tensor]

    def at(self, angles):
        """The errors at some of the angles."""
        places = torch.searchsorted(self.angles, angles)
        risk = None if self.risk is None else self.risk[places]
        return Errors(self.angles[places], self.parts[:, places], risk, self.last)

    @property
    def mean(self):
        """E|X - m_hat|^2 at each angle."""
        mean = self.parts.mean(0)
        return mean if self.risk is None else self.risk + mean


@torch.no_grad()
def measure_errors(denoiser, target, clean, angles, information: Information | None, seed: int) -> Errors:
    """The errors over the clean samples (count, *shape), float64, each angle with noise of its own.

    information: of the target, for the Bayes risk; None where it is not known.
    """
    single = clean.float()
    learned, exact = denoiser.knowing(single, target)
    perfect = denoiser.exact and information is not None
    compared = information is not None
    parts = torch.zeros(len(clean), len(angles), dtype=torch.float64)
    last = {}
    with Progress("errors", len(angles), "angles") as progress:
        for number, angle in enumerate(angles.tolist()):
            ends = number == len(angles) - 1
            if perfect and not ends:
                continue
            noise = torch.randn(clean.shape, generator=stream(seed, "errors", number), dtype=torch.float64)
            x = mix(clean, noise, angle)
            mean = denoiser(x, angle) if denoiser.exact else learned(x.float(), angle).double()
            held = clean if not compared else mean if perfect else exact(x, angle)
            parts[:, number] = (held - mean).square().flatten(1).sum(1)
            if ends:
                last = {"learned": mean} | ({"exact": held} if compared else {})
            progress.update(number + 1)
    return Errors(angles, parts, information.risk(angles) if compared else None, last)


@dataclass(frozen=True)
class Bound:
    """The bound of one chain with one variance of its steps.

    start: L_T. steps: L_{T-1}, ..., L_0, (T,); total: their sum with L_T, in nats. standard_errors: of the steps, (T,).
    each: (count,), the part of the bound that differs from sample to sample, for standard errors and differences.
    exact: the same for the exact posterior mean, or None; start_gap, step_gaps: the KL divergences of its start and of
    its steps, (T,), of which the last is nan where the entropy is not known.
    """

    start: float
    steps: torch.Tensor
    standard_errors: torch.Tensor
    each: torch.Tensor
    exact: "Bound | None" = None
    start_gap: float = math.nan
    step_gaps: torch.Tensor | None = None

    @property
    def total(self) -> float:
        return self.start + float(self.steps.sum())

    def estimate(self, minus=0.0, each_minus=0.0, exact_minus=None) -> Estimate:
        """The total minus a number, whose part for each sample is `each_minus`, with its standard error."""
        each = self.each - each_minus
        error = float(each.std()) / math.sqrt(len(each))
        exact = None if self.exact is None else self.exact.total - (minus if exact_minus is None else exact_minus)
        return Estimate(self.total - minus, error or None, exact=exact)


def bound(chain: Chain, variance, errors: Errors, square, information, entropy, decode=None) -> Bound:
    """The bound of the chain for errors at its angles.

    square: |X|^2 of each sample, (count,), or its known mean. information: None where it is not known. entropy: h(X),
    or None. decode: a function of the means of x_0, (count, *shape), and the deviation of the decoder that returns
    -log p(x_0 | x_1), (count,); None for a Gaussian decoder, which has a closed form.
    """
    e = errors.mean
    steps, weights = chain.steps(variance, e), chain.weights(variance, e)
    parts = weights * errors.parts
    start = chain.start(square)
    if decode is not None:
        decoded = decode(errors.last["learned"], math.sqrt(float(chain.variances(variance, e)[-1])))
        parts, steps = torch.cat([parts[:, :-1], decoded.unsqueeze(1)], 1), _with_last(steps, decoded.mean())
    each = parts.sum(1)
    if torch.is_tensor(start):
        each, start = each + start, float(start.mean())
    found = Bound(float(start), steps, parts.std(0) / math.sqrt(len(parts)), each)
    if information is None:
        return found
    exact = chain.steps(variance, errors.risk)
    if decode is not None:
        deviation = math.sqrt(float(chain.variances(variance, errors.risk)[-1]))
        exact = _with_last(exact, decode(errors.last["exact"], deviation).mean())
    gained = information.information(chain.angles)
    end = gained.new_tensor([math.nan if entropy is None else entropy])
    gaps = exact - torch.cat([gained.diff(), end - gained[-1]])
    perfect = Bound(float(start), exact, torch.zeros_like(exact), torch.zeros_like(each))
    return dataclasses.replace(found, exact=perfect, start_gap=float(start - gained[0]), step_gaps=gaps)


def _with_last(steps, value):
    return torch.cat([steps[:-1], value.reshape(1)])


def mass_of_bins(clean, bins):
    """The function of means and a deviation that `bound` calls: minus the logarithm of the mass of the bin of each
    coordinate, summed over the coordinates, (count,)."""

    def decode(means, deviation):
        above = torch.where(clean > bins.high - bins.width / 2, math.inf, clean + bins.width / 2 - means)
        below = torch.where(clean < bins.low + bins.width / 2, -math.inf, clean - bins.width / 2 - means)
        # in the lower tail, where the distribution function keeps its digits
        flipped = below + above > 0
        low = torch.where(flipped, -above, below) / deviation
        high = torch.where(flipped, -below, above) / deviation
        log_low, log_high = torch.special.log_ndtr(low), torch.special.log_ndtr(high)
        return -(log_high + torch.log1p(-torch.exp(log_low - log_high))).flatten(1).sum(1)

    return decode


@torch.no_grad()
def flow_log_prob(denoiser, schedule, clean, options, seed: int):
    """log p(z) of the flow at z = clean, (count, estimates); and the largest change of it with half as many steps, over
    a few samples."""
    double = InDouble(denoiser, clean[:2], schedule.end_angle)
    probes = None
    if options.trace == "hutchinson":
        shape = (len(clean), options.probes, *clean.shape[1:])
        probes = signs(shape, stream(seed, "probes"), torch.float64)
    found = []
    with Progress("flow", len(clean), "samples") as progress:
        for first in range(0, len(clean), _BATCH):
            rows = slice(first, first + _BATCH)
            field = field_of(double, None if probes is None else probes[rows])
            found.append(log_prob(field, schedule, clean[rows], options.steps)[0])
            progress.update(min(first + _BATCH, len(clean)))
    field = field_of(double, None if probes is None else probes[:_FEW])
    coarse = log_prob(field, schedule, clean[:_FEW], options.steps // 2)[0]
    found = torch.cat(found)
    return found, float((coarse - found[:_FEW]).abs().max())
