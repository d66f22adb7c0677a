"""Predictor-corrector sampling."""

import math
from typing import Any, ClassVar, Literal, NamedTuple

from pydantic import PrivateAttr

from scorelab.options import Natural, Positive
from scorelab.samplers.base import Sampler, Step
from scorelab.samplers.ddim import DDIM
from scorelab.samplers.reverse_sde import ReverseSDE
from scorelab.samplers.score import langevin_step, score


class Predicted(NamedTuple):
    """The predictor, its own state, and how many steps of the corrector are done."""

    rule: Sampler
    state: Any
    corrected: int = 0


class PredictorCorrector(Sampler):
    """A step of the predictor, then `corrections` steps of Langevin dynamics at the angle that it reached.

    Song et al., Score-Based Generative Modeling through SDEs (2021), algorithms 4 and 5: the corrector's step is
    2 (r E|z|/E|s|)^2, with r the ratio of signal to noise in the update. E|z| = sqrt(2) Gamma((n+1)/2)/Gamma(n/2). E|s|
    is a mean over a batch, as published. A job takes the batch of its pilot, so that a sample does not depend on the
    other samples; `simulate` alone takes the batch that it is given. On N(0, v I) the variance of the dynamics settles
    at v (1 + r^2) in every dimension.

    predictor: `ancestral` (Euler-Maruyama on the localization SDE), `reverse_sde`, or `ddim` (deterministic).
    corrections: steps of the corrector, >= 0. snr: r.
    """

    predictor: Literal["ancestral", "reverse_sde", "ddim"]
    corrections: Natural
    snr: Positive
    order: ClassVar[int] = 1
    remedy: ClassVar[str] = "a smaller sampler.snr or more sampler.steps may help"

    #: E|s| of every step of the corrector, which the pilot fills in; None outside of a job
    _lengths: list[float] | None = PrivateAttr(None)

    @property
    def evaluations(self) -> int:
        return 1 + self.corrections

    @property
    def _predictor(self) -> Sampler:
        if self.predictor == "reverse_sde":
            return ReverseSDE()
        return DDIM(eta=1.0 if self.predictor == "ancestral" else 0.0)

    def require(self, schedule, denoiser):
        self._predictor.require(schedule, denoiser)

    def prepare(self, pilot):
        """The rule with the mean lengths of the scores of the pilot batch."""
        if not self.corrections:
            return self
        rule = self.model_copy()
        rule._lengths = []
        pilot(rule)
        return rule

    def _length(self, scores, number):
        """E|s| for the step `number` of the corrector."""
        known = [] if self._lengths is None else self._lengths
        if number < len(known):
            return known[number]
        known.append(float(scores.flatten(1).norm(dim=1).mean()))
        return known[-1]

    def begin(self, schedule, angles):
        return Predicted(self._predictor, self._predictor.begin(schedule, angles))

    def step(self, denoiser, x, angle, next_angle, noise, state):
        rule, its_state, corrected = state
        x, its_state, _ = rule.step(denoiser, x, angle, next_angle, noise, its_state)
        for number in range(corrected, corrected + self.corrections):
            towards = score(denoiser, x, next_angle)
            ratio = _mean_length(x[0].numel()) / max(self._length(towards, number), 1e-12)
            x = langevin_step(x, towards, 2 * (self.snr * ratio) ** 2, noise)
        return Step(x, Predicted(rule, its_state, corrected + self.corrections))


def _mean_length(n: int) -> float:
    """E|z| of a standard normal z in n dimensions."""
    return math.sqrt(2) * math.exp(math.lgamma(0.5 * (n + 1)) - math.lgamma(0.5 * n))
