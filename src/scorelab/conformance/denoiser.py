"""The check of a denoiser against a target whose posterior mean is known."""

import math
from dataclasses import dataclass
from functools import cached_property

import torch

from scorelab.channel import mix
from scorelab.conformance import answers, derivatives, laws, posterior
from scorelab.conformance.checking import Check
from scorelab.conformance.means import as_denoiser
from scorelab.conformance.report import NotMeasured, Report
from scorelab.devices import on
from scorelab.errors import ScorelabError, require_number
from scorelab.metrics.posterior_mean import published_angles
from scorelab.randomness import stream
from scorelab.targets import Target

#: the largest relative error, squared, of a denoiser that is `exact`, unless it claims another one
EXACT = 1e-6


@dataclass(frozen=True)
class Level:
    """Exact states at one angle, and what the denoiser and the exact posterior mean say of them.

    angle: in radians. clean, noise, x, found, exact: (count, n), float64.
    """

    angle: float
    clean: torch.Tensor
    noise: torch.Tensor
    x: torch.Tensor
    found: torch.Tensor
    exact: torch.Tensor


def check_denoiser(
    denoiser,
    *,
    target=None,
    convention=None,
    tolerance: float | None = None,
    angles=None,
    count: int = 4096,
    seed: int = 0,
    name: str | None = None,
    only=None,
) -> Report:
    """Check a denoiser against a target whose posterior mean is known, and return a `Report`.

    denoiser: a function denoiser(x, angle) that returns the posterior mean E[X | x] of x = sin(angle) X + cos(angle) G,
        with x (count, *shape) and the angle in radians, a number or (count,); a `scorelab.denoisers.Denoiser`; or a
        torch module, which is checked in the mode that it is in.
    target: a `scorelab.targets.Target` with samples and a posterior mean. None takes `denoiser.target` if there is one,
        and else `scorelab.conformance.laws.mixture()`, two modes in R^4.
    convention: a `scorelab.denoisers.Convention`; the denoiser is then model(state, time), and answers in it.
    tolerance: the largest E|m_hat - m|^2/E|m|^2 at any noise level that it claims; None claims nothing, but 1e-6 for a
        denoiser whose attribute `exact` is true.
    angles: the noise levels, in (0, pi/2); by default the twelve of the semester paper.
    count: exact states at each noise level. name: in the report. only: names of the properties to check; None checks
    all of them.

    Raises ScorelabError for a denoiser that cannot be called, a target without samples, and angles, numbers or names
    that are not allowed.
    """
    check = DenoiserCheck(denoiser, target, convention, tolerance, angles, count, seed, name)
    return check.report(only)


class DenoiserCheck(Check):
    """The check of one denoiser: exact states at each noise level, and its answers there.

    function: the denoiser as it was given. denoiser: the same as a denoiser of ours, which is watched.
    """

    functions = answers.PROPERTIES + posterior.PROPERTIES + derivatives.PROPERTIES

    def __init__(
        self, function, target=None, convention=None, tolerance=None, angles=None, count=4096, seed=0, name=None
    ):
        super().__init__(name or getattr(function, "__name__", type(function).__name__))
        self.function, self.convention, self.count, self.seed = function, convention, count, seed
        self.denoiser = as_denoiser(function, convention)
        own = getattr(function, "target", None)
        self.target = target if target is not None else own if isinstance(own, Target) else laws.mixture()
        self.tolerance = EXACT if tolerance is None and getattr(function, "exact", False) is True else tolerance
        self.angles = published_angles() if angles is None else [float(angle) for angle in angles]
        for key, value, least in (("count", count, 16), ("seed", seed, 0)):
            require_number(key, value, least, whole=True)
        if not self.angles or not all(0 < angle < math.pi / 2 for angle in self.angles):
            raise ScorelabError(f"angles = {self.angles}: numbers in (0, pi/2) are needed")
        if tolerance is not None:
            require_number("tolerance", tolerance, 0)
        if not isinstance(self.target, Target):
            raise ScorelabError(f"target = {self.target!r}: a scorelab.targets.Target is needed")
        self.n = self.target.n
        self._learn_to_ask()

    def _learn_to_ask(self):
        """Find out whether the denoiser takes one angle for all states, and double precision."""
        self.dtype = torch.float64
        x = self.target.sample(2, stream(self.seed, "first")).to(self.denoiser.device)
        forms = [(each, dtype) for each in (False, True) for dtype in (torch.float64, torch.get_default_dtype())]
        for each, dtype in forms:
            self.denoiser.each, self.dtype = each, dtype
            try:
                if self.ask(x.to(dtype), 0.7).dtype == dtype:
                    return
            except Exception:  # what is wrong is told by the property that it breaks
                continue
        self.denoiser.each, self.dtype = False, torch.get_default_dtype()

    def first_call(self):
        """What is wrong with the answers for two states."""
        return answers.wrong_answer(self.states(0.7, 2)[-1], self.ask(self.states(0.7, 2)[-1], 0.7))

    @property
    def without_verdict(self):
        return frozenset({"path_kl", "lipschitz", *(["error"] if self.tolerance is None else [])})

    def ask(self, x, angle):
        """The answer of the denoiser, without a derivative."""
        with torch.no_grad():
            return self.denoiser(x, angle)

    def states(self, angle: float, count: int):
        """Exact states of a noise level: clean, noise and x, (count, *shape), in the type that the denoiser takes."""
        generator = stream(self.seed, "states", round(angle * 1e6))
        clean = self.target.sample(count, generator, torch.float64).to(self.dtype)
        noise = torch.randn(clean.shape, generator=generator, dtype=torch.float64).to(self.dtype)
        clean, noise = (each.to(self.denoiser.device) for each in (clean, noise))
        return clean, noise, mix(clean, noise, angle)

    def exact(self, x, angle):
        """The exact posterior mean, float64; shape of x. Raises NotMeasured where the target does not know it."""
        why = self.target.lacks("posterior_mean")
        if why is not None:
            raise NotMeasured(why)
        return on(self.target, x.device).posterior_mean(x.double(), angle)

    def level(self, angle: float, count: int) -> Level:
        """States and answers at a noise level."""
        clean, noise, x = self.states(angle, count)
        found, exact = self.ask(x, angle), self.exact(x, angle)
        if found.shape != x.shape:
            raise ScorelabError(f"the answer has the shape {tuple(found.shape)} for states {tuple(x.shape)}")
        tensors = (each.double().flatten(1).cpu() for each in (clean, noise, x, found, exact))
        return Level(angle, *tensors)

    @cached_property
    def levels(self) -> list[Level]:
        """States and answers at each of the noise levels."""
        return [self.level(angle, self.count) for angle in self.angles]

    @property
    def few(self) -> list[float]:
        """Four of the noise levels, or as many as there are."""
        step = max(len(self.angles) // 4, 1)
        return self.angles[step // 2 :: step][:4]

    def rows(self) -> list[dict]:
        """By noise level: the errors, the gap to the Bayes risk, the largest slopes; what was measured of them."""
        rows = [{"angle": angle, "t": math.tan(angle) ** 2} for angle in self.angles]
        for name, of_rows in (("levels", posterior.error_rows), ("slopes", derivatives.slope_rows)):
            if name in vars(self):
                for row, more in zip(rows, of_rows(self), strict=True):
                    row |= more
        return rows if len(rows[0]) > 2 else []

    @cached_property
    def slopes(self) -> list[tuple[float, float]]:
        """The largest slope of the denoiser and of the exact posterior mean at each of the noise levels."""
        return [derivatives.largest_slopes(self, angle) for angle in self.angles]
