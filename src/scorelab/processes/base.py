"""The contract of an observation process, and the two things that can know its posterior."""

import abc
import math
from typing import ClassVar

import torch

from scorelab.errors import ScorelabError
from scorelab.movable import Movable
from scorelab.samplers.base import Step

#: how far a rate may lie below 0, or a chance outside of [0, 1], by rounding
_ROUNDING = 1e-5


class Process(Movable, abc.ABC):
    """A Markov process of observations of a vector x in R^n, on the angle as its clock.

    At angle 0 nothing is known of x, and at pi/2 everything; each class says which of its own times an angle stands
    for. A state is one observation, a tensor with the shape `shape`; states are (count, *shape). `observe` draws the
    state given x. `step` draws the next state given the present one and what a posterior knows, and never sees x: it
    is a rule of `scorelab.samplers.loop.simulate`.

    n: dimension of x. shape: of a state. draws: how many normal numbers a sample gets by one call of `noise`.
    end_angle: the last angle of a path.
    """

    #: capabilities of a target whose exact posterior is known under the process
    needs: ClassVar[tuple[str, ...]]
    #: capabilities of a target on which a learned posterior mean is enough for the process
    needs_learned: ClassVar[tuple[str, ...]] = ()
    #: a state this many times as long as the first has diverged
    growth: ClassVar[float] = 1e6
    #: advice for the error message when a state diverges
    remedy: ClassVar[str] = "more steps may help"

    #: whether a step takes a random number of draws of the noise
    jumps: bool = False
    #: whether the law of the samples depends on the number of steps; if not, every path is exact
    refines: bool = True

    n: int
    shape: tuple[int, ...]
    draws: int
    start_angle: float = 0.0
    end_angle: float = math.pi / 2

    @abc.abstractmethod
    def start(self, noise) -> torch.Tensor:
        """The states at the first angle, (count, *shape). noise: see `step`."""

    @abc.abstractmethod
    def observe(self, clean, angle, generator) -> torch.Tensor:
        """Draw the states (count, *shape) given x = clean (count, n), at an angle, a number or a tensor (count,)."""

    @abc.abstractmethod
    def posterior_mean(self, target, state, angle) -> torch.Tensor:
        """E[x | state], shape (count, n), exact; the target has the capabilities `needs`."""

    def seen(self, state, angle) -> torch.Tensor:
        """What a network sees of the states, (count, n), of about unit size."""
        return state

    def angles(self, steps: int) -> torch.Tensor:
        """The angles that a path visits, float64, about `steps + 1` of them."""
        return torch.linspace(self.start_angle, self.end_angle, steps + 1, dtype=torch.float64)

    def begin(self, schedule, angles):
        """What the first step gets as `memory`."""
        return None

    @abc.abstractmethod
    def step(self, posterior, state, angle, next_angle, noise, memory) -> Step:
        """Draw the states at `next_angle` given the states at `angle`, two floats.

        posterior: a `Posterior`. noise: a function without argument that returns standard normal draws
        (count, draws), valid until its next call. The state may be overwritten.
        """

    def output(self, posterior, state, angle, noise) -> torch.Tensor:
        """The samples (count, n) that are made of the last states; by default the posterior mean."""
        return posterior(state, angle)

    def inside(self, mean):
        """Bring a learned posterior mean (count, n) to values that a posterior mean can have."""
        return mean

    def lacks(self, target) -> str | None:
        """Why the exact posterior of the target is not known for this process; None if it is."""
        return target.lacks(*self.needs) or self._misfit(target)

    def lacks_learned(self, target) -> str | None:
        """Why a learned posterior mean is not enough for this process on the target; None if it is."""
        return target.lacks(*self.needs_learned) or self._misfit(target)

    def _misfit(self, target):
        if tuple(target.shape) != (self.n,):
            return f"a sample has the shape {tuple(target.shape)}, and a vector of {self.n} numbers is needed"
        return None

    def require(self, target) -> None:
        """Raise ScorelabError unless the exact posterior of the target is known for this process."""
        self._allow(self.lacks(target), target, "")

    def require_learned(self, target) -> None:
        """Raise ScorelabError unless a learned posterior mean is enough for this process on the target."""
        self._allow(self.lacks_learned(target), target, "a learned posterior mean on ")

    def _allow(self, why, target, what):
        if why is not None:
            raise ScorelabError(f"process {type(self).__name__} cannot run with {what}{type(target).__name__}: {why}")


class Posterior(abc.ABC):
    """What is known of x given a state of a process: a function of (state, angle) that returns the mean (count, n).

    target: the target whose exact posterior it is, for steps that need more than the mean; None for a learned mean.
    evaluated: the number of states for which the posterior was asked; a step that asks the target adds to it.
    """

    target = None
    evaluated = 0

    def __call__(self, state, angle):
        self.evaluated += len(state)
        return self.mean(state, angle)

    @abc.abstractmethod
    def mean(self, state, angle) -> torch.Tensor:
        """E[x | state], (count, n), for an angle that is a number or a tensor (count,)."""


class Exact(Posterior):
    """The exact posterior of a target. Raises ScorelabError unless the target has what the process needs."""

    def __init__(self, process: Process, target):
        process.require(target)
        self.process, self.target = process, target

    def mean(self, state, angle):
        return self.process.posterior_mean(self.target, state, angle)


class Learned(Posterior):
    """A denoiser as the posterior mean; it sees `Process.seen` and the angle. Raises ScorelabError unless the mean is
    enough for the process on the target."""

    def __init__(self, process: Process, denoiser, target):
        process.require_learned(target)
        self.process, self.denoiser = process, denoiser

    def mean(self, state, angle):
        return self.process.inside(self.denoiser(self.process.seen(state, angle), angle))


def require_rates(rates, process: Process) -> torch.Tensor:
    """Rates without the negative rounding errors. Raises ScorelabError for a rate that is negative or not finite."""
    if not bool((rates >= -_ROUNDING * (1 + rates.abs().max())).all() and torch.isfinite(rates).all()):
        worst = rates[~(rates >= 0) | ~torch.isfinite(rates)].flatten()[0]
        raise ScorelabError(
            f"process {type(process).__name__}: a rate is {float(worst):.4g}: the posterior mean is none of this target"
        )
    return rates.clamp_min(0)


def column(values, like):
    """A number as it is, or one number for each sample (count,) shaped to multiply `like` (count, ...)."""
    values = torch.as_tensor(values, dtype=torch.float64, device=like.device)
    return values.reshape(-1, *[1] * (like.dim() - 1)) if values.dim() else values
