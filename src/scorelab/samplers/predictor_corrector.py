"""Predictor-corrector sampling."""

import math
from typing import Any, ClassVar, Literal, NamedTuple

from scorelab.options import Natural, Positive
from scorelab.samplers.base import Sampler, Step
from scorelab.samplers.ddim import DDIM
from scorelab.samplers.reverse_sde import ReverseSDE
from scorelab.samplers.score import langevin_step, score


class Predicted(NamedTuple):
    """The predictor, and its own state."""

    rule: Sampler
    state: Any


class PredictorCorrector(Sampler):
    """A step of the predictor, then `corrections` steps of Langevin dynamics at the angle that it reached.

    Song et al., Score-Based Generative Modeling through SDEs (2021), algorithms 4 and 5: the corrector's step is
    2 (r |z|/|s|)^2 with r the ratio of signal to noise in the update. Here |z| is sqrt(n)
    and |s| is the length of the sample's own score, so that a sample does not depend on the other samples of its batch.

    predictor: `ancestral` (Euler-Maruyama on the localization SDE), `reverse_sde`, or `ddim` (deterministic).
    corrections: steps of the corrector, >= 0. snr: r.
    """

    predictor: Literal["ancestral", "reverse_sde", "ddim"]
    corrections: Natural
    snr: Positive
    order: ClassVar[int] = 1
    remedy: ClassVar[str] = "a smaller sampler.snr or more sampler.steps may help"

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

    def begin(self, schedule, angles):
        return Predicted(self._predictor, self._predictor.begin(schedule, angles))

    def step(self, denoiser, x, angle, next_angle, noise, state):
        from scorelab.channel import aligned

        x, its_state, _ = state.rule.step(denoiser, x, angle, next_angle, noise, state.state)
        for _ in range(self.corrections):
            towards = score(denoiser, x, next_angle)
            length = aligned(towards.flatten(1).norm(dim=1).clamp_min(1e-12), x)
            x = langevin_step(x, towards, 2 * (self.snr * math.sqrt(x[0].numel()) / length) ** 2, noise)
        return Step(x, Predicted(state.rule, its_state))
